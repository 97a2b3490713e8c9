"""What the queue of one machine costs: events a second, the processor when idle, memory."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from gpfn.bridge.record import Outgoing, Record
from gpfn.bridge.sqlite.queue import Queue
from gpfn.bridge.sqlite.sink import QueueSink
from gpfn.bridge.sqlite.source import QueueSource
from tests.bridge.conformance import Heard, until

HEADERS = tuple((f"ce_{number}", b"some value") for number in range(6))
EVENTS = 10_000


class Answers(Heard):
    """Sends an answer for each record, and is done with it once that is on the disk."""

    def __init__(self, source: QueueSource, sink: QueueSink) -> None:
        super().__init__(source)
        self.sink = sink
        self.count = 0

    def received(self, records: Sequence[Record]) -> None:
        for record in records:
            self.count += 1
            answer = Outgoing("answers", record.key, b"y" * 120)
            self.sink.send(answer, lambda _, record=record: self.source.done(record))


def resident() -> int:
    """Return the bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def fill(sink: QueueSink, count: int) -> None:
    """Send events, and wait until they are on the disk."""
    told: list[object] = []
    for number in range(count):
        record = Outgoing("events", b"%d" % (number % 64), b"x" * 1000, HEADERS)
        sink.send(record, told.append)
        if number % 200 == 0:
            await asyncio.sleep(0)
    await until(lambda: len(told) == count, 60)
    assert not any(told)


async def answering(path: Path) -> tuple[QueueSink, Answers]:
    """Return what runs on a new queue."""
    queue = Queue(path)
    sink = QueueSink(queue)
    await sink.start(["events", "answers"])
    return sink, Answers(QueueSource(queue, ["events"], "g"), sink)


@pytest.mark.timing
def test_ten_thousand_events_are_answered_in_a_second_of_the_processor(tmp_path: Path) -> None:
    """Which is what five thousand a second by the clock hang on, on a machine that is shared."""

    async def once(path: Path) -> float:
        sink, answers = await answering(path)
        await fill(sink, EVENTS)
        before = time.process_time()
        await answers.source.start(answers)
        await until(lambda: answers.count == EVENTS, 60)
        while (await answers.source.lag())["events", 0]:
            await asyncio.sleep(0.002)
        used = time.process_time() - before
        await answers.source.stop()
        await sink.stop(10)
        return used

    assert min([asyncio.run(once(tmp_path / str(number))) for number in range(3)]) < EVENTS / 10_000


@pytest.mark.timing
def test_a_source_without_work_needs_little_of_the_processor(tmp_path: Path) -> None:
    async def main() -> float:
        sink, answers = await answering(tmp_path / "queue.db")
        await answers.source.start(answers)
        await asyncio.sleep(1)
        before = time.process_time()
        await asyncio.sleep(4)
        used = (time.process_time() - before) / 4
        await answers.source.stop()
        await sink.stop(1)
        return used

    assert asyncio.run(main()) < 0.03


@pytest.mark.timing
def test_memory_and_files_do_not_grow_with_the_events_that_went_by(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"

    async def main() -> int:
        sink, answers = await answering(path)
        readers = QueueSource(sink._queue, ["answers"], "readers")
        heard = Heard(readers)
        await answers.source.start(answers)
        await readers.start(heard)
        heard.done_at_once = True
        before = 0
        for number in range(40):
            await fill(sink, 1000)
            await until(lambda: answers.count == len(heard.records) == 1000, 60)
            answers.count = 0
            heard.records.clear()
            if number == 10:
                before = resident()
        grown = resident() - before
        await readers.stop()
        await answers.source.stop()
        await sink.stop(10)
        return grown

    assert asyncio.run(main()) < 5e6
    assert path.stat().st_size < 20e6
