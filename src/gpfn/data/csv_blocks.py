"""A CSV file's first line, and its other lines in blocks that end where a line does.

A line break inside of quotes ends none: a block ends where the quotes before it are even.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from typing import NamedTuple

from gpfn.data.seam import Extent
from gpfn.errors import SetupError

__all__ = ["Block", "CsvBlocks", "CsvHead", "read_head"]

_SEPARATORS = ",;\t|"
_HEAD = 1 << 20
"""Bytes that the line of names may take."""
_LONGEST = 64 << 20
"""Bytes without an end of a line outside of quotes: then one of them was never closed."""
_SUSPECT = 4 << 20
"""Bytes without such an end from which it is looked at closely."""
_EMPTY = 1 << 20
"""Empty lines in one block of nothing else."""
_EXCEL = b"sep="
"""How Excel tells itself the separator, in a line before that of names."""
_BOM = b"\xef\xbb\xbf"
_WIDE = (b"\xff\xfe", b"\xfe\xff")


Block = bytes | bytearray | memoryview
"""Whole lines of a file."""


class CsvHead(NamedTuple):
    """What a file's first line says; ``start`` is the byte where the second one begins."""

    names: tuple[str, ...]
    separator: str
    newline: bytes
    start: int


def read_head(path: str, separator: str = "") -> CsvHead:
    """Return the names of the columns and what separates them.

    Raises SetupError for a file that is not UTF-8 text with a line of names.
    """
    if separator and (len(separator) != 1 or separator in '"\r\n'):
        raise SetupError(f"expected one character, got {separator!r}", field="--separator")
    with open(path, "rb") as file:
        data = file.read(_HEAD)
    if data[:2] in _WIDE:
        raise SetupError("UTF-16 text; write it as UTF-8", field=path)
    begin = len(_BOM) if data.startswith(_BOM) else 0
    newline = b"\r" if b"\n" not in data and b"\r" in data else b"\n"
    if data[begin : begin + len(_EXCEL)].lower() == _EXCEL:
        first, _, _ = data[begin:].partition(newline)
        said = first[len(_EXCEL) :].strip(b"\r").decode(errors="replace")
        separator = separator or (said if len(said) == 1 and said.isascii() and said != '"' else "")
        begin += len(first) + 1
    end = _line_end(data, begin, newline)
    if end < 0:
        end = len(data)
        if len(data) == _HEAD:
            raise SetupError("no line of names in the first megabyte", field=path)
    try:
        line = data[begin:end].decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise SetupError("the line of names is not UTF-8 text", field=path) from None
    found = separator or _sniffed(line, path)
    return CsvHead(_names(line, found, path), found, newline, end)


def _line_end(data: bytes, begin: int, newline: bytes) -> int:
    """Return where the line after the first begins, -1 when it does not."""
    at = begin
    while (at := data.find(newline, at)) >= 0:
        at += 1
        if data.count(b'"', begin, at) % 2 == 0:
            return at
    return -1


def _sniffed(line: str, path: str) -> str:
    """Return the separator that the line of names has most often outside of quotes."""
    outside = "".join(line.split('"')[::2])
    best = max(_SEPARATORS, key=outside.count)
    if best in outside:
        return best
    return "\t" if path.endswith(".tsv") else ","


def _names(line: str, separator: str, path: str) -> tuple[str, ...]:
    cells = next(csv.reader(io.StringIO(line, newline=""), delimiter=separator), [])
    names = [cell.strip() or f"column_{at}" for at, cell in enumerate(cells)]
    if not names:
        raise SetupError("the first line has no names of columns", field=path)
    twice = next((name for at, name in enumerate(names) if name in names[:at]), None)
    if twice is not None:
        raise SetupError("a column that is there twice", field=f"{path}: {twice}")
    return tuple(names)


class CsvBlocks:
    """The lines after the first, in blocks of whole lines."""

    def __init__(self, path: str, head: CsvHead) -> None:
        self._path = path
        self._newline, self._separator = head.newline, head.separator
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115 - closed by close
        self._total = os.fstat(self._file.fileno()).st_size
        self._file.seek(head.start)
        self._done = head.start
        self._empty = 0
        """Empty lines that were read and not given: those at the end of the file are no rows."""

    @property
    def extent(self) -> Extent:
        """How many bytes were given."""
        return Extent(self._done, self._total)

    def blocks(self, first: int, size: int) -> Iterator[Block]:
        """Give blocks of about ``first`` bytes, then ``size``. Raises SetupError."""
        rest, wanted = b"", first
        while True:
            block = bytearray(len(rest) + wanted)
            block[: len(rest)] = rest
            have = len(rest) + self._fill(memoryview(block)[len(rest) :])
            if have < len(block):
                del block[have:]
                yield from self._last(block)
                return
            end = self._end(block) or self._literal_end(block)
            if not end and have > _LONGEST:
                raise self._unclosed(block)
            wanted, rest = size, bytes(memoryview(block)[end:])
            if end:
                self._done += end
                yield from self._begun(block, end)

    def _fill(self, view: memoryview) -> int:
        """Read until the view is full, or the file ends; returns the bytes."""
        have = 0
        while have < len(view) and (got := self._file.readinto(view[have:])):
            have += got
        return have

    def _last(self, block: bytearray) -> Iterator[Block]:
        if self._is_open(block):
            raise self._unclosed(block)
        self._done += len(block)
        whole = block.rstrip(b"\r\n")
        if whole:
            yield from self._waiting()
            yield whole + self._newline

    def _begun(self, block: bytearray, end: int) -> Iterator[Block]:
        """Give a block without the empty lines that it ends with: others may follow, or none."""
        text = end
        while text and block[text - 1] in b"\r\n":
            text -= 1
        if text:
            yield from self._waiting()
            text = block.find(self._newline, text, end) + 1
            yield memoryview(block)[:text]
        self._empty += len(block[text:end].replace(b"\r\n", b"\n"))

    def _waiting(self) -> Iterator[Block]:
        """Give the empty lines that there are before another line."""
        while self._empty:
            count = min(self._empty, _EMPTY)
            self._empty -= count
            yield self._newline * count

    def _unclosed(self, block: bytearray) -> SetupError:
        told = f"a quote is not closed in the {len(block)} bytes from byte {self._done} on"
        return SetupError(told, field=self._path)

    def _end(self, block: bytearray) -> int:
        """Return the end of the last line that ends outside of quotes, 0 without one."""
        at = block.rfind(self._newline) + 1
        odd = block.count(b'"', 0, at) % 2
        while at and odd:
            before = block.rfind(self._newline, 0, block.rfind(b'"', 0, at)) + 1
            odd ^= block.count(b'"', before, at) % 2
            at = before
        return at

    def _literal_end(self, block: bytearray) -> int:
        """Return the end of the last line of a block with a quote that is text, as in ``5"``."""
        end = block.rfind(self._newline) + 1 if len(block) > _SUSPECT else 0
        return 0 if self._is_open(block[:end]) else end

    def _is_open(self, block: bytearray) -> bool:
        """Say whether a block ends within quotes; one amid a cell without quotes is text."""
        if block.count(b'"') % 2 == 0:
            return False
        text = io.StringIO(block.decode(errors="replace"), newline="")
        limit = csv.field_size_limit(len(block) + 1)
        try:
            for _ in csv.reader(text, delimiter=self._separator, strict=True):
                pass
        except csv.Error as error:
            return "unexpected end" in str(error)
        finally:
            csv.field_size_limit(limit)
        return False

    def close(self) -> None:
        """Close the file."""
        self._file.close()
