"""When what is done gets committed: soon, one commit at a time, again until it is.

Positions are taken in the event loop, which alone knows what is done, and are committed by the
consumer's thread. A failed commit is no reason to stop: what is done stays done, and the next
commit says all of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from gpfn.bridge.kafka.client import Tell, reason_of
from gpfn.bridge.kafka.partition import OwnedPartition, Position
from gpfn.bridge.watermark import METADATA_LIMIT

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

    from gpfn.bridge.kafka.consumer import ConsumerThread

__all__ = ["Commits"]

_SECONDS = 0.25
_AGAIN_SECONDS = 0.5
_GIVEN_UP_SECONDS = 30.0
_TOLD_FAILURES = 5


class Commits:
    """The partitions of which something is to be committed."""

    def __init__(self, loop: asyncio.AbstractEventLoop, thread: ConsumerThread, tell: Tell) -> None:
        self._loop = loop
        self._thread = thread
        self._tell = tell
        self._changed: set[OwnedPartition] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._sent: Sequence[Position] = ()
        self._sent_at = 0.0
        self._soon = False
        self._limit = METADATA_LIMIT - 1  # the library writes a NUL behind a text
        self._failures = 0
        self._closed = False

    def changed(self, owned: OwnedPartition, *, at_once: bool = False) -> None:
        """Something of a partition is done, or was tried, and is to be committed."""
        if self._timer is not None and owned in self._changed and not at_once:
            return
        self._changed.add(owned)
        if at_once and not self._soon:
            self._soon = True
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_later(0.0, self._send)
        elif self._timer is None:
            self._timer = self._loop.call_later(_SECONDS, self._send)

    def ended(self, positions: Sequence[Position], error: KafkaError | None) -> None:
        """The commit that was sent has ended."""
        if positions is not self._sent:
            return  # one that was given up
        self._sent = ()
        if error is None:
            self._failures = 0
            for position in positions:
                position.owned.committed(position)
        else:
            self._failed(positions, error)
        if self._soon:  # asked for while this one was under way
            self._send()

    def last(self, partitions: Iterable[OwnedPartition]) -> list[Position]:
        """Return what is to be committed of partitions that go, and forget them."""
        found = [each.position(self._limit) for each in partitions]
        self.forget(partitions)
        return [position for position in found if position is not None]

    def forget(self, partitions: Iterable[OwnedPartition]) -> None:
        """Commit nothing more of these."""
        self._changed.difference_update(partitions)

    def close(self) -> list[Position]:
        """Return all that is to be committed, and send nothing any more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        return self.last([*self._changed, *[position.owned for position in self._sent]])

    def _send(self) -> None:
        self._timer = None
        if self._closed:
            return
        if self._sent:
            if self._loop.time() - self._sent_at < _GIVEN_UP_SECONDS:
                self._timer = self._loop.call_later(_SECONDS, self._send)
                return
            self._changed.update([position.owned for position in self._sent])
        self._soon = False
        found = [each.position(self._limit) for each in self._changed]
        self._changed.clear()
        positions = [position for position in found if position is not None]
        self._sent = positions
        self._sent_at = self._loop.time()
        if positions:
            self._thread.commit(positions)

    def _failed(self, positions: Sequence[Position], error: KafkaError) -> None:
        from confluent_kafka import KafkaError as Codes

        if error.code() in (Codes.OFFSET_METADATA_TOO_LARGE, Codes.INVALID_COMMIT_OFFSET_SIZE):
            self._limit //= 2  # the broker keeps less text beside an offset than is usual
        self._failures += 1
        if self._failures == _TOLD_FAILURES:
            self._tell(f"what is done cannot be committed, tried again: {reason_of(error)}")
        self._changed.update([position.owned for position in positions])
        if self._timer is None and not self._closed:
            self._timer = self._loop.call_later(_AGAIN_SECONDS, self._send)
