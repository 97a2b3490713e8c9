"""A process that reads or writes a file of lines; started by tests, which kill it.

python -m tests.bridge.file_worker read PATH LOG
python -m tests.bridge.file_worker write PATH LOG
"""

import asyncio
import os
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from gpfn.bridge.files.sink import FileSink
from gpfn.bridge.files.source import FileSource
from gpfn.bridge.record import Outgoing, Partition, Record
from gpfn.errors import GpfnError
from tests.bridge.queue_worker import Log

__all__ = ["STRUCTURED"]

STRUCTURED = (("content-type", b"application/cloudevents+json; charset=utf-8"),)


class Reads:
    """Is done with what it is given after a moment, in any order."""

    def __init__(self, path: Path, log: Log) -> None:
        self.source = FileSource(path, follow=True, window=50)
        self.log = log
        self.chance = random.Random()

    def assigned(self, partitions: Sequence[Partition]) -> None:
        self.log.write("assigned")

    async def revoked(self, partitions: Sequence[Partition]) -> None:
        raise AssertionError("a file revokes nothing")

    def lost(self, partitions: Sequence[Partition]) -> None:
        raise AssertionError("a file loses nothing")

    def received(self, records: Sequence[Record]) -> None:
        loop = asyncio.get_running_loop()
        for record in records:
            loop.call_later(self.chance.uniform(0, 0.02), self.finish, record)

    def finish(self, record: Record) -> None:
        self.log.write("done", record.offset, (record.value or b"").decode())
        self.source.done(record)

    def ended(self) -> None:
        raise AssertionError("it is followed")

    def failed(self, error: GpfnError) -> None:
        self.log.write("failed", error)


async def read(path: Path, log: Log) -> None:
    """Read until killed."""
    reads = Reads(path, log)
    await reads.source.start(reads)
    await asyncio.Event().wait()


async def write(path: Path, log: Log) -> None:
    """Write numbers until killed, and note those that were delivered."""
    sink = FileSink(path)
    await sink.start([])
    number = 0
    while True:
        told: asyncio.Future[GpfnError | None] = asyncio.get_running_loop().create_future()
        for _ in range(20):
            number += 1
            value = b'{"id":"%d-%d"}' % (os.getpid(), number)
            sink.send(Outgoing("t", None, value, STRUCTURED), lambda _: None)
        number += 1
        value = b'{"id":"%d-%d"}' % (os.getpid(), number)
        sink.send(Outgoing("t", None, value, STRUCTURED), told.set_result)
        assert await told is None
        log.write("sent", number)


if __name__ == "__main__":
    _, what, place, noted = sys.argv
    asyncio.run((read if what == "read" else write)(Path(place), Log(noted)))
