"""The load: one process asks a server over many connections, one request at a time on each.

What limits should be the server, so a reply that begins like the one before it and is as long
is not parsed again: it has the same head, so the same status and length. Any other reply goes
through httptools. What a request costs here is in docs/performance.md; a load tells how busy
this process was, so that nobody takes its limit for the server's.
"""

from __future__ import annotations

import asyncio
import gc
import os
import time
from array import array
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, cast

import httptools

from gpfn.errors import CannotConnect
from gpfn.http.address import Address
from gpfn.http.loop.process import run_loop

__all__ = ["Load", "LoadPlan", "Traffic", "http_load", "run_traffic"]

_OK = 200
_CONNECT_SECONDS = 10.0
_AGAIN_SECONDS = 0.01


class LoadPlan(NamedTuple):
    """What is asked of the server.

    ``seconds`` are measured, after ``warm`` seconds that are not. With ``check`` every body has
    to be equal to the first one, to the last bit. ``processor`` returns the seconds that the
    server's processors have worked so far.
    """

    connections: int
    seconds: float
    check: bool = False
    warm: float = 0.3
    processor: Callable[[], float] | None = None


class Load(NamedTuple):
    """What came of it.

    ``times`` are the seconds of the good replies, from sending to the last byte, ascending.
    ``failures`` counts what else came: ``status 503``, ``closed``, ``another answer``. ``ours``
    and ``theirs`` are processor seconds of this process and of the server, None when unknown;
    ``idle`` those that no process of the machine used.
    """

    connections: int
    seconds: float
    times: array[float]
    failures: Counter[str]
    ours: float
    theirs: float | None
    idle: float


class Traffic:
    """The window of time that is measured, and what is counted in it."""

    __slots__ = ("failures", "on", "plan", "times")

    def __init__(self, plan: LoadPlan) -> None:
        self.plan = plan
        self.times: array[float] = array("d")
        self.failures: Counter[str] = Counter()
        self.on = True

    async def window(self) -> Load:
        """Wait through the warm-up and the window; what comes later is not counted."""
        plan = self.plan
        await asyncio.sleep(plan.warm)
        self.times, self.failures = array("d"), Counter()
        before = self._spent()
        await asyncio.sleep(plan.seconds)
        self.on = False
        theirs, ours, idle, seconds = (b - a for a, b in zip(before, self._spent(), strict=True))
        times, known = array("d", sorted(self.times)), theirs if plan.processor else None
        return Load(plan.connections, seconds, times, self.failures, ours, known, idle)

    def _spent(self) -> tuple[float, float, float, float]:
        processor = self.plan.processor
        theirs = processor() if processor else 0.0
        return theirs, time.process_time(), _idle_seconds(), time.perf_counter()


def _idle_seconds() -> float:
    """Return for how long the machine's processors had nothing to do, all together."""
    with open("/proc/stat") as stat:
        fields = stat.readline().split()
    return (int(fields[4]) + int(fields[5])) / os.sysconf("SC_CLK_TCK")


def run_traffic(measure: Callable[[], Coroutine[Any, Any, Load]]) -> Load:
    """Run a load on an event loop of its own, uvloop where there is one."""
    loads: list[Load] = []

    async def run() -> None:
        loads.append(await measure())

    collecting = gc.isenabled()
    gc.disable()  # a pause of ours would be in the server's times
    try:
        run_loop(run)
    finally:
        if collecting:
            gc.enable()
    return loads[0]


def http_load(address: Address, request: bytes, plan: LoadPlan) -> Load:
    """Send a request, head and body in one piece, again and again; return what came of it.

    Raises CannotConnect when the connections cannot be made.
    """
    return run_traffic(lambda: _http_load(address, request, plan))


async def _http_load(address: Address, request: bytes, plan: LoadPlan) -> Load:
    traffic, seen = Traffic(plan), _Seen()
    callers = [_Caller(address, request, traffic, seen) for _ in range(plan.connections)]
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            for caller in callers:  # one by one: a server's backlog may be short
                await caller.connect()
        for caller in callers:
            caller.send()
        return await traffic.window()
    except OSError as error:  # TimeoutError too
        raise CannotConnect(f"{address.shown}: {error or 'no connection in time'}") from error
    finally:
        traffic.on = False
        for caller in callers:
            caller.leave()


class _Seen:
    """What the last good reply looked like: the same again is known without being parsed."""

    __slots__ = ("body", "head", "size", "whole")

    def __init__(self) -> None:
        self.head = self.whole = b""
        self.size = -1
        self.body: bytes | None = None
        """Of the first good reply; the others are compared with it."""


class _Caller(asyncio.Protocol):
    """One connection: it sends, waits for the reply, and sends again."""

    __slots__ = (
        *("_address", "_again", "_began", "_check", "_reply", "_request"),
        *("_seen", "_traffic", "_transport"),
    )

    def __init__(self, address: Address, request: bytes, traffic: Traffic, seen: _Seen) -> None:
        self._address, self._request = address, request
        self._traffic, self._seen, self._check = traffic, seen, traffic.plan.check
        self._transport: asyncio.Transport | None = None
        self._reply: _Reply | None = None
        self._again: asyncio.Task[None] | None = None
        self._began = 0.0

    async def connect(self) -> None:
        """Connect; nothing is sent yet."""
        loop, address = asyncio.get_running_loop(), self._address
        secure = address.scheme == "https" or None
        await loop.create_connection(lambda: self, address.host, address.port, ssl=secure)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def send(self) -> None:
        """Send the request."""
        assert self._transport is not None, "connected"  # noqa: S101 - the order of calls
        self._began = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Take a reply or a piece of one; send again when it is whole."""
        seen, traffic = self._seen, self._traffic
        same = len(data) == seen.size and self._reply is None
        if same and (data == seen.whole if self._check else data.startswith(seen.head)):
            now = time.perf_counter()
            if traffic.on:
                traffic.times.append(now - self._began)
                self._began = now
                self._transport.write(self._request)  # type: ignore[union-attr]
            return
        self._parse(data)

    def _parse(self, data: bytes) -> None:
        reply = self._reply = self._reply or _Reply()
        reply.feed(data)
        if not reply.ended:
            return
        self._reply = None
        if not self._traffic.on:
            return
        fault = reply.fault(self._seen, check=self._check)
        if fault:
            self._traffic.failures[fault] += 1
        else:
            self._traffic.times.append(time.perf_counter() - self._began)
        if reply.keeps:
            self.send()
        else:
            self._reconnect()

    def connection_lost(self, _error: Exception | None) -> None:
        """Count it as a failure, since a reply was waited for, and connect again."""
        if self._traffic.on and self._began:
            self._traffic.failures["closed"] += 1
            self._reconnect()

    def _reconnect(self) -> None:
        self.leave()
        self._again = asyncio.get_running_loop().create_task(self._connect_again())

    async def _connect_again(self) -> None:
        while self._traffic.on:
            await asyncio.sleep(_AGAIN_SECONDS)
            try:
                await self.connect()
            except OSError:
                self._traffic.failures["no connection"] += 1
            else:
                self.send()
                return

    def leave(self) -> None:
        """Close the connection; nothing is told of it."""
        self._began, self._reply = 0.0, None
        if self._transport is not None:
            self._transport.abort()


class _Reply:
    """One reply on its way through httptools."""

    __slots__ = ("_body", "_first", "_parser", "_sized", "ended", "keeps", "status")

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._first: bytes | None = None
        self._body: bytearray = bytearray()
        self._sized = self.ended = self.keeps = False
        self.status = 0

    def feed(self, data: bytes) -> None:
        """Read more of it; what is no HTTP ends it with status 0."""
        self._first = data if self._first is None else b""  # b"": it came in pieces
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.status, self.keeps, self.ended = 0, False, True

    def on_header(self, name: bytes, _value: bytes) -> None:
        """Note how the body's length is told."""
        self._sized = self._sized or name.lower() == b"content-length"

    def on_body(self, data: bytes) -> None:
        """Keep a piece of the body."""
        self._body += data

    def on_message_complete(self) -> None:
        """Note that it is whole."""
        self.status = self._parser.get_status_code()
        self.keeps, self.ended = self._parser.should_keep_alive(), True

    def fault(self, seen: _Seen, *, check: bool) -> str:
        """Return what is wrong with it, "" when nothing is: the next is compared with it then."""
        if self.status != _OK:
            return f"status {self.status}" if self.status else "not HTTP"
        if seen.body is None:
            seen.body = bytes(self._body)
        if check and self._body != seen.body:
            return "another answer"
        whole = self._first or b""
        head = whole.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        if self._sized and self.keeps and len(whole) == len(head) + len(self._body):
            seen.head, seen.whole, seen.size = head, whole, len(whole)
        return ""
