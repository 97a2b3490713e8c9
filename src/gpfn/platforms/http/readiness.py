"""Opening a function's model without holding up the event loop, once at a time."""

import asyncio
import logging
import threading
import time

from gpfn.call.contract import Answering
from gpfn.errors import GpfnError, Overloaded

__all__ = ["NotReady", "Opening"]

_log = logging.getLogger("gpfn.http")


class NotReady(Overloaded):
    """The function cannot be called yet; ``detail`` says why."""

    type = "not-ready"
    title = "Not ready"


class Opening:
    """The attempts to open one function; a new one is made after one that failed."""

    def __init__(self, function: Answering) -> None:
        self._function = function
        self._attempt: asyncio.Future[None] | None = None
        self._failure: BaseException | None = None
        self._began = 0.0

    def begin(self) -> "asyncio.Future[None]":
        """Start an attempt unless one is under way; the future ends with it, whatever comes."""
        if self._attempt is None or self._attempt.done():
            loop = asyncio.get_running_loop()
            self._attempt = loop.create_future()
            self._began = time.perf_counter()
            # A daemon: native code that never returns must not keep the process from ending.
            thread = threading.Thread(
                target=self._open, args=(loop, self._attempt), name="gpfn-open", daemon=True
            )
            thread.start()
        return self._attempt

    async def wait(self, seconds: float | None) -> bool:
        """Wait for the function to be open, or for the attempt to fail; False: still trying."""
        if self._function.is_open:
            return True
        done, _ = await asyncio.wait([self.begin()], timeout=seconds)
        return bool(done)

    def check(self) -> None:
        """Raise NotReady unless the function is open; the next attempt is begun if need be."""
        if self._function.is_open:
            return
        failure = self._failure
        self.begin()
        if failure is not None:
            raise NotReady(f"the model cannot be opened: {failure}")
        raise NotReady(f"opening the model since {time.perf_counter() - self._began:.1f} s")

    def _open(self, loop: asyncio.AbstractEventLoop, attempt: "asyncio.Future[None]") -> None:
        try:
            opened = self._function.open()
        except Exception as error:  # noqa: BLE001 - told to whoever asks for readiness
            self._failure = error
            trace = None if isinstance(error, GpfnError) and not error.__cause__ else error
            _log.error("%s: not opened: %s", self._function.name, error, exc_info=trace)
        else:
            self._failure = None
            _log.info(
                "%s: load %.3f s, warm-up %.3f s (%s)",
                self._function.name,
                opened.load_seconds,
                opened.warmup_seconds,
                opened.uri or "no model",
            )
        try:
            loop.call_soon_threadsafe(attempt.set_result, None)
        except RuntimeError:
            _log.debug("the event loop ended before the function was open")
