"""Processes that share a queue's file: killed, stopped, and many at once."""

import asyncio
import random
import signal
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from gpfn.bridge.record import Outgoing
from gpfn.bridge.sqlite.queue import Queue
from gpfn.bridge.sqlite.reading import list_groups, list_topics, open_queue, read_records
from gpfn.bridge.sqlite.sink import QueueSink
from gpfn.errors import GpfnError
from tests.bridge.queue_worker import GROUP, TOPIC, Worker, lines_of


def fill(path: Path, count: int, keys: int) -> None:
    """Write numbers to the queue; every tenth has no key."""

    async def main() -> None:
        sink = QueueSink(Queue(path))
        await sink.start([TOPIC])
        told: list[GpfnError | None] = []
        for number in range(count):
            key = b"k%d" % (number % keys) if number % 10 else None
            sink.send(Outgoing(TOPIC, key, b"%d" % number), told.append)
        await sink.stop(60)
        assert told == [None] * count

    asyncio.run(main())


def until(holds: Callable[[], bool], seconds: float) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def lag(path: Path) -> int:
    """Return how many records the group has not done."""
    with open_queue(path) as store:
        return sum(group.lag for group in list_groups(store) if group.group == GROUP)


def keys_in_order(log: list[list[str]]) -> dict[str, list[int]]:
    """Return the offsets of each key as they were worked on; none began before one ended."""
    worked: dict[str, list[int]] = defaultdict(list)
    at_work: dict[str, int] = {}
    for _, what, *rest in log:
        if what not in ("begin", "end"):
            continue
        key, offset = rest[0], int(rest[1])
        if key == "-":
            continue
        if what == "begin":
            assert key not in at_work, f"{key}: {offset} began while {at_work[key]} was worked on"
            at_work[key] = offset
            worked[key].append(offset)
        else:
            assert at_work.pop(key) == offset
    return worked


def test_eight_processes_share_ten_thousand_records(tmp_path: Path) -> None:
    path, log = tmp_path / "queue.db", tmp_path / "log"
    fill(path, 10_000, keys=40)
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker("read", path, log, 0.001, 30)) for _ in range(8)]
        assert [worker.wait(120) for worker in workers] == [0] * 8
    lines = lines_of(log)
    ended = [int(line[3]) for line in lines if line[1] == "end"]
    assert sorted(ended) == list(range(10_000)), "each once"
    for offsets in keys_in_order(lines).values():
        assert offsets == sorted(offsets)
    shares = {worker.name: 0 for worker in workers}
    for line in lines:
        shares[line[0]] += line[1] == "end"
    assert sum(share > 100 for share in shares.values()) >= 4, f"one did it all: {shares}"
    assert not [line for line in lines if line[1] in ("failed", "warning", "lost")]
    assert lag(path) == 0
    with open_queue(path) as store:
        assert list(read_records(store, TOPIC)) == [], "what all are done with is deleted"


def test_what_a_killed_process_had_is_taken_at_once(tmp_path: Path) -> None:
    path, log = tmp_path / "queue.db", tmp_path / "log"
    fill(path, 50, keys=3)
    with Worker("hold", path, log, 600) as holder:
        until(lambda: len(lines_of(log)) == 51, 20)
        with Worker("read", path, log, 0, 600) as waiting:
            time.sleep(0.7)
            assert not [line for line in lines_of(log) if line[1] == "begin"]
            holder.kill()
            killed = time.monotonic()
            until(lambda: lag(path) == 0, 10)
            assert time.monotonic() - killed < 5, "its lease is of 600 s"
            assert waiting.wait(20) == 0
    assert {line[0] for line in lines_of(log) if line[1] == "end"} == {waiting.name}


def test_what_a_killed_process_had_is_free_for_one_that_starts(tmp_path: Path) -> None:
    path, log = tmp_path / "queue.db", tmp_path / "log"
    fill(path, 20, keys=3)
    with Worker("hold", path, log, 600) as holder:
        until(lambda: len(lines_of(log)) == 21, 20)
        holder.kill()
    with Worker("read", path, log, 0, 600) as worker:
        assert worker.wait(20) == 0
    assert sorted(int(line[3]) for line in lines_of(log) if line[1] == "end") == list(range(20))


def test_a_process_that_stands_still_loses_what_it_has(tmp_path: Path) -> None:
    path, log = tmp_path / "queue.db", tmp_path / "log"
    fill(path, 20, keys=3)
    with Worker("hold", path, log, 1) as holder:
        until(lambda: len(lines_of(log)) == 21, 20)
        time.sleep(2.5)
        assert len(lines_of(log)) == 21, "it renews its lease"
        holder.signal(signal.SIGSTOP)
        with Worker("read", path, log, 0, 30) as worker:
            assert worker.wait(20) == 0
        done = [int(line[3]) for line in lines_of(log) if line[1] == "end"]
        assert sorted(done) == list(range(20))
        holder.signal(signal.SIGCONT)
        said = [[holder.name, "lost"], [holder.name, "assigned"]]
        until(lambda: lines_of(log)[-2:] == said, 10)
    assert lag(path) == 0


def test_what_a_killed_sender_was_told_of_is_there(tmp_path: Path) -> None:
    path, log = tmp_path / "queue.db", tmp_path / "log"
    chance = random.Random(14)
    names = []
    for _ in range(12):
        with Worker("write", path, log, 1_000_000) as sender:
            names.append(sender.name)
            until(lambda: any(line[0] == names[-1] for line in lines_of(log)), 20)
            time.sleep(chance.uniform(0, 0.1))
            sender.kill()
    with open_queue(path) as store:
        found = [(record.value or b"").decode() for record in read_records(store, TOPIC)]
        assert [topic.name for topic in list_topics(store)] == [TOPIC]
    assert len(found) == len(set(found))
    numbers: dict[str, list[int]] = defaultdict(list)
    for value in found:
        name, _, number = value.partition("-")
        numbers[name].append(int(number))
    for name in names:
        told = [int(line[2]) for line in lines_of(log) if line[0] == name]
        assert told
        assert numbers[name] == list(range(len(numbers[name]))), "in order, and none left out"
        assert max(told) < len(numbers[name])


def test_a_reader_that_is_killed_again_and_again_loses_nothing(tmp_path: Path) -> None:
    path, log = tmp_path / "queue.db", tmp_path / "log"
    fill(path, 4000, keys=16)
    chance = random.Random(15)
    with Worker("read", path, log, 0.001, 600):  # one that stays, beside those that are killed
        for _ in range(10):
            with Worker("read", path, log, 0.001, 600) as reader:
                until(lambda r=reader: any(line[0] == r.name for line in lines_of(log)), 20)
                time.sleep(chance.uniform(0, 0.3))
                reader.kill()
        until(lambda: lag(path) == 0, 60)
    ended = [int(line[3]) for line in lines_of(log) if line[1] == "end"]
    assert set(ended) == set(range(4000))
    assert len(ended) - 4000 <= 10 * 64, "at most a window again for each kill"
