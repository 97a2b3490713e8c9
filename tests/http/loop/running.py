"""A loop server on a thread, around a handler that does what its requests say."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from gpfn.errors import GpfnError
from gpfn.http.body import Budget
from gpfn.http.loop import Exchange, LoopServer, LoopSettings, Response
from gpfn.http.loop.exchange import Headers
from gpfn.http.loop.incoming import BodyReceiver
from gpfn.limits import Limits
from gpfn.log import Log
from gpfn.metrics import Metrics

__all__ = ["LOOPS", "Running", "Script", "read_all", "reply", "running"]

LIMITS = Limits(body_bytes=64 << 20, header_bytes=4000, headers=50)


def _uvloop() -> asyncio.AbstractEventLoop:
    import uvloop

    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "uvloop": _uvloop,
    "asyncio": asyncio.new_event_loop,
}


class Script:
    """Answers with what it got; ``/later?0.1`` after that many seconds, ``/never`` not at all."""

    def __init__(self) -> None:
        self.seen: list[Exchange] = []
        self.tasks: set[asyncio.Task[None]] = set()

    def handle(self, exchange: Exchange) -> None:
        self.seen.append(exchange)
        path, _, query = exchange.request.target.partition("?")
        if path == "/later":
            task = asyncio.get_running_loop().create_task(self.later(exchange, float(query)))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        elif path != "/never":
            exchange.answer(self.answer(exchange))

    async def later(self, exchange: Exchange, seconds: float) -> None:
        await asyncio.sleep(seconds)
        exchange.answer(self.answer(exchange))

    def answer(self, exchange: Exchange) -> Response:
        request = exchange.request
        path, _, query = request.target.partition("?")
        if path == "/big":
            return Response(200, (), (b"x" * int(query),))
        if path == "/status":
            return Response(int(query), (), (b"a body",))
        kind = (("content-type", exchange.fields.by_name.get("content-type", "none")),)
        return Response(200, kind, (f"{request.method} {path} ".encode(), request.body))

    def receiver(self, method: str, target: str, headers: Headers) -> BodyReceiver | None:
        return None

    def early(self, method: str, target: str, headers: Headers) -> Response | None:
        return Response(404, (), (b"early",)) if target == "/nowhere" else None

    def vital(self, exchange: Exchange) -> Response | None:
        return Response(200, (), (b"alive",)) if exchange.request.target == "/health" else None

    def refuse(
        self, error: GpfnError, headers: tuple[tuple[str, str], ...], target: str
    ) -> Response:
        retry = (("retry-after", "1"),) if error.status == 503 else ()
        return Response(error.status, retry, (str(error).encode(),))


class Running:
    """The server and how to reach it."""

    def __init__(
        self,
        make: Callable[[], asyncio.AbstractEventLoop],
        script: Script | None = None,
        **settings: Any,
    ) -> None:
        self.script = script or Script()
        self.log: list[str] = []
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.address = self.listening.getsockname()
        bounds = LoopSettings(**{"drain_seconds": 3.0, **settings})
        self.server = LoopServer(
            self.listening,
            self.script,
            Log("test", sink=lambda line, _: self.log.append(line.decode())),
            limits=LIMITS,
            settings=bounds,
            budget=Budget(bounds.body_bytes),
            metrics=Metrics(),
        )
        self.began = threading.Event()
        self.thread = threading.Thread(target=self.serve, args=(make,))
        self.thread.start()
        assert self.began.wait(10)

    def serve(self, make: Callable[[], asyncio.AbstractEventLoop]) -> None:
        with asyncio.Runner(loop_factory=make) as runner:
            runner.run(self.server.serve(self.began.set))

    def connect(self) -> socket.socket:
        sock = socket.create_connection(self.address, timeout=20)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def ask(self, data: bytes) -> bytes:
        """Send bytes and end the side; return all that comes."""
        with self.connect() as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            return read_all(sock)

    def on_loop(self, work: Callable[[], Any]) -> Any:
        """Do something on the loop's thread and return its result."""

        async def run() -> Any:
            return work()

        return asyncio.run_coroutine_threadsafe(run(), self.server.loop).result(10)

    def wait_for(self, holds: Callable[[], bool], seconds: float = 10) -> None:
        end = time.monotonic() + seconds
        while not self.on_loop(holds):
            assert time.monotonic() < end
            time.sleep(0.01)

    def stop(self) -> None:
        if self.thread.is_alive():
            self.server.loop.call_soon_threadsafe(self.server.stop)
            self.thread.join(20)
        assert not self.thread.is_alive()


@contextmanager
def running(
    loop: str = "uvloop", script: Script | None = None, **settings: Any
) -> Iterator[Running]:
    run = Running(LOOPS[loop], script, **settings)
    try:
        yield run
    finally:
        run.stop()


def read_all(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(1 << 16), b""))


def reply(sock: socket.socket, *, head_only: bool = False) -> tuple[int, dict[str, str], bytes]:
    """Read exactly one reply: status, headers, body."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(1)  # not a byte of what follows
        assert piece, data
        data += piece
    first, *lines = data[:-4].decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    length = 0 if head_only else int(headers.get("content-length", 0))
    body = b""
    while len(body) < length:
        piece = sock.recv(length - len(body))
        assert piece, (data, body)
        body += piece
    return int(first.split(" ")[1]), headers, body
