"""Waiting in an event loop for a function's model to be open, without holding the loop up."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from gpfn.call.contract import Answering
from gpfn.call.opening import Opening
from gpfn.log import Log

__all__ = ["Readiness"]


class Readiness:
    """Whether one function can be called, and the attempt to open it that is under way."""

    def __init__(
        self, function: Answering, log: Log, start: Mapping[str, float] | None = None
    ) -> None:
        self._function = function
        self._opening = Opening(function.open, log, start)
        self._attempt: asyncio.Future[None] | None = None

    async def wait(self, seconds: float | None) -> bool:
        """Wait until the function is open or the attempt has failed; False when neither is."""
        if self._function.is_open:
            return True
        done, _ = await asyncio.wait([self._begin()], timeout=seconds)
        return bool(done)

    def check(self) -> None:
        """Raise NotReady unless the function is open; the next attempt is begun if need be."""
        if not self._function.is_open:
            self._opening.check()

    def _begin(self) -> "asyncio.Future[None]":
        """Start an attempt unless one is under way; the future is done when it has ended."""
        if self._attempt is None or self._attempt.done():
            loop = asyncio.get_running_loop()
            self._attempt = loop.create_future()
            ended = self._attempt.set_result

            def tell() -> None:
                with suppress(RuntimeError):  # the loop has ended, and with it whoever waits
                    loop.call_soon_threadsafe(ended, None)

            self._opening.begin(tell)
        return self._attempt
