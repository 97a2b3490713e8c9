"""A bridge beside a NATS server: last attempts, and a reply stream that is full."""

import asyncio
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import nats
import pytest

from gpfn.bridge.nats.read import nats_group_lag, read_nats_topic
from gpfn.bridge.record import Record
from tests.bridge.memory import record_of
from tests.bridge.nats_running import outgoing, published
from tests.bridge.nats_server import NatsServer, nats_server
from tests.e2e.bridge.running import Process

FUNCTION = """
from pathlib import Path
from gpfn import Function

def work(event):
    with Path(__file__).with_name("calls").open("a") as calls:
        print(event.id, file=calls)
    if event.id == "1":
        raise RuntimeError("no")
    return event.id

handler = Function(work, takes="event", name="work").fn
"""
BRIDGE = """
[source]
nats = "{url}"
topics = ["in"]
group = "g"
settings = {{ create = true, ack_wait = "500ms" }}
[[route]]
call = "func.py"
reply = {{ topic = "out" }}
retry = {{ attempts = 3, first = 0.7, factor = 1, most = 0.7 }}
[dead-letter]
topic = "dead"
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    with nats_server(tmp_path / "server") as server:
        yield server


@pytest.fixture
def folder(server: NatsServer, tmp_path: Path) -> Path:
    """A folder with a bridge and its function."""
    (tmp_path / "func.py").write_text(FUNCTION)
    (tmp_path / "bridge.toml").write_text(BRIDGE.format(url=server.url))
    return tmp_path


def started(folder: Path) -> Process:
    words = [sys.executable, "-m", "gpfn", "bridge", "run", str(folder / "bridge.toml"), "--json"]
    return Process(words, folder / "log")


def write(server: NatsServer, numbers: Sequence[int]) -> None:
    records = [record_of(number) for number in numbers]
    sent = [outgoing("in", record.value, b"k%d" % n, *record.headers)
            for n, record in zip(numbers, records, strict=True)]  # fmt: skip
    asyncio.run(published(server, sent))


def stored(server: NatsServer, topic: str) -> list[Record]:
    async def main() -> list[Record]:
        return [record async for record in read_nats_topic(server.url, topic)]

    return asyncio.run(main())


def lag(server: NatsServer) -> int:
    (found,) = asyncio.run(nats_group_lag(server.url, "g"))
    return found.waiting + found.under_way


def until_done(server: NatsServer, bridge: Process, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while lag(server):
        assert bridge.popen.poll() is None, bridge.log.read_text()
        assert time.monotonic() < end, bridge.log.read_text()
        time.sleep(0.1)


def test_after_the_last_attempt_there_is_one_dead_letter_and_nothing_is_left(
    server: NatsServer, folder: Path
) -> None:
    """nats-server 6538: after its last delivery a message just stayed. Waits outlast ack_wait."""
    write(server, range(3))
    bridge = started(folder)
    try:
        end = time.monotonic() + 20
        while not (folder / "calls").exists():
            assert time.monotonic() < end, bridge.log.read_text()
            time.sleep(0.05)
        until_done(server, bridge)
        time.sleep(1.5)
        assert bridge.end() == 0
    finally:
        bridge.kill()
    calls = (folder / "calls").read_text().split()
    assert sorted(calls) == ["0", "1", "1", "1", "2"]
    (dead,) = stored(server, "dead")
    assert dict(dead.headers)["gpfn_attempts"] == b"3"
    assert dict(dead.headers)["gpfn_outcome"] == b"exhausted"
    assert len(stored(server, "out")) == 2
    assert lag(server) == 0


def test_a_reply_stream_that_is_full_is_waited_for(server: NatsServer, folder: Path) -> None:
    async def limit(most: int) -> None:
        client = await nats.connect(server.url)
        stream = client.jetstream()
        config = {"name": "out", "subjects": ["out"], "max_msgs": most, "discard": "new"}
        await (stream.add_stream(**config) if most == 2 else stream.update_stream(**config))
        await client.close()

    asyncio.run(limit(2))
    write(server, [0, *range(2, 6)])
    bridge = started(folder)
    try:
        end = time.monotonic() + 20
        while "not delivered, sent again" not in bridge.log.read_text():
            assert time.monotonic() < end
            time.sleep(0.05)
        time.sleep(1.0)
        assert lag(server) == 3, "what has no place for its reply is not done"
        assert not stored(server, "dead")
        asyncio.run(limit(100))
        until_done(server, bridge)
        assert bridge.end() == 0
    finally:
        bridge.kill()
    causes = {dict(record.headers)["ce_causationid"] for record in stored(server, "out")}
    assert causes == {b"0", b"2", b"3", b"4", b"5"}
    assert len((folder / "calls").read_text().split()) == 5, "nothing is called again for that"
