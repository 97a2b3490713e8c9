"""``gpfn run http FILE``: the process that serves one function over HTTP.

GPFN_WORKERS, GPFN_QUEUE, GPFN_REQUEST_TIMEOUT and GPFN_START_WINDOW are told in
docs/http.md, GPFN_MAX_… set the limits, GPFN_LOG what is logged (gpfn.log).
"""

import os
import signal
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from gpfn.call.pipeline import Stages
from gpfn.errors import MissingExtra, SetupError
from gpfn.log import Log, resident
from gpfn.platforms.http.adapter import AsgiApp
from gpfn.platforms.load import load_function
from gpfn.settings import check_settings

if TYPE_CHECKING:
    from uvicorn import Server

__all__ = ["main"]

_KEEP_ALIVE_SECONDS = 75  # longer than the minute after which load balancers give up
_DRAIN_SECONDS = 30
_HEAD_SECONDS = 10.0


def main(path: str, app_name: str = "app", host: str = "127.0.0.1", port: int = 8080) -> int:
    """Serve the function that the file at ``path`` has as ``app_name`` until SIGTERM.

    ``port`` 0 takes a free one; the line ``listening on http://…`` on stderr tells which.
    Returns the exit code: 0 when it was told to stop and every running call was answered.

    Raises MissingExtra without uvicorn, SetupError when the file cannot be loaded or the
    address cannot be had.
    """
    _on_stop(lambda: os._exit(0))  # nothing runs yet; sys.exit would be caught while it loads
    check_settings()
    log = Log("http")
    _require_uvicorn()
    _show_warnings(log)
    app = _app(path, app_name, log)
    with _bound(host, port) as listener:
        server = _server(app, listener, log)
        # uvicorn puts handlers of its own in front, and sends the signal on when it is done.
        _on_stop(lambda: setattr(server, "should_exit", True))
        server.run(sockets=[listener])
    return 0


def _app(path: str, app_name: str, log: Log) -> AsgiApp:
    if log.form == "json":
        Stages.probe = resident
    began = time.perf_counter()
    try:
        function = load_function(path, (app_name,))
    except SetupError as error:
        if error.__cause__ is not None:  # the user's own failure: its trace tells where
            log.failure(error.__cause__)
        raise
    log.function = function.name
    return AsgiApp(function, None, log, {"import": time.perf_counter() - began})


def _on_stop(stop: Callable[[], None]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop())


def _require_uvicorn() -> None:
    try:
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise MissingExtra("uvicorn", "http") from error


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off (40 ms a call) only where TCP is named
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise SetupError(f"cannot listen there: {error}", field=f"{host}:{port}") from None
    return listener


def _server(app: AsgiApp, listener: socket.socket, log: Log) -> "Server":
    import uvicorn

    from gpfn.platforms.http.protocol import BoundedProtocol

    class Protocol(BoundedProtocol):
        limits = app.function.limits
        head_seconds = min(_HEAD_SECONDS, app.service.settings.request_timeout or _HEAD_SECONDS)

    class Announced(uvicorn.Server):
        """Logs where it listens: once the function is open, or the start window is over."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            host, port = listener.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            log.listening(f"http://{shown}:{port}")

    config = uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        loop="asyncio",
        lifespan="on",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
    )
    return Announced(config)


def _show_warnings(log: Log) -> None:
    """Write uvicorn's warnings as records of ours; the root logger is left to the user."""
    import logging

    class Records(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno < logging.ERROR:
                log.warning(record.getMessage())
            elif record.exc_info and record.exc_info[1] is not None:
                log.failure(record.exc_info[1])
            else:
                log.error(record.getMessage())

    logger = logging.getLogger("uvicorn")
    logger.addHandler(Records())
    logger.propagate = False
    logger.setLevel(logging.WARNING)
