"""Records into a queue from outside of a bridge: each is confirmed, and the first error ends it.

So many may be under way at once that the queue has always something to do, and no more, for
who sends a file of a million events is to need no memory for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from gpfn.bridge.opening import open_sink

if TYPE_CHECKING:
    from gpfn.bridge.record import Outgoing
    from gpfn.bridge.seam import Sink
    from gpfn.bridge.spec import Place
    from gpfn.errors import GpfnError
    from gpfn.log import Log

__all__ = ["send_records"]

_MOST, _MOST_BYTES = 1000, 16 << 20
"""Records and bytes that are under way at most."""
_LET_GO_SECONDS = 5.0
_TURN = 100
"""Records after which the event loop gets its turn."""


def send_records(
    place: Place,
    topics: Sequence[str],
    records: Iterable[Outgoing],
    *,
    log: Log,
    rate: float = 0.0,
    confirmed: Callable[[int], None] = lambda _: None,
) -> None:
    """Send records to a place, at most ``rate`` a second unless that is 0, until it has them.

    ``confirmed`` is told the number, from 0 on, of each that it has for good. Raises the first
    error, after which nothing more is sent; what was under way is waited for some seconds.
    Blocks; raises SetupError or BackendError as well for a topic that cannot be written to.
    """
    sink = open_sink(place, log)
    asyncio.run(_send(sink, topics, records, rate, confirmed))


async def _send(
    sink: Sink,
    topics: Sequence[str],
    records: Iterable[Outgoing],
    rate: float,
    confirmed: Callable[[int], None],
) -> None:
    await sink.start(topics)
    flow = _Flow(sink, confirmed)
    try:
        await flow.send(records, rate)
        await flow.wait_until(lambda: not flow.under_way)
    finally:
        await sink.stop(_LET_GO_SECONDS)
    if flow.error is not None:
        raise flow.error


class _Flow:
    """What is under way to a sink."""

    def __init__(self, sink: Sink, confirmed: Callable[[int], None]) -> None:
        self.error: GpfnError | None = None
        self.under_way = 0
        self._bytes = 0
        self._sink = sink
        self._confirmed = confirmed
        self._changed = asyncio.Event()

    async def send(self, records: Iterable[Outgoing], rate: float) -> None:
        """Send records, until one of them is refused."""
        loop = asyncio.get_running_loop()
        begin = loop.time()
        for number, record in enumerate(records):
            if rate:
                await asyncio.sleep(max(0.0, begin + number / rate - loop.time()))
            elif not number % _TURN:
                await asyncio.sleep(0)
            await self.wait_until(self._has_room)
            if self.error is not None:
                return
            size = len(record.key or b"") + len(record.value or b"")
            self.under_way += 1
            self._bytes += size
            self._sink.send(record, partial(self._told, number, size))

    async def wait_until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds, or a record was refused."""
        while not holds() and self.error is None:
            self._changed.clear()
            await self._changed.wait()

    def _has_room(self) -> bool:
        return self.under_way < _MOST and self._bytes < _MOST_BYTES

    def _told(self, number: int, size: int, error: GpfnError | None) -> None:
        self.under_way -= 1
        self._bytes -= size
        if error is None:
            self._confirmed(number)
        elif self.error is None:
            self.error = error
        self._changed.set()
