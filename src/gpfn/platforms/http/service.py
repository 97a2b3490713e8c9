"""What a function over HTTP does whichever server is in front of it: routes, readiness, metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from gpfn.call.contract import Answering, Reply
from gpfn.call.encode import error_message, status_of
from gpfn.call.opening import Opening
from gpfn.errors import GpfnError, InvalidRequest
from gpfn.http.loop.pool import WorkPool
from gpfn.http.writer import REASONS, check_header
from gpfn.log import Log
from gpfn.media import EVENT, EVENT_BATCH, JSON, OCTETS, PROBLEM
from gpfn.message import Message
from gpfn.metrics import MEDIA_TYPE, Metrics
from gpfn.platforms.http.settings import HttpSettings

__all__ = ["HttpService", "Readiness", "bad_reply", "failed", "is_empty", "response_headers"]

_OURS = frozenset({"connection", "content-length", "date", "keep-alive", "transfer-encoding"})
"""Headers that say how a reply is framed. The server writes them, whatever a function sets."""


class HttpService:
    """One function over HTTP: everything but how bytes come in and go out."""

    def __init__(
        self,
        function: Answering,
        settings: HttpSettings,
        log: Log,
        start: Mapping[str, float] | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        """``start`` are named seconds that were spent before, such as the import's."""
        self.function = function
        self.settings = settings
        self.log = log
        self._paths = ("/", f"/{function.name}")
        self.readiness = Readiness(function, log, start)
        self.pool = WorkPool(settings.most_threads, settings.queue)
        self.metrics = metrics or Metrics()
        self._counted = _Counted(self.metrics)

    def route(self, method: str, path: str) -> Reply | None:
        """Return the answer to what is no call of the function; None for a call."""
        if method == "POST" and path in self._paths:
            return None  # as nearly every request
        route = path.rstrip("/")
        if route in _PAGES:
            if method not in ("GET", "HEAD"):
                return _not_allowed("GET, HEAD")
            return self._page(route)
        if route and route not in self._paths:
            where = f"POST to / or /{self.function.name}"
            return failed(InvalidRequest(f"no such path; {where}", field="path", status=404))
        return None if method == "POST" else _not_allowed("POST")

    def _page(self, route: str) -> Reply:
        if route == "/metrics":
            return Reply(Message(self.metrics.text(), MEDIA_TYPE))
        if route == "/health/ready":
            try:
                self.readiness.check()
            except GpfnError as error:
                return failed(error)
        state = route.rpartition("/")[2]
        return Reply(Message(b'{"status":"%s"}' % state.encode(), "application/json"))

    def count(self, reply: Reply, seconds: float) -> None:
        """Count an answered call."""
        counter = self._counted.calls.get(reply.status)
        if counter is not None:
            counter.add()
        self._counted.seconds.observe(seconds)


_PAGES = ("/health/live", "/health/ready", "/metrics")


class _Counted:
    """The metrics of a function's calls."""

    def __init__(self, metrics: Metrics) -> None:
        self.calls = metrics.counters(
            "gpfn_calls_total",
            "Calls of the function, by the status of the answer.",
            "code",
            [*REASONS],
        )
        self.seconds = metrics.histogram(
            "gpfn_call_duration_seconds", "Time from a complete request to its answer."
        )


def failed(error: BaseException, *headers: tuple[str, str]) -> Reply:
    """Return the reply with the error document of ``error`` and these headers besides."""
    message = error_message(error)
    return Reply(
        message._replace(headers=(*message.headers, *headers)), status_of(error), error=error
    )


def _not_allowed(methods: str) -> Reply:
    error = InvalidRequest(f"allowed here: {methods}", field="method", status=405)
    return failed(error, ("allow", methods))


def is_empty(reply: Reply) -> bool:
    """Say whether a reply has neither data nor attributes of an event; it is sent as 204."""
    message = reply.message
    return not (message.body or message.content_type or message.headers) and reply.status == 200


_PLAIN = frozenset({"", EVENT, EVENT_BATCH, JSON, PROBLEM, OCTETS})
"""Media types that need no check."""


def response_headers(reply: Reply) -> tuple[tuple[str, str], ...]:
    """Return the headers of a reply, but for those that the server writes.

    Raises ValueError for one that may not be a header.
    """
    message = reply.message
    kind = (("content-type", message.content_type),) if message.content_type else ()
    if not message.headers and message.content_type in _PLAIN:
        return kind
    rest = [(name.lower(), value) for name, value in message.headers]
    headers = (*kind, *[pair for pair in rest if pair[0] not in _OURS])
    for name, value in headers:
        if not isinstance(value, str):
            raise ValueError(f"the value of {name} is no text")  # noqa: TRY004 - as all others
        check_header(name, value)
        value.encode("latin-1")
    return headers


def bad_reply(error: Exception) -> Reply:
    """Return the reply instead of one that cannot be sent."""
    what = "a bad header" if isinstance(error, ValueError) else "no bytes as its body"
    return failed(GpfnError(f"the function's reply has {what}: {error}"))


class Readiness:
    """Whether one function can be called, and the attempt to open it that is under way."""

    def __init__(
        self, function: Answering, log: Log, start: Mapping[str, float] | None = None
    ) -> None:
        self._function = function
        self._opening = Opening(function.open, log, start)
        self._attempt: asyncio.Future[None] | None = None

    async def wait(self, seconds: float | None) -> bool:
        """Wait until the function is open or the attempt has failed; False when neither is."""
        if self._function.is_open:
            return True
        done, _ = await asyncio.wait([self._begin()], timeout=seconds)
        return bool(done)

    def check(self) -> None:
        """Raise NotReady unless the function is open; the next attempt is begun if need be."""
        if not self._function.is_open:
            self._opening.check()

    def _begin(self) -> asyncio.Future[None]:
        """Start an attempt unless one is under way; the future is done when it has ended."""
        if self._attempt is None or self._attempt.done():
            loop = asyncio.get_running_loop()
            self._attempt = loop.create_future()
            ended = self._attempt.set_result

            def tell() -> None:
                with suppress(RuntimeError):  # the loop has ended, and with it whoever waits
                    loop.call_soon_threadsafe(ended, None)

            self._opening.begin(tell)
        return self._attempt
