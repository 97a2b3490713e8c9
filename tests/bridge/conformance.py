"""What every queue behind the seam does, whichever it is: one suite for all of them.

A queue's own test module makes a `Place` and inherits the tests:

    class TestConformance(Conformance):
        @pytest.fixture
        def place(self, tmp_path):
            return FilePlace(tmp_path)

What a queue cannot do stands in its place's ``lacks``, with the reason. Those tests hold it to
what it does instead, so none is passed over.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Literal, Protocol

import pytest

from gpfn.bridge.record import Outgoing, Partition, Record
from gpfn.bridge.seam import Sink, Source
from gpfn.errors import BackendError, GpfnError, SetupError

__all__ = ["Ability", "Conformance", "Heard", "Place", "Refusal", "numbered", "reading", "send"]

Ability = Literal[
    "keys",  # a record's key comes as it was sent
    "headers",  # headers come as they were sent: order, repetition, bytes
    "null headers",  # a header's value may be null
    "null values",  # a value that is null is not an empty one
    "attempts",  # how often a record was tried outlives a restart
    "exact restart",  # what was done beyond the oldest unfinished record is not given again
    "time",  # a record knows when it was written
]

Refusal = tuple[Callable[[], Source | Sink], str]
"""Makes what cannot start, and the field of the error that says so."""


class Place(Protocol):
    """One queue with one topic of one partition, empty at first, and one group of readers."""

    topic: str
    partition: Partition
    """As its records have it."""
    lacks: Mapping[Ability, str]
    """What this kind of queue cannot do, and why."""
    patience: float
    """Seconds within which anything that will come has come."""
    quiet: float
    """Seconds without a record after which none is under way."""
    largest: int
    """Bytes of a value that it takes."""
    refusals: Mapping[str, Refusal]
    """What cannot start, by what is wrong."""

    def source(self) -> Source:
        """Return another source of the group; of those before none runs."""

    def sink(self) -> Sink:
        """Return another sink."""


class Heard:
    """A listener that keeps what it is told."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.records: list[Record] = []
        self.partitions: list[Partition] = []
        self.errors: list[GpfnError] = []
        self.done_at_once = False

    def assigned(self, partitions: Sequence[Partition]) -> None:
        self.partitions.extend(partitions)

    async def revoked(self, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            self.partitions.remove(partition)

    def lost(self, partitions: Sequence[Partition]) -> None:
        raise AssertionError(f"{partitions} were lost to nobody")

    def received(self, records: Sequence[Record]) -> None:
        assert all(record[:2] in self.partitions for record in records)
        self.records.extend(records)
        if self.done_at_once:
            for record in records:
                self.source.done(record)

    def ended(self) -> None:
        raise AssertionError("it has no end")

    def failed(self, error: GpfnError) -> None:
        self.errors.append(error)

    def values(self) -> list[bytes | None]:
        """Return what came, without its order: a queue may have given some of it before."""
        return [record.value for record in self.records]


async def until(holds: Callable[[], bool], seconds: float, what: str = "") -> None:
    """Wait until something holds; fails when it does not in time."""
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.005)
    assert holds(), what


@asynccontextmanager
async def reading(place: Place) -> AsyncIterator[Heard]:
    """Run a source, and stop it."""
    source = place.source()
    heard = Heard(source)
    await source.start(heard)
    try:
        yield heard
        assert heard.errors == []
    finally:
        await source.stop()


async def come(heard: Heard, count: int, place: Place) -> list[Record]:
    """Wait for so many records, and then whether there are more; return all of them."""
    await until(lambda: len(heard.records) >= count, place.patience)
    await still(heard, place)
    assert len(heard.records) == count, [record.offset for record in heard.records][:20]
    return heard.records


async def still(heard: Heard, place: Place) -> None:
    """Wait until no record has come for a while."""
    while True:
        before = len(heard.records)
        await asyncio.sleep(place.quiet)
        if len(heard.records) == before:
            return


async def send(place: Place, records: Sequence[Outgoing]) -> None:
    """Send records with a sink of their own; each is told of once, and has no error."""
    sink = place.sink()
    await sink.start([place.topic])
    told: list[int] = []
    errors: list[GpfnError] = []

    def tell(number: int, error: GpfnError | None) -> None:
        told.append(number)
        if error is not None:
            errors.append(error)

    for number, record in enumerate(records):
        sink.send(record, lambda error, number=number: tell(number, error))
    await until(lambda: len(told) >= len(records), place.patience)
    await sink.stop(place.patience)
    assert errors == []
    assert sorted(told) == list(range(len(records)))


def numbered(place: Place, count: int, keys: int = 1) -> list[Outgoing]:
    """Return records whose values are numbers."""
    return [
        Outgoing(place.topic, b"key-%d" % (number % keys), b"%d" % number)
        for number in range(count)
    ]


def as_it_comes(sent: Outgoing, place: Place) -> tuple[object, ...]:
    """Return key, value and headers of a record, as they come out of the queue."""
    _, key, value, headers = sent
    if "null values" in place.lacks:
        value = value or b""
    if "null headers" in place.lacks:
        headers = tuple((name, content or b"") for name, content in headers)
    return (
        None if "keys" in place.lacks else key,
        value,
        () if "headers" in place.lacks else headers,
    )


def as_it_came(record: Record, place: Place) -> tuple[object, ...]:
    """Return key, value and headers of a record; headers only where the queue has them."""
    return record.key, record.value, () if "headers" in place.lacks else record.headers


ODD = (
    (b"key", b"value", (("ce_id", b"1"), ("content-type", b"application/json"))),
    (None, b"no key", ()),
    (b"", b"an empty key", ()),
    (bytes(range(256)), bytes(range(256)), (("all", bytes(range(256))),)),
    (b"\0", b"\xff\xfe\n\r\n{", (("again", b"1"), ("other", b""), ("again", b"2"))),
    (b"k" * 1000, b"\n\n\n", (("Case", b"1"), ("case", b"2"), ("name with: odd\tthings", b"x"))),
    ("schlüssel".encode(), "wörter €".encode(), (("ärger", "größe".encode()),)),
)


class Conformance:
    """The tests; ``place`` is a fixture of whoever inherits them."""

    def test_records_come_in_their_order_and_byte_for_byte(self, place: Place) -> None:
        sent = [Outgoing(place.topic, *odd) for odd in ODD]

        async def main() -> None:
            await send(place, sent)
            async with reading(place) as heard:
                records = await come(heard, len(sent), place)
            assert [as_it_came(record, place) for record in records] == [
                as_it_comes(record, place) for record in sent
            ]
            assert {record[:2] for record in records} == {place.partition}
            assert sorted({record.offset for record in records}) == [r.offset for r in records]
            assert {record.attempts for record in records} == {0}
            known = {record.time > 1_600_000_000_000 for record in records}
            assert known == {"time" not in place.lacks}

        asyncio.run(main())

    def test_null_and_empty_are_two_things(self, place: Place) -> None:
        sent = [
            Outgoing(place.topic, b"k", None, (("a", None), ("a", b""))),
            Outgoing(place.topic, b"k", b"", (("a", b""), ("a", None))),
            Outgoing(place.topic, None, None),
        ]

        async def main() -> None:
            await send(place, sent)
            async with reading(place) as heard:
                records = await come(heard, 3, place)
            found = [as_it_came(record, place) for record in records]
            assert found == [as_it_comes(record, place) for record in sent]

        asyncio.run(main())

    def test_what_is_not_done_comes_again(self, place: Place) -> None:
        async def main() -> None:
            await send(place, numbered(place, 20))
            for _ in range(2):
                async with reading(place) as heard:
                    first = await come(heard, 20, place)
            async with reading(place) as heard:
                again = await come(heard, 20, place)
            assert [r[:5] for r in again] == [r[:5] for r in first]

        asyncio.run(main())

    def test_what_is_done_never_comes_again(self, place: Place) -> None:
        async def main() -> None:
            await send(place, numbered(place, 20))
            async with reading(place) as heard:
                heard.done_at_once = True
                await come(heard, 20, place)
            async with reading(place) as heard:
                await come(heard, 0, place)
            await send(place, numbered(place, 3))
            async with reading(place) as heard:
                assert [r.value for r in await come(heard, 3, place)] == [b"0", b"1", b"2"]

        asyncio.run(main())

    def test_of_what_was_done_out_of_order_the_rest_comes_again(self, place: Place) -> None:
        done = {1, 2, 5, 7, 8, 9, 13, 19}
        left = [b"%d" % number for number in range(20) if number not in done]

        async def main() -> None:
            await send(place, numbered(place, 20))
            async with reading(place) as heard:
                records = await come(heard, 20, place)
                for number in sorted(done, reverse=True):
                    heard.source.done(records[number])
            async with reading(place) as heard:
                await until(lambda: set(heard.values()) >= set(left), place.patience)
                await still(heard, place)
                if "exact restart" not in place.lacks:
                    assert heard.values() == left
                for record in heard.records:
                    heard.source.done(record)
            async with reading(place) as heard:
                await come(heard, 0, place)

        asyncio.run(main())

    def test_attempts_outlive_a_restart(self, place: Place) -> None:
        kept = "attempts" not in place.lacks

        async def main() -> None:
            await send(place, numbered(place, 3))
            for expected in ([0, 0, 0], [0, 2, 0], [0, 3, 1]):
                async with reading(place) as heard:
                    records = await come(heard, 3, place)
                    assert [r.attempts for r in records] == (expected if kept else [0, 0, 0])
                    if expected == [0, 0, 0]:
                        heard.source.tried(records[1], 1)
                        heard.source.tried(records[1], 2)
                    else:
                        heard.source.tried(records[1], 3)
                        heard.source.tried(records[2], 1)

        asyncio.run(main())

    def test_a_paused_partition_gives_nothing_until_it_is_resumed(self, place: Place) -> None:
        async def main() -> None:
            await send(place, numbered(place, 5))
            async with reading(place) as heard:
                await come(heard, 5, place)
                heard.source.pause([place.partition])
                await still(heard, place)
                await send(place, numbered(place, 5))
                await still(heard, place)
                assert len(heard.records) == 5
                heard.source.resume([place.partition])
                assert heard.values() == [b"0", b"1", b"2", b"3", b"4"]
                await come(heard, 10, place)
                assert heard.values()[5:] == [b"0", b"1", b"2", b"3", b"4"]

        asyncio.run(main())

    def test_the_lag_is_what_is_not_done(self, place: Place) -> None:
        async def lag(heard: Heard, count: int) -> None:
            async with asyncio.timeout(place.patience):
                while await heard.source.lag() != {place.partition: count}:
                    await asyncio.sleep(0.02)

        async def main() -> None:
            async with reading(place) as heard:
                await lag(heard, 0)
                await send(place, numbered(place, 10))
                await come(heard, 10, place)
                await lag(heard, 10)
                for record in heard.records[:4]:
                    heard.source.done(record)
                await lag(heard, 6)
            async with reading(place) as heard:
                await lag(heard, 6)
                heard.done_at_once = True
                for record in list(heard.records):
                    heard.source.done(record)
                await lag(heard, 0)

        asyncio.run(main())

    def test_done_twice_or_of_a_record_that_never_came_changes_nothing(self, place: Place) -> None:
        async def main() -> None:
            await send(place, numbered(place, 4))
            async with reading(place) as heard:
                records = await come(heard, 4, place)
                for _ in range(3):
                    heard.source.done(records[0])
                heard.source.done(records[1]._replace(offset=records[3].offset + 1000))
                heard.source.tried(records[1]._replace(offset=records[3].offset + 1000), 1)
                heard.source.done(records[1]._replace(topic="another"))
            async with reading(place) as heard:
                again = await come(heard, 3, place)
                assert [r.value for r in again] == [b"1", b"2", b"3"]

        asyncio.run(main())

    def test_stopping_twice_is_stopping_once(self, place: Place) -> None:
        async def main() -> None:
            source, sink = place.source(), place.sink()
            await sink.start([place.topic])
            await sink.stop(1)
            await sink.stop(1)
            heard = Heard(source)
            await source.start(heard)
            await source.stop()
            await source.stop()
            assert heard.errors == []
            never = place.source(), place.sink()
            await never[0].stop()
            await never[1].stop(1)

        asyncio.run(main())

    def test_what_cannot_start_says_which_field_is_wrong(self, place: Place) -> None:
        async def main(make: Callable[[], Source | Sink], field: str) -> None:
            started = make()
            sink = hasattr(started, "send")
            starting = started.start([place.topic] if sink else Heard(started))
            with pytest.raises((SetupError, BackendError)) as caught:
                await starting
            assert caught.value.field == field, str(caught.value)
            await (started.stop(1) if sink else started.stop())

        assert place.refusals
        for make, field in place.refusals.values():
            asyncio.run(main(make, field))

    def test_what_was_delivered_is_there(self, place: Place) -> None:
        async def main() -> None:
            sink = place.sink()
            await sink.start([place.topic])
            try:
                for number in range(3):
                    told: list[GpfnError | None] = []
                    record = Outgoing(place.topic, b"k", b"%d" % number)
                    sink.send(record, told.append)
                    await until(lambda told=told: bool(told), place.patience)
                    assert told == [None]
                    async with reading(place) as heard:
                        heard.done_at_once = True
                        await come(heard, 1, place)
                        assert heard.values() == [b"%d" % number]
            finally:
                await sink.stop(place.patience)

        asyncio.run(main())

    def test_stop_waits_for_what_was_sent(self, place: Place) -> None:
        async def main() -> None:
            sink = place.sink()
            await sink.start([place.topic])
            told: list[GpfnError | None] = []
            for record in numbered(place, 500):
                sink.send(record, told.append)
            await sink.stop(place.patience)
            assert told == [None] * 500
            async with reading(place) as heard:
                await come(heard, 500, place)

        asyncio.run(main())

    def test_a_big_record(self, place: Place) -> None:
        value = b"\xfe" + bytes(range(256)) * (place.largest // 256 - 1) + b"\xff"

        async def main() -> None:
            await send(place, [Outgoing(place.topic, b"k", value), *numbered(place, 1)])
            async with reading(place) as heard:
                records = await come(heard, 2, place)
            assert records[0].value == value
            assert records[1].value == b"0"

        asyncio.run(main())

    def test_ten_thousand_records_each_come_once_and_in_the_order_of_their_key(
        self, place: Place
    ) -> None:
        async def main() -> None:
            await send(place, numbered(place, 10_000, keys=7))
            async with reading(place) as heard:
                heard.done_at_once = True
                records = await come(heard, 10_000, place)
            assert [int(record.value or b"") for record in records] == list(range(10_000))
            async with reading(place) as heard:
                await come(heard, 0, place)

        asyncio.run(main())
