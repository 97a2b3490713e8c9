"""Start NVIDIA Triton on a model file or on a model repository of its own.

The server is the one that PyPI's nvidia-pytriton carries; of that package nothing else is
used. An ONNX file is served by Triton's Python backend with ONNX Runtime and dynamic
batching: this build has no other backend for it. Run it by the Python of ``make bench-peers``:

    .venvs/triton/bin/python benchmarks/peers/run_triton.py dnn.onnx [--port 8000]

It prints ``ready URL`` when the models are loaded, and ends with the server. The metrics are
at the port's successor but one, gRPC at its successor.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from ready import announce

__all__ = ["main"]

MODEL = """
import numpy as np
import onnxruntime
import triton_python_backend_utils as triton

class TritonPythonModel:
    def initialize(self, args):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        folder = f"{args['model_repository']}/{args['model_version']}/model.onnx"
        self.session = onnxruntime.InferenceSession(folder, options)
        self.given = self.session.get_inputs()[0].name
        self.wanted = self.session.get_outputs()[0].name

    def execute(self, requests):
        rows = [triton.get_input_tensor_by_name(r, self.given).as_numpy() for r in requests]
        result = self.session.run(None, {self.given: np.concatenate(rows)})[0]
        ends = np.cumsum([len(row) for row in rows])[:-1]
        return [
            triton.InferenceResponse([triton.Tensor(self.wanted, part)])
            for part in np.split(result, ends)
        ]
"""

CONFIG = """
name: "{name}"
backend: "python"
max_batch_size: {batch}
input [{{ name: "{given}", data_type: TYPE_FP32, dims: [{width}] }}]
output [{{ name: "{wanted}", data_type: TYPE_FP32, dims: [{wide}] }}]
instance_group [{{ kind: KIND_CPU, count: {instances} }}]
dynamic_batching {{ }}
"""


def repository(file: Path, folder: Path, batch: int, instances: int) -> None:
    """Make a model repository of one ONNX file with a batch axis, named after the file."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file))
    (given,), (wanted,) = session.get_inputs(), session.get_outputs()
    version = folder / file.stem / "1"
    version.mkdir(parents=True)
    shutil.copyfile(file, version / "model.onnx")
    (version / "model.py").write_text(MODEL)
    text = CONFIG.format(
        name=file.stem,
        batch=batch,
        instances=instances,
        given=given.name,
        width=given.shape[1],
        wanted=wanted.name,
        wide=wanted.shape[1],
    )
    (version.parent / "config.pbtxt").write_text(text)


def backends(package: Path, folder: Path) -> None:
    """Copy the backends, with the stub that runs models by this version of Python."""
    shutil.copytree(package / "tritonserver" / "backends", folder)
    stubs = package / "tritonserver" / "python_backend_stubs"
    stub = stubs / "{}.{}".format(*sys.version_info) / "triton_python_backend_stub"
    shutil.copy(stub, folder / "python")


def serve(models: Path, work: Path, port: int, flags: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start the server on a model repository; ports follow each other: HTTP, gRPC, metrics."""
    found = find_spec("pytriton")
    assert found is not None, "run by the Python of make bench-peers"
    assert found.origin is not None
    package = Path(found.origin).parent
    backends(package, work / "backends")
    libraries = [package.parent / "nvidia_pytriton.libs", Path(sys.base_prefix) / "lib"]
    path = f"{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}"  # its stub looks for Python there
    environment = os.environ | {"LD_LIBRARY_PATH": ":".join(map(str, libraries)), "PATH": path}
    command = [
        str(package / "tritonserver" / "bin" / "tritonserver"),
        f"--model-repository={models}",
        f"--backend-directory={work / 'backends'}",
        f"--http-port={port}",
        f"--grpc-port={port + 1}",
        f"--metrics-port={port + 2}",
        *("--http-address=127.0.0.1", "--grpc-address=127.0.0.1", "--metrics-address=127.0.0.1"),
        *flags,
    ]
    return subprocess.Popen(command, env=environment)


def _end(*_: object) -> None:
    sys.exit(0)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="an ONNX file, or a model repository")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--batch", type=int, default=64, help="rows of one call at most")
    parser.add_argument("--instances", type=int, default=1)
    given, flags = parser.parse_known_args(arguments)  # what else there is, is tritonserver's
    signal.signal(signal.SIGTERM, _end)
    with tempfile.TemporaryDirectory() as name:
        work, models = Path(name), given.model.resolve()
        if models.is_file():
            repository(models, work / "models", given.batch, given.instances)
            models = work / "models"
        process = serve(models, work, given.port, flags)
        try:
            announce(given.port)
            return process.wait()
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    sys.exit(main())
