"""Servers that restart, are killed and stand still, and members that are killed."""

import asyncio
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gpfn.bridge.nats import client
from gpfn.bridge.nats.read import nats_group_lag, read_nats_topic
from gpfn.bridge.nats.sink import NatsSink
from gpfn.errors import BackendError, GpfnError
from tests.bridge.nats_running import CREATE, Hears, numbered, outgoing, published, running, until
from tests.bridge.nats_server import NatsServer, nats_server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    with nats_server(tmp_path / "server") as server:
        yield server


async def values(server: NatsServer, topic: str = "t") -> list[int]:
    return [int(r.value or b"") async for r in read_nats_topic(server.url, topic)]


def restart(server: NatsServer) -> None:
    server.stop()
    time.sleep(0.3)
    server.start()


def kill(server: NatsServer) -> None:
    server.kill()
    server.start()


@pytest.mark.parametrize("end", [restart, kill])
def test_a_server_that_ends_during_a_thousand_publishes(
    server: NatsServer, end: Callable[[NatsServer], None]
) -> None:
    async def main() -> None:
        sink = NatsSink(server.url, settings=CREATE)
        await sink.start(["t"])
        told: list[GpfnError | None] = []
        for number, record in enumerate(numbered("t", 1000)):
            sink.send(record, told.append)
            if number in (300, 700):
                await asyncio.sleep(0.002)
                assert len(told) < number
                await asyncio.to_thread(end, server)
        await sink.stop(30)
        assert told == [None] * 1000
        assert await values(server) == list(range(1000))

    asyncio.run(main())


def test_records_wait_for_a_server_that_is_away_for_long(server: NatsServer) -> None:
    async def main() -> None:
        sink = NatsSink(server.url, settings=CREATE)
        await sink.start(["t"])
        server.stop()
        told: list[GpfnError | None] = []
        for record in numbered("t", 4000):
            sink.send(record, told.append)
        await asyncio.sleep(3)
        assert told == []
        server.start()
        await sink.stop(30)
        assert told == [None] * 4000
        assert await values(server) == list(range(4000))

    asyncio.run(main())


@pytest.mark.parametrize("end", [restart, kill])
def test_a_server_that_ends_while_records_are_worked_on(
    server: NatsServer, end: Callable[[NatsServer], None]
) -> None:
    """Each is given once and in order; what was done while it was away stays done."""

    async def main() -> None:
        await published(server, numbered("t", 3000))
        hears = Hears()
        source = await running(server, "t", hears, ack_wait="1s")
        await until(lambda: len(hears.records) >= 1000)
        for record in hears.records[:700]:
            source.done(record)
        await asyncio.to_thread(end, server)
        for record in hears.records[700:1000]:
            source.done(record)
        hears.then = source.done
        for record in hears.records[1000:]:
            source.done(record)
        await until(lambda: len(hears.records) == 3000)
        await asyncio.sleep(1.5)
        assert [int(record.value or b"") for record in hears.records] == list(range(3000))
        assert await source.lag() == {("t", 0): 0}
        assert hears.errors == []
        await source.stop()

    asyncio.run(main())


def test_a_connection_that_is_cut_while_records_come(server: NatsServer) -> None:
    """What was on its way in a connection comes again before what is newer."""

    async def main() -> None:
        await published(server, numbered("t", 5000))
        hears = Hears()
        source = await running(server, "t", hears, ack_wait="300ms")
        hears.then = source.done
        for _ in range(8):
            before = len(hears.records)
            await until(lambda before=before: len(hears.records) > before)
            connection = source._link.connection
            if connection is not None:
                connection.client._transport._io_writer.transport.abort()
        await until(lambda: len(hears.records) >= 5000)
        assert [int(record.value or b"") for record in hears.records] == list(range(5000))
        await source.stop()

    asyncio.run(main())


def test_a_connection_that_ends_and_comes_back_is_logged(server: NatsServer) -> None:
    async def main() -> list[str]:
        lines: list[str] = []
        sink = NatsSink(server.url, settings=CREATE, log=lines.append)
        await sink.start(["t"])
        await asyncio.to_thread(restart, server)
        await until(lambda: sink._link.connection is not None)
        await sink.stop(1)
        return lines

    where = f"127.0.0.1:{server.port}"
    [ended, back] = asyncio.run(main())
    assert ended.startswith(f"{where}: the connection ended: ")
    assert back == f"{where}: connected again"


def test_the_lag_cannot_be_told_while_the_server_is_away(server: NatsServer) -> None:
    async def main() -> None:
        hears = Hears()
        source = await running(server, "t", hears)
        server.stop()
        await asyncio.sleep(0.3)
        with pytest.raises(BackendError, match=str(server.port)):
            await source.lag()
        server.start()
        await until(lambda: source._link.connection is not None)
        assert await source.lag() == {("t", 0): 0}
        server.stop()
        before = time.monotonic()
        await source.stop()
        assert time.monotonic() - before < 10
        assert hears.errors == []

    asyncio.run(main())


def test_a_server_that_stands_still(server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection over which nothing comes is given up, and the next one goes on."""
    monkeypatch.setattr(client, "_PING_EVERY", 0.5)

    async def main() -> None:
        await published(server, numbered("t", 100))
        hears = Hears()
        source = await running(server, "t", hears, ack_wait="1s", expires=1)
        sink = NatsSink(server.url, settings=CREATE)
        await sink.start(["t"])
        await until(lambda: len(hears.records) == 100)
        server.pause()
        told: list[GpfnError | None] = []
        for record in hears.records:
            source.done(record)
        for number in range(100, 200):
            sink.send(outgoing("t", b"%d" % number), told.append)
        await asyncio.sleep(5)
        assert source._link.connection is None
        assert sink._link.connection is None
        server.go_on()
        await until(lambda: len(told) == 100 and len(hears.records) == 200)
        assert told == [None] * 100
        assert [int(record.value or b"") for record in hears.records] == list(range(200))
        await until(lambda: len(source._pulls["t"].held.finished) == 0)
        assert await source.lag() == {("t", 0): 100}
        await source.stop()
        await sink.stop(5)

    asyncio.run(main())


class Members:
    """Processes that read, one after the other."""

    _COMMAND = (sys.executable, "-m", "tests.bridge.nats_member")

    def __init__(self, server: NatsServer, folder: Path) -> None:
        self._server = server
        self._folder = folder
        self.files: list[Path] = []
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.files.append(self._folder / f"member-{len(self.files)}")
        self.process = subprocess.Popen(
            [*self._COMMAND, self._server.url, "t", str(self.files[-1])],
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"reads\n"

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None

    def offsets(self) -> list[list[int]]:
        return [
            [int(line.split()[0]) for line in file.read_text().splitlines()] for file in self.files
        ]


def test_a_member_that_is_killed_at_any_time(server: NatsServer, tmp_path: Path) -> None:
    """Every record comes, and to each process in order: what the one before held comes first."""
    chance = random.Random(14)
    asyncio.run(published(server, numbered("t", 2000)))
    members = Members(server, tmp_path)
    try:
        for _ in range(5):
            members.start()
            time.sleep(chance.random() * 0.4)
            members.kill()
            time.sleep(chance.choice([0, 0, 1.5]))  # also longer than a record is kept for
        members.start()
        end = time.monotonic() + 60
        while any(asyncio.run(nats_group_lag(server.url, "g"))[0][1:]):
            assert time.monotonic() < end
            time.sleep(0.1)
    finally:
        members.kill()
    came = members.offsets()
    assert {offset for offsets in came for offset in offsets} == set(range(1, 2001))
    for offsets in came:
        assert offsets == sorted(set(offsets))
    again = sum(map(len, came)) - 2000
    assert again <= 100 * 5, "no more than was under way comes twice"
