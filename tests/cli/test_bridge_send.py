"""``gpfn bridge send``: every event is checked first, then all are sent and confirmed."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gpfn.cli.bridge_send import parse_rate
from gpfn.errors import SetupError
from gpfn.events.kafka import read_record
from tests.cli.bridge_queues import Queue, call, event, events, kafka, nats, queue

__all__ = ["kafka", "nats", "queue"]


def sent(queue: Queue, topic: str) -> list[tuple[bytes | None, str, object]]:
    """Return key, id and data of what is in a topic."""
    found = []
    for record in queue.records(topic):
        read = read_record(record.value, record.headers)
        assert read is not None
        found.append((record.key, read.id, read.json()))
    return found


def test_lines_of_events(queue: Queue, capsys: pytest.CaptureFixture[str]) -> None:
    file = events(queue.folder / "e.jsonl", [event(n, partitionkey=f"k{n % 2}") for n in range(7)])
    words = ("send", "--topic", queue.numbers, *queue.options)
    assert call(capsys, *words, file) == (f"7 events sent to {queue.numbers}\n", "")
    assert sent(queue, queue.numbers) == [(None, str(n), n) for n in range(7)]
    out, err = call(capsys, *words, file, "--key", "partitionkey", "--mode", "binary", "--json")
    assert (json.loads(out), err) == ({"topic": queue.numbers, "sent": 7, "events": 7}, "")
    new = queue.records(queue.numbers)[7:]
    assert [(record.key, record.value) for record in new] == [
        (b"k%d" % (n % 2), b"%d" % n) for n in range(7)
    ]
    assert all(("ce_partitionkey", b"k0") in record.headers for record in new[::2])


def test_the_topic_of_a_bridge(queue: Queue, capsys: pytest.CaptureFixture[str]) -> None:
    file = queue.folder / "one.json"
    file.write_text(json.dumps(event(1), indent=2))
    for topic in (queue.numbers, queue.doubled):
        words = ("send", "--topic", topic, "--bridge", queue.bridge, file)
        assert call(capsys, *words) == (f"1 event sent to {topic}\n", "")
        assert sent(queue, topic) == [(None, "1", 1)]


@pytest.fixture
def sqlite(tmp_path: Path) -> Queue:
    made = Queue("queue", str(tmp_path / "queue.db"), tmp_path)
    made.make(None, 1)
    return made


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        (json.dumps(event(1)), ["1"]),
        (json.dumps(event(1), indent=1), ["1"]),
        ("\ufeff" + json.dumps(event(1)) + "\r\n\r\n" + json.dumps(event(2)), ["1", "2"]),
        ("\n \n" + json.dumps(event(1)) + "\n\n" + json.dumps(event(2)) + "\n", ["1", "2"]),
        (json.dumps([event(1), event(2)]), ["1", "2"]),
        (json.dumps([event(1), event(2)], indent=2) + "\n", ["1", "2"]),
        ("[]", []),
        (json.dumps(event(1, data=10**30)), ["1"]),
    ],
)
def test_forms_of_files(
    text: str, ids: list[str], sqlite: Queue, capsys: pytest.CaptureFixture[str]
) -> None:
    file = sqlite.folder / "events"
    file.write_text(text)
    call(capsys, "send", "--topic", sqlite.numbers, *sqlite.options, file)
    assert [found[1] for found in sent(sqlite, sqlite.numbers)] == ids


GOOD = json.dumps(event(1))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f'{GOOD}\n{{"specversion": "1.0"}}\n', "{}:2: id: a required attribute is missing"),
        (f"{GOOD}\n\n\n{GOOD[:-3]}\n", "{}:4: not JSON"),
        (f"{GOOD}\nhello\n", "{}:2: not JSON"),
        ("hello\n", "{}:1: expected an event, an event a line, or an array of events"),
        ("", "{}: expected an event"),
        (GOOD[:-1], "{}: not JSON"),
        (f"[{GOOD}, {GOOD.replace('/test', '')}]", "{}[1]: source: must not be empty"),
        (f"[{GOOD}, 7]", "{}[1]: expected an object"),
        (f"[{GOOD},", "{}: not JSON"),
        (GOOD.replace("1.0", "9.0"), "{}:1: specversion"),
        (f"{GOOD}\n" + json.dumps(event(2, x=" " * (7 << 20))), "{}:2: a line of more than"),
    ],
)
def test_nothing_is_sent_when_one_is_wrong(
    text: str, told: str, sqlite: Queue, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = events(sqlite.folder / "good", [event(0)]), sqlite.folder / "bad"
    bad.write_text(text)
    words = ("send", "--topic", sqlite.numbers, *sqlite.options, good, bad)
    out, err = call(capsys, *words, code=1)
    assert out == ""
    assert err.startswith(f"gpfn: {told.format(bad)}")
    assert err.count("\n") == 1
    assert len(err) < 400
    assert sqlite.records(sqlite.numbers) == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--rate", "0"), "--rate: expected a number such as 100/s or 30/m, got '0'"),
        (("--rate", "nan/s"), "--rate: expected"),
        (("--rate", "5/day"), "--rate: expected"),
        (("--key", "Partition-Key"), "--key: an attribute's name is made of"),
        (("absent.jsonl",), "absent.jsonl: cannot be read: No such file"),
        (("--file",), "--file: a file is in no queue"),
        (("--topic", ""), "a name has 1 to 249 printable characters"),
    ],
)
def test_bad_words(
    words: tuple[str, ...], told: str, sqlite: Queue, capsys: pytest.CaptureFixture[str]
) -> None:
    file = events(sqlite.folder / "e.jsonl", [event(1)])
    start = ("send", "--topic", sqlite.numbers, *sqlite.options, file)
    _, err = call(capsys, *start, *words, code=1)
    assert told in err
    assert err.count("\n") == 1
    assert sqlite.records(sqlite.numbers) == []


def test_rates() -> None:
    assert [parse_rate(text) for text in ("5", "5/s", "30/m", "36/h", "0.5")] == [
        5.0, 5.0, 0.5, 0.01, 0.5,
    ]  # fmt: skip
    for text in ("", "-1", "1e999", "1_0", "٣", "inf", "2000001"):
        with pytest.raises(SetupError, match="--rate"):
            parse_rate(text)


def test_a_rate_is_kept(sqlite: Queue, capsys: pytest.CaptureFixture[str]) -> None:
    file = events(sqlite.folder / "e.jsonl", [event(n) for n in range(11)])
    began = time.monotonic()
    call(capsys, "send", "--topic", sqlite.numbers, *sqlite.options, file, "--rate", "20/s")
    assert time.monotonic() - began >= 0.5
    times = [record.time for record in sqlite.records(sqlite.numbers)]
    assert times[-1] - times[0] >= 400


def test_standard_input_that_is_a_pipe(sqlite: Queue) -> None:
    lines = "".join(f"{json.dumps(event(n))}\n" for n in range(3000))
    words = [sys.executable, "-m", "gpfn", "bridge", "send", "--topic", sqlite.numbers]
    words += sqlite.options
    ran = subprocess.run(
        words, input=lines, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ran.stdout, ran.stderr) == (f"3000 events sent to {sqlite.numbers}\n", "")
    assert [found[1] for found in sent(sqlite, sqlite.numbers)] == [str(n) for n in range(3000)]


def test_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    to, file = tmp_path / "to.jsonl", events(tmp_path / "e.jsonl", [event(1), event(2)])
    call(capsys, "send", "--topic", to, "--file", file)
    assert [json.loads(line)["id"] for line in to.read_text().splitlines()] == ["1", "2"]
    out, err = call(capsys, "send", "--topic", to, "--file", file, "--mode", "binary", code=1)
    assert out == f"0 of 2 events sent to {to}\n"
    assert "only a structured event" in err


def test_what_the_queue_refuses(
    request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first error is told, with how many have arrived; what was checked is not enough."""
    from tests.cli.bridge_queues import make_queue

    queue = make_queue("kafka", request, tmp_path)
    big = event(1, data="x" * 1_500_000)
    file = events(tmp_path / "e.jsonl", [event(0), big])
    words = ("send", "--topic", queue.numbers, *queue.options, file)
    out, err = call(capsys, *words, code=1)
    assert out == f"1 of 2 events sent to {queue.numbers}\n"
    assert "max.message.bytes" in err
    assert [found[1] for found in sent(queue, queue.numbers)] == ["0"]
    _, err = call(capsys, "send", "--topic", "no-such-topic", *queue.options, file, code=1)
    assert "no-such-topic" in err
    assert err.count("\n") == 1
