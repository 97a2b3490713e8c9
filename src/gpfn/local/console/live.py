"""What happens, told to pages as it happens: server-sent events (WHATWG HTML, 9.2).

An event has the number of its call as its id. Who comes again says which one it has seen last,
and is told first what it has missed. Nothing is kept for a page that reads slowly: it is told
from the calls that are kept, once it has read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import orjson

from gpfn.errors import Overloaded
from gpfn.local.call_record import CallRecord

if TYPE_CHECKING:
    from gpfn.http.loop import Exchange
    from gpfn.http.loop.streaming import Streamed
    from gpfn.local.call_record import RunningCall
    from gpfn.local.calls import Calls

__all__ = ["HEARTBEAT_SECONDS", "LiveCalls"]

HEARTBEAT_SECONDS = 15.0
_MOST_PAGES = 64
_CHUNK = 100
_LONG_SECONDS = 1.0
_MOST_MISSED = 1000
"""Calls that are told one by one; who has missed more is told the last ones."""
_HEADERS = (
    ("content-type", "text/event-stream; charset=utf-8"),
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
)


class LiveCalls:
    """Tells pages of calls; on the loop's thread."""

    def __init__(self, calls: Calls, *, heartbeat_seconds: float = HEARTBEAT_SECONDS) -> None:
        self._calls = calls
        self._heartbeat_seconds = heartbeat_seconds
        self.pages: set[_Page] = set()

    def follow(self, exchange: Exchange, after: int) -> None:
        """Answer a page with the calls behind the number ``after``, and all that come.

        Raises Overloaded when too many pages are open.
        """
        if len(self.pages) >= _MOST_PAGES:
            raise Overloaded(f"{_MOST_PAGES} pages are open already")
        newest = self._calls.recent(1)
        last = newest[0].number if newest else 0
        page = _Page(self._calls, max(min(after, last), last - _MOST_MISSED), self.pages.discard)
        page.begin(exchange.stream(200, _HEADERS, page, endless=True), self._heartbeat_seconds)
        self.pages.add(page)


class _Page:
    """One page that is open (a `gpfn.http.loop.streaming.StreamSource`)."""

    def __init__(self, calls: Calls, told: int, ended: Callable[[_Page], None]) -> None:
        self._calls = calls
        self._told = told
        self._ended = ended
        self._long: asyncio.TimerHandle | None = None

    def begin(self, streamed: Streamed, heartbeat_seconds: float) -> None:
        self._streamed = streamed
        self._seconds = heartbeat_seconds
        self._unsubscribe = self._calls.subscribe(self._hear)
        streamed.write(b"retry: 2000\n\n")
        self.more()
        self._beat()

    def more(self) -> None:
        """Tell what was not told yet, as far as the page reads."""
        while not self._streamed.full:
            found = self._calls.since(self._told, _CHUNK)
            if not found:
                return
            for record in found:
                self._told = record.number
                self._streamed.write(_event(record))

    def ended(self) -> None:
        """Let go of everything."""
        self._unsubscribe()
        self._timer.cancel()
        if self._long is not None:
            self._long.cancel()
        self._ended(self)

    def _hear(self, call: RunningCall | CallRecord) -> None:
        if not isinstance(call, CallRecord):
            if self._long is None:
                loop = asyncio.get_running_loop()
                self._long = loop.call_later(_LONG_SECONDS, self._tell_running)
            return
        if call.number == self._told + 1 and not self._streamed.full:
            self._told = call.number
            self._streamed.write(_event(call))
        else:
            self.more()

    def _tell_running(self) -> None:
        """Tell that calls run, of those that take long enough for people to see it."""
        self._long = None
        count = len(self._calls.running)
        if count and not self._streamed.full:
            self._streamed.write(b"event: running\ndata: %d\n\n" % count)

    def _beat(self) -> None:
        """Write now and then, so that both sides notice when the other is gone."""
        if not self._streamed.full:
            self._streamed.write(b"event: beat\ndata: \n\n")
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._beat)


def _event(record: CallRecord) -> bytes:
    told = {"number": record.number, "key": record.key, "status": record.status}
    return b"id: %d\nevent: call\ndata: %b\n\n" % (record.number, orjson.dumps(told))
