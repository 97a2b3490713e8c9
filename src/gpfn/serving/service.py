"""Which question was asked of the model server, and the answer to it; no sockets here.

A model that answers within a millisecond is asked on the loop, any other in the pool.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import NamedTuple

from gpfn.call.contract import Reply
from gpfn.deadline import Deadline
from gpfn.errors import CallerError, GpfnError, InvalidRequest, Overloaded, UnsupportedMedia
from gpfn.graphpipe.decode import decode_request
from gpfn.graphpipe.encode import encode_metadata, encode_response
from gpfn.graphpipe.messages import InferRequest, MetadataResponse
from gpfn.http.body import Budget
from gpfn.http.inflate import inflate, is_identity
from gpfn.http.loop.exchange import Exchange, Response
from gpfn.http.loop.pool import WorkPool
from gpfn.http.writer import REASONS
from gpfn.log import Log
from gpfn.media import JSON, is_json
from gpfn.message import Message
from gpfn.metrics import MEDIA_TYPE, Metrics
from gpfn.serving.answers import failure, graphpipe, health, page, text
from gpfn.serving.inference import ServedModel, describe, infer, metadata_json, with_defaults
from gpfn.serving.rowcache import Store, cached
from gpfn.serving.settings import ServerSettings

__all__ = ["Pace", "Service"]

_QUICK_SECONDS = 0.001
"""An inference that is expected to take longer does not run on the loop."""


class Pace(NamedTuple):
    """How long an inference of so many input elements took: None where that says nothing.

    A function of the user's or a remote server may wait for anything, however quick it was.
    """

    seconds: float | None = None
    elements: int = 1

    def is_quick(self, elements: int) -> bool:
        """Say whether an inference of that many elements may be done on the loop."""
        if self.seconds is None:
            return False
        return self.seconds * max(1.0, elements / self.elements) <= _QUICK_SECONDS


class Service:
    """Answers for one model, once it has been given one with :meth:`ready`."""

    def __init__(
        self,
        settings: ServerSettings,
        *,
        version: str,
        log: Log | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        """``version`` is in the metadata."""
        self.log = log or Log("serve")
        self._settings = settings
        self._version = version
        self._store: Store | None = None
        self.budget = Budget(settings.loop().body_bytes)
        self._pool = WorkPool(settings.threads, settings.queue)
        self._model: ServedModel | None = None
        self._pace = Pace()
        self.metrics = metrics or Metrics()
        self._requests = self.metrics.counters(
            "gpfn_requests_total", "Inferences, by the status of the answer.", "code", [*REASONS]
        )
        self._durations = self.metrics.histogram(
            "gpfn_request_duration_seconds", "Time from a complete request to its answer."
        )
        self.alive: Callable[[], bool] = lambda: True
        self.client_count: Callable[[], int] = lambda: 0
        self.shutdown: Callable[[], None] | None = None

    def ready(self, model: ServedModel, pace: Pace = Pace()) -> None:  # noqa: B008 - immutable
        """Begin to answer questions about the model."""
        self._model = model
        self._pace = pace

    def keep_rows(self, store: Store) -> None:
        """Keep rows that were computed, and do not compute them again."""
        self._store = store

    def close(self) -> None:
        """Close the store of rows."""
        if self._store is not None:
            self._store.close()

    # what the loop server asks

    def handle(self, exchange: Exchange) -> None:
        """Answer one request, now or from the pool; never raises."""
        try:
            response = self._route(exchange)
        except BaseException as error:  # noqa: BLE001 - a model may be anybody's code
            response = self._failure(exchange, error)
        if response is not None:
            self._answer(exchange, response)

    def early(self, method: str, target: str) -> Response | None:
        """Return the answer to what is no inference, before a body has come."""
        if method == "POST" and target.partition("?")[0] == "/":
            return None
        return self._page(method, target.partition("?")[0], "")

    def vital(self, exchange: Exchange) -> Response | None:
        """Return the answer to a question about health."""
        path = exchange.request.target.partition("?")[0]
        return self._control(path) if path in _HEALTH else None

    def refuse(self, error: GpfnError, headers: tuple[tuple[str, str], ...]) -> Response:
        """Return the answer to a broken request."""
        accept = [value for name, value in headers if name == "accept"]
        return failure(error, accept[0] if accept else None)

    # routes

    def _route(self, exchange: Exchange) -> Response | None:
        request = exchange.request
        if request.method != "POST" or request.target.partition("?")[0] != "/":
            return self._page(request.method, request.target.partition("?")[0], exchange.id)
        self._loaded()
        if not is_identity(exchange.fields.by_name.get("content-encoding", "")):
            self._later(exchange, lambda: self._inflated(exchange))
            return None
        question = self._read(exchange, request.body)
        if question is None:
            return self._metadata_message(exchange)
        if self._store is None and self._pace.is_quick(sum(t.size for t in question.tensors)):
            return self._compute(exchange, question)
        self._later(exchange, lambda: self._compute(exchange, question))
        return None

    def _page(self, method: str, path: str, call_id: str) -> Response:  # noqa: ARG002
        if path.startswith("/control/"):
            return self._control(path)
        if path not in ("/", "/metrics"):
            return failure(InvalidRequest(f"no such path: {path:.99}", status=404), None)
        if method not in ("GET", "HEAD"):
            response = failure(
                InvalidRequest("use GET for metadata, POST / for inference", status=405), None
            )
            return response._replace(headers=(*response.headers, ("allow", "GET, HEAD, POST")))
        if path == "/metrics":
            return page(MEDIA_TYPE, self.metrics.text())
        try:
            return self._metadata_document()
        except GpfnError as error:
            return failure(error, None)

    def _control(self, path: str) -> Response:
        match path.removeprefix("/control/"):
            case "is_ready":
                return health(self.alive() and self._model is not None)
            case "is_alive":
                return health(self.alive())
            case "client_count":
                return text(200, str(self.client_count()))
            case "shutdown" if self.shutdown is not None:
                self.shutdown()
                return text(200, "ok")
        return text(404, f"no such control: {path:.99}")

    def _metadata_document(self) -> Response:
        import orjson

        return page(JSON, orjson.dumps(metadata_json(self._describe())))

    def _metadata_message(self, exchange: Exchange) -> Response:
        return graphpipe(200, encode_metadata(self._describe()), _accept(exchange))

    def _describe(self) -> MetadataResponse:
        return describe(self._loaded(), "gpfn", self._version)

    def _loaded(self) -> ServedModel:
        if self._model is None:
            raise Overloaded("the model is still being loaded")
        return self._model

    # inference

    def _read(self, exchange: Exchange, body: bytes | memoryview) -> InferRequest | None:
        """Return the question in a body, its names complete; None when it asks for metadata."""
        kind = exchange.fields.by_name.get("content-type", "")
        if is_json(kind) or body[:1] == b"{":
            raise UnsupportedMedia(
                "this speaks GraphPipe; for JSON serve a function with gpfn run http",
                field="content-type",
            )
        message = decode_request(body, self._settings.limits)
        if not isinstance(message, InferRequest):
            return None
        return with_defaults(message, self._loaded())

    def _compute(self, exchange: Exchange, question: InferRequest) -> Response:
        model = self._loaded()
        deadline = Deadline(exchange.began + self._settings.request_seconds)
        deadline.check("inference")
        if self._store is None:
            result = infer(model, question, deadline)
        else:
            result = cached(
                self._store,
                question,
                lambda part: infer(model, part, deadline),
                self._settings.limits,
            )
        return graphpipe(200, encode_response(result), _accept(exchange))

    def _inflated(self, exchange: Exchange) -> Response:
        """Answer a compressed request, in a thread."""
        held = 0

        def hold(size: int) -> None:
            nonlocal held
            self.budget.change(size)
            held += size

        coding = exchange.fields.by_name["content-encoding"]
        limit = self._settings.limits.body_bytes
        try:
            body = inflate(exchange.request.body, coding, limit, hold)
            question = self._read(exchange, body)
            if question is None:
                return self._metadata_message(exchange)
            return self._compute(exchange, question)
        finally:
            self.budget.free(held)

    def _later(self, exchange: Exchange, work: Callable[[], Response]) -> None:
        """Have work done by the pool, unless the client has left meanwhile."""

        def unless_gone() -> Response | None:
            return None if exchange.gone else work()

        def done(response: Response | None, error: BaseException | None) -> None:
            if error is not None:
                self._answer(exchange, self._failure(exchange, error))
            elif response is not None:
                self._answer(exchange, response)

        deadline = Deadline(exchange.began + self._settings.request_seconds)
        self._pool.submit(unless_gone, deadline, done)

    def _failure(self, exchange: Exchange, error: BaseException) -> Response:
        if not isinstance(error, CallerError | Overloaded):
            self.log.failure(error, call=exchange.id, trace=exchange.fields.trace)
        return failure(error, _accept(exchange))

    def _answer(self, exchange: Exchange, response: Response) -> None:
        gone = exchange.gone
        exchange.answer(response)
        if exchange.request.method == "POST":
            self._requests[response.status].add()
            self._durations.observe(monotonic() - exchange.began)
        if self._settings.verbose:
            self._log_request(exchange, response, gone=gone)

    def _log_request(self, exchange: Exchange, response: Response, *, gone: bool) -> None:
        sent = 0 if gone else sum(memoryview(part).nbytes for part in response.buffers)
        self.log.call(
            exchange.id,
            Reply(Message(b""), response.status),
            monotonic() - exchange.began,
            len(exchange.request.body),
            sent,
            trace=exchange.fields.trace,
        )


_HEALTH = ("/control/is_ready", "/control/is_alive")


def _accept(exchange: Exchange) -> str | None:
    return exchange.fields.by_name.get("accept")
