"""A small server of the protocol, made of the standard library, for the tests of its clients.

Its model adds and subtracts: ``INPUT0`` and ``INPUT1``, INT32 of (n, 16). It answers as the
recordings say that Triton, KServe and MLServer do.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import numpy as np

from gpfn.errors import CallerError
from gpfn.limits import Limits
from gpfn.oip.documents import model_metadata, server_metadata
from gpfn.oip.reply import encode_reply
from gpfn.oip.request import InferCall, decode_infer
from gpfn.tensors.spec import TensorSpec

__all__ = ["Asked", "ModelServer", "Reply", "SimpleModel", "serving"]

Compute = Callable[[dict[str, np.ndarray[Any, Any]]], dict[str, np.ndarray[Any, Any]]]


class Asked(NamedTuple):
    """One request as the server saw it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Reply(NamedTuple):
    """What is answered in place of what the server would."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


class SimpleModel(NamedTuple):
    """A model: what it says of itself, and what it computes."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    compute: Compute

    @classmethod
    def adding(cls) -> "SimpleModel":
        """Return the sum and the difference of two inputs, as Triton's example has it."""
        takes = tuple(TensorSpec("int32", (None, 16), f"INPUT{i}") for i in range(2))
        gives = tuple(TensorSpec("int32", (None, 16), f"OUTPUT{i}") for i in range(2))

        def compute(inputs: dict[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
            first, second = inputs["INPUT0"], inputs["INPUT1"]
            return {"OUTPUT0": first + second, "OUTPUT1": first - second}

        return cls(takes, gives, compute)


class ModelServer:
    """What is served, and what was asked.

    Attributes:
        model: At any name.
        extensions: As ``GET /v2`` tells them.
        binary: Whether binary data are read, and written when asked for.
        answers: By the end of a path, what is answered instead.
    """

    def __init__(self, model: SimpleModel) -> None:
        self.model = model
        self.extensions = ["binary_tensor_data"]
        self.binary = True
        self.answers: dict[str, Reply] = {}
        self.asked: list[Asked] = []
        self.calls: list[InferCall] = []
        self.url = ""

    def answer(self, asked: Asked) -> Reply:
        """Return the reply to a request."""
        self.asked.append(asked)
        path = asked.path.partition("?")[0]
        for end, reply in self.answers.items():
            if path.endswith(end):
                return reply
        if path.endswith("/v2"):
            return _json(server_metadata("small", "1", self.extensions))
        if path.endswith("/infer"):
            try:
                return self._infer(asked)
            except CallerError as error:
                return _json({"error": str(error)}, error.status)
        model = self.model
        return _json(model_metadata("m", ["1"], "test", model.inputs, model.outputs))

    def _infer(self, asked: Asked) -> Reply:
        size = asked.headers.get("inference-header-content-length")
        if size and not self.binary:
            detail = [{"type": "json_invalid", "loc": ["body", 0], "msg": "JSON decode error"}]
            return _json({"detail": detail}, 422)
        call = decode_infer(asked.body, size, Limits())
        self.calls.append(call)
        expected = {spec.name: spec.dtype for spec in self.model.inputs}
        for name, array in call.inputs.items():
            if name not in expected:
                return _json({"error": f"unexpected inference input '{name}'"}, 400)
            if array.dtype != np.dtype(expected[name].replace("string", "object")):
                return _json({"error": f"input '{name}' data-type is {array.dtype}"}, 400)
        if missing := expected.keys() - call.inputs.keys():
            return _json({"error": f"missing required input(s) {sorted(missing)}"}, 400)
        given = self.model.compute(call.inputs)
        wanted = [output.name for output in call.outputs] or list(given)
        if unknown := [name for name in wanted if name not in given]:
            return _json({"error": f"unexpected inference output {unknown}"}, 400)
        given = {name: array for name, array in given.items() if name in wanted}
        pieces, size_of_json = encode_reply("m", "1", given, call)
        lines: tuple[tuple[str, str], ...] = ()
        if size_of_json is not None:
            lines = (("Inference-Header-Content-Length", str(size_of_json)),)
        return Reply(200, b"".join(pieces), lines)


def _json(document: object, status: int = 200) -> Reply:
    return Reply(status, json.dumps(document).encode())


@contextmanager
def serving(model: SimpleModel | None = None) -> Iterator[ModelServer]:
    """Serve a model on a free port."""
    served = ModelServer(model or SimpleModel.adding())

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = served.answer(Asked(self.command, self.path, headers, body))
            self.send_response(reply.status)
            for name, value in reply.headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        served.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield served
        finally:
            server.shutdown()
            thread.join(10)
