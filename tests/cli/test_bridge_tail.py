"""``gpfn bridge tail``: what is in a topic, as events, as it is and for machines."""

import json
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import pytest

from gpfn.bridge.files.dead_lines import write_dead_line
from gpfn.bridge.record import Outgoing
from tests.cli.bridge_queues import (
    STRUCTURED,
    Queue,
    call,
    event,
    events,
    kafka,
    make_queue,
    nats,
    put,
    put_events,
    queue,
)

__all__ = ["kafka", "nats", "queue"]


def fill(queue: Queue, numbers: range) -> None:
    """Write events of these numbers."""
    put_events(queue, [event(n) for n in numbers], b"k")


def ids(out: str) -> list[int]:
    """Return the ids of events in lines of JSON."""
    return [int(json.loads(line)["event"]["id"]) for line in out.splitlines()]


def test_which_records(queue: Queue, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("tail", queue.numbers, *queue.options, "--json")
    assert call(capsys, *words, "--no-follow") == ("", "")
    fill(queue, range(25))
    time.sleep(0.05)
    fill(queue, range(25, 30))
    records = queue.records(queue.numbers)
    first = records[0].offset
    later = f"{datetime.fromtimestamp(records[25].time / 1000 - 0.02, UTC):%Y-%m-%dT%H:%M:%S.%fZ}"

    def told(*more: object) -> list[int]:
        return ids(call(capsys, *words, *more)[0])

    assert told("--no-follow") == [*range(20, 30)]
    assert told("--count", 3) == [27, 28, 29]
    assert told("--all", "--no-follow") == [*range(30)]
    assert told("--all", "--count", 2) == [0, 1]
    assert told("--since", later, "--no-follow") == [*range(25, 30)]
    assert told("--until", later) == [*range(25)]
    assert told("--since", "1h", "--until", later, "--count", 1) == [0]
    assert told("--since", "1h", "--no-follow") == [*range(30)]
    assert told("--offsets", f"{first + 3}-{first + 5}") == [3, 4, 5]
    assert told("--offsets", f"0:{first + 28}-", "--no-follow") == [28, 29]
    assert told("--offsets", f"{first + 7}") == [7]
    assert told("--offsets", f"{first + 28}-{first + 99}", "--count", 5) == [28, 29]
    assert told("--offsets", "100000-100009") == []


def test_how_records_look(queue: Queue, capsys: pytest.CaptureFixture[str]) -> None:
    odd = event(2, data="two\nlines \x1b[31m", type="a\u202eb", time="2026-11-28T10:00:00Z")
    put(
        queue,
        queue.numbers,
        [
            (b"\xffkey", json.dumps(event(1, data=[1, 2.5])).encode(), STRUCTURED),
            (None, json.dumps(odd).encode(), STRUCTURED),
            (b"k", b"\x00\xfe", (("ce_specversion", b"1.0"), ("ce_id", b"3"), ("ce_source", b"/s"),
                                 ("ce_type", b"t"), ("content-type", b"image/png"))),
            (None, b"no event\nat all", (("x", b"\xff"), ("null", None), ("x", b"2"))),
            (None, b'{"specversion":"1.0"}', STRUCTURED),
            (b"gone", None, ()),
        ],
    )  # fmt: skip
    records = queue.records(queue.numbers)
    at = [f"0:{record.offset}" for record in records]
    words = ("tail", queue.numbers, *queue.options, "--no-follow")
    lines = call(capsys, *words)[0].splitlines()
    cut = [line.split("  ", 2)[::2] for line in lines]  # without the time
    assert cut == [
        [at[0], "com.example.number  /test  1  key=\\xffkey  [1,2.5]"],
        [at[1], 'a\\u202eb  /test  2  "two\\nlines \\u001b[31m"'],
        [at[2], "t  /s  3  key=k  \\x00\\xfe"],
        [at[3], "no event  no event\\nat all"],
        [at[4], 'no event: id: a required attribute is missing  {"specversion":"1.0"}'],
        [at[5], "no event  key=gone  (null)"],
    ]
    assert lines[1].split("  ")[1] == "2026-11-28T10:00:00Z"
    assert {line.split("  ")[1][:2] for line in lines} == {"20"}
    assert call(capsys, *words, "--width", 3)[0].splitlines()[3].endswith("no event  no …")

    raw = call(capsys, *words, "--as", "raw")[0].splitlines()
    assert raw[0].startswith(f"{queue.numbers}  {at[0]}  20")
    assert raw[0].endswith("  key \\xffkey")
    start = next(n for n, line in enumerate(raw) if f"  {at[3]}  " in line)
    assert raw[start].endswith("  no key")
    assert raw[start + 1 : start + 5] == [
        "  x: \\xff", "  null: (null)", "  x: 2", "  no event\\nat all",
    ]  # fmt: skip

    documents = [json.loads(line) for line in call(capsys, *words, "--json")[0].splitlines()]
    places = [(d["topic"], d["partition"], d["offset"], d["time"]) for d in documents]
    assert places == [(queue.numbers, 0, record.offset, record.time) for record in records]
    assert documents[0]["key"] == {"base64": "/2tleQ=="}
    assert [d["event"] and d["event"]["id"] for d in documents] == ["1", "2", "3", None, None, None]
    assert documents[2]["event"]["data_base64"] == "AP4="
    assert documents[3]["headers"] == [["x", {"base64": "/w=="}], ["null", None], ["x", "2"]]
    assert documents[4]["problem"] == "id: a required attribute is missing"
    assert documents[5] == {**documents[5], "problem": "no event", "key": "gone", "value": None}
    raw_one = json.loads(call(capsys, *words, "--as", "raw", "--json")[0].splitlines()[2])
    assert raw_one["value"] == {"base64": "AP4="}
    assert ["ce_id", "3"] in raw_one["headers"]


def running(queue: Queue, *words: str) -> "subprocess.Popen[str]":
    """Start a tail of its own."""
    command = [sys.executable, "-m", "gpfn", "bridge", "tail", queue.numbers, *queue.options]
    return subprocess.Popen(
        [*command, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def line_of(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline()


def test_it_follows_until_ctrl_c(queue: Queue) -> None:
    fill(queue, range(2))
    process = running(queue, "--json")
    try:
        assert [ids(line_of(process.stdout)) for _ in range(2)] == [[0], [1]]
        for number in range(2, 5):
            fill(queue, range(number, number + 1))
            assert ids(line_of(process.stdout)) == [number]
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, out, err) == (130, "", "")


def test_it_waits_for_as_many_as_are_asked_for(queue: Queue) -> None:
    fill(queue, range(2))
    process = running(queue, "--json", "--count", "4")
    try:
        assert [ids(line_of(process.stdout)) for _ in range(2)] == [[0], [1]]
        fill(queue, range(2, 9))
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, ids(out), err) == (0, [2, 3], "")


def test_partitions_of_kafka(
    request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    queue = make_queue("kafka", request, tmp_path, partitions=3)
    broker = request.getfixturevalue("kafka")
    for partition in range(3):
        values = [json.dumps(event(10 * partition + n)).encode() for n in range(5)]
        broker.write(queue.numbers, values, partition=partition, headers=list(STRUCTURED))
    words = ("tail", queue.numbers, *queue.options, "--json")
    assert sorted(ids(call(capsys, *words, "--no-follow")[0])) == [
        *range(5), *range(10, 15), *range(20, 25),
    ]  # fmt: skip
    assert ids(call(capsys, *words, "--offsets", "1:2-3")[0]) == [12, 13]
    assert len(ids(call(capsys, *words, "--count", 2)[0])) == 2
    words = words[:-1]  # then errors are lines
    _, err = call(capsys, *words, "--offsets", "2-3", code=1)
    assert err.startswith(f"gpfn: offsets: {queue.numbers} has 3 partitions: say which")
    _, err = call(capsys, *words, "--offsets", "3:2-3", code=1)
    assert err.startswith(f"gpfn: offsets: {queue.numbers} has partitions 0 to 2, not 3")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--since", "2026-13-01"), "--since: expected a time such as"),
        (("--since", "1h", "--until", "2h"), "--until: is not after --since"),
        (("--since", "1h", "--offsets", "1-2"), "--since: offsets and times are two ways"),
        (("--offsets", "x"), "--offsets: expected FIRST-LAST such as 5-20"),
        (("--offsets", "9-3"), "--offsets: expected FIRST-LAST"),
        (("--offsets", "-3"), "--offsets: expected FIRST-LAST"),
        (("--offsets", "1:2:3-4"), "--offsets: expected FIRST-LAST"),
        (("--offsets", "1:0-4"), "offsets: "),
        (("--all", "--since", "1h"), "--all: leave it out"),
        (("--follow", "--offsets", "1-2"), "--follow: there is an end"),
    ],
)
def test_bad_words(
    words: tuple[str, ...], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    queue = Queue("queue", str(tmp_path / "queue.db"), tmp_path)
    queue.make(None, 1)
    out, err = call(capsys, "tail", queue.numbers, *queue.options, *words, code=1)
    assert out == ""
    assert err.startswith(f"gpfn: {told}")
    assert err.count("\n") == 1


def test_what_is_not_there(queue: Queue, capsys: pytest.CaptureFixture[str]) -> None:
    _, err = call(capsys, "tail", "nothing-is-called-so", *queue.options, code=1)
    assert "nothing-is-called-so" in err
    assert err.count("\n") == 1


def test_nothing_is_made_by_looking(
    request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The settings of the bridge make a stream for a topic without one: a look must not."""
    queue = make_queue("nats", request, tmp_path)
    for _ in range(2):
        _, err = call(capsys, "tail", "not.made", "--bridge", queue.bridge, code=1)
        assert "not.made" in err


@pytest.mark.parametrize("kind", ["kafka", "nats"])
def test_no_server(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, err = call(capsys, "tail", "readings", f"--{kind}", "127.0.0.1:1", code=1)
    assert "127.0.0.1:1" in err
    assert err.count("\n") == 1


def test_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = events(tmp_path / "e.jsonl", [event(n) for n in range(30)])
    size = len(file.read_text().splitlines(keepends=True)[0])
    words = ("tail", file, "--file", "--json")
    assert ids(call(capsys, *words, "--no-follow")[0]) == [*range(20, 30)]
    assert ids(call(capsys, *words, "--offsets", f"{size}-{3 * size}")[0]) == [1, 2, 3]
    assert ids(call(capsys, *words, "--count", 2)[0]) == [28, 29]
    assert "a line of a file has no time" in call(capsys, *words, "--since", "1h", code=1)[1]
    assert [path.name for path in tmp_path.iterdir()] == ["e.jsonl"]
    _, err = call(capsys, "tail", tmp_path / "absent", "--file", code=1)
    assert err == f"gpfn: {tmp_path / 'absent'}: cannot be read: No such file or directory\n"


def test_a_file_that_grows_and_is_rotated(tmp_path: Path) -> None:
    file = events(tmp_path / "e.jsonl", [event(0), event(1)])
    command = [sys.executable, "-m", "gpfn", "bridge", "tail", str(file), "--file", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert [ids(line_of(process.stdout)) for _ in range(2)] == [[0], [1]]
        with file.open("a") as stream:
            stream.write(json.dumps(event(2)) + "\n")
        assert ids(line_of(process.stdout)) == [2]
        file.rename(tmp_path / "e.1")
        events(file, [event(3)])
        assert ids(line_of(process.stdout)) == [3]
    finally:
        process.kill()
        process.wait()


def test_topics_of_a_bridge_that_writes_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Dead letters in a file are whole records; replies and what is read are events."""
    (tmp_path / "func.py").write_text("")
    bridge = tmp_path / "bridge.toml"
    bridge.write_text(
        '[source]\nfile = "in.jsonl"\n[sink]\nfile = true\n[[route]]\ncall = "func.py"\n'
        'reply = { topic = "out.jsonl" }\n[dead-letter]\ntopic = "dead.jsonl"\n'
    )
    events(tmp_path / "in.jsonl", [event(1)])
    events(tmp_path / "out.jsonl", [event(2)])
    dead = Outgoing("dead.jsonl", b"key", json.dumps(event(3)).encode(), STRUCTURED)
    (tmp_path / "dead.jsonl").write_bytes(write_dead_line(dead) + b"\n")
    for topic, number in [("in.jsonl", 1), ("out.jsonl", 2), ("dead.jsonl", 3)]:
        words = ("tail", topic, "--bridge", bridge, "--no-follow", "--json")
        out = call(capsys, *words)[0]
        assert ids(out) == [number]
        assert json.loads(out)["key"] == ("key" if topic == "dead.jsonl" else None)
