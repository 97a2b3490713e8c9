"""``gpfn bridge dead``: dead letters are listed, shown, sent once more and dropped."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from gpfn.bridge.dead_letter import Cause, shortened
from gpfn.bridge.files.dead_lines import read_dead_line, write_dead_line
from gpfn.bridge.files.sink import FileSink
from gpfn.bridge.kafka.handled import handled_group
from gpfn.bridge.record import Outgoing, Record
from tests.bridge.kafka_broker import TestKafka
from tests.cli.bridge_queues import (
    Queue,
    call,
    event,
    events,
    kafka,
    make_queue,
    nats,
    put,
    queue,
)

__all__ = ["kafka", "nats", "queue"]

HEADERS = (("ce_id", b"1"), ("odd", b"\xff\x00"), ("again", b"1"), ("null", None), ("again", b"2"))
CAUSE = Cause("refused", "the function\nanswered 400", "http://f/x", 400, b'{"error":\x1b}', 3)


def bury(queue: Queue, count: int, topic: str = "") -> None:
    """Write dead letters as a bridge does: odd bytes, each with a key of its own."""
    letters = []
    for n in range(count):
        value = None if n == 1 else b"value-%d\n\xfe" % n
        record = Record(topic or queue.numbers, 0, 100 + n, b"\xffk%d" % n, value, HEADERS)
        letters.append(next(shortened(queue.dead, record, CAUSE)))
    put(queue, queue.dead, [letter[1:] for letter in letters])


def listed(queue: Queue, capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    """Return the letters in the list."""
    out, err = call(capsys, "dead", "list", *(words or ("--bridge", queue.bridge)), "--json")
    assert err == ""
    return [json.loads(line) for line in out.splitlines()]


def offsets(queue: Queue, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the offsets in the list, as they are given to commands."""
    return [f"{d['partition']}:{d['offset']}" for d in listed(queue, capsys)]


def apart(*words: object) -> None:
    """Run a command in a process of its own, which loads functions anew."""
    command = [sys.executable, "-m", "gpfn", "bridge", *map(str, words)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60)


def test_the_list(queue: Queue, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("dead", "list", "--bridge", queue.bridge)
    assert call(capsys, *words) == (f"no dead letters in {queue.dead}\n", "")
    bury(queue, 3)
    put(queue, queue.dead, [(None, b"of somebody else", (("gpfn_offset", b"-1"), ("x", b"y")))])
    lines = call(capsys, *words)[0].splitlines()
    header = ["offset", "when", "outcome", "code", "attempts", "origin", "reason"]
    assert lines[0].split() == header
    first = queue.records(queue.dead)[0].offset
    for n in range(3):
        cells = lines[1 + n].split(maxsplit=7)
        assert [cells[0], *cells[2:5]] == [f"0:{first + n}", "refused", "400", "3"]
        assert cells[5:] == [queue.numbers, f"0:{100 + n}", "the function answered 400"]
    assert lines[4].split()[2:] == ["-", "-", "-", "-", "-"]
    assert len(lines) == 5
    short = call(capsys, *words, "--count", 2)[0].splitlines()
    assert short == [*lines[:3], "and 2 more: --count shows them"]
    (letter, *_) = listed(queue, capsys)
    assert letter["letter"] == {
        "outcome": "refused",
        "reason": "the function answered 400",
        "topic": queue.numbers,
        "partition": 0,
        "offset": 100,
        "attempts": 3,
        "destination": "http://f/x",
        "code": 400,
        "data": '{"error": }',
    }
    by_place = listed(queue, capsys, *queue.options, "--topic", queue.dead)
    assert by_place == listed(queue, capsys)


def test_one_is_shown_whole(queue: Queue, capsys: pytest.CaptureFixture[str]) -> None:
    bury(queue, 2)
    name = offsets(queue, capsys)[0]
    for offset in (name, name.partition(":")[2]):
        out, _ = call(capsys, "dead", "show", offset, "--bridge", queue.bridge)
        lines = out.splitlines()
        assert [line.split(maxsplit=1) for line in lines[:7]] == [
            ["origin", f"{queue.numbers} 0:100"],
            ["outcome", "refused"],
            ["reason", "the function answered 400"],
            ["attempts", "3"],
            ["destination", "http://f/x"],
            ["code", "400"],
            ["data", '{"error": }'],
        ]
        assert lines[7].startswith(f"{queue.dead}  {name}  ")
        assert lines[7].endswith("  key \\xffk0")
        assert "  odd: \\xff\\x00" in lines
        assert lines[-1] == "  value-0\\n\\xfe"
        assert not any("gpfn_" in line or "knativeerror" in line for line in lines)
    out, _ = call(capsys, "dead", "show", name, "--bridge", queue.bridge, "--json")
    assert json.loads(out) == listed(queue, capsys)[0]


def test_a_retry_gives_the_record_back_byte_for_byte(
    queue: Queue, capsys: pytest.CaptureFixture[str]
) -> None:
    bury(queue, 4)
    names = offsets(queue, capsys)
    words = ("dead", "retry", "--bridge", queue.bridge)
    out, err = call(capsys, *words, names[1], names[3])
    assert (out, err) == (f"2 letters of {queue.dead} retried\n", "")
    assert offsets(queue, capsys) == [names[0], names[2]]
    back = queue.records(queue.numbers)
    assert [(r.key, r.value, r.headers) for r in back] == [
        (b"\xffk1", None, HEADERS),
        (b"\xffk3", b"value-3\n\xfe", HEADERS),
    ]
    out, _ = call(capsys, *words, "--all", "--json")
    assert json.loads(out) == {"topic": queue.dead, "retried": 2}
    assert offsets(queue, capsys) == []
    keys = {b"\xffk0", b"\xffk1", b"\xffk2", b"\xffk3"}
    assert {record.key for record in queue.records(queue.numbers)} == keys
    assert call(capsys, *words, "--all")[0] == f"0 letters of {queue.dead} retried\n"
    bury(queue, 1)
    assert len(offsets(queue, capsys)) == 1, "letters that come later are listed"


def test_what_is_dropped_is_not_listed(queue: Queue, capsys: pytest.CaptureFixture[str]) -> None:
    bury(queue, 6)
    names = offsets(queue, capsys)
    words = ("dead", "drop", "--bridge", queue.bridge)
    assert call(capsys, *words, names[3])[0] == f"1 letter of {queue.dead} dropped\n"
    assert offsets(queue, capsys) == [*names[:3], *names[4:]]
    out, _ = call(capsys, *words, names[0], names[1], names[5], "--json")
    assert json.loads(out) == {"topic": queue.dead, "dropped": 3}
    assert offsets(queue, capsys) == [names[2], names[4]]
    call(capsys, *words, "--all")
    assert offsets(queue, capsys) == []
    assert queue.records(queue.numbers) == []
    bury(queue, 2)
    assert len(offsets(queue, capsys)) == 2


@pytest.mark.parametrize("what", ["show", "retry", "drop"])
def test_an_offset_that_is_not_there(
    what: str, queue: Queue, capsys: pytest.CaptureFixture[str]
) -> None:
    bury(queue, 2)
    names = offsets(queue, capsys)
    more = [names[0]] if what != "show" else []
    for absent in ("77", "0:77"):
        out, err = call(capsys, "dead", what, *more, absent, "--bridge", queue.bridge, code=1)
        assert out == ""
        assert err == f"gpfn: {absent}: no dead letter of {queue.dead} has this offset\n"
    assert offsets(queue, capsys) == names
    assert queue.records(queue.numbers) == []


def test_the_way_round(
    queue: Queue, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bridge buries an event, its function is mended, and the event is answered."""
    monkeypatch.setenv("GPFN_LOG", "quiet")
    structured = (("content-type", b"application/cloudevents+json"),)
    value = json.dumps(event(1, data="21")).encode()
    put(queue, queue.numbers, [(b"key", value, structured)])
    call(capsys, "replay", "--bridge", queue.bridge, "--all")
    (letter,) = listed(queue, capsys)
    assert letter["letter"]["code"] == 400
    function = queue.folder / "func.py"
    function.write_text(function.read_text().replace("event.json()", "int(event.json())"))
    call(capsys, "dead", "retry", "--all", "--bridge", queue.bridge)
    again = queue.records(queue.numbers)[1]
    assert (again.key, again.value, again.headers) == (b"key", value, structured)
    apart("replay", "--bridge", queue.bridge, "--offsets", again.offset)
    (reply,) = queue.records(queue.doubled)
    assert json.loads(reply.value or b"")["data"] == 42
    assert offsets(queue, capsys) == []


def test_another_topic(queue: Queue, capsys: pytest.CaptureFixture[str]) -> None:
    """A letter that names a topic which the bridge does not read goes where somebody says."""
    bury(queue, 1, topic="passwords")
    (name,) = offsets(queue, capsys)
    words = ("dead", "retry", "--all", "--bridge", queue.bridge)
    _, err = call(capsys, *words, code=1)
    assert err.startswith(f"gpfn: {name}: came from passwords, which the bridge does not read")
    assert offsets(queue, capsys) == [name]
    call(capsys, *words, "--to", queue.doubled)
    assert [record.key for record in queue.records(queue.doubled)] == [b"\xffk0"]
    assert offsets(queue, capsys) == []


def test_a_letter_that_tells_nothing(queue: Queue, capsys: pytest.CaptureFixture[str]) -> None:
    put(queue, queue.dead, [(None, b"bare", ()), (None, b"cut", (("gpfn-error", b"too long"),))])
    names = offsets(queue, capsys)
    words = ("dead", "retry", "--bridge", queue.bridge)
    _, err = call(capsys, *words, names[0], code=1)
    assert err.startswith(f"gpfn: {names[0]}: does not tell which topic it came from")
    _, err = call(capsys, *words, names[1], "--to", queue.numbers, code=1)
    assert err == f"gpfn: {names[1]}: cannot be sent again, it is not whole: too long\n"
    assert offsets(queue, capsys) == names
    call(capsys, *words, names[0], "--to", queue.numbers)
    assert [record.value for record in queue.records(queue.numbers)] == [b"bare"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("drop",), "OFFSET: expected offsets, or --all"),
        (("retry", "--all", "1"), "OFFSET: expected offsets, or --all"),
        (("drop", "x"), "OFFSET: expected an offset such as 17 or 2:17, got 'x'"),
        (("show", "1:2:3"), "OFFSET: expected an offset"),
        (("list", "--queue", "q.db"), "--topic: expected the dead-letter topic"),
        (("list", "--file"), "--topic: expected the dead-letter topic"),
        (("retry", "--all", "--file", "--topic", "d"), "--to: expected the file"),
        (("list", "--bridge", "absent.toml"), "absent.toml: "),
        (("list", "--bridge", "{}", "--topic", "absent"), "absent: "),
    ],
)
def test_bad_words(
    words: tuple[str, ...],
    told: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    queue = make_queue("queue", request, tmp_path)
    monkeypatch.chdir(tmp_path)
    _, err = call(capsys, "dead", *[word.format(queue.bridge) for word in words], code=1)
    assert err.startswith(f"gpfn: {told}")
    assert err.count("\n") == 1


def test_a_bridge_without_the_topic(
    request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    queue = make_queue("queue", request, tmp_path)
    queue.bridge.write_text(queue.bridge.read_text().partition("[dead-letter]")[0])
    _, err = call(capsys, "dead", "list", "--bridge", queue.bridge, code=1)
    assert err == "gpfn: dead-letter.topic: the bridge has none: name a topic\n"


def test_before_the_first_letter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Queues and files whose topic nobody has written to yet hold no letters."""
    queue = Queue("queue", str(tmp_path / "queue.db"), tmp_path)
    words = ("dead", "list", "--bridge", queue.bridge)
    told = (f"no dead letters in {queue.dead}\n", "")
    assert call(capsys, *words) == told
    assert not (tmp_path / "queue.db").exists()
    put(queue, queue.numbers, [(None, b"1", ())])
    assert call(capsys, *words) == told
    queue.bridge.write_text(
        '[source]\nfile = "in.jsonl"\n[sink]\nfile = true\n[[route]]\ncall = "func.py"\n'
        '[dead-letter]\ntopic = "dead.jsonl"\n'
    )
    assert call(capsys, *words)[0] == f"no dead letters in {tmp_path / 'dead.jsonl'}\n"


def test_partitions_of_kafka(
    request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same offset may be in several partitions: then it has to be said which."""
    queue = make_queue("kafka", request, tmp_path, partitions=3)
    broker = request.getfixturevalue("kafka")
    for partition in range(3):
        values = [b"%d" % (10 * partition + n) for n in range(3)]
        broker.write(queue.dead, values, partition=partition)
    words = ("--bridge", queue.bridge)
    _, err = call(capsys, "dead", "drop", "1", *words, code=1)
    assert "several partitions have it: say which" in err
    call(capsys, "dead", "drop", "1:1", "2:0", "2:1", "2:2", *words)
    assert sorted(offsets(queue, capsys)) == ["0:0", "0:1", "0:2", "1:0", "1:2"]
    assert broker.committed(handled_group(queue.dead), queue.dead)[2] == 3
    call(capsys, "dead", "drop", "1", *words)
    assert sorted(offsets(queue, capsys)) == ["0:0", "0:2", "1:0", "1:2"]
    out, _ = call(capsys, "dead", "show", "1:2", *words)
    assert out.splitlines()[-1] == "  12"


def test_marks_that_do_not_fit(
    request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Kafka keeps 4,096 characters: what is not marked is told, and is still listed."""
    queue = make_queue("kafka", request, tmp_path)
    put(queue, queue.dead, [(None, b"%d" % n, ()) for n in range(4000)])
    every = [str(n) for n in range(4000)]
    words = ("dead", "drop", "--bridge", queue.bridge)
    _, err = call(capsys, *words, *every[1::2], code=1)
    assert "stay listed: so many do not fit beside the offset; drop older ones first" in err
    left = [int(name.partition(":")[2]) for name in offsets(queue, capsys)]
    assert set(left) >= {*range(0, 4000, 2)}
    assert 2000 < len(left) < 3000
    call(capsys, *words, *[str(n) for n in left if n < 3500])
    assert [int(name.partition(":")[2]) for name in offsets(queue, capsys)] == [
        n for n in left if n >= 3500
    ]


def test_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line goes and the others keep their places; what is retried is read by the next run."""
    monkeypatch.setenv("GPFN_LOG", "quiet")
    Queue("queue", str(tmp_path / "queue.db"), tmp_path)  # for its function
    bridge, dead = tmp_path / "bridge.toml", tmp_path / "dead.jsonl"
    bridge.write_text(
        '[source]\nfile = "in.jsonl"\n[sink]\nfile = true\n[[route]]\ncall = "func.py"\n'
        'reply = { topic = "out.jsonl" }\n[dead-letter]\ntopic = "dead.jsonl"\n'
    )
    documents = [event(n, data=str(n)) for n in range(4)]
    events(tmp_path / "in.jsonl", documents)
    call(capsys, "run", bridge)
    dead.chmod(0o640)
    found = [json.loads(line) for line in call(capsys, "dead", "list", "--json", "--bridge",
                                               bridge)[0].splitlines()]  # fmt: skip
    places = [str(d["offset"]) for d in found]
    assert len(places) == 4
    assert [d["letter"]["topic"] for d in found] == ["in.jsonl"] * 4
    size = dead.stat().st_size
    call(capsys, "dead", "drop", places[1], "--bridge", bridge)
    out = call(capsys, "dead", "list", "--json", "--file", "--topic", dead)[0]
    left = [str(json.loads(line)["offset"]) for line in out.splitlines()]
    assert left == [places[0], *places[2:]], "the others are where they were"
    assert (dead.stat().st_size, dead.stat().st_mode & 0o777) == (size, 0o640)
    assert b"value" not in dead.read_bytes().splitlines()[1]
    _, err = call(capsys, "dead", "drop", places[1], "--bridge", bridge, code=1)
    assert "has this offset" in err

    function = tmp_path / "func.py"
    function.write_text(function.read_text().replace("event.json()", "int(event.json())"))
    call(capsys, "dead", "retry", places[3], "--bridge", bridge)
    call(capsys, "dead", "retry", places[0], "--file", "--topic", dead, "--to",
         tmp_path / "in.jsonl")  # fmt: skip
    apart("run", bridge)
    answers = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    numbers = [int(json.loads(found[n]["value"])["data"]) for n in (0, 3)]
    assert sorted(answer["data"] for answer in answers) == sorted(2 * n for n in numbers)
    call(capsys, "dead", "drop", "--all", "--bridge", bridge)
    assert dead.read_bytes() == b""
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "bridge.toml", "calls", "dead.jsonl", "func.py", "in.jsonl", "in.jsonl.cursor",
        "in.jsonl.cursor.lock", "out.jsonl",
    ]  # fmt: skip


def test_a_file_that_a_bridge_writes_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its lock is the writer's: nothing that is written meanwhile can be lost."""
    import asyncio

    file = tmp_path / "dead.jsonl"
    file.write_bytes(write_dead_line(Outgoing("t", None, b"1")) + b"\n")

    async def main() -> None:
        sink = FileSink(file, form="records")
        await sink.start([])
        words = ("dead", "drop", "0", "--file", "--topic", str(file))
        _, err = await asyncio.to_thread(call, capsys, *words, code=1)
        assert err.startswith(f"gpfn: {file}: another process writes to it")
        await sink.stop(1)

    asyncio.run(main())
    assert read_dead_line(file.read_bytes()).value == b"1"
    call(capsys, "dead", "drop", "0", "--file", "--topic", file)
    assert file.read_bytes() == b""


def test_lines_that_are_no_letters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "dead.jsonl"
    good = write_dead_line(Outgoing("t", b"k", b"1", (("gpfn_topic", b"in"),)))
    file.write_bytes(b"\n" + b"torn\n" + good + b"\n" + b'{"topic":1}\n' + good)
    words = ("--file", "--topic", file)
    lines = call(capsys, "dead", "list", *words)[0].splitlines()
    assert len(lines) == 5
    assert "the line is no JSON" in lines[1]
    assert lines[2].split() == ["0:6", "-", "-", "-", "-", "in", "-"]
    call(capsys, "dead", "drop", "1", "6", *words)
    assert len(call(capsys, "dead", "list", *words)[0].splitlines()) == 3
    call(capsys, "dead", "drop", "--all", *words)
    assert file.read_bytes() == b""


def test_a_retry_that_is_killed_gives_twice_and_never_not_at_all(
    request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed again and again at any moment: each letter is back, and none is listed and lost."""
    queue = make_queue("queue", request, tmp_path)
    count = 3000
    bury(queue, count)
    command = [sys.executable, "-m", "gpfn", "bridge", "dead", "retry", "--all", "--bridge"]
    for seconds in (0.25, 0.35, 0.45, 0.55, 0.65):
        process = subprocess.Popen([*command, str(queue.bridge)], stdout=subprocess.DEVNULL)
        time.sleep(seconds)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        back = {record.key for record in queue.records(queue.numbers)}
        left = {record.key for record in queue.records(queue.dead)}
        assert len(back | left) == count
    call(capsys, "dead", "retry", "--all", "--bridge", queue.bridge)
    keys = [record.key for record in queue.records(queue.numbers)]
    assert len(set(keys)) == count
    assert len(keys) <= count + 5 * 1000, "at most what was under way came twice"
    assert queue.records(queue.dead) == []


def limit_topic(broker: TestKafka, topic: str, size: int) -> None:
    """Let a topic take no larger records than these."""
    client = AdminClient(broker.settings)
    entry = ConfigEntry("max.message.bytes", str(size), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
    client.incremental_alter_configs([resource])[resource].result(10)


def test_what_is_not_confirmed_stays(
    request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A letter too large for its origin stays, and the others do not have to wait for it."""
    queue = make_queue("kafka", request, tmp_path)
    broker = request.getfixturevalue("kafka")
    small, large = b"x" * 10, b"x" * 5000
    headers = (("gpfn_topic", queue.numbers.encode()), ("gpfn_offset", b"1"))
    put(queue, queue.dead, [(b"1", small, headers), (b"2", large, headers)])
    limit_topic(broker, queue.numbers, 2000)
    out, err = call(capsys, "dead", "retry", "--all", "--bridge", queue.bridge, code=1)
    assert out == f"1 letter of {queue.dead} retried\n"
    assert "max.message.bytes" in err
    assert [letter["key"] for letter in listed(queue, capsys)] == ["2"]
    assert [record.key for record in queue.records(queue.numbers)] == [b"1"]
