"""NATS JetStream as a sink, with a real server: what is confirmed is stored, in order, once."""

import asyncio
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import nats
import pytest

from gpfn.bridge.nats.read import read_nats_topic
from gpfn.bridge.nats.sink import NatsSink
from gpfn.bridge.record import Outgoing, Record
from gpfn.errors import BackendError, GpfnError, SetupError, TooLarge
from tests.bridge.nats_running import CREATE, numbered, outgoing, until
from tests.bridge.nats_server import NatsServer, nats_server

_TOPICS = (f"sink.{number}" for number in count())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with nats_server(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture
def topic() -> str:
    return next(_TOPICS)


async def stored(server: NatsServer, topic: str) -> list[Record]:
    return [record async for record in read_nats_topic(server.url, topic)]


async def opened(server: NatsServer, *topics: str) -> NatsSink:
    sink = NatsSink(server.url, settings=CREATE)
    await sink.start(topics)
    return sink


def test_records_keep_their_order_and_all_are_told(server: NatsServer, topic: str) -> None:
    async def main() -> None:
        sink = await opened(server, topic)
        told: list[GpfnError | None] = []
        sent = [*numbered(topic, 3000, keys=5), outgoing(topic, b"no key")]
        for record in sent:
            sink.send(record, told.append)
        assert not told
        await sink.stop(30)
        assert told == [None] * len(sent)
        records = await stored(server, topic)
        assert [record.value for record in records] == [record.value for record in sent]

    asyncio.run(main())


def test_what_is_too_large_is_told_and_the_largest_goes(server: NatsServer, topic: str) -> None:
    async def main() -> list[GpfnError | None]:
        sink = await opened(server, topic)
        told: list[GpfnError | None] = []
        sink.send(outgoing(topic, bytes((1 << 20) + 1)), told.append)
        sink.send(outgoing(topic, b"", None, ("x", bytes(1 << 20))), told.append)
        low, high = (1 << 20) - 200, 1 << 20
        while low < high:  # the largest value that is not refused here
            middle = (low + high + 1) // 2
            trial: list[GpfnError | None] = []
            sink.send(outgoing(topic, bytes(middle)), trial.append)
            low, high = (low, middle - 1) if trial else (middle, high)
            told += trial
        sink.send(outgoing(topic, b"last"), told.append)
        await sink.stop(10)
        records = await stored(server, topic)
        assert low in [len(record.value or b"") for record in records]
        assert records[-1].value == b"last"
        return told

    told = asyncio.run(main())
    assert len([error for error in told if isinstance(error, TooLarge)]) >= 3
    assert told[-1] is None
    assert all(error is None or isinstance(error, TooLarge) for error in told)


def test_a_full_stream_that_refuses_is_told(server: NatsServer, topic: str) -> None:
    async def main() -> list[GpfnError | None]:
        client = await nats.connect(server.url)
        config = {"max_msgs": 3, "discard": "new", "max_msg_size": 1000}
        await client.jetstream().add_stream(name="full", subjects=["full"], **config)
        sink = await opened(server, "full")
        told: list[GpfnError | None] = []
        sink.send(outgoing("full", bytes(2000), b"k"), told.append)
        for number in range(5):
            sink.send(outgoing("full", b"%d" % number, b"k"), told.append)
        await sink.stop(30)
        await client.close()
        return told

    told = asyncio.run(main())
    assert isinstance(told[0], TooLarge)
    assert told[1:4] == [None] * 3
    assert [type(error) for error in told[4:]] == [BackendError] * 2
    assert {error.field for error in told if error} == {"full"}
    assert "maximum messages exceeded" in str(told[4])


def test_a_topic_without_a_stream_is_told(server: NatsServer, topic: str) -> None:
    async def main() -> list[GpfnError | None]:
        sink = await opened(server, topic)
        told: list[GpfnError | None] = []
        sink.send(outgoing("nobody.takes.it", b"1"), told.append)
        for wrong in ("", "a b", "a.*", "a..b", "x" * 300, "$JS.API.STREAM.DELETE.x"):
            sink.send(outgoing(wrong, b"2"), told.append)
        sink.send(outgoing(topic, b"3"), told.append)
        await sink.stop(30)
        assert [record.value for record in await stored(server, topic)] == [b"3"]
        return told

    told = asyncio.run(main())
    assert [type(error) for error in told[:6]] == [SetupError] * 6
    assert told[6] is None
    assert isinstance(told[7], BackendError)
    assert told[7].field == "nobody.takes.it"


def test_a_stream_that_comes_late_is_waited_for(server: NatsServer, topic: str) -> None:
    async def main() -> None:
        sink = await opened(server)
        told: list[GpfnError | None] = []
        sink.send(outgoing(topic, b"1", b"k"), told.append)
        sink.send(outgoing(topic, b"2", b"k"), told.append)
        await asyncio.sleep(1)
        other = await opened(server, topic)
        await sink.stop(10)
        await other.stop(1)
        assert told == [None, None]
        assert [record.value for record in await stored(server, topic)] == [b"1", b"2"]

    asyncio.run(main())


def test_one_that_may_not_publish_is_told(tmp_path: Path) -> None:
    config = """
    authorization { users [
      { user: all, password: one }
      { user: bridge, password: two, permissions: { publish: { deny: ["Closed"] } } }
    ] }
    """

    async def main(server: NatsServer) -> list[GpfnError | None]:
        sink = NatsSink(server.url, settings={**CREATE, "user": "bridge", "password": "two"})
        await sink.start(["Closed", "open"])
        told: list[GpfnError | None] = []
        sink.send(outgoing("Closed", b"1", b"k"), told.append)
        sink.send(outgoing("open", b"2"), told.append)
        await until(lambda: len(told) == 2)
        await sink.stop(5)
        return told

    with nats_server(tmp_path, config=config) as server:
        told = asyncio.run(main(server))
    errors = [error for error in told if error is not None]
    assert [type(error) for error in errors] == [BackendError]
    assert errors[0].field == "Closed"
    assert told.count(None) == 1


def test_a_confirmation_that_was_lost_stores_nothing_twice(server: NatsServer, topic: str) -> None:
    """Connections are cut all the time; each record is there once."""

    async def main() -> None:
        sink = await opened(server, topic)
        told: list[GpfnError | None] = []
        sent = list(numbered(topic, 5000, keys=50))
        cuts = 0
        for record in sent:
            sink.send(record, told.append)
        while len(sink._outbox) and cuts < 30:
            await asyncio.sleep(cuts % 10 / 1000)
            cuts += cut(sink)
        await sink.stop(60)
        assert told == [None] * len(sent)
        assert cuts == 30
        records = await stored(server, topic)
        assert [int(record.value or b"") for record in records] == list(range(5000))

    asyncio.run(main())


def cut(sink: NatsSink) -> bool:
    """Reset a sink's connection, as a network does, if it has one with records on their way."""
    connection = sink._link.connection
    if connection is None or not sink._outbox.flying:
        return False
    connection.client._transport._io_writer.transport.abort()
    return True


def test_time_to_stop_is_bounded_and_the_rest_is_told(tmp_path: Path) -> None:
    async def main(server: NatsServer) -> list[GpfnError | None]:
        sink = await opened(server, "t")
        told: list[GpfnError | None] = []
        server.pause()
        for number in range(20):
            sink.send(outgoing("t", b"%d" % number, b"k"), told.append)
        async with asyncio.timeout(5):
            await sink.stop(0.5)
        sink.send(outgoing("t", b"late"), told.append)
        return told

    with nats_server(tmp_path) as server:
        told = asyncio.run(main(server))
    assert len(told) == 21
    assert all(isinstance(error, BackendError) for error in told)


def test_what_a_listener_raises_is_seen_and_stops_nothing(server: NatsServer, topic: str) -> None:
    async def main() -> None:
        seen: list[object] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: seen.append(context.get("exception"))
        )
        sink = await opened(server, topic)
        told: list[GpfnError | None] = []

        def broken(_: GpfnError | None) -> None:
            raise ZeroDivisionError

        sink.send(outgoing(topic, b"1", b"k"), broken)
        sink.send(outgoing(topic, b"2", b"k"), told.append)
        await sink.stop(10)
        assert told == [None]
        assert [type(error) for error in seen] == [ZeroDivisionError]

    asyncio.run(main())


def test_many_large_records_are_bounded_on_their_way(server: NatsServer, topic: str) -> None:
    async def main() -> None:
        sink = await opened(server, topic)
        told: list[GpfnError | None] = []
        for _ in range(100):
            sink.send(Outgoing(topic, None, bytes(1_000_000)), told.append)
        most = 0
        while len(sink._outbox):
            most = max(most, sum(sent.size for sent in sink._outbox.flying.values()))
            await asyncio.sleep(0)
        await sink.stop(10)
        assert told == [None] * 100
        assert most <= (32 << 20) + 1_100_000

    asyncio.run(main())
