"""What a zip file holds, member by member and in bounded memory.

Read here and not by zipfile: that one reads the whole directory into memory, of any length,
and only since Python 3.11.8 refuses members that overlap (by which a file of 42 kB inflates to
terabytes; Debian 12 has 3.11.2). The directory counts, and a member's own header has to say
the same: else two programs would see two files. Members are read in the order in which they
lie, each byte at most once. Stored and deflated members are known, and no zip64: a model
beyond 4 GB is packed by tar.

Source: APPNOTE.TXT of PKWARE, version 6.3.
"""

import stat
import struct
import zlib
from collections.abc import Iterator
from typing import IO, NamedTuple

from gpfn.serving.repository.archive_bounds import (
    PIECE,
    ArchiveBudget,
    ArchiveMember,
    broken,
    exactly,
    refused,
)

__all__ = ["ZIP", "zip_members"]

ZIP = (b"PK\x03\x04", b"PK\x05\x06")
"""How a zip file begins, and an empty one."""

_END = struct.Struct("<4s4H2LH")
_ENTRY = struct.Struct("<4s2B5H3L5H2L")
_HEADER = struct.Struct("<4s5H3L2H")
_LONGEST_COMMENT = 0xFFFF
_LONGEST_NAME = 2000
_STORED, _DEFLATED = 0, 8
_ENCRYPTED, _PATCH, _MASKED = 0x1, 0x20, 0x2000
_METHODS = {9: "deflate64", 12: "bzip2", 14: "LZMA", 93: "zstd", 95: "xz", 99: "AES"}


class _Entry(NamedTuple):
    """A row of the directory."""

    at: int
    raw_name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    mode: int

    @property
    def name(self) -> str:
        """The name as text."""
        return self.raw_name.decode("utf-8", "replace")


def zip_members(file: IO[bytes], budget: ArchiveBudget) -> Iterator[ArchiveMember]:
    """Give the files and folders of a zip file in the order in which they lie.

    Raises InvalidRequest for a damaged one and for a member of another kind, TooLarge.
    """
    end = file.seek(0, 2)
    count, size, start = _find_directory(file, end, budget)
    entries = sorted(_directory(file, count, size, start))
    budget.check_claim(sum(entry.size for entry in entries), entries[0].name if entries else "")
    free = 0
    for entry in entries:
        budget.check_time()
        _check(entry)
        begin = _begin(file, entry)
        if entry.at < free or begin + entry.packed > start:
            raise refused("members that overlap", entry.name)
        free = begin + entry.packed
        if entry.name.endswith("/"):
            if entry.size:
                raise refused("a folder with content", entry.name)
            yield ArchiveMember(entry.name, None)
        else:
            yield ArchiveMember(entry.name, _pieces(file, begin, entry, budget))


def _find_directory(file: IO[bytes], end: int, budget: ArchiveBudget) -> tuple[int, int, int]:
    """Return how many members there are, and the size and place of the directory."""
    longest = _END.size + _LONGEST_COMMENT
    file.seek(max(0, end - longest))
    tail = exactly(file, min(end, longest), "the end")
    at = len(tail)
    while (at := tail.rfind(b"PK\x05\x06", 0, at)) >= 0:
        if at + _END.size > len(tail):
            continue
        _, disk, first, here, count, size, start, comment = _END.unpack_from(tail, at)
        if at + _END.size + comment != len(tail):
            continue
        budget.add_headers(count)
        if 0xFFFF in (count, disk) or 0xFFFFFFFF in (size, start):
            raise broken("zip64 is not unpacked: pack by tar")
        if disk or first or here != count or start + size != end - len(tail) + at:
            raise broken("a zip whose directory is not where its end says")
        return count, size, start
    raise broken("a zip without an end: cut off?")


def _directory(file: IO[bytes], count: int, size: int, start: int) -> Iterator[_Entry]:
    file.seek(start)
    for _ in range(count):
        head = exactly(file, _ENTRY.size, "the directory")
        mark, _, _, _, flags, method, _, _, crc, packed, full, *rest = _ENTRY.unpack(head)
        name_size, extra, comment, _, _, external, at = rest
        size -= _ENTRY.size + name_size + extra + comment
        if mark != b"PK\x01\x02" or size < 0:
            raise broken("a zip whose directory is damaged")
        if name_size > _LONGEST_NAME:
            raise broken(f"a name of {name_size} bytes")
        raw_name = exactly(file, name_size, "the directory")
        file.seek(extra + comment, 1)
        yield _Entry(at, raw_name, flags, method, crc, packed, full, external >> 16)
    if size:
        raise broken("a zip whose directory is larger than its members")


def _check(entry: _Entry) -> None:
    """Refuse members that cannot be unpacked, and those that are neither file nor folder."""
    if 0xFFFFFFFF in (entry.at, entry.packed, entry.size):
        raise refused("zip64 is not unpacked", entry.name, "pack by tar")
    if entry.flags & (_ENCRYPTED | _PATCH | _MASKED):
        raise refused("encrypted members are not unpacked", entry.name)
    if entry.method not in (_STORED, _DEFLATED):
        method = _METHODS.get(entry.method, f"method {entry.method}")
        raise refused(f"packed by {method}", entry.name, "pack by deflate")
    if entry.method == _STORED and entry.packed != entry.size:
        raise broken(f"a stored member of two sizes: {entry.name!r:.99}")
    kind = stat.S_IFMT(entry.mode)
    if kind == stat.S_IFLNK:
        help_ = "pack the files themselves (zip without -y)"
        raise refused("links are not unpacked", entry.name, help_)
    folder = entry.name.endswith("/")
    if kind not in (0, stat.S_IFDIR if folder else stat.S_IFREG):
        raise refused("neither file nor folder", entry.name)


def _begin(file: IO[bytes], entry: _Entry) -> int:
    """Return where a member's content begins: behind its own header, which says the same."""
    file.seek(entry.at)
    head = _HEADER.unpack(exactly(file, _HEADER.size, "a member's header"))
    mark, _, flags, method, *_, name_size, extra = head
    same = (b"PK\x03\x04", entry.flags & _ENCRYPTED, entry.method, len(entry.raw_name))
    if (mark, flags & _ENCRYPTED, method, name_size) != same:
        raise broken(f"a member's header is not what the directory says: {entry.name!r:.99}")
    if exactly(file, name_size, "a member's name") != entry.raw_name:
        raise broken(f"a member has another name than in the directory: {entry.name!r:.99}")
    return entry.at + _HEADER.size + int(name_size) + int(extra)


def _pieces(file: IO[bytes], begin: int, entry: _Entry, budget: ArchiveBudget) -> Iterator[bytes]:
    """Give a member's content; raises InvalidRequest when size or sum are not as claimed."""
    crc = got = 0
    for piece in _content(file, begin, entry):
        got += len(piece)
        if got > entry.size:
            raise broken(f"{entry.name!r:.99} has more than the {entry.size} bytes it claims")
        budget.add_bytes(len(piece), entry.name)
        crc = zlib.crc32(piece, crc)
        yield piece
    if (got, crc) != (entry.size, entry.crc):
        raise broken(f"size or checksum of {entry.name!r:.99} are wrong")


def _content(file: IO[bytes], begin: int, entry: _Entry) -> Iterator[bytes]:
    file.seek(begin)
    left = entry.packed
    press = zlib.decompressobj(-15)
    waiting = b""
    while not press.eof and (left or entry.method == _DEFLATED):
        data = waiting or exactly(file, min(PIECE, left), f"{entry.name!r:.99}")
        left -= 0 if waiting else len(data)
        if entry.method == _STORED:
            yield data
            continue
        try:
            found = press.decompress(data, PIECE)
        except zlib.error as error:
            raise broken(f"{entry.name!r:.99}: {error}") from None
        waiting = press.unconsumed_tail
        if found:
            yield found
        elif not data:
            raise broken(f"cut off in {entry.name!r:.99}")
