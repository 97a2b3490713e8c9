"""Serve an ONNX file over OIP v2 JSON as people write it: FastAPI, uvicorn, ONNX Runtime.

No batches, a worker process a core. Run it by the Python of ``make bench-peers``:

    .venvs/fastapi/bin/python benchmarks/peers/run_fastapi.py dnn.onnx [--port 8000]

It prints ``ready URL`` when a worker has the model.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ready import announce

__all__ = ["application", "main"]

FILE = "GPFN_PEER_MODEL"


def application() -> Any:
    """Return the application, for uvicorn."""
    import numpy as np
    import onnxruntime
    from fastapi import FastAPI
    from pydantic import BaseModel

    class Tensor(BaseModel):
        name: str
        shape: list[int]
        datatype: str
        data: list[float]

    class Request(BaseModel):
        id: str | None = None
        inputs: list[Tensor]

    class Reply(BaseModel):
        id: str | None
        model_name: str
        model_version: str
        outputs: list[Tensor]

    file = Path(os.environ[FILE])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(file), options)
    wanted = session.get_outputs()[0].name
    app = FastAPI()

    @app.get("/v2/health/ready")
    async def ready() -> dict[str, bool]:
        return {"ready": True}

    @app.post(f"/v2/models/{file.stem}/infer")
    async def infer(request: Request) -> Reply:
        feed = {
            tensor.name: np.asarray(tensor.data, np.float32).reshape(tensor.shape)
            for tensor in request.inputs
        }
        result = session.run([wanted], feed)[0]
        output = Tensor(
            name=wanted, shape=list(result.shape), datatype="FP32", data=result.ravel().tolist()
        )
        return Reply(id=request.id, model_name=file.stem, model_version="1", outputs=[output])

    return app


def main(arguments: Sequence[str] | None = None) -> int:
    import uvicorn

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="an ONNX file")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    given = parser.parse_args(arguments)
    os.environ[FILE] = str(given.model.resolve())
    announce(given.port)
    uvicorn.run(
        "run_fastapi:application",
        factory=True,
        app_dir=str(Path(__file__).parent),
        port=given.port,
        workers=given.workers,
        log_level="warning",
        access_log=False,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
