"""NATS JetStream as a source, with a real server."""

import asyncio
import time
from collections.abc import Iterator
from itertools import count

import nats
import pytest

from gpfn.bridge.nats.source import NatsSource
from gpfn.bridge.nats.streams import consumer_name
from gpfn.bridge.record import Outgoing, Record
from gpfn.errors import BackendError, SetupError
from tests.bridge.nats_running import (
    CREATE,
    Hears,
    numbered,
    outgoing,
    published,
    running,
    until,
)
from tests.bridge.nats_server import NatsServer, nats_server

_TOPICS = (f"topic.{number}" for number in count())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with nats_server(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture
def topic() -> str:
    return next(_TOPICS)


def test_records_come_as_they_were_sent_and_in_order(server: NatsServer, topic: str) -> None:
    sent = [
        outgoing(topic, b"data", b"\x00\xff", ("ce_specversion", b"1.0"), ("ce_id", "ä".encode())),
        outgoing(
            topic, None, None, ("x", None), ("x", b"\xff"), ("x", b"1"), ("Nats-Rollup", b"all")
        ),
        outgoing(topic, b"", b""),
        *numbered(topic, 300),
    ]

    async def main() -> Hears:
        before = time.time() * 1000
        await published(server, sent)
        hears = Hears()
        source = await running(server, topic, hears)
        assert hears.partitions == [(topic, 0)]
        await until(lambda: len(hears.records) == len(sent))
        await source.stop()
        assert all(before - 1 <= record.time <= time.time() * 1000 for record in hears.records)
        return hears

    hears = asyncio.run(main())
    assert [Outgoing(r.topic, r.key, r.value, r.headers) for r in hears.records] == sent
    assert [record.offset for record in hears.records] == list(range(1, len(sent) + 1))
    assert {(record.partition, record.attempts) for record in hears.records} == {(0, 0)}


def test_what_is_done_does_not_come_again_and_the_rest_does(server: NatsServer, topic: str) -> None:
    async def main() -> None:
        await published(server, numbered(topic, 500))
        hears = Hears()
        source = await running(server, topic, hears)
        await until(lambda: len(hears.records) == 500)
        for record in hears.records[::2]:
            source.done(record)
        source.tried(hears.records[1], 2)
        await source.stop()
        again = Hears()
        source = await running(server, topic, again)
        await until(lambda: len(again.records) == 250)
        assert again.values == hears.values[1::2]
        assert [record.attempts for record in again.records] == [2] + [0] * 249
        for record in again.records:
            source.done(record)
        await source.stop()
        third = Hears()
        source = await running(server, topic, third)
        assert await source.lag() == {(topic, 0): 0}
        await source.stop()
        assert third.records == []

    asyncio.run(main())


def test_attempts_outlive_members_that_are_stopped_untried(server: NatsServer, topic: str) -> None:
    async def one(attempts: int | None) -> int:
        hears = Hears()
        source = await running(server, topic, hears)
        await until(lambda: bool(hears.records))
        if attempts is not None:
            source.tried(hears.records[0], attempts)
        await source.stop()
        return hears.records[0].attempts

    async def main() -> list[int]:
        await published(server, [outgoing(topic, b"poison")])
        return [await one(tried) for tried in (None, None, 1, None, 2, 3, None)]

    assert asyncio.run(main()) == [0, 0, 0, 1, 1, 2, 3]


def test_without_a_bucket_deliveries_count(server: NatsServer, topic: str) -> None:
    async def one() -> int:
        hears = Hears()
        source = await running(server, topic, hears, tries="none")
        await until(lambda: bool(hears.records))
        source.tried(hears.records[0], 40)
        await source.stop()
        return hears.records[0].attempts

    async def main() -> list[int]:
        await published(server, [outgoing(topic, b"poison")])
        return [await one() for _ in range(3)]

    assert asyncio.run(main()) == [0, 1, 2]


def test_ten_thousand_with_requests_of_one_millisecond(server: NatsServer, topic: str) -> None:
    """Nothing that comes while a request runs out is lost (nats.py 392, 933)."""

    async def main() -> Hears:
        hears = Hears()
        source = await running(server, topic, hears, expires=0.001)
        hears.then = source.done
        await published(server, numbered(topic, 10_000, keys=1000))
        await until(lambda: len(hears.records) >= 10_000)
        await source.stop()
        return hears

    hears = asyncio.run(main())
    assert sorted(hears.values, key=lambda value: int(value or b"")) == [
        b"%d" % n for n in range(10_000)
    ]


def test_paused_it_gives_nothing_and_keeps_what_it_holds(server: NatsServer, topic: str) -> None:
    async def main() -> None:
        hears = Hears()
        source = await running(server, topic, hears, ack_wait="500ms")
        await published(server, numbered(topic, 10))
        await until(lambda: len(hears.records) == 10)
        source.pause([(topic, 0)])
        await published(server, numbered(topic, 500))
        other = Hears()
        await asyncio.sleep(2)  # four times what a record may be silent for
        assert len(hears.records) == 10
        assert await source.lag() == {(topic, 0): 510}
        source.pause([("another", 0)])
        source.resume([(topic, 0)])
        await until(lambda: len(hears.records) == 510)
        assert [record.offset for record in hears.records] == list(range(1, 511))
        assert other.records == []
        await source.stop()

    asyncio.run(main())


def test_long_work_is_given_to_nobody_else(server: NatsServer, topic: str) -> None:
    async def main() -> None:
        await published(server, numbered(topic, 3))
        hears, other = Hears(), Hears()
        source = await running(server, topic, hears, ack_wait="500ms")
        await until(lambda: len(hears.records) == 3)
        second = await running(server, topic, other, ack_wait="500ms")
        await asyncio.sleep(2.5)
        assert len(hears.records) == 3
        assert other.records == []
        await source.stop()
        await until(lambda: len(other.records) == 3, seconds=0.4)  # at once, not after ack_wait
        assert other.values == hears.values
        await second.stop()

    asyncio.run(main())


def test_a_loop_that_stands_still_gets_nothing_twice(server: NatsServer, topic: str) -> None:
    async def main() -> None:
        await published(server, numbered(topic, 20))
        hears = Hears()
        source = await running(server, topic, hears, ack_wait="300ms")
        await until(lambda: len(hears.records) == 20)
        for record in hears.records[:10]:
            source.done(record)
        time.sleep(1.5)  # the server gives all of it again
        await asyncio.sleep(1)
        assert len(hears.records) == 20
        assert await source.lag() == {(topic, 0): 10}
        await source.stop()

    asyncio.run(main())


def test_members_share_and_lose_nothing(server: NatsServer, topic: str) -> None:
    async def main() -> None:
        await published(server, numbered(topic, 2000))
        done: set[bytes | None] = set()
        members = []
        for _ in range(3):
            hears = Hears()
            source = await running(server, topic, hears, max_ack_pending="300", batch="20")
            hears.then = lambda record, source=source: (  # type: ignore[misc]
                source.done(record),
                done.add(record.value),
            )
            for record in hears.records:
                hears.then(record)
            members.append((source, hears))
        await until(lambda: len(done) == 2000)
        for source, _ in members:
            await source.stop()
        assert sum(len(hears.records) for _, hears in members) == 2000
        assert all(hears.records for _, hears in members)

    asyncio.run(main())


def test_subjects_of_one_stream_are_topics_of_their_own(server: NatsServer, topic: str) -> None:
    async def main() -> None:
        client = await nats.connect(server.url)
        await client.jetstream().add_stream(name="both", subjects=["both.*"])
        hears = Hears()
        source = NatsSource(server.url, ["both.a", "both.b"], "g")
        await source.start(hears)
        await published(server, [outgoing(f"both.{'abc'[n % 3]}", b"%d" % n) for n in range(30)])
        await until(lambda: len(hears.records) == 20)
        source.pause([("both.a", 0)])
        await published(server, [outgoing("both.a", b"late"), outgoing("both.b", b"now")])
        await until(lambda: len(hears.records) == 21)
        assert hears.values[-1] == b"now"
        assert await source.lag() == {("both.a", 0): 11, ("both.b", 0): 11}
        source.resume([("both.a", 0)])
        await until(lambda: len(hears.records) == 22)
        await source.stop()
        await client.close()

    asyncio.run(main())


def test_groups_are_apart_and_latest_begins_with_what_is_new(
    server: NatsServer, topic: str
) -> None:
    async def main() -> None:
        await published(server, numbered(topic, 5))
        one, two = Hears(), Hears()
        first = await running(server, topic, one, "a.b")
        second = NatsSource(server.url, [topic], "a_b", start="latest")
        await second.start(two)
        await published(server, [outgoing(topic, b"new")])
        await until(lambda: len(one.records) == 6 and len(two.records) == 1)
        assert two.values == [b"new"]
        await second.stop()
        await first.stop()

    asyncio.run(main())


def test_a_consumer_or_stream_that_is_deleted_is_an_error(server: NatsServer, topic: str) -> None:
    async def main(delete_stream: bool) -> str:
        hears = Hears()
        source = await running(server, topic, hears, expires=0.5)
        client = await nats.connect(server.url)
        stream = topic.replace(".", "_")
        if delete_stream:
            await client.jetstream().delete_stream(stream)
        else:
            await client.jetstream().delete_consumer(stream, consumer_name("g", topic))
        await until(lambda: bool(hears.errors))
        with pytest.raises(BackendError):
            await source.lag()
        await source.stop()
        await client.close()
        [error] = hears.errors
        assert isinstance(error, SetupError)
        assert error.field == topic
        return str(error)

    assert "gone" in asyncio.run(main(False))
    assert "gone" in asyncio.run(main(True))


def test_large_records_come_within_the_bound_of_a_request(server: NatsServer, topic: str) -> None:
    async def main() -> None:
        await published(server, [outgoing(topic, bytes(900_000)) for _ in range(30)])
        hears = Hears()
        source = await running(server, topic, hears)
        await until(lambda: len(hears.records) == 30)
        assert [record.offset for record in hears.records] == list(range(1, 31))
        await source.stop()

    asyncio.run(main())


def test_hostile_headers_end_nothing(server: NatsServer, topic: str) -> None:
    """Anyone who may publish may send these; nats-py's task that reads ends at the first."""
    hostile = [b"NATS/1.0", b"garbage\r\n\r\n", b"NATS/1.0 \xff\xff\xff\r\n\r\n", b"\x00" * 40]

    async def main() -> list[Record]:
        await published(server, [outgoing(topic, b"first")])
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        await reader.readline()
        writer.write(b'CONNECT {"headers":true,"verbose":false}\r\n')
        for number, head in enumerate(hostile):
            command = f"HPUB {topic} {len(head)} {len(head) + 1}\r\n"
            writer.write(command.encode() + head + b"%d\r\n" % number)
        writer.write(b"PING\r\n")
        while b"PONG" not in await reader.readline():
            pass
        writer.close()
        await published(server, [outgoing(topic, b"last")])
        hears = Hears()
        source = await running(server, topic, hears)
        await until(lambda: len(hears.records) == len(hostile) + 2)
        await source.stop()
        return hears.records

    records = asyncio.run(main())
    assert [r.value for r in records] == [b"first", b"0", b"1", b"2", b"3", b"last"]
    assert not any(record.headers for record in records)


def test_done_and_tried_of_what_is_not_held_change_nothing(server: NatsServer, topic: str) -> None:
    async def main() -> None:
        hears = Hears()
        source = await running(server, topic, hears)
        await published(server, numbered(topic, 2))
        await until(lambda: len(hears.records) == 2)
        source.done(Record("elsewhere", 0, 1, None, b""))
        source.tried(Record("elsewhere", 0, 1, None, b""), 1)
        source.done(Record(topic, 0, 999, None, b""))
        for _ in range(2):
            source.done(hears.records[0])
        await source.stop()
        again = Hears()
        source = await running(server, topic, again)
        await until(lambda: len(again.records) == 1)
        await source.stop()
        assert again.values == [b"1"]

    asyncio.run(main())


def test_one_source_stops_when_it_never_started(server: NatsServer, topic: str) -> None:
    asyncio.run(NatsSource(server.url, [topic], "g", settings=CREATE).stop())
