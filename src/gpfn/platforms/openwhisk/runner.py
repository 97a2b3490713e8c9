"""``gpfn run openwhisk [FILE [MAIN]]``: the process that an action's container runs.

With a FILE the action is baked in: it is imported and its model opened at the start,
before /init is asked, and /init without code answers at once. Without a FILE, or when
/init brings code, the code comes from there, as in the platform's own runtimes.
"""

from __future__ import annotations

import os
import signal
import sys
from _socket import AF_INET, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET, socket

from gpfn.errors import SetupError
from gpfn.http.serial import SerialServer
from gpfn.platforms.openwhisk.activation import Settings
from gpfn.platforms.openwhisk.answer import CallLog
from gpfn.platforms.openwhisk.server import ActionExchange
from gpfn.platforms.openwhisk.streams import Streams
from gpfn.settings import check_settings, read_whole

__all__ = ["main"]

_BACKLOG = 128
_PORT = 8080  # the platform's; it cannot be told another


def main(
    path: str | None = None, name: str = "main", *, host: str = "", port: int | None = None
) -> int:
    """Serve an action until SIGTERM; returns the exit code.

    The port is ``port``, else PORT of the environment, else 8080; the host is every
    interface unless one is named, for a container is reached from outside.

    Raises SetupError for an impossible environment or a port that cannot be had.
    """
    check_settings()
    settings = Settings.from_env()
    _tell_environment()
    del sys.argv[1:]  # an action has none under the platform's own runtime, and may look
    listening = _listen(host, read_whole("PORT", _PORT, most=65535) if port is None else port)
    streams = Streams()
    streams.install()
    _close_stdin()
    log = CallLog(streams.write)
    exchange = ActionExchange(streams, log, settings, path, name)
    server = SerialServer(listening, exchange, settings.limits())
    _stop_on_signals(exchange, server)
    exchange.preload()
    if port == 0:  # nobody can know otherwise
        log.listening("http://{}:{}".format(*listening.getsockname()), always=True)
    streams.flush()
    server.serve()
    exchange.close()
    streams.flush()
    return 0


def _tell_environment() -> None:
    """Tell an action which runtime it is in by the variable that the platform's has for it."""
    name = os.environ.get("OW_EXECUTION_ENV")
    if name:
        os.environ.setdefault("__OW_EXECUTION_ENV", name)


def _listen(host: str, port: int) -> socket:
    listening = socket(AF_INET, SOCK_STREAM)
    try:
        listening.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        listening.close()
        raise SetupError(f"cannot listen on port {port}: {error}", field="PORT") from None
    return listening


def _close_stdin() -> None:
    """Let whoever reads standard input find its end, user code and its child processes too."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for the process's life


def _stop_on_signals(exchange: ActionExchange, server: SerialServer) -> None:
    """Let SIGTERM and SIGINT end the process: after the call that runs, at once if asked twice."""

    def stop(*_: object) -> None:
        if exchange.stopping or not server.serving:
            exchange.close()
            os._exit(0)  # nobody waits for an answer while it loads
        exchange.stopping = True
        server.stop()

    # a signal just before the server waits would be heeded after it has waited
    signal.set_wakeup_fd(server.wakeup_fd, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
