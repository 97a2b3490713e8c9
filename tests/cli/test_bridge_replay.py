"""``gpfn bridge replay``: records go through the routes once more, and no group moves."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gpfn.events.kafka import read_record
from tests.cli.bridge_queues import (
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


def fill(queue: Queue) -> int:
    """Write numbers 0 to 9, one that is poison and one that no route takes; the first offset."""
    documents = [event(n) for n in range(10)]
    documents[4]["data"] = "poison"
    documents[6]["type"] = "com.example.other"
    put_events(queue, documents, b"k")
    return queue.records(queue.numbers)[0].offset


def replies(queue: Queue) -> dict[str, object]:
    """Return the data of replies by the ids of their causes."""
    found = {}
    for record in queue.records(queue.doubled):
        read = read_record(record.value, record.headers)
        assert read is not None
        assert read.attribute("bridgehops") == 1
        found[str(read.attribute("causationid"))] = read.json()
    return found


def test_a_range_goes_through_the_routes(
    queue: Queue, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPFN_LOG", "quiet")
    first = fill(queue)
    words = ("replay", "--topic", queue.numbers, "--bridge", queue.bridge)
    lag = call(capsys, "lag", "--bridge", queue.bridge, "--json")[0]
    out, err = call(capsys, *words, "--offsets", f"{first + 2}-{first + 6}", "--json")
    assert err == ""
    document = json.loads(out.splitlines()[-1])
    assert document["outcomes"] == {"replied": 3, "refused": 1, "unrouted": 1}
    assert (document["received"], document["dead"]) == (5, 2)
    assert sorted(queue.calls) == ["2", "3", "4", "5"]
    assert replies(queue) == {"2": 4, "3": 6, "5": 10}
    dead = [dict(record.headers) for record in queue.records(queue.dead)]
    origins = {(d["gpfn_outcome"], d["gpfn_topic"], d["gpfn_offset"]) for d in dead}
    topic = queue.numbers.encode()
    assert origins == {
        (b"refused", topic, b"%d" % (first + 4)),
        (b"unrouted", topic, b"%d" % (first + 6)),
    }
    assert json.loads(call(capsys, "lag", "--bridge", queue.bridge, "--json")[0]) == json.loads(lag)
    assert len(queue.records(queue.numbers)) == 10


def test_all_without_naming_the_topic(
    queue: Queue, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPFN_LOG", "quiet")
    fill(queue)
    out, _ = call(capsys, "replay", "--bridge", queue.bridge, "--all")
    assert "received 10  lag 0  in flight 0  replied 8  refused 1  unrouted 1" in out
    assert "dead letters 2" in out
    assert call(capsys, "replay", "--bridge", queue.bridge, "--since", "0s")[0].startswith(
        "received 0"
    )
    out, _ = call(capsys, "replay", "--bridge", queue.bridge, "--since", "1h", "--until", "30m")
    assert out.startswith("received 0")


def test_one_route_takes_all(
    queue: Queue, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPFN_LOG", "quiet")
    first = fill(queue)
    words = ("replay", "--bridge", queue.bridge, "--route", "double")
    out, _ = call(capsys, *words, "--offsets", f"{first + 6}", "--json")
    assert json.loads(out.splitlines()[-1])["outcomes"] == {"replied": 1}
    assert replies(queue) == {"6": 12}


def test_a_dry_run_calls_nothing(queue: Queue, capsys: pytest.CaptureFixture[str]) -> None:
    first = fill(queue)
    late = event(20, expirytime="2020-01-01T00:00:00Z")
    far = event(21, bridgehops="8")
    special = event(22, type="com.example.special.one")
    put_events(queue, (late, far, special))
    put(queue, queue.numbers, [(None, b"no event", ())])
    words = ("replay", "--bridge", queue.bridge, "--all", "--dry-run")
    out, err = call(capsys, *words)
    lines = out.splitlines()
    assert err == ""
    assert (
        lines[0] == f"0:{first}  com.example.number  /test  0  -> double ({queue.folder}/func.py)"
    )
    assert lines[6].endswith("-> unrouted: no route takes type 'com.example.other'")
    assert lines[10].endswith("-> late: its time is up")
    assert lines[11].endswith("-> looped: the event went over 8 bridges (delivery.hops)")
    assert lines[12].endswith("-> special (https://127.0.0.1:1/special?…)")
    assert lines[13].endswith("-> unreadable: the record is no event")
    counts = "double 9  late 1  looped 1  special 1  unreadable 1  unrouted 1"
    assert lines[14:] == [f"14 records, nothing was called:  {counts}"]
    assert "secret" not in out
    assert "hidden" not in out

    lines = call(capsys, *words, "--json")[0].splitlines()
    documents = [json.loads(line) for line in lines]
    assert [d["routes"] for d in documents[:2]] == [["double"], ["double"]]
    assert documents[6]["outcome"] == "unrouted"
    assert documents[0]["event"] == {"type": "com.example.number", "source": "/test", "id": "0"}
    assert documents[-1]["records"] == 14
    assert documents[-1]["counts"]["double"] == 9
    assert (queue.calls, queue.records(queue.doubled), queue.records(queue.dead)) == ([], [], [])


def test_a_dry_run_knows_what_came_before(
    request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    queue = make_queue("queue", request, tmp_path)
    queue.bridge.write_text(f"{queue.bridge.read_text()}[delivery]\nremember = 10\n")
    for _ in range(2):
        fill(queue)
    out, _ = call(capsys, "replay", "--bridge", queue.bridge, "--all", "--dry-run")
    assert out.splitlines()[-1].endswith("double 9  duplicate 9  unrouted 2")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "--all: say which records: --since and --until, --offsets, or --all"),
        (("--all", "--since", "1h"), "--all: leave it out beside times and offsets"),
        (("--all", "--route", "other"), "route: no route is called 'other'; there are double"),
        (("--all", "--topic", "absent"), "absent: "),
        (("--offsets", "5"), "--topic: the bridge reads 2 topics: say which, "),
        (("--all", "--bridge", "absent.toml"), "absent.toml: "),
    ],
)
def test_bad_words(
    words: tuple[str, ...],
    told: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    queue = make_queue("queue", request, tmp_path)
    if words == ("--offsets", "5"):
        text = queue.bridge.read_text().replace(f'["{queue.numbers}"]', '["a", "b"]')
        queue.bridge.write_text(text)
    _, err = call(capsys, "replay", "--bridge", queue.bridge, *words, code=1)
    assert err.startswith(f"gpfn: {told}")
    assert err.count("\n") == 1
    assert queue.calls == []


def test_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part of a file, by the bytes at which lines begin; the cursor of the bridge stays."""
    monkeypatch.setenv("GPFN_LOG", "quiet")
    Queue("queue", str(tmp_path / "queue.db"), tmp_path)  # for its function
    bridge = tmp_path / "bridge.toml"
    bridge.write_text(
        '[source]\nfile = "in.jsonl"\n[sink]\nfile = true\n[[route]]\ncall = "func.py"\n'
        'reply = { topic = "out.jsonl" }\n[dead-letter]\ntopic = "dead.jsonl"\n'
    )
    file = events(tmp_path / "in.jsonl", [event(n, data="x" if n == 2 else n) for n in range(5)])
    call(capsys, "run", bridge)
    cursor = (tmp_path / "in.jsonl.cursor").read_bytes()
    starts = [0]
    for line in file.read_bytes().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    out, _ = call(capsys, "replay", "--bridge", bridge, "--offsets", f"{starts[1]}-{starts[3]}")
    assert "replied 2  refused 1" in out
    assert (tmp_path / "in.jsonl.cursor").read_bytes() == cursor
    answers = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert sorted(answer["causationid"] for answer in answers) == ["0", "1", "1", "3", "3", "4"]
    assert len((tmp_path / "dead.jsonl").read_text().splitlines()) == 2


def test_without_a_dead_letter_topic_it_stops(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GPFN_LOG", "quiet")
    queue = make_queue("queue", request, tmp_path)
    queue.bridge.write_text(queue.bridge.read_text().partition("[dead-letter]")[0])
    fill(queue)
    _, err = call(capsys, "replay", "--bridge", queue.bridge, "--all", code=1)
    assert "the bridge stops, for there is no dead-letter topic" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it(
    number: signal.Signals, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Calls that were begun end; the rest is not replayed, and nothing hangs."""
    queue = make_queue("queue", request, tmp_path)
    slow = (
        (tmp_path / "func.py")
        .read_text()
        .replace("return 2", "__import__('time').sleep(0.05)\n    return 2")
    )
    (tmp_path / "func.py").write_text(slow)
    put_events(queue, [event(n) for n in range(2000)])
    command = [sys.executable, "-m", "gpfn", "bridge", "replay", "--all", "--bridge"]
    process = subprocess.Popen(
        [*command, str(queue.bridge)], stdout=subprocess.PIPE, text=True, env={**os.environ}
    )
    try:
        end = time.monotonic() + 30
        while not queue.calls:
            assert time.monotonic() < end
            time.sleep(0.02)
        process.send_signal(number)
        out, _ = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    assert 0 < len(replies(queue)) < 500
    assert f"replied {len(replies(queue))}" in out
