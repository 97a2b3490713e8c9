"""A real server on a real port, around a model of a few lines, for the tests beside it."""

import http.client
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from gpfn.deadline import NEVER, Deadline
from gpfn.graphpipe import InferRequest, InferResponse, encode
from gpfn.graphpipe.decode import decode_response
from gpfn.graphpipe.encode import encode_request
from gpfn.graphpipe.tensors import contents
from gpfn.graphpipe.writer import Writer
from gpfn.limits import Limits
from gpfn.serving import Server, ServerSettings
from gpfn.serving.rowcache import CachedModel, Store
from gpfn.serving.service import Service
from gpfn.tensors.spec import TensorSpec

SETTINGS = ServerSettings(port=0, threads=2, queue=2, request_seconds=5, idle_seconds=5)


class Doubler:
    """y = 2x, with a hook that runs inside every call."""

    name = "doubler"
    backend = "python"
    notes_warm_up = False
    inputs = (TensorSpec("float32", (None, 2), "x"),)
    outputs = (TensorSpec("float32", (None, 2), "y"),)

    def __init__(self, inside: Callable[[np.ndarray], None] = lambda _: None) -> None:
        self.inside = inside
        self.rows: list[int] = []

    def __call__(
        self,
        inputs: Mapping[str, np.ndarray],
        *,
        outputs: Sequence[str] = (),
        deadline: Deadline = NEVER,
    ) -> dict[str, np.ndarray]:
        x = inputs["x"]
        if self.notes_warm_up or x.any():
            self.rows.append(len(x))
            self.inside(x)
        return {"y": x * 2}


@dataclass
class Running:
    server: Server
    port: int

    @property
    def service(self) -> Service:
        return self.server.service

    @property
    def thread(self) -> threading.Thread:
        assert self.server.thread is not None
        return self.server.thread

    def connect(self, timeout: float = 10) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def ask(
        self, method: str, path: str = "/", body: bytes | None = None, **headers: str
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = self.connect()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        reply = connection.getresponse()
        content = reply.read()
        connection.close()
        return reply.status, reply.headers, content

    def infer(self, x: np.ndarray, **headers: str) -> np.ndarray:
        status, _, body = self.ask("POST", body=message(x), **headers)
        assert status == 200, body
        return response(body).tensors[0]

    def stop(self) -> None:
        self.server.stop()
        assert not self.thread.is_alive()


def message(*tensors: np.ndarray, **names: tuple[str, ...]) -> bytes:
    return b"".join(encode_request(InferRequest(tensors=tensors, **names)))


def unmatched(
    tensors: Sequence[np.ndarray], names: Sequence[str], outputs: Sequence[str] = ()
) -> bytes:
    """Return a request whose input names need not be as many as its tensors."""
    specs, buffers = contents(tensors, "input_tensors")
    writer = Writer()
    kind, request = writer.table(0, 1, 4)
    writer.byte(kind, 1)
    _, at_inputs, at_tensors, at_outputs = writer.table(request, 0, 4, 4, 4)
    encode._names(writer, at_inputs, tuple(names), "")
    encode._names(writer, at_outputs, tuple(outputs), "")
    positions = encode._tensors(writer, at_tensors, specs)
    pieces = encode._split(writer, positions, specs)
    return b"".join(encode._interleave(pieces, buffers))


def response(body: bytes) -> InferResponse:
    return decode_response(body, Limits())


@contextmanager
def running(
    model: object | None = None, store: Store | None = None, **changes: object
) -> Iterator[Running]:
    settings = replace(SETTINGS, **changes)
    if store is not None:
        model = CachedModel(model, store, settings.limits)
    server = Server({} if model is None else {"model": model}, settings)
    if model is None:
        server.begin()
    else:
        server.start()
    run = Running(server, server.address[1])
    try:
        yield run
    finally:
        server.stop()
