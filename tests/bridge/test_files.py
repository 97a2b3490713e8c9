"""Files of lines as queues: what all queues do, and what is their own."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpfn.bridge.files.lines import LineSplitter
from gpfn.bridge.files.sink import FileSink
from gpfn.bridge.files.source import FileSource
from gpfn.bridge.record import Partition, Record
from gpfn.bridge.unreadable import reason_of
from gpfn.errors import SetupError
from tests.bridge.conformance import Ability, Conformance, Heard, Refusal, until
from tests.conftest import ROOT


class FilePlace:
    """A file whose lines are whole records."""

    topic = "readings.jsonl"
    partition: Partition = ("readings.jsonl", 0)
    lacks: ClassVar[dict[Ability, str]] = {"time": "a line does not say when it was written"}
    patience = 20.0
    quiet = 0.3
    largest = 3 << 20

    def __init__(self, folder: Path) -> None:
        self.path = folder / self.topic
        self.path.touch()
        gone = folder / "gone.jsonl"
        damaged = folder / "damaged.cursor"
        damaged.write_bytes(b'{"version":1')
        nowhere = folder / "nowhere" / "x"
        self.refusals: dict[str, Refusal] = {
            "no file": (lambda: FileSource(gone), str(gone)),
            "a folder": (lambda: FileSource(folder), str(folder)),
            "a damaged cursor": (lambda: FileSource(self.path, cursor=damaged), str(damaged)),
            "no folder": (lambda: FileSink(nowhere), str(nowhere)),
            "a folder to write": (lambda: FileSink(folder), str(folder)),
        }

    def source(self) -> FileSource:
        return FileSource(self.path, follow=True, form="records")

    def sink(self) -> FileSink:
        return FileSink(self.path, form="records")


class TestConformance(Conformance):
    @pytest.fixture
    def place(self, tmp_path: Path) -> FilePlace:
        return FilePlace(tmp_path)


class Reading(Heard):
    """A listener that may be told of an end."""

    def __init__(self, source: FileSource) -> None:
        super().__init__(source)
        self.over = 0

    def ended(self) -> None:
        self.over += 1


async def all_of(source: FileSource, *, done: bool = True) -> list[Record]:
    """Return the records of a file that is read to its end."""
    reading = Reading(source)
    reading.done_at_once = done
    await source.start(reading)
    await until(lambda: bool(reading.over), 20)
    await source.stop()
    assert reading.over == 1
    assert reading.errors == []
    return reading.records


def values_of(path: Path, content: bytes, **options: Any) -> list[tuple[int, bytes | None]]:
    """Return offset and value of each record of a file with this content."""
    path.write_bytes(content)
    records = asyncio.run(all_of(FileSource(path, **options)))
    return [(record.offset, record.value) for record in records]


def test_a_line_is_an_event_and_its_offset_is_its_position(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    path.write_bytes(b'{"id":"1"}\n{"id":"\xff"}\n')
    records = asyncio.run(all_of(FileSource(path)))
    headers = (("content-type", b"application/cloudevents+json"),)
    assert records == [
        Record("e.jsonl", 0, 0, None, b'{"id":"1"}', headers),
        Record("e.jsonl", 0, 11, None, b'{"id":"\xff"}', headers),
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", []),
        (b"\n", []),
        (b"\xef\xbb\xbf", []),
        (b"\xef\xbb\xbf{}\n{}", [(0, b"{}"), (6, b"{}")]),
        (b"{}\n\xef\xbb\xbf{}\n", [(0, b"{}"), (3, b"\xef\xbb\xbf{}")]),
        (b"a\r\nb\r\n", [(0, b"a"), (3, b"b")]),
        (b"a\rb\n", [(0, b"a\rb")]),
        (b"\n\r\n  \t\r\na\n\n\nb", [(8, b"a"), (12, b"b")]),
        (b"a\ntorn", [(0, b"a"), (2, b"torn")]),
        (b"a\n\0\n", [(0, b"a"), (2, b"\0")]),
    ],
)
def test_line_ends_blank_lines_and_marks(
    tmp_path: Path, content: bytes, expected: list[tuple[int, bytes]]
) -> None:
    assert values_of(tmp_path / "e", content) == expected
    assert asyncio.run(all_of(FileSource(tmp_path / "e"))) == [], "all of it is done"


def test_a_line_that_is_too_long_is_told_and_the_next_one_comes(tmp_path: Path) -> None:
    path = tmp_path / "e"
    long = b"x" * (3 << 20)
    path.write_bytes(b"{}\n" + long + b"\n" + b"y" * 5000 + b"\r\n" + b"z" * 5001 + b"\n{}\n")
    records = asyncio.run(all_of(FileSource(path, limit=5000)))
    assert [len(record.value or b"") for record in records] == [2, 4096, 5000, 4096, 2]
    assert [reason_of(record) for record in records] == [
        None,
        "the line at byte 3 has 3145728 bytes; at most 5000 are read",
        None,
        "the line at byte 3150734 has 5001 bytes; at most 5000 are read",
        None,
    ]
    assert records[1].headers[1:] == records[0].headers


@given(st.lists(st.binary(max_size=12)), st.integers(1, 9), st.integers(0, 100), st.booleans())
def test_lines_do_not_hang_on_how_the_bytes_come(
    pieces: list[bytes], limit: int, offset: int, beginning: bool
) -> None:
    whole = LineSplitter(offset, limit, beginning=beginning)
    expected = whole.feed(b"".join(pieces)) + whole.finish()
    split = LineSplitter(offset, limit, beginning=beginning)
    found = [line for piece in pieces for line in split.feed(piece)] + split.finish()
    assert found == expected
    assert split.end == split.offset == whole.end == offset + len(b"".join(pieces))
    assert split.count == b"".join(pieces).count(b"\n")
    for line in found:
        at = line.offset - offset
        begun = b"".join(pieces)[at:]
        assert begun.removeprefix(b"\xef\xbb\xbf").startswith(line.value) or not at
        assert len(line.value) <= limit or line.problem


def test_a_torn_line_waits_for_its_end_while_the_file_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "e"
    path.write_bytes(b'{"id":"1"}\n{"id":')

    async def main() -> None:
        source = FileSource(path, follow=True)
        reading = Reading(source)
        await source.start(reading)
        await until(lambda: len(reading.records) == 1, 5)
        await asyncio.sleep(0.3)
        with path.open("ab") as file:
            file.write(b'"2"}')
            file.flush()
            await asyncio.sleep(0.3)
            assert len(reading.records) == 1
            file.write(b"\n{")
        await until(lambda: len(reading.records) == 2, 5)
        await source.stop()
        assert (reading.records[1].offset, reading.records[1].value) == (11, b'{"id":"2"}')

    asyncio.run(main())


def lines(first: int, last: int) -> bytes:
    """Return numbered events as lines."""
    return b"".join(b'{"id":"%d"}\n' % number for number in range(first, last))


def ids(records: Sequence[Record]) -> list[int]:
    """Return the numbers of events."""
    return [int((record.value or b"").split(b'"')[3]) for record in records]


class Followed:
    """A file that is followed; what comes of it is done unless it is held."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.said: list[str] = []
        self.source = FileSource(path, follow=True, warn=self.said.append, **options)
        self.reading = Reading(self.source)
        self.reading.done_at_once = True

    async def __aenter__(self) -> "Followed":
        await self.source.start(self.reading)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.source.stop()
        assert self.reading.errors == []

    async def has(self, *numbers: int) -> None:
        """Wait until these have come, and nothing else."""
        await until(lambda: len(self.reading.records) >= len(numbers), 10)
        await asyncio.sleep(0.25)
        assert ids(self.reading.records) == list(numbers)
        offsets = [record.offset for record in self.reading.records]
        assert offsets == sorted(set(offsets)), "they grow, whatever happens to the file"


def test_a_file_that_is_renamed_is_read_to_its_end_first(tmp_path: Path) -> None:
    path = tmp_path / "e"
    path.write_bytes(lines(0, 5))

    async def main() -> None:
        async with Followed(path) as followed:
            await followed.has(0, 1, 2, 3, 4)
            with path.open("ab") as writer:
                path.rename(tmp_path / "e.1")
                writer.write(lines(5, 7))
                writer.flush()
                await followed.has(*range(7))
                writer.write(lines(7, 8) + b'{"id":"8"}')
                writer.flush()
                path.write_bytes(lines(9, 11))
                await followed.has(*range(11))
            path.rename(tmp_path / "e.2")
            await asyncio.sleep(0.3)
            path.write_bytes(lines(11, 12))
            await followed.has(*range(12))
        async with Followed(path) as followed:
            with path.open("ab") as writer:
                writer.write(lines(12, 13))
            await followed.has(12)

    asyncio.run(main())


def test_a_record_that_is_not_done_holds_the_next_file_back(tmp_path: Path) -> None:
    path = tmp_path / "e"
    path.write_bytes(lines(0, 3))

    async def main() -> None:
        async with Followed(path) as followed:
            followed.reading.done_at_once = False
            await followed.has(0, 1, 2)
            path.rename(tmp_path / "e.1")
            path.write_bytes(lines(3, 5))
            followed.source.done(followed.reading.records[0])
            followed.source.done(followed.reading.records[2])
            await followed.has(0, 1, 2)
        async with Followed(path) as followed:
            await followed.has(1, 3, 4)
            assert followed.said == [f"{tmp_path}/e.1 was {path} before: its rest is read first"]

    asyncio.run(main())


def test_a_file_that_was_renamed_while_nobody_read_is_found(tmp_path: Path) -> None:
    path = tmp_path / "e"
    path.write_bytes(lines(0, 3))
    assert ids(asyncio.run(all_of(FileSource(path)))) == [0, 1, 2]
    with path.open("ab") as file:
        file.write(lines(3, 5))
    path.rename(tmp_path / "yesterday")
    path.write_bytes(lines(0, 2))
    assert ids(asyncio.run(all_of(FileSource(path)))) == [3, 4, 0, 1]
    assert asyncio.run(all_of(FileSource(path))) == []


def test_a_file_that_is_cut_is_read_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "e"
    path.write_bytes(lines(10, 15))

    async def main() -> None:
        async with Followed(path) as followed:
            await followed.has(*range(10, 15))
            path.write_bytes(lines(20, 22))  # shorter
            await followed.has(*range(10, 15), 20, 21)
            path.write_bytes(lines(30, 60))  # longer by the time somebody looks
            await followed.has(*range(10, 15), 20, 21, *range(30, 60))
            assert (
                followed.said == [f"{path} was cut: what is in it now is read from its start"] * 2
            )
        path.write_bytes(lines(70, 72))
        async with Followed(path) as followed:
            await followed.has(70, 71)
            assert followed.said == [f"{path} is another file than before, or was cut: all is read"]

    asyncio.run(main())


def test_of_a_file_that_is_copied_and_cut_the_rest_is_read_from_the_copy(tmp_path: Path) -> None:
    path = tmp_path / "e"
    path.write_bytes(lines(0, 5))

    async def main() -> None:
        async with Followed(path) as followed:
            await followed.has(*range(5))
            with path.open("ab") as file:
                file.write(lines(5, 6) + b'{"id":')
            await followed.has(*range(6))
            with path.open("ab") as file:
                file.write(b'"6"}\n')
                file.flush()
                (tmp_path / "e.1").write_bytes(path.read_bytes())
                (tmp_path / "e.0").write_bytes(b"something else " * 100)
                os.truncate(path, 0)
                file.write(lines(7, 8))
            await followed.has(*range(8))
        with path.open("ab") as file:
            file.write(lines(8, 10))
        (tmp_path / "e.2").write_bytes(path.read_bytes())
        path.write_bytes(lines(10, 11))
        async with Followed(path) as followed:
            await followed.has(8, 9, 10)

    asyncio.run(main())


def test_what_was_done_ahead_is_known_after_any_number_of_starts(tmp_path: Path) -> None:
    path = tmp_path / "e"
    path.write_bytes(lines(0, 40))

    async def main() -> None:
        async with Followed(path) as followed:
            followed.reading.done_at_once = False
            await followed.has(*range(40))
            for number in (*range(0, 40, 3), 35):
                followed.source.tried(followed.reading.records[number], 7)
                followed.source.done(followed.reading.records[number])
                followed.source.tried(followed.reading.records[number], 8)
            followed.source.tried(followed.reading.records[38], 5)
        left = [number for number in range(40) if number % 3 and number != 35]
        for _ in range(3):
            async with Followed(path, window=2) as followed:
                followed.reading.done_at_once = False
                await followed.has(*left[:2])
                assert await followed.source.lag() == {("e", 0): len(left)}
                followed.source.done(followed.reading.records[0])
                await followed.has(*left[:3])
                left.pop(0)
        cursor = orjson.loads((tmp_path / "e.cursor").read_bytes())
        assert cursor["tries"] == {str(len(lines(0, 38))): 5}
        async with Followed(path) as followed:
            await followed.has(*left)
            assert [r.attempts for r in followed.reading.records] == [0] * (len(left) - 1) + [5]

    asyncio.run(main())


def test_two_readers_of_one_cursor_are_one_too_many(tmp_path: Path) -> None:
    path = tmp_path / "e"
    path.write_bytes(lines(0, 1))

    async def main() -> None:
        async with Followed(path):
            other = FileSource(path)
            with pytest.raises(SetupError, match="another process reads the file") as caught:
                await other.start(Reading(other))
            assert caught.value.field == f"{path}.cursor.lock"
            async with Followed(path, cursor=tmp_path / "mine") as followed:
                await followed.has(0)
        async with Followed(path) as followed:
            await followed.has()

    asyncio.run(main())


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b'{"version":2}',
        b'{"version":1,"file":[1,2,3],"base":0,"low":0,"done":[],"tries":{}}',
        b'{"version":1,"file":[1,2,3,""],"base":0,"low":"x","done":[],"tries":{}}',
        b'{"version":1,"file":[1,2,3,""],"base":0,"low":0,"done":0,"tries":{}}',
        b'{"version":1,"file":[1,2,3,""],"base":0,"low":0,"done":[],"tries":[]}',
        b"\xff",
    ],
)
def test_a_damaged_cursor_is_no_beginning(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "e"
    path.write_bytes(lines(0, 1))
    (tmp_path / "e.cursor").write_bytes(text)
    with pytest.raises(SetupError, match="damaged") as caught:
        asyncio.run(all_of(FileSource(path)))
    assert caught.value.field == f"{path}.cursor"


def test_the_lag_counts_lines_that_were_not_read_yet(tmp_path: Path) -> None:
    path = tmp_path / "e"
    path.write_bytes(lines(0, 30_000) + b'{"id":"torn"}')

    async def main() -> None:
        source = FileSource(path, window=10)
        reading = Reading(source)
        await source.start(reading)
        await until(lambda: len(reading.records) == 10, 5)
        assert await source.lag() == {("e", 0): 30_001}
        for record in reading.records[3:9]:
            source.done(record)
        assert await source.lag() == {("e", 0): 29_995}
        await source.stop()
        source = FileSource(path, window=10, follow=True)
        reading = Reading(source)
        await source.start(reading)
        assert await source.lag() == {("e", 0): 29_994}, "what is torn is no line while it grows"
        await source.stop()

    asyncio.run(main())


def test_what_was_done_long_after_the_oldest_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "e"
    path.write_bytes(lines(0, 1000))

    async def main() -> None:
        source = FileSource(path, window=10)
        reading = Reading(source)
        await source.start(reading)
        for _ in range(200):
            await asyncio.sleep(0.002)
            for record in reading.records[1:]:
                source.done(record)
        assert len(reading.records) == 100, "ten windows"
        source.done(reading.records[0])
        await until(lambda: len(reading.records) > 100, 5)
        await source.stop()

    asyncio.run(main())


def test_a_pipe_gives_what_comes_and_ends_with_its_writer(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)

    async def main() -> None:
        source = FileSource(path)
        reading = Reading(source)
        await source.start(reading)
        await asyncio.sleep(0.2)
        assert not reading.over, "nobody has written yet"
        with path.open("wb", buffering=0) as file:
            file.write(lines(0, 3) + b'{"id":')
            await until(lambda: len(reading.records) == 3, 5)
            assert await source.lag() == {("pipe", 0): 3}
            file.write(b'"3"}')
        await until(lambda: bool(reading.over), 5)
        await source.stop()
        assert ids(reading.records) == [0, 1, 2, 3]
        assert list(tmp_path.iterdir()) == [path], "a pipe has no cursor"

    asyncio.run(main())


def test_a_pipe_that_is_followed_has_many_writers(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)

    async def main() -> None:
        async with Followed(path) as followed:
            for number in range(3):
                with path.open("wb", buffering=0) as file:
                    file.write(lines(number, number + 1))
                await followed.has(*range(number + 1))
            before = time.process_time()
            await asyncio.sleep(0.3)
            assert time.process_time() - before < 0.1, "it waits"

    asyncio.run(main())


def test_who_waits_for_a_pipe_can_be_stopped(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)

    async def main() -> None:
        before = time.monotonic()
        for _ in range(3):
            async with Followed(path):
                await asyncio.sleep(0.05)
        assert time.monotonic() - before < 2

    asyncio.run(main())


def test_standard_input_and_output(tmp_path: Path) -> None:
    program = """
import asyncio
from gpfn.bridge.files.source import FileSource
from gpfn.bridge.files.sink import FileSink
from gpfn.bridge.record import Outgoing

class Passes:
    def __init__(self):
        self.source, self.sink, self.over = FileSource("-"), FileSink("-"), asyncio.Event()
    def assigned(self, partitions): pass
    def received(self, records):
        for record in records:
            assert record[:2] == ("stdin", 0)
            outgoing = Outgoing("t", None, record.value, record.headers)
            self.sink.send(outgoing, lambda error, record=record: self.source.done(record))
    def ended(self): self.over.set()

async def main():
    passes = Passes()
    await passes.sink.start(["t"])
    await passes.source.start(passes)
    await passes.over.wait()
    await passes.source.stop()
    await passes.sink.stop(10)

asyncio.run(main())
"""
    content = lines(0, 20_000)
    command = [sys.executable, "-c", program]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    options: Any = {"capture_output": True, "env": environment, "timeout": 60}
    piped = subprocess.run(command, input=content, check=False, **options)
    assert piped.stdout == content, piped.stderr
    path = tmp_path / "e"
    path.write_bytes(content)
    with path.open("rb") as file:
        read = subprocess.run(command, stdin=file, check=False, **options)
    assert read.stdout == content, read.stderr
    assert list(tmp_path.iterdir()) == [path]
