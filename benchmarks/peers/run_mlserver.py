"""Serve an ONNX file by MLServer, with a model class of ONNX Runtime, in one process.

Run it by the Python of ``make bench-peers``:

    .venvs/mlserver/bin/python benchmarks/peers/run_mlserver.py dnn.onnx [--port 8000]

It prints ``ready URL`` when the model is loaded; gRPC and metrics are at the ports behind.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import onnxruntime
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec
from mlserver.settings import ModelParameters
from mlserver.types import InferenceRequest, InferenceResponse
from ready import announce

__all__ = ["Network", "main"]


class Network(MLModel):
    """One ONNX file."""

    async def load(self) -> bool:
        """Open it."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(self.settings.parameters.uri, options)
        self.wanted = self.session.get_outputs()[0].name
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Compute one request; MLServer's own batches are for larger models."""
        feed = {tensor.name: NumpyCodec.decode_input(tensor) for tensor in payload.inputs}
        result = self.session.run([self.wanted], feed)[0]
        outputs = [NumpyCodec.encode_output(self.wanted, result)]
        return InferenceResponse(model_name=self.name, model_version="1", outputs=outputs)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="an ONNX file")
    parser.add_argument("--port", type=int, default=8000)
    given = parser.parse_args(arguments)
    settings = Settings(
        host="127.0.0.1",
        http_port=given.port,
        grpc_port=given.port + 1,
        metrics_port=given.port + 2,
        parallel_workers=0,
        debug=False,
        use_structured_logging=False,
        logging_settings={"version": 1, "disable_existing_loggers": True},
    )
    uri = str(given.model.resolve())
    model = ModelSettings(
        name=given.model.stem, implementation=Network, parameters=ModelParameters(uri=uri)
    )
    announce(given.port)
    asyncio.run(MLServer(settings).start([model]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
