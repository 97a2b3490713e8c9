"""Which question was asked of the model server, and the answer to it; no sockets here.

A model that answers within a millisecond is asked on the loop, any other in the pool.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from gpfn.call.contract import Reply
from gpfn.deadline import Deadline
from gpfn.errors import (
    CallerError,
    GpfnError,
    InvalidMessage,
    InvalidRequest,
    Overloaded,
    UnsupportedMedia,
)
from gpfn.graphpipe.decode import decode_request
from gpfn.graphpipe.encode import encode_metadata, encode_response
from gpfn.graphpipe.messages import InferRequest, MetadataResponse
from gpfn.http.body import Budget
from gpfn.http.inflate import inflated, is_identity
from gpfn.http.loop.exchange import Exchange, Response
from gpfn.http.loop.pool import WorkPool
from gpfn.http.writer import REASONS
from gpfn.log import Log
from gpfn.media import JSON, is_json
from gpfn.message import Message
from gpfn.metrics import MEDIA_TYPE, Metrics
from gpfn.serving.answers import failure, graphpipe, health, page, text
from gpfn.serving.inference import Pace, Questions, ServedModel, describe, metadata_json
from gpfn.serving.settings import ServerSettings

if TYPE_CHECKING:
    from gpfn.serving.rowcache import Store

__all__ = ["Service"]


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
        self._questions: Questions | None = None
        self._quick_bytes = -1.0
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
        self._questions = Questions(model)
        self._quick_bytes = pace.quick_bytes

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
        return self._page(method, target.partition("?")[0])

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
        path = request.target if request.target == "/" else request.target.partition("?")[0]
        if path != "/" or request.method != "POST":
            return self._page(request.method, path)
        questions = self._loaded()
        coding = exchange.fields.by_name.get("content-encoding")
        if coding and not is_identity(coding):
            self._later(exchange, lambda: self._inflated(exchange))
            return None
        question = self._read(exchange, request.body)
        if question is None:
            return self._metadata_message(exchange)
        if len(request.body) <= self._quick_bytes and self._store is None:
            return self._compute(exchange, questions, question)
        self._later(exchange, lambda: self._compute(exchange, questions, question))
        return None

    def _page(self, method: str, path: str) -> Response:
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
        self._loaded()
        assert self._model is not None, "it is loaded"  # noqa: S101
        return describe(self._model, "gpfn", self._version)

    def _loaded(self) -> Questions:
        if self._questions is None:
            raise Overloaded("the model is still being loaded")
        return self._questions

    # inference

    def _read(self, exchange: Exchange, body: bytes | memoryview) -> InferRequest | None:
        """Return the question in a body, its names complete; None when it asks for metadata."""
        try:
            message = decode_request(body, self._settings.limits)
        except InvalidMessage as error:
            if is_json(exchange.fields.by_name.get("content-type", "")) or body[:1] == b"{":
                told = "this speaks GraphPipe; for JSON serve a function with gpfn run http"
                raise UnsupportedMedia(told, field="content-type") from error
            raise
        return self._loaded().complete(message) if isinstance(message, InferRequest) else None

    def _compute(
        self, exchange: Exchange, questions: Questions, question: InferRequest
    ) -> Response:
        deadline = self._deadline(exchange)
        if self._store is None:
            result = questions.ask(question, deadline)
        else:
            from gpfn.serving.rowcache import cached

            result = cached(
                self._store,
                question,
                lambda part: questions.ask(part, deadline),
                self._settings.limits,
            )
        return graphpipe(200, encode_response(result), _accept(exchange))

    def _inflated(self, exchange: Exchange) -> Response:
        """Answer a compressed request, in a thread."""
        coding = exchange.fields.by_name["content-encoding"]
        limit, deadline = self._settings.limits.body_bytes, self._deadline(exchange)
        with inflated(exchange.request.body, coding, limit, self.budget, deadline) as body:
            question = self._read(exchange, body)
            if question is None:
                return self._metadata_message(exchange)
            return self._compute(exchange, self._loaded(), question)

    def _later(self, exchange: Exchange, work: Callable[[], Response]) -> None:
        """Have work done by the pool, unless the client has left meanwhile."""

        def unless_gone() -> Response | None:
            return None if exchange.gone else work()

        def done(response: Response | None, error: BaseException | None) -> None:
            if error is not None:
                self._answer(exchange, self._failure(exchange, error))
            elif response is not None:
                self._answer(exchange, response)

        self._pool.submit(unless_gone, self._deadline(exchange), done)

    def _deadline(self, exchange: Exchange) -> Deadline:
        return Deadline(exchange.began + self._settings.request_seconds)

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
