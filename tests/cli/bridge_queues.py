"""A queue of each kind for the commands of ``gpfn bridge``, with topics and a bridge.toml."""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from gpfn.bridge.opening import open_sink
from gpfn.bridge.operating.sending import send_records
from gpfn.bridge.record import Outgoing, Record
from gpfn.bridge.spec import Kind, Place
from gpfn.cli.main import main
from gpfn.log import Log
from tests.bridge.kafka_broker import TestKafka, kafka
from tests.bridge.nats_server import NatsServer, nats_server

__all__ = [
    "ALL",
    "QUIET",
    "STRUCTURED",
    "Queue",
    "call",
    "event",
    "events",
    "kafka",
    "nats",
    "put",
    "put_events",
    "queue",
]

ALL = ("queue", "nats", "kafka")
QUIET = Log("test", form="quiet")
STRUCTURED = (("content-type", b"application/cloudevents+json"),)
"""The headers of a record that is an event as JSON."""
_numbers = count(1)

_FUNCTION = '''\
"""Doubles numbers and refuses what is none; writes down what it was called with."""

from pathlib import Path

from gpfn import Function
from gpfn.errors import InvalidEvent


def double(event):
    with Path(__file__).with_name("calls").open("a") as calls:
        print(event.id, file=calls)
    number = event.json()
    if not isinstance(number, int):
        raise InvalidEvent("expected a number", field="data")
    return 2 * number


double = Function(double, takes="event", reply_type="com.example.doubled")
handler = double.fn
'''
_BRIDGE = """\
[source]
{kind} = "{address}"
topics = ["{numbers}"]
group = "{group}"
{settings}
[[route]]
name = "double"
match = {{ type = "com.example.number" }}
call = "func.py"
reply = {{ topic = "{doubled}" }}

[[route]]
name = "special"
match = {{ type = {{ prefix = "com.example.special" }} }}
call = "https://user:secret@127.0.0.1:1/special?key=hidden"

[dead-letter]
topic = "{dead}"
"""


class Queue:
    """A queue with the topics numbers, doubled and dead, whose names nobody else has."""

    def __init__(self, kind: Kind, address: str, folder: Path) -> None:
        number = next(_numbers)
        self.kind = kind
        self.folder = folder
        self.numbers, self.doubled = f"numbers-{number}", f"doubled-{number}"
        self.dead, self.group = f"numbers-{number}.dead", f"group-{number}"
        self.place = Place(kind, address, settings={"create": "on"} if kind == "nats" else {})
        self.options = [f"--{kind}", address]
        self.bridge = folder / "bridge.toml"
        (folder / "func.py").write_text(_FUNCTION)
        settings = '[source.settings]\ncreate = "on"\n' if kind == "nats" else ""
        self.bridge.write_text(_BRIDGE.format(address=address, settings=settings, **vars(self)))

    @property
    def calls(self) -> list[str]:
        """The ids of the events that the function was called with."""
        file = self.folder / "calls"
        return file.read_text().split() if file.exists() else []

    def make(self, kafka: TestKafka | None, partitions: int) -> None:
        """Make the topics."""
        topics = (self.numbers, self.doubled, self.dead)
        if kafka is not None:
            for topic in topics:
                assert kafka.admin.create(topic, partitions)
                kafka.settle(topic, partitions)
            return
        asyncio.run(self._start(topics))

    async def _start(self, topics: Sequence[str]) -> None:
        sink = open_sink(self.place, QUIET)
        await sink.start(topics)
        await sink.stop(5)

    def records(self, topic: str) -> list[Record]:
        """Return what is in a topic now."""
        from gpfn.bridge.operating.browsing import browse

        return [*browse(self.place, topic)]


@pytest.fixture(scope="module")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """A NATS server for all tests of a module."""
    with nats_server(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture(params=ALL)
def queue(request: pytest.FixtureRequest, tmp_path: Path) -> Queue:
    """A queue of each kind; Kafka's topics have one partition."""
    return make_queue(request.param, request, tmp_path)


def make_queue(
    kind: Kind, request: pytest.FixtureRequest, folder: Path, partitions: int = 1
) -> Queue:
    """Return a queue of a kind, with its topics."""
    broker: TestKafka | None = None
    if kind == "kafka":
        broker = request.getfixturevalue("kafka")
        address = broker.address
    elif kind == "nats":
        address = request.getfixturevalue("nats").url
    else:
        address = str(folder / "queue.db")
    made = Queue(kind, address, folder)
    made.make(broker, partitions)
    return made


def event(number: int, data: object = None, **attributes: str) -> dict[str, Any]:
    """Return an event in JSON whose data are its number, unless others are given."""
    usual = {"specversion": "1.0", "type": "com.example.number", "source": "/test"}
    return {**usual, "id": str(number), "data": number if data is None else data, **attributes}


def events(file: Path, documents: Sequence[Mapping[str, Any]]) -> Path:
    """Write events, one a line."""
    file.write_text("".join(f"{json.dumps(document)}\n" for document in documents))
    return file


def put(queue: Queue, topic: str, records: Sequence[tuple[Any, ...]]) -> None:
    """Write records: a key, a value and headers each."""
    outgoing = [Outgoing(topic, *record) for record in records]
    send_records(queue.place, [topic], outgoing, log=QUIET)


def put_events(
    queue: Queue, documents: Sequence[Mapping[str, Any]], key: bytes | None = None
) -> None:
    """Write events in structured mode to the topic that is read."""
    texts = [json.dumps(each).encode() for each in documents]
    put(queue, queue.numbers, [(key, each, STRUCTURED) for each in texts])


def call(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> tuple[str, str]:
    """Run a command of ``gpfn bridge``; return what it prints."""
    capsys.readouterr()
    assert main(["bridge", *map(str, words)]) == code, capsys.readouterr()
    out, err = capsys.readouterr()
    return out, err
