"""``gpfn run fn FILE [HANDLER]``: the process that a container of Fn runs.

It is the function's HTTP server under Fn's contract (docs/fn.md): FN_LISTENER and
FN_FORMAT say where and how, GPFN_START_WINDOW how many seconds loading may keep the
socket from appearing, GPFN_LOG what is logged (gpfn.log), GPFN_MAX_… the limits.

It loads first and listens second, as long as the agent waits for that. The agent waits five
seconds for the socket to appear, and only then starts the clock of the first call: what is
loaded before costs the caller nothing. What takes longer than the start window goes on after
the socket has appeared, and calls wait for it.

Loading runs in the main thread: a module imported elsewhere would take its thread for the
main one. The clock is watched by a second thread, which ends with the loading.
"""

from __future__ import annotations

import os
import signal
import time
from _thread import allocate_lock, start_new_thread
from collections.abc import Callable

from gpfn.call.contract import answering
from gpfn.errors import GpfnError, SetupError
from gpfn.limits import Limits
from gpfn.log import Log, resident
from gpfn.platforms.fn.listener import FnListener
from gpfn.platforms.fn.server import Answer, FnExchange, FnServer, answers_of, too_late
from gpfn.platforms.load import load_target, open_function
from gpfn.settings import check_settings, read_duration

__all__ = ["Start", "main"]

_WINDOW = "GPFN_START_WINDOW"
_WINDOW_SECONDS = 4.0  # of the five that the agent waits


def main(path: str, handler: str = "handler") -> int:
    """Serve the ``handler`` of the file at ``path`` until SIGTERM; returns the exit code.

    Raises SetupError when the environment or the file does not allow it.
    """
    check_settings()
    listener = FnListener.from_env()
    log = Log("fn")
    if log.form == "json":
        from gpfn.call.costs import Stages

        Stages.probe = resident
    exchange = FnExchange(log)
    server = FnServer(exchange, Limits.from_env())
    start = Start(listener, server, read_duration(_WINDOW, _WINDOW_SECONDS), log)
    _stop_on_signals(start, server, listener)
    try:
        exchange.answers = start.load(path, handler)
        server.serve()
    except SetupError as error:
        if error.__cause__ is not None:
            log.failure(error.__cause__)
        raise
    finally:
        listener.close()
    return 0


def _stop_on_signals(start: Start, server: FnServer, listener: FnListener) -> None:
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


class Start:
    """One start of a runner; ``loading`` says whether it has come to its end."""

    def __init__(self, listener: FnListener, server: FnServer, window: float, log: Log) -> None:
        self._listener = listener
        self._server = server
        self._window = window
        self._log = log
        self._began = time.perf_counter()
        self._ready = allocate_lock()
        self._watched = allocate_lock()
        self._failure: GpfnError | None = None
        self._listening_after = 0.0
        self.loading = True

    def load(self, path: str, handler: str) -> Answer:
        """Load the file's handler and make the socket appear; returns what answers calls.

        Raises SetupError: the file cannot be loaded, or there can be no socket.
        """
        self._ready.acquire()
        self._watched.acquire()
        start_new_thread(self._watch, ())
        try:
            answer, seconds, note = self._load(path, handler)
        finally:
            self.loading = False
            self._ready.release()
            self._server.wake()
            self._watched.acquire()
        if self._failure is not None:
            raise self._failure
        late = self._listener.socket is not None
        if not late:
            self._appear()
        when = "before it was loaded" if late else "after it was loaded"
        since = f"since {self._listening_after:.3f} s after the start, {when}"
        self._log.ready(seconds, f"{note}; listening on {self._listener.path} {since}")
        return answer

    def _watch(self) -> None:
        try:
            if not self._ready.acquire(timeout=max(0.0, self._window)):
                self._appear()
                self._log.warning(
                    f"still loading after {self._window:g} s, listening before it is done"
                )
                # for its imports: beside a thread that computes they take up to half a second,
                # which is too long once a deadline is near
                too_late()
                self._server.hold(self._ready)
        except GpfnError as error:
            self._failure = error
        finally:
            self._watched.release()

    def _appear(self) -> None:
        self._server.listen(self._listener.open())
        self._listening_after = time.perf_counter() - self._began

    def _load(self, path: str, handler: str) -> tuple[Answer, dict[str, float], str]:
        began = time.perf_counter()
        target = load_target(path, (handler,))
        seconds = {"import": time.perf_counter() - began}
        function = answering(target)
        if function is not None:
            self._log.function = function.name
            note = open_function(function, self._log, seconds)
            return answers_of(function), seconds, note
        if not callable(target):
            kind = type(target).__name__
            raise SetupError(f"{handler} is a {kind}, not a handler", field=path)
        self._log.function = handler
        return _fdk_style(target), seconds, ""


def _fdk_style(handler: Callable[..., object]) -> Answer:
    from gpfn.platforms.fn.fdk import FdkStyle

    return FdkStyle(handler).answer
