"""The thread that polls Kafka: all calls of a consumer are made here, between two polls.

The client library lets only one thread at a time into a consumer, and a poll is such a call:
whatever the event loop wanted of it would wait until the poll ends. So the loop leaves what it
wants in a queue, and a poll is short while nothing comes.

The library calls back from inside a poll when partitions come and go. One that is revoked
is kept until the loop has drained it, and what is done is committed before it goes; the loop
goes on meanwhile. Partitions change hands only in this thread, and only this thread commits:
so nothing is ever committed of a partition that somebody else has already.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, Protocol

from gpfn.bridge.kafka.client import ClientLog, error_in, failure, reason_of
from gpfn.bridge.kafka.messages import start_of
from gpfn.bridge.kafka.offsets import Offsets
from gpfn.bridge.kafka.partition import OwnedPartition, Position, owned_at
from gpfn.bridge.record import Partition
from gpfn.errors import BackendError, GpfnError

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

__all__ = ["ConsumerThread", "Hooks"]

_BATCH = 256
_ON_THE_WAY = 3
"""Batches that the loop has not taken yet, before no more are fetched."""
_POLL_SECONDS = 0.02
_REST_SECONDS = 0.3
"""The longest time without a poll while every partition is paused."""
_COMMITTED_SECONDS = 10.0
_ASKED_TIMES = 3
_LATE_SECONDS = 5.0


class Hooks(Protocol):
    """What the thread tells, in the thread of the event loop and in the order of events."""

    def gained(self, owned: Sequence[OwnedPartition]) -> None:
        """These partitions are ours now."""

    async def leaving(self, partitions: Sequence[Partition]) -> Sequence[Position]:
        """These are to go: drain them, and return what is to be committed of them."""

    def gone(self, partitions: Sequence[Partition]) -> None:
        """These went without being drained."""

    def came(self, messages: Sequence[Message]) -> None:
        """Records came, as the library has them: two threads are slower at making ours of them."""

    def committed(self, positions: Sequence[Position], error: KafkaError | None) -> None:
        """A commit has ended; with an error for all of them, or for none."""

    def broke(self, error: GpfnError) -> None:
        """The thread cannot go on."""

    def say(self, line: str) -> None:
        """A line for the log."""


class ConsumerThread:
    """Polls one consumer until it is stopped."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, hooks: Hooks, log: ClientLog, *, drain_seconds: float
    ) -> None:
        self._loop = loop
        self._hooks = hooks
        self._log = log
        self._drain = drain_seconds
        self._owned: dict[Partition, OwnedPartition] = {}
        self._changes = 0
        self._wanted: deque[Callable[[Consumer], object]] = deque()
        self._room = threading.Semaphore(_ON_THE_WAY)
        self._offsets = Offsets(self._owned, self._committed, self._tell)
        self._last: Sequence[Position] | None = None
        self._rest_until = 0.0
        self._resumed = threading.Event()
        self.ended = loop.create_future()
        """Done when the consumer is closed and the thread has ended."""

    def start(self, consumer: Consumer, topics: Sequence[str]) -> None:
        """Subscribe, and poll from now on. The thread closes the consumer at its end."""
        consumer.subscribe(
            [*topics], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
        )
        threading.Thread(
            target=self._run, args=(consumer,), name="gpfn-kafka-source", daemon=True
        ).start()

    def hold(self, owned: OwnedPartition, held: bool) -> None:
        """Have the library give nothing of a partition, or give it again."""
        self._wanted.append(lambda consumer: self._hold(consumer, owned, held))

    def resumed(self) -> None:
        """Fetch at once: a partition is not paused any more."""
        self._resumed.set()

    def commit(self, positions: Sequence[Position]) -> None:
        """Have positions committed; `Hooks.committed` is called once with them."""
        self._wanted.append(lambda consumer: self._offsets.commit(consumer, positions))

    def end(self, positions: Sequence[Position]) -> None:
        """Commit these positions, leave the group and end; then ``ended`` is done."""
        self._last = positions

    def told(self, error: KafkaError | None, places: Sequence[TopicPartition]) -> None:
        """Take the library's word on a commit; a consumer is made with this as ``on_commit``."""
        if self._offsets.told(error, places):
            self._log.back()

    # The thread.

    def _run(self, consumer: Consumer) -> None:
        try:
            while self._last is None:
                self._turn(consumer)
            self._offsets.write_down(consumer, self._last)
        except Exception as error:  # noqa: BLE001 - whatever it is, the loop must hear of it
            self._say(self._hooks.broke, self._broken(error))
        finally:
            self._close(consumer)
            self._say(_finish, self.ended)

    def _turn(self, consumer: Consumer) -> None:
        while self._wanted:
            self._wanted.popleft()(consumer)
        if self._rests() or not self._room.acquire(timeout=_POLL_SECONDS):
            return  # the loop has enough; a rebalance waits for it, as it does in any poll
        before = self._changes
        messages = self._fetched(consumer)
        good = self._without_errors(messages)
        if self._changes != before:
            # what came of a partition before it went in the same call is for its next owner
            good = [each for each in good if (each.topic(), each.partition()) in self._owned]
        if self._log.fatal is not None:
            raise failure(self._log.fatal, "kafka has ended this consumer", field="source")
        if good:
            self._say(self._hand_over, good)
        else:
            self._room.release()

    def _rests(self) -> bool:
        """Wait a little where every partition is paused, now and then without a poll.

        What is fetched ahead stays in the library then, where a pause would throw it away.
        """
        now = time.monotonic()
        if now >= self._rest_until or not self._all_paused():
            self._rest_until = now + _REST_SECONDS
            return False
        self._resumed.clear()
        if self._all_paused():
            self._resumed.wait(_POLL_SECONDS)
        return True

    def _all_paused(self) -> bool:
        return bool(self._owned) and all(each.paused for each in self._owned.values())

    def _fetched(self, consumer: Consumer) -> list[Message]:
        """Return what has come, or the first that comes soon; a poll answers for the group."""
        messages: list[Message] = []
        if not self._all_paused():
            messages = consumer.consume(_BATCH, 0.0)
        if not messages:
            first = consumer.poll(_POLL_SECONDS)
            if first is not None:
                messages = [first, *consumer.consume(_BATCH - 1, 0.0)]
        return messages

    def _hand_over(self, messages: Sequence[Message]) -> None:
        """Run in the loop."""
        self._room.release()
        self._hooks.came(messages)

    def _without_errors(self, messages: list[Message]) -> list[Message]:
        errors = [error for error in [each.error() for each in messages] if error is not None]
        for error in errors:
            self._heed(error)
        if len(errors) < len(messages):
            self._log.back()
        return [each for each in messages if each.error() is None] if errors else messages

    def _heed(self, error: KafkaError) -> None:
        """Go on after an error, unless the group does not let us in."""
        if error.code() == error.GROUP_AUTHORIZATION_FAILED:
            raise failure(error, "this user may not read as this group", field="source.group")
        self._log.error(error)

    def _hold(self, consumer: Consumer, owned: OwnedPartition, held: bool) -> None:
        from confluent_kafka import TopicPartition

        if self._owned.get(owned.partition) is owned:
            (consumer.pause if held else consumer.resume)([TopicPartition(*owned.partition)])

    # Partitions come and go, in a poll.

    def _assigned(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        if self._last is not None:
            return
        known = self._known(consumer, partitions)
        gained = [owned_at(each, self._tell) for each in known]
        if partitions:
            starts = [start_of(each) for each in known]
            consumer.incremental_assign(starts)
            consumer.resume(starts)  # one that was paused when it went would be so again
        self._owned.update({owned.partition: owned for owned in gained})
        self._say(self._hooks.gained, gained)

    def _known(
        self, consumer: Consumer, partitions: Sequence[TopicPartition]
    ) -> Sequence[TopicPartition]:
        """Return the partitions with what is committed; as they are when nobody answers."""
        from confluent_kafka import KafkaException

        for _ in range(_ASKED_TIMES if partitions else 0):
            try:
                return consumer.committed([*partitions], timeout=_COMMITTED_SECONDS)
            except KafkaException as error:
                reason = reason_of(error_in(error))
                self._tell(f"what was done of new partitions is not known yet: {reason}")
        return partitions

    def _revoked(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        if self._last is not None:  # who stopped has committed
            return
        names = [(each.topic, each.partition) for each in partitions]
        leaving = self._hooks.leaving(names)
        try:
            asked = asyncio.run_coroutine_threadsafe(leaving, self._loop)
        except RuntimeError:  # the loop has ended
            leaving.close()
            return
        try:
            self._offsets.write_down(consumer, asked.result(self._drain + _LATE_SECONDS))
        except (TimeoutError, CancelledError):
            self._tell("partitions go, and the event loop has not turned: nothing is committed")
        self._let_go(names)

    def _lost(self, _consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        names = [(each.topic, each.partition) for each in partitions]
        self._let_go(names)
        self._say(self._hooks.gone, names)

    def _let_go(self, names: Sequence[Partition]) -> None:
        self._changes += 1
        for name in names:
            self._owned.pop(name, None)

    def _close(self, consumer: Consumer) -> None:
        self._last = self._last or ()
        try:
            consumer.close()
        except Exception as error:  # noqa: BLE001 - it is left anyway
            self._tell(f"the consumer was not closed: {error}")

    def _broken(self, error: Exception) -> GpfnError:
        if isinstance(error, GpfnError):
            return error
        return BackendError(f"the consumer broke: {reason_of(error_in(error))}", field="source")

    def _committed(self, positions: Sequence[Position], error: KafkaError | None) -> None:
        self._say(self._hooks.committed, positions, error)

    def _tell(self, line: str) -> None:
        self._say(self._hooks.say, line)

    def _say(self, hook: Callable[..., object], *given: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(hook, *given)
        except RuntimeError:  # the loop has ended, and with it everybody who would listen
            self._last = self._last or ()


def _finish(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)
