"""Hostile records in a real queue: each ends as a dead letter with its reason, byte for byte."""

import asyncio
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from gpfn.bridge.engine import Bridge
from gpfn.bridge.matching import filter_of
from gpfn.bridge.opening import open_bridge, open_sink
from gpfn.bridge.record import Header, Outgoing, Record
from gpfn.bridge.spec import BridgeSpec, Place, RouteSpec
from gpfn.bridge.sqlite.reading import open_queue, read_records
from gpfn.errors import GpfnError
from gpfn.limits import Limits
from gpfn.log import Log

FUNCTION = """
from gpfn import Function
handler = Function(lambda event: event.id, takes="event", name="echo").fn
"""
ENVELOPE = (("content-type", b"application/cloudevents+json"),)


def binary(number: int, *more: Header, **attributes: str) -> tuple[Header, ...]:
    """The headers of an event in binary mode."""
    stated = {"specversion": "1.0", "id": f"good-{number}", "source": "/s", "type": "t"}
    return (*((f"ce_{n}", v.encode()) for n, v in {**stated, **attributes}.items()), *more)


HOSTILE: dict[str, tuple[bytes | None, tuple[Header, ...]]] = {
    "10 MB": (bytes(10 << 20), binary(1)),
    "10 MB structured": (b'{"data":"' + b"x" * (10 << 20) + b'"}', ENVELOPE),
    "1,000 extensions": (b"1", binary(1, *((f"ce_x{n}", b"1") for n in range(1000)))),
    "an extension of 1 MB": (b"1", binary(1, ("ce_x", b"x" * (1 << 20)))),
    "NUL in an attribute": (b"1", binary(1, subject="a\0b")),
    "invalid UTF-8": (b"1", binary(1, ("ce_x", b"\xff\xfe"))),
    "a null attribute": (b"1", binary(1, ("ce_x", None))),
    "an attribute twice": (b"1", binary(1, ("ce_id", b"2"))),
    "a bad version": (b"1", binary(1, specversion="7")),
    "a bad source": (b"1", binary(1, source="a b")),
    "an envelope that is none": (b"[]", ENVELOPE),
    "deep JSON": (b"[" * 100_000, ENVELOPE),
    "an envelope that lies": (b"\x0a\x02id", (("content-type", b"application/cloudevents+avro"),)),
    "JSON that says protobuf": (b"{}", (("content-type", b"application/cloudevents+protobuf"),)),
    "a media type that ends the head": (
        b'{"specversion":"1.0","id":"1","source":"/s","type":"t"}',
        (("content-type", b'application/cloudevents+json; charset="\r\n\r\nGET /evil HTTP/1.1"'),),
    ),
    "a tombstone of an envelope": (None, ENVELOPE),
    "nothing at all": (None, ()),
    "no event": (b"plain", (("x", b"y"),)),
    "a bad time": (b"1", binary(1, expirytime="soon")),
}


def run(
    folder: Path, records: list[Outgoing], expected: int
) -> tuple[Bridge, list[Record], list[Record]]:
    """Let a bridge work on records of a queue; return it, the replies and the dead letters."""
    (folder / "func.py").write_text(FUNCTION)
    place = Place("queue", str(folder / "queue.db"), ("in",), "g")
    route = RouteSpec("f", filter_of({}, "match"), str(folder / "func.py"), reply="out")
    spec = BridgeSpec(place, place, (route,), "dead")

    async def work() -> Bridge:
        log = Log("bridge", form="quiet")
        sink = open_sink(place, log)
        await sink.start(["in"])
        told: list[GpfnError | None] = []
        for record in records:
            sink.send(record, told.append)
        await sink.stop(30.0)
        assert told == [None] * len(records)
        bridge = open_bridge(spec, limits=Limits(), log=log)
        running = asyncio.create_task(bridge.run())
        async with asyncio.timeout(60):
            while sum(bridge.figures.counts.values()) < expected:
                await asyncio.sleep(0.01)
        bridge.stop()
        await running
        return bridge

    bridge = asyncio.run(work())
    with open_queue(folder / "queue.db") as store:
        return bridge, [*read_records(store, "out")], [*read_records(store, "dead")]


def test_each_is_a_dead_letter_and_the_good_ones_beside_it_are_answered(tmp_path: Path) -> None:
    records = []
    for number, (value, headers) in enumerate(HOSTILE.values()):
        records.append(Outgoing("in", b"a\0\xff", value, headers))
        records.append(Outgoing("in", b"a\0\xff", b"1", binary(number)))
    bridge, replies, dead = run(tmp_path, records, len(records))
    assert len(replies) == len(HOSTILE)
    assert bridge.figures.counts["unreadable"] == len(HOSTILE)
    for (name, (value, headers)), letter in zip(HOSTILE.items(), dead, strict=True):
        assert letter.value == value, name
        assert letter.headers[: len(headers)] == headers, name
        assert dict(letter.headers)["gpfn_reason"], name
        assert letter.key == b"a\0\xff"


def test_a_million_small_troubles_cost_little_memory(tmp_path: Path) -> None:
    value, headers = HOSTILE["1,000 extensions"]
    records = [Outgoing("in", None, value, headers)] * 300
    tracemalloc.start()
    try:
        run(tmp_path, records, 300)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 200 << 20


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[source]\nkafka = 'x'\n", "source.topics: expected at least one topic"),
        ("[source]\nqueue = 'q'\ntopics = ['a']\n[[route]]\ncall = 'x'\n", "route[0].call"),
        ("[source]\nnats = 'nats://127.0.0.1:1'\ntopics = ['a']\n[[route]]\ncall = 'http://x'\n",
         "127.0.0.1:1"),
        ("[source]\nqueue = 'q'\ntopics = ['a']\n[[route]]\ncall = 'ftp://x'\n", "route[0].call"),
        ("[source]\nqueue = 'q'\ntopics = ['a']\nlisten = '1'\n[[route]]\ncall = 'http://x'\n",
         "source.listen"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_one_line_and_exit_code_1(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "bridge.toml").write_text(text)
    command = [sys.executable, "-m", "gpfn", "bridge", "run", str(tmp_path / "bridge.toml")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    lines = [line for line in ended.stderr.splitlines() if line.startswith("gpfn: ")]
    assert len(lines) == 1
    assert told in lines[0]
