"""Records, topics and lag as the command line asks for them, without a group."""

import asyncio
from collections.abc import Iterator

import nats
import pytest

from gpfn.bridge.nats.read import (
    NatsGroupLag,
    NatsTopic,
    nats_group_lag,
    nats_topics,
    read_nats_topic,
)
from gpfn.bridge.record import Record
from gpfn.errors import CannotConnect, SetupError
from tests.bridge.nats_running import Hears, numbered, outgoing, published, running, until
from tests.bridge.nats_server import NatsServer, free_port, nats_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """Run a server with a stream of two subjects, whose records take turns, some time apart."""
    with nats_server(tmp_path_factory.mktemp("nats")) as server:
        asyncio.run(fill(server))
        yield server


async def fill(server: NatsServer) -> None:
    client = await nats.connect(server.url)
    stream = client.jetstream()
    await stream.add_stream(name="shared", subjects=["shared.>"])
    for number in range(20):
        subject = f"shared.{'ab'[number % 2]}"
        headers = {"ce-id": f"{number}%20"} if number == 4 else None
        await stream.publish(subject, b"%d" % number, headers=headers)
        await asyncio.sleep(0.005)
    await client.close()


def read(server: NatsServer, topic: str = "shared.a", **bounds: int) -> list[Record]:
    async def main() -> list[Record]:
        return [record async for record in read_nats_topic(server.url, topic, **bounds)]

    return asyncio.run(main())


def test_a_topic_is_read_from_its_beginning_to_its_end(server: NatsServer) -> None:
    records = read(server)
    assert [record.value for record in records] == [b"%d" % n for n in range(0, 20, 2)]
    assert [record.offset for record in records] == list(range(1, 21, 2))
    assert records[2].headers == (("ce_id", b"4 "),)
    times = [record.time for record in records]
    assert times == sorted(times)


def test_bounds_are_offsets_or_times(server: NatsServer) -> None:
    every = read(server)
    assert read(server, first=4, last=9) == every[2:5]
    assert read(server, first=20) == []
    assert read(server, first=1000) == []
    assert read(server, last=0) == []
    assert read(server, since=every[3].time) == every[3:]
    assert read(server, since=every[3].time + 1, until=every[6].time) == every[4:7]
    assert read(server, since=0) == every
    assert read(server, since=every[-1].time + 10**9) == []
    assert read(server, "shared.c") == []


def test_followed_it_goes_on(server: NatsServer) -> None:
    async def main() -> list[bytes | None]:
        values = []
        async for record in read_nats_topic(server.url, "shared.follow", follow=True):
            values.append(record.value)
            if len(values) < 3:
                await published(server, [outgoing("shared.follow", b"%d" % len(values))])
            else:
                break
        return values

    async def both() -> list[bytes | None]:
        reading = asyncio.create_task(main())
        await asyncio.sleep(0.3)
        await published(server, [outgoing("shared.follow", b"0")])
        return await reading

    assert asyncio.run(both()) == [b"0", b"1", b"2"]


def test_topics_are_listed_with_their_streams(server: NatsServer) -> None:
    asyncio.run(published(server, numbered("another.one", 3)))
    topics = asyncio.run(nats_topics(server.url))
    assert NatsTopic("another.one", "another_one", 3) in topics
    assert NatsTopic("shared.a", "shared", 10) in topics
    assert topics == sorted(topics)
    assert not [topic for topic in topics if topic.topic.startswith("$")]


def test_the_lag_of_a_group_is_told_by_topic(server: NatsServer) -> None:
    async def main() -> None:
        await published(server, [*numbered("lag.a", 10), *numbered("lag.b", 4)])
        hears = Hears()
        source = await running(server, "lag.a", hears, "group", max_ack_pending="6")
        await until(lambda: len(hears.records) == 6)
        found = await nats_group_lag(server.url, "group")
        assert found == [NatsGroupLag("lag.a", 4, 6)]
        assert await nats_group_lag(server.url, "grou") == []
        await source.stop()

    asyncio.run(main())


def test_reading_changes_nothing_for_a_group(server: NatsServer) -> None:
    async def main() -> None:
        await published(server, numbered("quiet", 5))
        hears = Hears()
        source = await running(server, "quiet", hears)
        await until(lambda: len(hears.records) == 5)
        before = await nats_group_lag(server.url, "g")
        assert len([record async for record in read_nats_topic(server.url, "quiet")]) == 5
        assert await nats_group_lag(server.url, "g") == before
        await source.stop()

    asyncio.run(main())


def test_what_cannot_be_read(server: NatsServer) -> None:
    with pytest.raises(SetupError) as caught:
        read(server, "no.stream")
    assert caught.value.field == "no.stream"
    with pytest.raises(SetupError, match="wildcards"):
        read(server, "shared.*")
    away = f"nats://127.0.0.1:{free_port()}"
    for asked in (nats_topics(away), nats_group_lag(away, "g")):
        with pytest.raises(CannotConnect) as refused:
            asyncio.run(asked)
        assert refused.value.field == "nats"
