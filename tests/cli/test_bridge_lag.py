"""``gpfn bridge lag``: what a group has not done, for a bridge and for any group."""

import asyncio
import json
from pathlib import Path

import pytest

from gpfn.bridge.config import read_bridge
from gpfn.bridge.opening import open_bridge
from gpfn.limits import Limits
from tests.cli.bridge_queues import (
    QUIET,
    Queue,
    call,
    event,
    events,
    kafka,
    make_queue,
    nats,
    put_events,
    queue,
)

__all__ = ["kafka", "nats", "queue"]


def fill(queue: Queue, count: int) -> None:
    """Write so many events."""
    put_events(queue, [event(n) for n in range(count)])


def lags(out: str) -> list[tuple[str, int, int]]:
    return [(row["topic"], row["partition"], row["lag"]) for row in json.loads(out)]


def run_until(queue: Queue, count: int) -> None:
    """Let the group's bridge deal with so many records, and end."""

    async def main() -> None:
        spec = read_bridge(queue.bridge)
        bridge = open_bridge(spec, limits=Limits(), log=QUIET)
        running = asyncio.create_task(bridge.run())
        async with asyncio.timeout(60):
            while sum(bridge.figures.counts.values()) < count:
                await asyncio.sleep(0.01)
        bridge.stop()
        await running

    asyncio.run(main())


def test_the_group_of_a_bridge(queue: Queue, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("lag", "--bridge", queue.bridge)
    assert lags(call(capsys, *words, "--json")[0]) == [(queue.numbers, 0, 0)]
    fill(queue, 3)
    assert lags(call(capsys, *words, "--json")[0]) == [(queue.numbers, 0, 3)]
    run_until(queue, 3)
    fill(queue, 2)
    assert lags(call(capsys, *words, "--json")[0]) == [(queue.numbers, 0, 2)]
    header, row = call(capsys, *words)[0].splitlines()
    assert header.split() == ["topic", "partition", "lag", "committed", "end", "leased"]
    assert row.split()[:3] == [queue.numbers, "0", "2"]
    if queue.kind == "kafka":
        assert row.split()[3:] == ["3", "5", "-"]


def test_any_group(queue: Queue, capsys: pytest.CaptureFixture[str]) -> None:
    fill(queue, 1)
    run_until(queue, 1)
    fill(queue, 3)
    words = ("lag", *queue.options, "--json", "--group")
    assert lags(call(capsys, *words, queue.group)[0]) == [(queue.numbers, 0, 3)]
    two = call(capsys, *words, queue.group, queue.numbers, queue.doubled)[0]
    assert lags(two) == [(queue.numbers, 0, 3), (queue.doubled, 0, 1)], "all that is there"
    assert lags(call(capsys, *words, "nobody", queue.numbers)[0])[0][2] in (3, 4)


def test_partitions_of_kafka(
    request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    queue = make_queue("kafka", request, tmp_path, partitions=2)
    broker = request.getfixturevalue("kafka")
    broker.write(queue.numbers, [b"x"] * 3, partition=1)
    found = lags(call(capsys, "lag", "--bridge", queue.bridge, "--json")[0])
    assert found == [(queue.numbers, 0, 0), (queue.numbers, 1, 3)]


def test_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPFN_LOG", "quiet")
    Queue("queue", str(tmp_path / "queue.db"), tmp_path)  # for its function
    bridge, file = tmp_path / "bridge.toml", tmp_path / "in.jsonl"
    bridge.write_text(
        '[source]\nfile = "in.jsonl"\n[sink]\nfile = true\n[[route]]\ncall = "func.py"\n'
    )
    events(file, [event(n) for n in range(3)])
    words = ("lag", "--bridge", bridge, "--json")
    (row,) = json.loads(call(capsys, *words)[0])
    assert (row["topic"], row["lag"], row["committed"]) == (str(file), 3, None)
    call(capsys, "run", bridge)
    with file.open("a") as stream:
        stream.write(json.dumps(event(9)) + "\n")
    (row,) = json.loads(call(capsys, *words)[0])
    assert (row["lag"], row["end"]) == (1, file.stat().st_size)
    file.unlink()
    _, err = call(capsys, *words[:-1], code=1)
    assert err == f"gpfn: {file}: cannot be read: No such file or directory\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--queue", "{}"), "--group: expected the name of a group"),
        (("--queue", "absent.db", "--group", "g"), "absent.db: there is no such queue"),
        (("--bridge", "absent.toml"), "absent.toml: "),
        (("--nats", "127.0.0.1:1", "--group", "g"), "nats: 127.0.0.1:1"),
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
    _, err = call(capsys, "lag", *[word.format(queue.place.address) for word in words], code=1)
    assert err.startswith(f"gpfn: {told}")
    assert err.count("\n") == 1


def test_a_group_that_has_read_nothing(queue: Queue, capsys: pytest.CaptureFixture[str]) -> None:
    code = 1 if queue.kind == "kafka" else 0
    out, err = call(capsys, "lag", *queue.options, "--group", "nobody-at-all", code=code)
    if code:
        assert err.startswith("gpfn: nobody-at-all: the group has not committed anything")
    else:
        assert out == "nothing is read\n"
