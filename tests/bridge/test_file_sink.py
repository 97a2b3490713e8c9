"""Files that records are written to: whole lines, one writer, and what is told is on the disk."""

import asyncio
import os
import random
import resource
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpfn.bridge.files.dead_lines import read_dead_line, write_dead_line
from gpfn.bridge.files.sink import FileSink
from gpfn.bridge.files.source import FileSource
from gpfn.bridge.record import Header, Outgoing
from gpfn.errors import BackendError, BackendTimeout, CallerError, GpfnError, SetupError
from tests.bridge.conformance import until
from tests.bridge.file_worker import STRUCTURED
from tests.bridge.queue_worker import Worker, lines_of
from tests.bridge.test_files import all_of, ids, lines

Told = list[GpfnError | None]


def event(value: bytes | None, headers: tuple[Header, ...] = STRUCTURED) -> Outgoing:
    return Outgoing("t", b"key", value, headers)


async def sent(sink: FileSink, *records: Outgoing) -> Told:
    """Send records and return what was told of them, in their order."""
    told: dict[int, GpfnError | None] = {}
    for number, record in enumerate(records):
        sink.send(record, lambda error, number=number: told.update({number: error}))
    await until(lambda: len(told) == len(records), 10)
    return [told[number] for number in range(len(records))]


def written(path: Path, *records: Outgoing, **options: Any) -> Told:
    """Write records with a sink of their own."""

    async def main() -> Told:
        sink = FileSink(path, **options)
        await sink.start(["t"])
        told = await sent(sink, *records)
        await sink.stop(10)
        return told

    return asyncio.run(main())


def test_an_event_is_one_line_and_its_text_stays(tmp_path: Path) -> None:
    path = tmp_path / "e"
    pretty = b'{\r\n  "data": [1.10, 1e2, 123456789012345678901234567890],\n  "id": "a\\nb"\n}'
    assert written(path, event(b'{"id":"1"}'), event(pretty)) == [None, None]
    assert written(path, event(b'{"n":%s\n}' % (b"9" * 400))) == [None]
    assert path.read_bytes() == (
        b'{"id":"1"}\n'
        b'{    "data": [1.10, 1e2, 123456789012345678901234567890],   "id": "a\\nb" }\n'
        b'{"n":' + b"9" * 400 + b" }\n"
    )


@pytest.mark.parametrize(
    "record",
    [
        event(None),
        event(b"{}", ()),
        event(b"{}", (("content-type", b"application/json"),)),
        event(b"{}", (("content-type", None),)),
        event(b'{"a":"b\nc"}'),
        event(b"\n"),
    ],
)
def test_what_is_no_structured_event_is_no_line(tmp_path: Path, record: Outgoing) -> None:
    path = tmp_path / "e"
    before, wrong, after = written(path, event(b"1"), record, event(b"2"))
    assert before is after is None
    assert isinstance(wrong, CallerError)
    assert path.read_bytes() == b"1\n2\n"


def test_structured_is_told_by_the_content_type_alone(tmp_path: Path) -> None:
    headers = (("ce_id", b"1"), ("Content-Type", b"Application/CloudEvents+JSON;charset=utf-8"))
    assert written(tmp_path / "e", event(b"{}", headers)) == [None]


def test_a_torn_line_gets_its_end_before_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "e"
    path.write_bytes(lines(0, 2) + b'{"id":')
    assert written(path, event(b'{"id":"2"}')) == [None]
    values = [record.value for record in asyncio.run(all_of(FileSource(path)))]
    assert values == [b'{"id":"0"}', b'{"id":"1"}', b'{"id":', b'{"id":"2"}']


def test_there_is_one_writer(tmp_path: Path) -> None:
    path = tmp_path / "e"

    async def main() -> None:
        first, second = FileSink(path), FileSink(path)
        await first.start(["t"])
        with pytest.raises(SetupError, match="another process writes to it") as caught:
            await second.start(["t"])
        assert caught.value.field == str(path)
        await first.stop(1)
        third = FileSink(path)
        await third.start(["t"])
        await third.stop(1)

    asyncio.run(main())


@contextmanager
def files_of(most: int) -> Iterator[None]:
    """Let no file of this process become longer, as if the disk were full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_of_what_does_not_fit_on_the_disk_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "e"

    async def main() -> None:
        sink = FileSink(path)
        await sink.start(["t"])
        assert await sent(sink, event(b"1")) == [None]
        with files_of(5000):
            told = await sent(sink, event(b"2" * 3000), event(b"3" * 3000))
            assert [type(error) for error in told] == [BackendError] * 2
            assert str(told[0]).startswith(f"{path}: cannot be written to: ")
            assert path.read_bytes() == b"1\n"
            assert await sent(sink, event(b"4")) == [None]
        assert await sent(sink, event(b"5" * 5000)) == [None]
        await sink.stop(1)

    asyncio.run(main())
    assert path.read_bytes() == b"1\n4\n" + b"5" * 5000 + b"\n"


def test_a_device_without_room_is_told() -> None:
    [error] = written(Path("/dev/full"), event(b"1"))
    assert str(error) == "/dev/full: cannot be written to: No space left on device"


def test_after_the_file_was_renamed_there_is_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "e"

    async def main() -> None:
        sink = FileSink(path)
        await sink.start(["t"])
        await sent(sink, event(b"1"))
        path.rename(tmp_path / "e.1")
        assert await sent(sink, event(b"2")) == [None]
        path.unlink()
        assert await sent(sink, event(b"3")) == [None]
        path.rename(tmp_path / "e.2")
        path.mkdir()
        [error] = await sent(sink, event(b"4"))
        assert isinstance(error, BackendError)
        path.rmdir()
        assert await sent(sink, event(b"5")) == [None]
        await sink.stop(1)

    asyncio.run(main())
    assert (tmp_path / "e.1").read_bytes() == b"1\n"
    assert (tmp_path / "e.2").read_bytes() == b"3\n"
    assert path.read_bytes() == b"5\n"


def test_what_is_sent_in_one_turn_is_synced_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    real = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda file: (synced.append(file), real(file)))
    assert (
        written(tmp_path / "e", *[event(b"%d" % number) for number in range(1000)]) == [None] * 1000
    )
    assert len(synced) == 1


def test_a_pipe_that_nobody_reads_from(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(SetupError, match="No such device") as caught:
        written(path)
    assert caught.value.field == str(path)


def test_a_reader_that_does_not_read_does_not_keep_a_sink_from_stopping(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    async def main() -> None:
        sink = FileSink(path)
        await sink.start(["t"])
        assert await sent(sink, event(b"1")) == [None]
        told: Told = []
        for _ in range(3):
            sink.send(event(b"x" * 1_000_000), told.append)
        before = time.monotonic()
        await sink.stop(0.3)
        assert time.monotonic() - before < 2
        assert [type(error) for error in told] == [BackendTimeout] * 3
        await asyncio.sleep(0.1)
        assert len(told) == 3

    asyncio.run(main())
    assert os.read(reader, 10) == b"1\nxxxxxxxx"
    os.close(reader)


def test_a_slow_reader_of_a_pipe_gets_all(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    got = b""

    async def main() -> None:
        nonlocal got
        sink = FileSink(path)
        await sink.start(["t"])
        told: Told = []
        for number in range(20):
            sink.send(event(b"%d" % (number % 10) * 50_000), told.append)
        while len(told) < 20:
            await asyncio.sleep(0.001)
            try:
                got += os.read(reader, 30_000)
            except BlockingIOError:
                continue  # it is empty just now
        await sink.stop(1)
        assert told == [None] * 20

    asyncio.run(asyncio.wait_for(main(), 20))
    got += os.read(reader, 1 << 20)
    os.close(reader)
    assert got == b"".join(b"%d" % (number % 10) * 50_000 + b"\n" for number in range(20))


def wait_for(holds: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_what_a_killed_writer_was_told_of_is_there(tmp_path: Path) -> None:
    path, log = tmp_path / "e", tmp_path / "log"
    chance = random.Random(16)
    for _ in range(10):
        with Worker("write", path, log, module="tests.bridge.file_worker") as writer:
            wait_for(lambda w=writer: any(line[0] == w.name for line in lines_of(log)))
            time.sleep(chance.uniform(0, 0.1))
            writer.kill()
    found: dict[str, list[int]] = defaultdict(list)
    for line in path.read_bytes().splitlines():
        name, _, number = orjson.loads(line)["id"].partition("-")
        found[name].append(int(number))
    for name, _, number in lines_of(log):
        assert int(number) <= len(found[name])
    for numbers in found.values():
        assert numbers == list(range(1, len(numbers) + 1))


def test_a_killed_reader_goes_on_where_it_was(tmp_path: Path) -> None:
    path, log = tmp_path / "e", tmp_path / "log"
    path.write_bytes(lines(0, 4000))
    chance = random.Random(17)

    def done() -> set[str]:
        return {line[3] for line in lines_of(log) if line[1] == "done"}

    kills = 0
    while len(done()) < 4000:
        with Worker("read", path, log, module="tests.bridge.file_worker") as reader:
            wait_for(lambda r=reader: any(line[0] == r.name for line in lines_of(log)))
            time.sleep(chance.uniform(0.25, 0.4))
            reader.kill()
        kills += 1
    assert ids(asyncio.run(all_of(FileSource(path)))) != list(range(4000))
    count = sum(line[1] == "done" for line in lines_of(log))
    assert count > 4000, f"{kills} kills gave nothing twice: they came too late"
    assert not [line for line in lines_of(log) if line[1] == "failed"]


HEADERS = st.lists(st.tuples(st.text(), st.none() | st.binary() | st.text().map(str.encode)))
BYTES = st.none() | st.binary() | st.text().map(str.encode)


@given(st.text(), BYTES, BYTES, HEADERS)
def test_a_dead_letter_is_read_back_byte_for_byte(
    topic: str, key: bytes | None, value: bytes | None, headers: list[Header]
) -> None:
    record = Outgoing(topic, key, value, tuple(headers))
    line = write_dead_line(record)
    assert b"\n" not in line
    assert b"\r" not in line
    assert read_dead_line(line) == record


def test_a_dead_letter_can_be_read_by_people() -> None:
    record = Outgoing("dead", b"k", b'{"a": "\xc3\xa4"}', (("x", b"\xff"), ("y", None)))
    assert write_dead_line(record).decode() == (
        '{"topic":"dead","key":"k","headers":[["x",{"base64":"/w=="}],["y",null]],'
        '"value":"{\\"a\\": \\"ä\\"}"}'
    )


@pytest.mark.parametrize(
    ("line", "field"),
    [
        (b"", None),
        (b"[]", None),
        (b"{", None),
        (b"\xff", None),
        (b'{"topic":"t"}', "key"),
        (b'{"topic":1,"key":null,"headers":[],"value":null}', "topic"),
        (b'{"topic":"t","key":1,"headers":[],"value":null}', "key"),
        (b'{"topic":"t","key":null,"headers":{},"value":null}', "headers"),
        (b'{"topic":"t","key":null,"headers":[["a"]],"value":null}', "headers[0]"),
        (b'{"topic":"t","key":null,"headers":[["a",""],[1,""]],"value":null}', "headers[1]"),
        (b'{"topic":"t","key":null,"headers":[["a",[]]],"value":null}', "headers[0]"),
        (b'{"topic":"t","key":null,"headers":[],"value":{"base64":"a"}}', "value"),
        (b'{"topic":"t","key":null,"headers":[],"value":{"base64":"\xc3\xa4"}}', "value"),
        (b'{"topic":"t","key":null,"headers":[],"value":{}}', "value"),
    ],
)
def test_what_is_no_dead_letter_says_where(line: bytes, field: str | None) -> None:
    with pytest.raises(CallerError) as caught:
        read_dead_line(line)
    assert caught.value.field == field


def test_a_line_that_is_no_record_is_in_nobodys_way(tmp_path: Path) -> None:
    path = tmp_path / "dead"
    record = Outgoing("dead", b"\xff", None, (("a", b""), ("a", None)))
    assert written(path, record, form="records") == [None]
    with path.open("ab") as file:
        file.write(b'{"topic":"t"}\n')
    assert written(path, record, form="records") == [None]
    records = asyncio.run(all_of(FileSource(path, form="records")))
    assert [r[3:6] for r in records[::2]] == [record[1:]] * 2
    assert records[1].value == b'{"topic":"t"}'
    assert records[1].headers[0] == (
        "gpfn-error",
        b"key: the line is no record: it has no such member",
    )
