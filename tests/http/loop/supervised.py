"""A server whose workers die as they are told to; run as a program: WORKERS STALL_SECONDS.

It prints its address, then one line for each worker that is lost. ``WORKERS`` of 0 serves
without a supervisor, for comparison.
"""

import ctypes
import os
import socket
import sys
import threading
import time
from collections.abc import Callable

from gpfn.errors import GpfnError
from gpfn.http.body import Budget
from gpfn.http.loop import Exchange, LoopServer, LoopSettings, Response
from gpfn.http.loop.exchange import Headers
from gpfn.http.loop.process import on_signals, run_loop
from gpfn.http.loop.pulse import Pulse
from gpfn.http.loop.workers import Workers
from gpfn.limits import Limits
from gpfn.log import Log
from gpfn.metrics import Metrics
from gpfn.serving.board import Board

__all__: list[str] = []


def spin() -> None:
    """Keep the processor."""
    while True:
        pass


def hold() -> None:
    """Keep the interpreter, without ever letting another thread have it."""
    ctypes.PyDLL(None).sleep(60)


DEATHS: dict[str, Callable[[], object]] = {
    "/segv": lambda: ctypes.string_at(0),
    "/abort": os.abort,
    "/spin": spin,
    "/sleep": lambda: time.sleep(60),
    "/leave": lambda: os._exit(0),
    "/hold": hold,
}


class Dying:
    """Answers ``/pid`` and ``/costs``; ``/segv?3`` computes what has the slot 3, and dies."""

    def __init__(self, board: Board, pulse: Pulse) -> None:
        self.board, self.pulse = board, pulse

    def handle(self, exchange: Exchange) -> None:
        path, _, slot = exchange.request.target.partition("?")
        row = self.board.row
        if path.startswith("/thread"):
            threading.Thread(target=self.in_thread, args=(path[7:], int(slot)), daemon=True).start()
            exchange.answer(Response(200, (), (b"begun",)))
            return
        if path == "/patient":
            with self.pulse.patience(10.0):
                time.sleep(float(slot))
        elif path == "/short":
            time.sleep(float(slot))
        elif path != "/pid":
            row[0] = int(slot or 0)
            DEATHS[path]()
            row[0] = 0
        costs = [self.board.cost(slot) for slot in range(10)]
        told = f"{os.getpid()} {self.board.changes} {costs}"
        exchange.answer(Response(200, (), (told.encode(),)))

    def in_thread(self, path: str, slot: int) -> None:
        place = self.board.enter(slot)
        time.sleep(0.1)  # the answer is to be sent
        if path != "/wait":
            DEATHS[path]()
        self.board.leave(place)

    def receiver(self, method: str, target: str, headers: Headers) -> None:
        return None

    def early(self, method: str, target: str, headers: Headers) -> Response | None:
        return None

    def vital(self, exchange: Exchange) -> Response | None:
        return None

    def refuse(
        self, error: GpfnError, headers: tuple[tuple[str, str], ...], target: str
    ) -> Response:
        return Response(error.status, (), (str(error).encode(),))


def main() -> None:
    count, stall = int(sys.argv[1]), float(sys.argv[2])
    log = Log("test", form="text")
    listening = socket.create_server(("127.0.0.1", 0))
    listening.listen(100)
    metrics, pulse, board = Metrics(count or 1), Pulse(count or 1, stall), Board(count or 1)
    settings = LoopSettings(drain_seconds=2.0)

    def work(number: int) -> None:
        metrics.begin(number)
        board.begin(number)
        server = LoopServer(
            listening,
            Dying(board, pulse),
            log,
            limits=Limits(),
            settings=settings,
            budget=Budget(settings.body_bytes),
            metrics=metrics,
        )

        def begin() -> None:
            on_signals(server, None, log)
            pulse.begin(number)

        run_loop(lambda: server.serve(begin))
        pulse.end()

    def lost(number: int, loss: str) -> None:
        print("lost", number, loss, board.blame(number, loss), flush=True)  # type: ignore[arg-type]

    print(listening.getsockname()[1], flush=True)
    if not count:
        work(0)
        return
    sys.exit(Workers(count, work, log, 3.0, pulse=pulse, lost=lost).run())


if __name__ == "__main__":
    main()
