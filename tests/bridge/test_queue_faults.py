"""A queue whose file is damaged, full, locked, taken away, or somebody else's."""

import asyncio
import os
import sqlite3
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from gpfn.bridge.record import Outgoing
from gpfn.bridge.sqlite import file, queue, source, store
from gpfn.bridge.sqlite.queue import Queue
from gpfn.bridge.sqlite.sink import QueueSink
from gpfn.bridge.sqlite.source import QueueSource
from gpfn.bridge.sqlite.store import QueueStore
from gpfn.errors import BackendError, BackendTimeout, CallerError, GpfnError, SetupError
from tests.bridge.conformance import Heard, until
from tests.bridge.queue_worker import Worker, lines_of

Told = list[GpfnError | None]


async def sent(sink: QueueSink, count: int, size: int = 10, topic: str = "t") -> Told:
    """Send records, and return what was told of them."""
    told: Told = []
    for number in range(count):
        value = b"%d" % number
        sink.send(Outgoing(topic, b"k", value + b" " * (size - len(value))), told.append)
    await until(lambda: len(told) == count, 30)
    return told


async def started(queue: Queue) -> tuple[QueueSink, Heard]:
    """Return a sink and a source that run."""
    sink = QueueSink(queue)
    await sink.start(["t"])
    heard = Heard(QueueSource(queue, ["t"], "g"))
    await heard.source.start(heard)
    return sink, heard


async def stopped(sink: QueueSink, heard: Heard) -> None:
    """Stop both."""
    await heard.source.stop()
    await sink.stop(10)


def start_error(path: Path) -> GpfnError:
    """Return why a source does not start."""

    async def main() -> GpfnError:
        heard = Heard(QueueSource(Queue(path), ["t"], "g"))
        with pytest.raises((SetupError, BackendError)) as caught:
            await heard.source.start(heard)
        return caught.value

    return asyncio.run(main())


def test_a_queue_of_another_version(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    QueueStore(path).close()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 7")
    error = start_error(path)
    assert isinstance(error, SetupError)
    assert str(error) == f"{path}: is a queue of version 7; this gpfn reads version 1"


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE notes (text)")
    before = path.read_bytes()
    assert "no queue of gpfn" in start_error(path).detail
    assert path.read_bytes() == before


def test_an_empty_file_becomes_a_queue(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    path.touch()
    QueueStore(path).close()
    QueueStore(path, create=False).close()


def test_a_queue_that_may_not_be_written_to(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "queue.db"
        QueueStore(path).close()
        os.chmod(folder, 0o755)
        path.chmod(0o444)
        inside, outside = os.pipe()
        child = os.fork()
        if not child:  # not as root, who may write to everything
            try:
                if not os.getuid():
                    os.setuid(65534)
                error = start_error(path)
                os.write(outside, f"{type(error).__name__} {error}".encode())
            finally:
                os._exit(0)
        os.close(outside)
        with open(inside) as pipe:
            said = pipe.read()
        os.waitpid(child, 0)
    assert said.startswith("SetupError")
    assert str(path) in said


def test_a_queue_that_is_damaged_within(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"

    async def fill() -> None:
        sink, heard = await started(Queue(path))
        assert await sent(sink, 2000, 500) == [None] * 2000
        await stopped(sink, heard)

    async def read() -> list[GpfnError]:
        heard = Heard(QueueSource(Queue(path), ["t"], "g"))
        try:
            await heard.source.start(heard)
            await until(lambda: bool(heard.errors), 10)
        except SetupError as error:
            return [error]
        await heard.source.stop()
        return heard.errors

    asyncio.run(fill())
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 8)
        file.write(b"\xaa" * (size * 3 // 4))
    errors = asyncio.run(read())
    assert [type(error) for error in errors] == [SetupError]
    assert errors[0].field == str(path)
    assert "damaged" in errors[0].detail


def test_a_full_disk_is_told_and_what_was_done_is_written_down_later(tmp_path: Path) -> None:
    async def limit(queue: Queue, pages: int) -> None:
        await queue.read(
            lambda s: s.database.execute(f"PRAGMA max_page_count = {pages}").fetchall()
        )

    async def main() -> None:
        queue = Queue(tmp_path / "queue.db")
        sink, heard = await started(queue)
        assert await sent(sink, 300, 1000) == [None] * 300
        await until(lambda: len(heard.records) == 300, 10)
        await limit(queue, 1)  # SQLite takes the size that the file has
        errors = [error for error in await sent(sink, 100, 100_000) if error]
        assert errors
        assert {type(error) for error in errors} == {BackendError}
        assert str(errors[0]).endswith("queue.db: cannot be written to: the disk is full")
        heard.source.done(heard.records[0])
        heard.source.tried(heard.records[1], 3)
        await asyncio.sleep(0.2)
        await limit(queue, 1_000_000)
        assert await sent(sink, 10) == [None] * 10
        await until(lambda: len(heard.records) >= 310, 10)
        await stopped(sink, heard)
        assert heard.errors == []
        sink, heard = await started(Queue(tmp_path / "queue.db"))
        await until(lambda: len(heard.records) >= 309, 10)
        assert [(r.offset, r.attempts) for r in heard.records[:2]] == [(1, 3), (2, 0)]
        await stopped(sink, heard)

    asyncio.run(main())


def hold_lock(path: Path, seconds: float) -> threading.Thread:
    """Let another one write to the file for so long."""
    locked = threading.Event()

    def hold() -> None:
        database = sqlite3.connect(path, isolation_level=None)
        database.execute("BEGIN IMMEDIATE")
        locked.set()
        time.sleep(seconds)
        database.execute("ROLLBACK")
        database.close()

    thread = threading.Thread(target=hold)
    thread.start()
    locked.wait()
    return thread


def test_who_finds_the_file_locked_waits(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"

    async def main() -> None:
        sink, heard = await started(Queue(path))
        thread = hold_lock(path, 1.0)
        before = time.monotonic()
        assert await sent(sink, 10) == [None] * 10
        assert time.monotonic() - before > 0.8
        await until(lambda: len(heard.records) == 10, 5)
        thread.join()
        await stopped(sink, heard)
        assert heard.errors == []

    asyncio.run(main())


def test_who_finds_the_file_locked_does_not_wait_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "queue.db"
    for module in (file, store):
        monkeypatch.setattr(module, "BUSY_SECONDS", 0.2)
    monkeypatch.setattr(source, "_PATIENCE", 0.5)

    async def main() -> None:
        sink, heard = await started(Queue(path))
        await sent(sink, 1)
        await until(lambda: len(heard.records) == 1, 5)
        thread = hold_lock(path, 3.0)
        told = await sent(sink, 2)
        assert [str(error) for error in told] == [
            f"{path}: another process has kept it locked for 0.2 s"
        ] * 2
        heard.source.done(heard.records[0])
        await until(lambda: bool(heard.errors), 3)
        assert isinstance(heard.errors[0], BackendError)
        thread.join()
        await stopped(sink, heard)

    asyncio.run(main())


def test_what_cannot_be_written_down_now_is_written_down_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "queue.db"
    for module in (file, store):
        monkeypatch.setattr(module, "BUSY_SECONDS", 0.1)

    async def main() -> None:
        sink, heard = await started(Queue(path))
        await sent(sink, 6)
        await until(lambda: len(heard.records) == 6, 5)
        thread = hold_lock(path, 1.5)
        for number, record in enumerate(heard.records[:4]):
            heard.source.tried(record, 1)
            heard.source.tried(record, 2 + number)
            await asyncio.sleep(0.15)
        heard.source.done(heard.records[0])
        heard.source.tried(heard.records[1], 9)
        thread.join()
        await asyncio.sleep(1)
        assert heard.errors == []
        found = await heard.source.lag()
        assert found == {("t", 0): 5}
        others = QueueStore(path)
        query = "SELECT offset, attempts FROM claims"
        assert others.database.execute(query).fetchall() == [(1, 9), (2, 4), (3, 5), (4, 0), (5, 0)]
        others.close()
        await stopped(sink, heard)

    asyncio.run(main())


def test_what_is_not_written_in_time_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"

    async def main() -> None:
        sink = QueueSink(Queue(path))
        await sink.start([])
        thread = hold_lock(path, 1.0)
        told: Told = []
        sink.send(Outgoing("t", None, b"1"), told.append)
        await asyncio.sleep(0.1)
        sink.send(Outgoing("t", None, b"2"), told.append)
        await sink.stop(0.2)
        assert [type(error) for error in told] == [BackendTimeout] * 2
        await asyncio.sleep(0.2)
        assert len(told) == 2
        thread.join()
        sink.send(Outgoing("t", None, b"3"), told.append)
        assert isinstance(told[-1], BackendError), "it is closed"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        (Outgoing("", None, b""), SetupError),
        (Outgoing("a\0b", None, b""), SetupError),
        (Outgoing("a" * 250, None, b""), SetupError),
        (Outgoing("\ud800", None, b""), SetupError),
        (Outgoing("t", None, b"", (("\ud800", b""),)), CallerError),
        (
            Outgoing("t", b"k", b"", tuple((str(n), b"x" * (1 << 20)) for n in range(513))),
            CallerError,
        ),
    ],
    ids=["no topic", "NUL", "long topic", "half a character", "header", "too large"],
)
def test_a_record_that_cannot_be_written_is_in_nobodys_way(
    tmp_path: Path, record: Outgoing, kind: type[GpfnError]
) -> None:
    async def main() -> None:
        sink, heard = await started(Queue(tmp_path / "queue.db"))
        told: Told = []
        sink.send(Outgoing("t", None, b"before"), told.append)
        sink.send(record, told.append)
        sink.send(Outgoing("t", None, b"after"), told.append)
        await until(lambda: len(heard.records) == 2, 10)
        errors = [error for error in told if error]
        assert len(told) == 3
        assert len(errors) == 1
        assert isinstance(errors[0], kind)
        await stopped(sink, heard)

    asyncio.run(main())


def test_damaged_headers_are_an_unreadable_record(tmp_path: Path) -> None:
    async def main() -> None:
        queue = Queue(tmp_path / "queue.db")
        sink, heard = await started(queue)
        heard.source.pause([("t", 0)])
        told: Told = []
        for _ in range(3):
            sink.send(Outgoing("t", b"k", b"v", (("a", b"1"),)), told.append)
        await until(lambda: len(told) == 3, 10)
        for number, packed in enumerate((b"no line", b"[[1,2,3]]\n")):
            await queue.write(
                lambda store, number=number, packed=packed: store.database.execute(
                    "UPDATE records SET headers = ? WHERE id & 255 = ?", (packed, number)
                )
            )
        heard.source.resume([("t", 0)])
        await until(lambda: len(heard.records) == 3, 10)
        assert [r.headers[0][0] for r in heard.records] == ["gpfn-error", "gpfn-error", "a"]
        assert {r[3:5] for r in heard.records} == {(b"k", b"v")}
        await stopped(sink, heard)

    asyncio.run(main())


def test_a_file_that_is_taken_away_is_told(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"

    async def main() -> None:
        sink, heard = await started(Queue(path))
        assert await sent(sink, 1) == [None]
        path.unlink()
        told = await sent(sink, 1)
        assert str(told[0]) == f"{path}: was deleted or replaced while in use"
        await stopped(sink, heard)

    asyncio.run(main())


def test_an_owner_that_was_buried_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"

    class Loses(Heard):
        lost_at = -1

        def lost(self, partitions: object) -> None:
            self.lost_at = len(self.records)

    async def main() -> None:
        queue = Queue(path)
        sink = QueueSink(queue)
        await sink.start(["t"])
        heard = Loses(QueueSource(queue, ["t"], "g", lease=3))
        await heard.source.start(heard)
        await sent(sink, 10)
        await until(lambda: len(heard.records) == 10, 5)
        others = QueueStore(path)
        with others.transaction():
            others.database.execute("UPDATE owners SET until = 0")
            assert others.owners.bury() == 1
        others.close()
        heard.source.done(heard.records[0])  # it has no claim any more
        await until(lambda: len(heard.records) == 20, 10)
        assert heard.lost_at == 10
        assert [r.offset for r in heard.records[10:]] == list(range(10))
        for record in heard.records[10:]:
            heard.source.done(record)
        await stopped(sink, heard)
        with pytest.raises(BackendError, match="closed"):
            await heard.source.lag()

    asyncio.run(main())


def test_what_comes_in_one_turn_of_the_loop_is_one_transaction(tmp_path: Path) -> None:
    async def main() -> None:
        queue = Queue(tmp_path / "queue.db")
        sink, heard = await started(queue)
        await sent(sink, 200)
        await until(lambda: len(heard.records) == 200, 10)
        await asyncio.sleep(0.1)
        before = (await queue.read(lambda store: store.version()))[1]
        told: Told = []
        for record in heard.records:
            heard.source.done(record)
            sink.send(Outgoing("u", record.key, record.value), told.append)
        await until(lambda: len(told) == 200, 10)
        assert (await queue.read(lambda store: store.version()))[1] - before == 1
        await stopped(sink, heard)

    asyncio.run(main())


def test_no_more_is_given_than_the_window_has_room_for(tmp_path: Path) -> None:
    async def run(make: Callable[[Queue], QueueSource], most: int) -> None:
        queue = Queue(tmp_path / f"{most}.db")
        sink = QueueSink(queue)
        await sink.start([])
        await sent(sink, 100, 1000)
        heard = Heard(make(queue))
        await heard.source.start(heard)
        await asyncio.sleep(0.3)
        assert len(heard.records) == most
        heard.source.done(heard.records[0])
        await until(lambda: len(heard.records) == most + 1, 5)
        await asyncio.sleep(0.1)
        assert len(heard.records) == most + 1
        await stopped(sink, heard)

    def by_count(queue: Queue) -> QueueSource:
        return QueueSource(queue, ["t"], "g", window=7)

    def by_bytes(queue: Queue) -> QueueSource:
        return QueueSource(queue, ["t"], "g", window_bytes=3003)

    asyncio.run(run(by_count, 7))
    asyncio.run(run(by_bytes, 3))


def test_the_write_ahead_file_stays_short_while_others_read(tmp_path: Path) -> None:
    path, log = tmp_path / "queue.db", tmp_path / "log"
    QueueStore(path).close()
    longest = 0

    async def main() -> None:
        nonlocal longest
        sink, heard = await started(Queue(path))
        heard.done_at_once = True
        for _ in range(60):
            assert await sent(sink, 500, 4000) == [None] * 500
            longest = max(longest, Path(f"{path}-wal").stat().st_size)
        await until(lambda: len(heard.records) == 30_000, 60)
        await asyncio.sleep(1.5)
        assert Path(f"{path}-wal").stat().st_size < 1 << 20, "it is emptied when nothing happens"
        await stopped(sink, heard)

    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(Worker("look", path, log))
        asyncio.run(asyncio.wait_for(_when(lambda: len(lines_of(log)) == 3, main), 100))
    assert longest < 64 << 20
    assert path.stat().st_size < 100 << 20, "what all are done with makes room"


async def _when(holds: Callable[[], bool], then: Callable[[], Awaitable[None]]) -> None:
    await until(holds, 20)
    await then()


def test_a_reader_who_never_ends_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "queue.db"
    monkeypatch.setattr(queue, "_ALARM_BYTES", 1 << 20)
    warnings: list[str] = []

    async def main() -> None:
        sink, heard = await started(Queue(path, warn=warnings.append))
        await sent(sink, 1)
        with sqlite3.connect(path, isolation_level=None) as database:
            database.execute("BEGIN")
            database.execute("SELECT * FROM records").fetchone()
            await sent(sink, 1000, 4000)
            await sent(sink, 1)
        database.close()
        await stopped(sink, heard)

    asyncio.run(main())
    assert len(warnings) == 1
    assert "somebody keeps on reading" in warnings[0]
