"""Fn's REST on a free port, in a thread; functions are what a test says."""

import asyncio
import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from gpfn.http.body import Budget
from gpfn.http.loop.process import Endpoint, listen
from gpfn.http.loop.server import LoopServer, LoopSettings
from gpfn.limits import Limits
from gpfn.local.calling import CallOutcome, FunctionCall, ProcessAnswer
from gpfn.local.calls import CallRecord, Calls
from gpfn.local.deployed import Deployed, MappedImage
from gpfn.local.fn.api import TRIGGER_PATHS, FnApi
from gpfn.local.fn.entities import FnEntities
from gpfn.local.handler import LocalHandler
from gpfn.local.state import State
from gpfn.log import Log
from gpfn.metrics import Metrics
from gpfn.serving.browser import own_hosts

Value = TypeVar("Value")
Answering = Callable[[Deployed, FunctionCall], CallOutcome]


class Said:
    """A caller of functions that says what a test wants to be said."""

    def __init__(self) -> None:
        self.answer: Answering = lambda _, __: answered(200, b"hi", ("content-type", "text/plain"))
        self.calls: list[tuple[Deployed, FunctionCall]] = []
        self.forgotten: list[str] = []

    def begin(self, deployed: Deployed, call: FunctionCall, answered: Any, done: Any) -> bool:
        return False

    async def call(self, deployed: Deployed, call: FunctionCall) -> CallOutcome:
        self.calls.append((deployed, call))
        await asyncio.sleep(0)
        return self.answer(deployed, call)

    def forget(self, key: str) -> None:
        self.forgotten.append(key)

    async def close(self) -> None:
        """Nothing runs."""


def answered(status: int, body: bytes, *headers: tuple[str, str]) -> CallOutcome:
    """Return what a function's server has answered."""
    return CallOutcome(ProcessAnswer(status, headers, body))


class Reply(NamedTuple):
    """A reply; names of headers in lower case, the last of those that are repeated."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        return str(self.document["message"])


class FnServer:
    """A server that runs, and one client's connection to it."""

    def __init__(
        self,
        address: tuple[str, int],
        loop: asyncio.AbstractEventLoop,
        said: Said,
        calls: Calls,
        log: list[str],
    ) -> None:
        self.host, self.port = address
        self._loop = loop
        self.said = said
        self.calls = calls
        self.log = log

    def on_loop(self, work: Callable[[], Value]) -> Value:
        """Return what ``work`` gives on the server's own thread, which alone may ask the state."""

        async def do() -> Value:
            return work()

        return asyncio.run_coroutine_threadsafe(do(), self._loop).result(30)

    def last_call(self) -> CallRecord:
        """Return all that is kept of the newest call."""
        newest = self.on_loop(lambda: self.calls.recent(1)[0])
        found = self.on_loop(lambda: self.calls.get(newest.number))
        assert found is not None
        return found

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | object = b"",
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """Send one request; what is not bytes is sent as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        try:
            connection.request(method, path, data or None, headers or {})
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, found, response.read())
        finally:
            connection.close()

    def made(self, path: str, **fields: object) -> Any:
        """Make an entity, which works, and return its document."""
        reply = self.ask("POST", path, fields)
        assert reply.status == 200, reply
        return reply.document


def resolve(image: str) -> MappedImage | None:
    """Map every image but one."""
    return None if image.startswith("unknown") else MappedImage("1", Path("func.py"))


def unmapped(image: str) -> str:
    """Say what there is to say of an image that nothing stands for."""
    return f"nothing stands for the image {image}: --map {image}=FOLDER"


@contextmanager
def fn_server(
    place: Path | None = None, make: Callable[[], Any] = Said, resolver: Any = resolve
) -> Iterator[FnServer]:
    """Serve Fn's REST while the block runs; ``make`` makes what calls functions."""
    listening = listen(Endpoint(port=0))
    listening.listen(64)
    host, port = listening.getsockname()[:2]
    began = threading.Event()
    made: list[Any] = []
    lines: list[str] = []

    async def serve() -> None:
        state = State(place)
        caller = make()
        calls = Calls(state)
        log = Log("dev", sink=lambda data, _: lines.append(data.decode()))
        api = FnApi(FnEntities(state), caller, calls, resolver, log, unknown=unmapped)
        handler = LocalHandler([api], own_hosts(host, port), log, calls=(TRIGGER_PATHS,))
        server = LoopServer(
            listening,
            handler,
            log,
            limits=Limits(),
            settings=LoopSettings(drain_seconds=1.0),
            budget=Budget(64 << 20),
            metrics=Metrics(),
        )
        made.extend((asyncio.get_running_loop(), server, caller, calls))
        await server.serve(began.set)
        await handler.close()
        await caller.close()
        state.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert began.wait(30)
    loop, server, caller, calls = made
    try:
        yield FnServer((host, port), loop, caller, calls, lines)
    finally:
        loop.call_soon_threadsafe(server.stop)
        thread.join()
        listening.close()
