"""Which question was asked of the model server, and the answer to it; no sockets here.

A gate in front of the model lets a number of inferences run and a number wait.

A reply to an error has a status other than 200, always. Its body is an InferResponse with
``errors`` when the caller's Accept names ``application/vnd.graphpipe`` (our client does), and
plain text otherwise: the clients of graphpipe-go and of PyPI's graphpipe print the body of such
a reply as it is.
"""

from __future__ import annotations

import os
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from gpfn.deadline import Deadline
from gpfn.errors import CallerError, GpfnError, Overloaded, TooLarge, UnsupportedMedia
from gpfn.graphpipe.decode import decode_request
from gpfn.graphpipe.encode import encode_metadata, encode_response
from gpfn.graphpipe.messages import Error, InferRequest, InferResponse, MetadataResponse
from gpfn.http.head import Request
from gpfn.limits import Limits
from gpfn.log import Log, trace_id
from gpfn.media import GRAPHPIPE, JSON, OCTETS, TEXT_UTF8
from gpfn.serving.inference import ServedModel, describe, infer, metadata_json, with_defaults
from gpfn.serving.rowcache import Store, cached

__all__ = [
    "SERVER_BODY_BYTES",
    "SERVER_ELEMENTS",
    "Gate",
    "Response",
    "ServerSettings",
    "Service",
    "failure",
    "request_id",
]


SERVER_BODY_BYTES = 512 << 20
SERVER_ELEMENTS = 128 << 20
"""A model server's defaults where they are larger than a function's."""


def _cores() -> int:
    return len(os.sched_getaffinity(0))


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where a model server listens, and its bounds; times are in seconds.

    ``workers`` inferences run at once and ``queue`` more may wait; a request beyond
    that is answered 503. ``request_seconds`` is all the time a client has to send one
    request.
    """

    host: str = "127.0.0.1"
    port: int = 9000
    workers: int = field(default_factory=_cores)
    queue: int = 64
    connections: int = 256
    idle_seconds: float = 75.0
    request_seconds: float = 60.0
    drain_seconds: float = 30.0
    allow_shutdown: bool = False
    verbose: bool = False
    limits: Limits = field(
        default_factory=lambda: Limits.from_env(
            body_bytes=SERVER_BODY_BYTES, elements=SERVER_ELEMENTS
        )
    )


class Gate:
    """Lets ``workers`` callers in at once and ``queue`` more wait.

    >>> gate = Gate(workers=1, queue=0)
    >>> with gate.passage(Deadline.after(1.0)):
    ...     gate.running
    1
    """

    def __init__(self, workers: int, queue: int) -> None:
        self._slots = threading.Semaphore(workers)
        self._room = workers + queue
        self._lock = threading.Lock()
        self._inside = 0
        self.running = 0

    @contextmanager
    def passage(self, deadline: Deadline) -> Iterator[None]:
        """Hold one slot.

        Raises Overloaded at once when the queue is full, and when no slot came free
        before the deadline.
        """
        self._enter()
        try:
            if not self._slots.acquire(timeout=min(deadline.remaining(), threading.TIMEOUT_MAX)):
                raise Overloaded("no worker came free before the deadline")
            try:
                self._count_running(1)
                yield
            finally:
                self._count_running(-1)
                self._slots.release()
        finally:
            with self._lock:
                self._inside -= 1

    def _enter(self) -> None:
        with self._lock:
            if self._inside >= self._room:
                raise Overloaded(f"{self._inside} requests are running or waiting already")
            self._inside += 1

    def _count_running(self, change: int) -> None:
        with self._lock:
            self.running += change


_LONGEST_ID = 128


class Response(NamedTuple):
    """A reply whose body is still in pieces."""

    status: int
    content_type: str
    buffers: Sequence[bytes | memoryview]
    headers: tuple[tuple[str, str], ...] = ()


class Service:
    """Answers for one model, once it has been given one with :meth:`ready`."""

    def __init__(
        self,
        settings: ServerSettings,
        *,
        version: str,
        store: Store | None = None,
        log: Log | None = None,
    ) -> None:
        """``version`` is in the metadata; ``store`` keeps rows that were computed."""
        self.log = log or Log("serve")
        self._settings = settings
        self._version = version
        self._store = store
        self._gate = Gate(settings.workers, settings.queue)
        self._model: ServedModel | None = None
        self.alive = True
        self.client_count: Callable[[], int] = lambda: 0
        self.shutdown: Callable[[], None] | None = None

    def ready(self, model: ServedModel) -> None:
        """Begin to answer questions about the model."""
        self._model = model

    def respond(self, request: Request, deadline: Deadline) -> Response:
        """Answer one request; never raises, an error becomes a reply."""
        try:
            return self._route(request, deadline)
        except Exception as error:  # noqa: BLE001 - one request's bug must not end the server
            if not isinstance(error, CallerError | Overloaded):
                self.log.failure(error, call=request_id(request), trace=trace_id(request.headers))
            return failure(error, request.header("accept"))

    def _route(self, request: Request, deadline: Deadline) -> Response:
        path = request.target.partition("?")[0]
        if path.startswith("/control/"):
            return self._control(path)
        if request.method in ("GET", "HEAD"):
            return self._metadata_document()
        if request.method != "POST":
            return _text(
                405, "use GET for metadata, POST for inference", ("allow", "GET, HEAD, POST")
            )
        model = self._loaded()
        message = decode_request(_content(request, self._settings), self._settings.limits)
        if not isinstance(message, InferRequest):
            return _graphpipe(200, encode_metadata(self._describe()), request.header("accept"))
        complete = with_defaults(message, model)
        with self._gate.passage(deadline):
            deadline.check("inference")
            result = self._infer(model, complete, deadline)
        return _graphpipe(200, encode_response(result), request.header("accept"))

    def _infer(
        self, model: ServedModel, message: InferRequest, deadline: Deadline
    ) -> InferResponse:
        if self._store is None:
            return infer(model, message, deadline)
        return cached(
            self._store, message, lambda part: infer(model, part, deadline), self._settings.limits
        )

    def _loaded(self) -> ServedModel:
        if self._model is None:
            raise Overloaded("the model is still being loaded")
        return self._model

    def _describe(self) -> MetadataResponse:
        return describe(self._loaded(), "gpfn", self._version)

    def _metadata_document(self) -> Response:
        import orjson

        return Response(200, JSON, [orjson.dumps(metadata_json(self._describe()))])

    def _control(self, path: str) -> Response:
        match path.removeprefix("/control/"):
            case "is_ready":
                return _health(self.alive and self._model is not None)
            case "is_alive":
                return _health(self.alive)
            case "client_count":
                return _text(200, str(self.client_count()))
            case "shutdown" if self.shutdown is not None:
                self.shutdown()
                return _text(200, "ok")
        return _text(404, f"no such control: {path}")


def request_id(request: Request) -> str:
    """Return the caller's X-Request-Id if it can stand in a log, otherwise ""."""
    given = request.header("x-request-id") or ""
    fits = given.isascii() and given.isprintable() and " " not in given
    return given if fits and len(given) <= _LONGEST_ID else ""


def failure(error: Exception, accept: str | None) -> Response:
    """Return the reply to a failed request: a message or text, as ``accept`` says."""
    known = error if isinstance(error, GpfnError) else GpfnError("internal error; see the log")
    retry = (("retry-after", str(known.retry_after)),) if isinstance(known, Overloaded) else ()
    if GRAPHPIPE not in (accept or ""):
        return _text(known.status, str(known), *retry)
    message = InferResponse(errors=(Error(code=known.status, message=str(known)),))
    return _graphpipe(known.status, encode_response(message), accept)._replace(headers=retry)


def _graphpipe(status: int, buffers: Sequence[bytes | memoryview], accept: str | None) -> Response:
    named = GRAPHPIPE in (accept or "")
    return Response(status, GRAPHPIPE if named else OCTETS, buffers)


def _text(status: int, text: str, *headers: tuple[str, str]) -> Response:
    return Response(status, TEXT_UTF8, [f"{text}\n".encode()], headers)


def _health(well: bool) -> Response:
    return _text(200, "ok") if well else _text(503, "not ready")


def _content(request: Request, settings: ServerSettings) -> bytes | memoryview:
    """Return the body with its Content-Encoding undone, never larger than the limit."""
    coding = (request.header("content-encoding") or "identity").strip().lower()
    if coding == "identity":
        return request.body
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise UnsupportedMedia(f"unknown content-encoding {coding!r}", field="content-encoding")
    limit = settings.limits.body_bytes
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # 32: gzip or zlib, by its header
    try:
        content = inflater.decompress(request.body, limit + 1)
    except zlib.error as error:
        raise UnsupportedMedia(
            f"the body is not {coding}: {error}", field="content-encoding"
        ) from None
    if len(content) > limit:
        raise TooLarge(f"the body inflates to more than {limit} bytes (GPFN_MAX_BODY_BYTES)")
    if not inflater.eof:
        raise UnsupportedMedia(f"the {coding} body is truncated", field="content-encoding")
    return content
