"""Processes that share a queue; started by tests, which may kill them.

    python -m tests.bridge.queue_worker read PATH LOG SECONDS LEASE
    python -m tests.bridge.queue_worker hold PATH LOG COUNT LEASE
    python -m tests.bridge.queue_worker write PATH LOG COUNT
    python -m tests.bridge.queue_worker look PATH LOG

Each writes what happens to a log that all of them append to, one whole line at a time.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from gpfn.bridge.record import Outgoing, Partition, Record
from gpfn.bridge.sqlite.queue import Queue
from gpfn.bridge.sqlite.reading import list_topics, open_queue, read_records
from gpfn.bridge.sqlite.sink import QueueSink
from gpfn.bridge.sqlite.source import QueueSource
from gpfn.errors import GpfnError

__all__ = ["GROUP", "TOPIC", "Log", "Worker", "lines_of"]

TOPIC = "work"
GROUP = "workers"


class Worker:
    """A process of this module, or another one; it is killed when the block ends."""

    def __init__(
        self,
        what: str,
        path: Path,
        log: Path,
        *options: object,
        module: str = "tests.bridge.queue_worker",
    ) -> None:
        arguments = [what, str(path), str(log), *map(str, options)]
        root = Path(__file__).resolve().parents[2]
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=root,
            env={**os.environ, "PYTHONPATH": f"{root / 'src'}{os.pathsep}{root}"},
        )

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def name(self) -> str:
        """The name that its lines begin with."""
        return str(self.process.pid)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """Kill it, and wait until it is gone."""
        self.process.kill()
        self.process.wait()

    def wait(self, seconds: float) -> int:
        """Return its exit status."""
        return self.process.wait(seconds)


def lines_of(log: Path) -> list[list[str]]:
    """Return the words of the whole lines of a log."""
    text = log.read_text() if log.exists() else ""
    return [line.split() for line in text[: text.rfind("\n") + 1].splitlines()]


class Log:
    """Appends lines to a file, each with one system call."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def write(self, *words: object) -> None:
        line = " ".join(map(str, (os.getpid(), *words)))
        os.write(self._file, f"{line}\n".encode())


class Reads:
    """Works on what it is given for a moment, then is done with it."""

    def __init__(self, queue: Queue, log: Log, lease: float, seconds: float | None) -> None:
        self.source = QueueSource(queue, [TOPIC], GROUP, window=64, lease=lease)
        self.log = log
        self.seconds = seconds
        self.records: list[Record] = []
        self.working: set[asyncio.Task[None]] = set()
        self.lanes: dict[bytes | None, asyncio.Task[None]] = {}
        self.heard = asyncio.Event()

    def assigned(self, partitions: Sequence[Partition]) -> None:
        self.log.write("assigned")

    async def revoked(self, partitions: Sequence[Partition]) -> None:
        raise AssertionError("a queue revokes nothing")

    def lost(self, partitions: Sequence[Partition]) -> None:
        self.log.write("lost")
        for task in self.working:
            task.cancel()

    def received(self, records: Sequence[Record]) -> None:
        self.heard.set()
        for record in records:
            if self.seconds is None:
                self.log.write("held", record.offset)
                continue
            before = self.lanes.get(record.key) if record.key is not None else None
            task = asyncio.create_task(self.work(record, before))
            self.lanes[record.key] = task
            self.working.add(task)
            task.add_done_callback(self.working.discard)

    async def work(self, record: Record, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        key = "-" if record.key is None else record.key.decode()
        self.log.write("begin", key, record.offset, (record.value or b"").decode())
        await asyncio.sleep(self.seconds or 0)
        self.log.write("end", key, record.offset, (record.value or b"").decode())
        self.source.done(record)

    def ended(self) -> None:
        raise AssertionError("a queue has no end")

    def failed(self, error: GpfnError) -> None:
        self.log.write("failed", error)


async def read(path: str, log: Log, seconds: float | None, lease: float) -> None:
    """Read until there has been nothing for a while, or for good when records are held."""
    queue = Queue(Path(path), warn=lambda text: log.write("warning", text))
    reads = Reads(queue, log, lease, seconds)
    await reads.source.start(reads)
    while True:
        reads.heard.clear()
        try:
            async with asyncio.timeout(None if seconds is None else 2.5):
                await reads.heard.wait()
        except TimeoutError:
            if not reads.working:
                break
    await reads.source.stop()


async def write(path: str, log: Log, count: int) -> None:
    """Send numbers one after the other, and note each that was delivered."""
    sink = QueueSink(Queue(Path(path)))
    await sink.start([TOPIC])
    for number in range(count):
        told: asyncio.Future[GpfnError | None] = asyncio.get_running_loop().create_future()
        record = Outgoing(TOPIC, b"k%d" % (number % 5), f"{os.getpid()}-{number}".encode())
        sink.send(record, told.set_result)
        if number % 7 == 0:
            assert await told is None
            log.write("sent", number)
    await sink.stop(10)


def look(path: str, log: Log) -> None:
    """Read what is in the queue, again and again."""
    with open_queue(Path(path)) as store:
        log.write("looks")
        while True:
            for topic in list_topics(store):
                for _ in read_records(store, topic.name, first=topic.next - 2000):
                    pass


def main() -> None:
    """Do what the arguments say."""
    what, path, log, *options = sys.argv[1:]
    if what == "read":
        asyncio.run(read(path, Log(log), float(options[0]), float(options[1])))
    elif what == "hold":
        asyncio.run(read(path, Log(log), None, float(options[0])))
    elif what == "look":
        look(path, Log(log))
    else:
        asyncio.run(write(path, Log(log), int(options[0])))


if __name__ == "__main__":
    main()
