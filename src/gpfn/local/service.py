"""``gpfn dev`` itself: two servers, the functions of a folder, and what they share.

All of it is on one event loop's thread: the state, both platforms' REST, the supervisor, and the
look at the files. A function is a process of its own, so nothing here waits for one.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from gpfn.http.body import Budget
from gpfn.http.loop.process import handlers_kept, run_loop, url_of
from gpfn.http.loop.server import LoopServer, LoopSettings
from gpfn.limits import Limits
from gpfn.local.assembly import Platforms
from gpfn.local.images import LocalImages
from gpfn.local.placing import Placing, app_name
from gpfn.local.ports import listen_on
from gpfn.local.state import State
from gpfn.local.watching import FunctionChanges, FunctionWatch
from gpfn.metrics import Metrics

if TYPE_CHECKING:
    from gpfn.http.loop.exchange import Handler
    from gpfn.local.calls import CallRecord, RunningCall
    from gpfn.local.folders import LocalFunction
    from gpfn.local.settings import DevSettings
    from gpfn.log import Log

__all__ = ["DevService", "DevServing", "DevShown"]

_LOOK_SECONDS = 0.1
_SHARE = 20
"""A look at the files takes at most that part of the time."""

_MOST_EDITS = 20
_BODY_BYTES = 64 << 20
_INFLIGHT_BYTES = 512 << 20


class DevServing(NamedTuple):
    """What is served, and where."""

    app: str
    fn_url: str
    openwhisk_url: str
    functions: tuple[LocalFunction, ...]


class DevShown(Protocol):
    """Who is told of what happens; it has to be quick, and raises nothing."""

    def say(self, text: str) -> None:
        """Show a line."""

    def began(self, serving: DevServing) -> None:
        """Show that it serves now, and where."""

    def call(self, call: CallRecord | RunningCall) -> None:
        """Show a call that has begun or ended."""


class DevService:
    """It listens from construction on, so that a taken port is told at once. Raises SetupError."""

    def __init__(self, settings: DevSettings, shown: DevShown, log: Log) -> None:
        self._settings = settings
        self._shown = shown
        self._log = log
        self._sockets: list[socket.socket] = []
        self._servers: list[LoopServer] = []
        self._edits: dict[str, list[float]] = {}
        self._tidied = False  # whether what an earlier run left was looked through
        try:
            for port, flag in (
                (settings.fn_port, "--fn-port"),
                (settings.openwhisk_port, "--openwhisk-port"),
            ):
                self._sockets.append(listen_on(settings.host, port, flag))
            self._watch = FunctionWatch(settings.folder, [*settings.maps.values()])
            self._state = State(settings.state_file())
        except BaseException:
            self.close()
            raise

    @property
    def urls(self) -> tuple[str, str]:
        """Where Fn and OpenWhisk are served, as this machine reaches them."""
        fn, openwhisk = (
            url_of(sock).replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
            for sock in self._sockets
        )
        return fn, openwhisk

    def close(self) -> None:
        """Close the sockets, for a service that never serves."""
        for sock in self._sockets:
            sock.close()

    def serve(self) -> None:
        """Serve until SIGTERM or SIGINT, let running calls finish, and end every process."""
        try:
            with handlers_kept():
                run_loop(self._serve)
        finally:
            self._state.close()
            self.close()

    async def _serve(self) -> None:
        settings = self._settings
        images = LocalImages(self._watch, settings.maps, engine=settings.engine)
        platforms = Platforms(
            self._state, settings, images, urls=self.urls, log=self._log, edits=self._edits
        )
        platforms.supervisor.prepare()
        app = app_name(settings.app or settings.folder.resolve().name)
        placing = Placing(self._state, platforms.fns, platforms.actions, app, tell=self._shown.say)
        self._place(placing, self._watch.look())
        platforms.calls.subscribe(self._shown.call)
        pairs = zip(self._sockets, platforms.handlers, strict=True)
        self._servers = [self._server(sock, handler) for sock, handler in pairs]
        self._end_on_signals()
        watching = asyncio.create_task(self._follow_files(placing))
        began = _Once(
            len(self._servers),
            lambda: self._shown.began(DevServing(app, *self.urls, self._watch.functions)),
        )
        try:
            await asyncio.gather(*(server.serve(began.one) for server in self._servers))
        finally:
            watching.cancel()
            await platforms.close()

    def _server(self, sock: socket.socket, handler: Handler) -> LoopServer:
        return LoopServer(
            sock,
            handler,
            self._log,
            limits=Limits(body_bytes=_BODY_BYTES),
            settings=LoopSettings(drain_seconds=self._settings.drain_seconds),
            budget=Budget(_INFLIGHT_BYTES),
            metrics=Metrics(),
        )

    def _end_on_signals(self) -> None:
        def stop() -> None:
            for server in self._servers:
                server.stop()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)

    # the folder

    async def _follow_files(self, placing: Placing) -> None:
        pause = _LOOK_SECONDS
        while True:
            await asyncio.sleep(pause)
            began = time.monotonic()
            try:
                self._place(placing, self._watch.look())
            except Exception as error:  # noqa: BLE001 - the next look may be better
                self._log.failure(error)
            pause = max(_LOOK_SECONDS, _SHARE * (time.monotonic() - began))

    def _place(self, placing: Placing, changes: FunctionChanges) -> None:
        for refused in changes.refused:
            self._shown.say(f"{refused.folder.name}: not deployed: {refused.told}")
        if not self._tidied and self._watch.whole:  # one that is refused may be any that is there
            placing.remove_others(function.name for function in self._watch.functions)
            self._tidied = True
        placing.remove(function.name for function in changes.removed)
        placed = placing.place((*changes.added, *changes.changed))
        for function in changes.changed:
            self._note_edit(function.name)
            if function.name in placed:
                self._shown.say(f"{function.name}: changed; the next call has the new one")

    def _note_edit(self, name: str) -> None:
        times = self._edits.setdefault(name, [])
        times.append(time.time())
        del times[:-_MOST_EDITS]


class _Once:
    """Calls something when all of several have begun."""

    def __init__(self, count: int, then: Callable[[], object]) -> None:
        self._left = count
        self._then = then

    def one(self) -> None:
        self._left -= 1
        if not self._left:
            self._then()
