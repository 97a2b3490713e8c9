"""``gpfn run fn FILE [HANDLER]``: the process that a container of Fn runs.

It is the function's HTTP server under Fn's contract (docs/fn.md): FN_LISTENER and
FN_FORMAT say where and how, GPFN_START_WINDOW how many seconds loading may keep the
socket from appearing, GPFN_LOG=quiet that calls are not logged, GPFN_MAX_… the limits.
"""

from __future__ import annotations

import os
import signal

from gpfn.errors import SetupError
from gpfn.limits import Limits
from gpfn.platforms.fn.exchange import Exchange
from gpfn.platforms.fn.listener import Listener
from gpfn.platforms.fn.log import CallLog, log_failure
from gpfn.platforms.fn.server import Server
from gpfn.platforms.fn.start import Start

__all__ = ["main"]

_WINDOW = "GPFN_START_WINDOW"
_WINDOW_SECONDS = 4.0  # of the five that the agent waits


def main(path: str, handler: str = "handler") -> int:
    """Serve the ``handler`` of the file at ``path`` until SIGTERM; returns the exit code.

    Raises SetupError when the environment or the file does not allow it.
    """
    listener = Listener.from_env()
    log = CallLog()
    exchange = Exchange(log)
    server = Server(exchange, Limits.from_env())
    start = Start(listener, server, _window(), quiet=log.quiet)
    _stop_on_signals(start, server, listener)
    try:
        exchange.answers = start.load(path, handler)
        log.ready()
        server.serve()
    except SetupError as error:
        if error.__cause__ is not None:
            log_failure("", error)
        raise
    finally:
        listener.close()
    return 0


def _window() -> float:
    text = os.environ.get(_WINDOW, "")
    try:
        seconds = float(text or _WINDOW_SECONDS)
    except ValueError:
        seconds = -1.0
    if not 0.0 <= seconds <= 3600.0:
        raise SetupError(f"expected seconds from 0 to 3600, got {text!r}", field=_WINDOW)
    return seconds


def _stop_on_signals(start: Start, server: Server, listener: Listener) -> None:
    """Let SIGTERM and SIGINT end the process: at once while it loads, else after the call.

    Who asks twice does not want to wait for the call either.
    """

    def stop(*_: object) -> None:
        if start.loading or server.stopping:
            listener.close()
            os._exit(0 if start.loading else 1)
        server.stop()

    signal.set_wakeup_fd(server.wakeup_fd, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
