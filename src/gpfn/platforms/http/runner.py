"""``gpfn run http FILE``: the process that serves one function over HTTP.

GPFN_THREADS, GPFN_QUEUE, GPFN_REQUEST_TIMEOUT and the others that it reads are told in
docs/http.md, GPFN_MAX_… set the limits, GPFN_LOG what is logged (gpfn.log).
"""

import asyncio
import os
import signal
import socket
import time
from pathlib import Path

from gpfn.call.costs import Stages
from gpfn.errors import SetupError
from gpfn.log import Log, resident
from gpfn.platforms.load import load_function
from gpfn.settings import check_settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gpfn.http.loop.process import Endpoint, Tls
    from gpfn.http.loop.server import LoopServer
    from gpfn.metrics import Metrics
    from gpfn.platforms.http.service import HttpService

__all__ = ["main"]


def main(
    path: str,
    app_name: str = "app",
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    unix: str = "",
    tls_cert: str = "",
    tls_key: str = "",
    workers: int = 1,
    reload: bool = False,
) -> int:
    """Serve the function that the file at ``path`` has as ``app_name`` until SIGTERM.

    ``port`` 0 takes a free one; the line ``listening on http://…`` on stderr tells which.
    ``unix`` is a socket's path instead. ``workers`` processes share the address;
    ``reload`` starts them again when a file beside the function changes.
    Returns the exit code: 0 when it was told to stop and every running call was answered.

    Raises SetupError when the file cannot be loaded or the address cannot be had.
    """
    _on_stop()
    check_settings()
    from gpfn.http.loop.process import Endpoint, listen, remove_socket, tls_of

    endpoint = Endpoint(host, port, unix, tls_cert, tls_key)
    log = Log("http")
    tls = tls_of(endpoint)
    served = _Served(path, app_name, log, endpoint, tls)
    if workers == 1 and not reload:
        served.load()
        with listen(endpoint) as listening:
            served.serve(listening)
        remove_socket(endpoint)
        return 0
    with listen(endpoint) as listening:
        code = _serve_by_workers(served, listening, workers, reload=reload)
    remove_socket(endpoint)
    return code


def _on_stop() -> None:
    """End at once when told to while nothing runs yet; sys.exit would be caught by an import."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))


def _serve_by_workers(
    served: "_Served", listening: socket.socket, count: int, *, reload: bool
) -> int:
    from gpfn.http.loop.process import url_of
    from gpfn.http.loop.server import DRAIN_SECONDS
    from gpfn.http.loop.workers import Watch, Workers
    from gpfn.metrics import Metrics

    served.metrics = metrics = Metrics(count)
    listening.listen(socket.SOMAXCONN)
    log = served.log
    log.listening(url_of(listening, secure=served.tls is not None))

    def work(number: int) -> None:
        _on_stop()
        metrics.begin(number)
        served.load()
        served.serve(listening, announced=True)

    file = Path(served.path).absolute()
    watch = Watch(file if file.is_dir() else file.parent) if reload else None
    return Workers(count, work, log, DRAIN_SECONDS + 5, watch, ending=listening.close).run()


class _Served:
    """One function and where it is served; loaded in the process that serves it."""

    def __init__(
        self, path: str, app_name: str, log: Log, endpoint: "Endpoint", tls: "Tls | None"
    ) -> None:
        self.path = path
        self.log = log
        self.tls = tls
        self.metrics: Metrics | None = None
        self._app_name = app_name
        self._endpoint = endpoint
        self._import_seconds = 0.0

    def load(self) -> None:
        """Import the function's file; raises SetupError."""
        if self.log.form == "json":
            Stages.probe = resident
        began = time.perf_counter()
        try:
            self.function = load_function(self.path, (self._app_name,))
        except SetupError as error:
            if error.__cause__ is not None:  # the user's own failure: its trace tells where
                self.log.failure(error.__cause__)
            raise
        self.log.function = self.function.name
        self._import_seconds = time.perf_counter() - began

    def serve(self, listening: socket.socket, *, announced: bool = False) -> None:
        """Serve until SIGTERM; ``announced`` when the address was logged already."""
        from gpfn.http.loop.process import run_loop

        run_loop(lambda: self._serve(listening, announced=announced))

    async def _serve(self, listening: socket.socket, *, announced: bool) -> None:
        from gpfn.http.body import Budget
        from gpfn.http.loop.process import on_signals, url_of
        from gpfn.http.loop.server import LoopServer
        from gpfn.platforms.http.handler import HttpHandler
        from gpfn.platforms.http.service import HttpService
        from gpfn.platforms.http.settings import HttpSettings, loop_settings

        settings, limits = HttpSettings.from_env(), self.function.limits
        start = {"import": self._import_seconds}
        service = HttpService(self.function, settings, self.log, start, self.metrics)
        bounds = loop_settings(limits)
        budget = Budget(bounds.body_bytes)
        handler = HttpHandler(service, budget)
        context = None if self.tls is None else self.tls.context
        server = LoopServer(
            listening,
            handler,
            self.log,
            limits=limits,
            settings=bounds,
            budget=budget,
            metrics=service.metrics,
            tls=context,
        )
        on_signals(server, self.tls, self.log)
        await self._opened(service, server)
        if announced:
            await server.serve()
        else:
            url = url_of(listening, secure=self.tls is not None)
            await server.serve(lambda: self.log.listening(url))

    async def _opened(self, service: "HttpService", server: "LoopServer") -> None:
        """Wait until the function is open, the start window is over, or it is told to stop."""
        window = service.settings.start_window
        opening = asyncio.ensure_future(service.readiness.wait(window))
        stopped = asyncio.ensure_future(server.stopped.wait())
        await asyncio.wait((opening, stopped), return_when=asyncio.FIRST_COMPLETED)
        if opening.done() and not opening.result():
            self.log.warning(f"still opening the model after {window:g} s")
        opening.cancel()
        stopped.cancel()
