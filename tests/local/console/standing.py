"""A console that stands: calls in a state, a real server, functions that answer at once."""

import asyncio
import json
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from gpfn.errors import InvalidRequest
from gpfn.http.body import Budget
from gpfn.http.loop import LoopServer, LoopSettings
from gpfn.limits import Limits
from gpfn.local.call_record import CallBody, CallRecord
from gpfn.local.calling import CallStages
from gpfn.local.calls import Calls
from gpfn.local.console import ConsolePages, ConsoleSources
from gpfn.local.console.bridge import BridgeLook
from gpfn.local.console.shell import ServerAddresses
from gpfn.local.console.views import SentEvent, ShownFunction
from gpfn.local.handler import LocalHandler
from gpfn.local.state import State
from gpfn.local.supervisor.emulated import EmulatedRow
from gpfn.log import Log
from gpfn.metrics import Metrics
from gpfn.serving.browser import own_hosts
from tests.conftest import ROOT

__all__ = ["ROWS", "Answering", "Standing", "call", "standing", "usual"]

SERIES = [34.34, 33.9, 33.48, 31.16, 28.12, 25.48, 26.01, 30.04, 33.76, 36.46, 36.24, 36.21]
SERIES += [35.32, 35.22, 34.48, 31.97, 28.55, 26.02, 26.67, 30.32]
SAMPLES = {
    "forecast.json": (ROOT / "ce_samples" / "forecast.json").read_bytes(),
    "broken-19-numbers.json": (ROOT / "ce_samples" / "broken-19-numbers.json").read_bytes(),
}
ROWS = (
    EmulatedRow("Idle", "frozen 50 ms after each call", "frozen after 10 s", "frozen", "", True),
    EmulatedRow("Files", "read-only but for /tmp", "read-only", "yours, writable",
                "an ordinary user cannot mount", False),
    EmulatedRow("Memory", "128 MB, then killed", "256 MB, then killed", "an rlimit", "", True),
)  # fmt: skip


def usual() -> list[ShownFunction]:
    return [
        ShownFunction("f2", "classify", "models", ("f2", "guest/classify"), "warm", "",
                      61_000_000, 256, ("fn", "trigger", "openwhisk"), "01CLASSIFY",
                      "/t/models/classify", "classify", (), image=True),
        ShownFunction("f3", "digits", "models", ("f3",), "cold", "stopped after 60 s idle"),
        ShownFunction("f1", "forecast", "models", ("f1", "guest/forecast"), "warm", "",
                      45_000_000, 128, ("fn", "trigger", "openwhisk"), "01FORECAST",
                      "/t/models/forecast", "forecast", tuple(SAMPLES),
                      saved=(time.time() - 200,)),
    ]  # fmt: skip


def call(at: float, **changes: Any) -> CallRecord:
    """A call of forecast that went well, at so many seconds ago."""
    event = SAMPLES["forecast.json"]
    forecast = [[[round(value + math.sin(n), 2)] for n, value in enumerate([*SERIES[1:], 34.88])]]
    reply = json.dumps({"specversion": "1.0", "id": "1", "source": "/", "data": forecast}).encode()
    began = time.time() - at
    lines = (
        (began, "stderr", "INFO: Created TensorFlow Lite XNNPACK delegate for CPU."),
        (began, "stderr", ("2026-11-29T17:20:34.342Z info fn forecast ready: import 0.004 s, load "
                          "0.097 s, warm-up 0.011 s, rss 44.2 MB; listening")),
        (began, "stderr", ("2026-11-29T17:20:34.343Z info fn forecast call=01M8 200 1.5 ms (decode "
                          "0.34, before 0.08, predict 0.40, encode 0.25) 533 B in 562 B out")),
    )  # fmt: skip
    usual = CallRecord(
        f"01M8{began:.6f}", "fn", "f1", "forecast", "fn", "invoke", began, 200,
        stages=CallStages(run=0.00152 + 0.0004 * math.sin(at)), memory=45_400_000,
        request=CallBody("application/cloudevents+json", event, len(event)),
        reply=CallBody("application/cloudevents+json", reply, len(reply)),
        log=lines,
    )  # fmt: skip
    return usual._replace(**changes)


def some(now: float = 0.0) -> list[CallRecord]:
    """Ten minutes of calls: three functions, cold starts, what failed."""
    photo = json.dumps(
        {"results": [{"className": "valley, vale", "probability": 0.82},
                     {"className": "alp", "probability": 0.11},
                     {"className": "lakeside", "probability": 0.04}]}
    ).encode()  # fmt: skip
    found = [call(580 - 15 * n, cold=n % 13 == 0) for n in range(30)]
    found = [
        one._replace(stages=CallStages(start=0.2004, run=one.stages.run)) if one.cold else one
        for one in found
    ]
    found += [
        call(570 - 50 * n, platform="openwhisk", key="guest/classify", name="classify",
             caller="wsk", memory=61_000_000, reply=CallBody("application/json", photo, len(photo)),
             stages=CallStages(run=0.017 + n / 1000), log=())
        for n in range(11)
    ]  # fmt: skip
    found += [
        call(300, status=400, reply=_error("data: expected 20 numbers, got 19"), log=()),
        call(222, key="f3", name="digits", status=504, failure="timed out", via="trigger /t/a/b",
             detail="it was ended after 30 s", stages=CallStages(run=30.0), log=()),
        call(100, key="f3", name="digits", log=()),
    ]  # fmt: skip
    return sorted(found, key=lambda one: one.began)


def _error(detail: str) -> CallBody:
    told = {"error": {"status": 400, "title": "Invalid tensor", "detail": detail}}
    data = json.dumps(told).encode()
    return CallBody("application/json", data, len(data))


class Answering:
    """Functions that answer as the real ones do; each call is kept."""

    def __init__(self, calls: Calls) -> None:
        self.calls = calls
        self.shown = usual()
        self.sent: list[SentEvent] = []
        self.hold: asyncio.Event | None = None

    def functions(self) -> Sequence[ShownFunction]:
        return self.shown

    def sample(self, key: str, name: str) -> bytes:
        if name not in SAMPLES:
            raise InvalidRequest("there is no such sample", field="sample", status=404)
        return SAMPLES[name]

    async def send(self, event: SentEvent) -> CallRecord:
        self.sent.append(event)
        if self.hold is not None:
            await self.hold.wait()
        record = call(0, caller="console", cold=event.cold)
        record = record._replace(request=CallBody(event.media_type, event.body, len(event.body)))
        platform = "openwhisk" if event.way == "openwhisk" else "fn"
        via = {"trigger": "trigger /t/models/forecast"}.get(event.way, "invoke")
        record = record._replace(platform=platform, via=via)
        if event.media_type.startswith("image/"):
            record = record._replace(key="f2", name="classify", reply=some()[1].reply)
        elif event.body.count(b"[") - 2 == 19 or b"19" in event.body[:0]:
            record = record._replace(status=400, reply=_error("data: expected 20 numbers, got 19"))
        return self.calls.add(record)


class Standing:
    """The server on a thread of its own."""

    def __init__(self, port: int = 0, calls: Sequence[CallRecord] = (), **given: Any) -> None:
        self.log: list[str] = []
        self.listening = socket.create_server(("127.0.0.1", port))
        self.port: int = self.listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.given = given
        self.begin_with = calls
        self.began = threading.Event()
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()
        assert self.began.wait(10)

    def _serve(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        state = State(None)
        self.calls = Calls(state, most=20_000)
        for record in self.begin_with:
            self.calls.add(record)
        self.functions = Answering(self.calls)
        servers = ServerAddresses(self.url, "http://127.0.0.1:3233", "23bc:123zO")
        bridge = self.given.get("bridge")
        sources = ConsoleSources(
            self.calls, self.functions, lambda: ROWS, servers, "9.9",
            BridgeLook(bridge) if bridge else None,
        )  # fmt: skip
        self.pages = ConsolePages(sources, heartbeat_seconds=self.given.get("heartbeat", 15.0))
        log = Log("test", sink=lambda line, _: self.log.append(line.decode()))
        handler = LocalHandler([self.pages], own_hosts("127.0.0.1", self.port), log)
        server = LoopServer(
            self.listening, handler, log,
            limits=Limits(body_bytes=8 << 20, header_bytes=16_384, headers=60),
            settings=LoopSettings(drain_seconds=2.0), budget=Budget(64 << 20), metrics=Metrics(),
        )  # fmt: skip
        self.loop, self.server = asyncio.get_running_loop(), server
        await server.serve(self.began.set)
        await handler.close()
        state.close()

    def on_loop(self, work: Callable[[], Any]) -> Any:
        async def run() -> Any:
            return work()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(20)

    def add(self, *records: CallRecord) -> list[CallRecord]:
        found: list[CallRecord] = self.on_loop(lambda: [self.calls.add(one) for one in records])
        return found

    def stop(self) -> None:
        if self.thread.is_alive():
            self.loop.call_soon_threadsafe(self.server.stop)
            self.thread.join(20)
        assert not self.thread.is_alive()


@contextmanager
def standing(
    calls: Sequence[CallRecord] = (), *, port: int = 0, **given: Any
) -> Iterator[Standing]:
    run = Standing(port, calls, **given)
    try:
        yield run
    finally:
        run.stop()
