"""Loading first, listening second, as long as the agent's patience allows.

The agent waits five seconds for the socket to appear, and only then starts the clock of
the first call. So what is imported and loaded before costs the caller nothing. What takes
longer than the start window goes on after the socket has appeared, and calls wait for it.

Loading runs in the main thread: a module imported elsewhere would take its thread for the
main one. The clock is watched by a second thread, which ends with the loading.
"""

from __future__ import annotations

import time
from _thread import allocate_lock, start_new_thread
from collections.abc import Callable

from gpfn.errors import GpfnError, SetupError
from gpfn.function.call import Reply
from gpfn.function.load import function_of, load_target
from gpfn.platforms.fn.exchange import Answer, too_late
from gpfn.platforms.fn.incoming import Incoming
from gpfn.platforms.fn.listener import Listener
from gpfn.platforms.fn.log import log_failure, say
from gpfn.platforms.fn.server import Server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gpfn.function.function import Function

__all__ = ["Start"]


class Start:
    """One start of a runner; ``loading`` says whether it has come to its end."""

    def __init__(self, listener: Listener, server: Server, window: float, *, quiet: bool) -> None:
        self._listener = listener
        self._server = server
        self._window = window
        self._quiet = quiet
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
            answer, report = self._load(path, handler)
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
        self._report(report, late=late)
        return answer

    def _watch(self) -> None:
        try:
            if not self._ready.acquire(timeout=max(0.0, self._window)):
                self._appear()
                if not self._quiet:
                    say(
                        f"gpfn: still loading after {self._window:g} s, listening before it is done"
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

    def _load(self, path: str, handler: str) -> tuple[Answer, str]:
        began = time.perf_counter()
        target = load_target(path, (handler,))
        imported = f"import {time.perf_counter() - began:.3f} s"
        function = function_of(target)
        if function is not None:
            return _of_function(function), f"{function.name}: {imported}{_open(function)}"
        if not callable(target):
            kind = type(target).__name__
            raise SetupError(f"{handler} is a {kind}, not a handler", field=path)
        return _fdk_style(target), f"{handler}: {imported}"

    def _report(self, report: str, *, late: bool) -> None:
        if self._quiet:
            return
        when = "before it was loaded" if late else "after it was loaded"
        say(
            f"gpfn: {report}; listening on {self._listener.path} since"
            f" {self._listening_after:.3f} s after the start, {when}"
        )


def _open(function: Function) -> str:
    """Open the model; when that fails, calls are answered with the reason and try again."""
    try:
        opened = function.open()
    except Exception as error:  # noqa: BLE001 - a function that is broken has to say so too
        log_failure("", error)
        return ", model not opened"
    if function.model is None:
        return ""
    return (
        f", load {opened.load_seconds:.3f} s, warm-up {opened.warmup_seconds:.3f} s"
        f" ({function.model.name})"
    )


def _of_function(function: Function) -> Answer:
    def answer(incoming: Incoming) -> Reply:
        return function.answer(incoming.message, incoming.call)

    return answer


def _fdk_style(handler: Callable[..., object]) -> Answer:
    from gpfn.platforms.fn.fdk_style import FdkStyle

    return FdkStyle(handler).answer
