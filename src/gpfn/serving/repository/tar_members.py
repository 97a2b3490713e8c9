"""What a tar file holds, plain or in gzip, member by member and in bounded memory.

Read here and not by tarfile: that one reads an extended header of any claimed size into
memory, keeps every member it has seen, follows sparse maps, and takes a broken header behind
the first one for the end. Only what a model needs is known: ustar, GNU's long names and the
path and size of pax headers. Links, devices, fifos and sparse files are refused.

Source: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Extended Header"; tar.h of
GNU tar.
"""

import re
import zlib
from collections.abc import Iterator
from typing import IO, NamedTuple, Protocol

from gpfn.serving.repository.archive_bounds import (
    PIECE,
    ArchiveBudget,
    ArchiveMember,
    broken,
    refused,
)

__all__ = ["GZIP", "Gunzip", "Readable", "is_tar", "tar_members"]

GZIP = b"\x1f\x8b"
"""How a gzip file begins."""

_BLOCK = 512
_LONGEST_EXTRA = 1 << 16
_OCTAL = re.compile(rb"[0-7]{0,20}")
_PAX_SIZE = re.compile(r"[0-9]{1,19}")
_FILES, _FOLDER, _PAX, _PAX_FOR_ALL, _LONG_NAME = (b"0", b"\0"), b"5", b"x", b"g", b"L"
_REFUSED = {
    b"1": ("links are not unpacked", "pack the files themselves (tar --hard-dereference)"),
    b"2": ("links are not unpacked", "pack the files themselves (tar -h)"),
    b"S": ("sparse files are not unpacked", "pack without --sparse"),
}


class Readable(Protocol):
    """What a tar file is read from: nothing comes at its end alone."""

    def read(self, most: int, /) -> bytes:
        """Return at most that many bytes."""
        ...


class Gunzip:
    """A gzip file that is inflated as it is read. Raises InvalidRequest when it is damaged.

    gzip.GzipFile would read a header's endless name byte by byte.
    """

    def __init__(self, file: IO[bytes], budget: ArchiveBudget) -> None:
        self._file, self._budget = file, budget
        self._press = zlib.decompressobj(31)
        self._waiting = b""

    def read(self, most: int) -> bytes:
        """Return at most that many bytes, nothing at the end."""
        while not self._press.eof or self._begin_next():
            self._budget.check_time()
            data = self._waiting or self._file.read(PIECE)
            if not data:
                raise broken("cut off in gzip's data")
            try:
                found = self._press.decompress(data, most)
            except zlib.error as error:
                raise broken(f"gzip: {error}") from None
            self._waiting = self._press.unconsumed_tail
            if found:
                return found
        return b""

    def _begin_next(self) -> bool:
        """Say whether another gzip member follows; zeros that fill up a tape do not count."""
        rest = self._press.unused_data
        while not (rest := rest.lstrip(b"\0")):
            self._budget.check_time()
            rest = self._file.read(PIECE)
            if not rest:
                return False
        self._press, self._waiting = zlib.decompressobj(31), rest
        return True


def is_tar(block: bytes) -> bool:
    """Say whether a file that begins with these bytes is a tar file, by its first checksum."""
    return len(block) >= _BLOCK and _checksum_fits(block[:_BLOCK])


def tar_members(source: Readable, budget: ArchiveBudget) -> Iterator[ArchiveMember]:
    """Give the files and folders of a tar file in the order they stand.

    Raises InvalidRequest for a damaged one and for a member of another kind, TooLarge.
    """
    extra = _Extra("", None)
    while (block := _block(source)) is not None:
        budget.add_headers()
        header = _header(block, extra)
        if header.kind in (_PAX, _PAX_FOR_ALL, _LONG_NAME):
            extra = _read_extra(source, header, extra)
            continue
        extra = _Extra("", None)
        if header.kind == _FOLDER or (header.kind == b"\0" and header.name.endswith("/")):
            if header.size:
                raise refused("a folder with content", header.name)
            yield ArchiveMember(header.name, None)
        elif header.kind in _FILES:
            budget.check_claim(header.size, header.name)
            pieces = _pieces(source, header, budget)
            yield ArchiveMember(header.name, pieces)
            for _ in pieces:  # what was left out is read past
                pass
        else:
            what, help_ = _REFUSED.get(header.kind, ("neither file nor folder", ""))
            raise refused(what, header.name, help_)
    _read_to_the_end(source, budget)


class _Extra(NamedTuple):
    """What extended headers say of the next member."""

    name: str
    size: int | None


class _Header(NamedTuple):
    name: str
    size: int
    kind: bytes


def _block(source: Readable) -> bytes | None:
    """Return the next header; None at the end, which is a block of zeros or of the file."""
    block = source.read(_BLOCK)
    if block:
        block += _exactly(source, _BLOCK - len(block))
    return block if block.strip(b"\0") else None


def _checksum_fits(block: bytes) -> bool:
    summed = sum(block[:148]) + 8 * 32 + sum(block[156:])
    written = block[148:156].strip(b" \0")
    return bool(written) and bool(_OCTAL.fullmatch(written)) and int(written, 8) == summed


def _header(block: bytes, extra: _Extra) -> _Header:
    if not _checksum_fits(block):
        raise broken("a tar header whose checksum is wrong")
    name = extra.name or _text(block[:100])
    if not extra.name and block[257:263] == b"ustar\0" and block[345]:
        name = f"{_text(block[345:500])}/{name}"
    size = _number(block[124:136], name) if extra.size is None else extra.size
    return _Header(name, size, block[156:157])


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "replace")


def _number(field: bytes, name: str) -> int:
    """Return a size: octal digits, or after a byte of 0x80 a number in binary."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if not _OCTAL.fullmatch(digits):
        raise broken(f"the size of {name!r:.99} is no number")
    return int(digits or b"0", 8)


def _pieces(source: Readable, header: _Header, budget: ArchiveBudget) -> Iterator[bytes]:
    left = header.size
    while left:
        piece = source.read(min(PIECE, left))
        if not piece:
            raise broken(f"cut off in {header.name!r:.99}")
        left -= len(piece)
        budget.add_bytes(len(piece), header.name)
        yield piece
    _exactly(source, -header.size % _BLOCK)


def _exactly(source: Readable, size: int) -> bytes:
    pieces = []
    while size:
        piece = source.read(size)
        if not piece:
            raise broken("cut off in a tar header")
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _read_extra(source: Readable, header: _Header, extra: _Extra) -> _Extra:
    """Read an extended header; returns what is known of the next member with it."""
    if header.size > _LONGEST_EXTRA:
        raise refused(f"an extended header of {header.size} bytes", header.name)
    data = _exactly(source, header.size)
    _exactly(source, -header.size % _BLOCK)
    if header.kind == _LONG_NAME:
        return extra._replace(name=_text(data))
    for key, value in _pax_records(data):
        if key.startswith("GNU.sparse."):
            raise refused(*_REFUSED[b"S"][:1], header.name, _REFUSED[b"S"][1])
        if key in ("path", "size") and header.kind == _PAX_FOR_ALL:
            raise refused(f"one {key} for all members", header.name)
        if key == "path":
            extra = extra._replace(name=value)
        elif key == "size":
            if not _PAX_SIZE.fullmatch(value):
                raise broken(f"a size of {value!r:.40}")
            extra = extra._replace(size=int(value))
    return extra


def _pax_records(data: bytes) -> Iterator[tuple[str, str]]:
    """Give keys and values of lines like ``30 path=a/b``, whose number counts the whole line."""
    at = 0
    while at < len(data):
        digits = data[at : at + 6].partition(b" ")[0]
        end = at + int(digits) if digits.isdigit() else 0
        line = data[at + len(digits) + 1 : end]
        key, equals, value = line.partition(b"=")
        if end > len(data) or not equals or line[-1:] != b"\n":
            raise broken("a pax header that is damaged")
        yield key.decode("utf-8", "replace"), value[:-1].decode("utf-8", "replace")
        at = end


def _read_to_the_end(source: Readable, budget: ArchiveBudget) -> None:
    """Read what fills up the last tape block, so that gzip checks its sum."""
    while piece := source.read(PIECE):
        budget.add_bytes(len(piece), "the end")
