"""Cutting off of a shared library what the loader never maps: symbols and section tables.

What ``strip`` does, without binutils in the base image: a program needs the segments of
the program headers only (System V ABI, chapter 5), and sections beyond them serve
linkers and debuggers. TensorFlow's C library has 205 MB of such names.
"""

import os
import struct
from pathlib import Path

__all__ = ["cut"]

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")  # Elf64_Ehdr, little-endian
_SEGMENT = struct.Struct("<IIQQQQQQ")
_LITTLE_64 = b"\x7fELF\x02\x01"
_SHARED = 3  # e_type ET_DYN


def cut(path: Path) -> int:
    """Shorten a 64-bit little-endian shared library in place; returns the bytes saved.

    Anything else is left as it is.
    """
    size = path.stat().st_size
    with path.open("r+b") as file:
        start = file.read(_HEADER.size)
        if len(start) < _HEADER.size or not start.startswith(_LITTLE_64):
            return 0
        head = list(_HEADER.unpack(start))
        kind, segments, entry, count = head[1], head[5], head[9], head[10]
        if kind != _SHARED or entry != _SEGMENT.size or not count:
            return 0
        file.seek(segments)
        table = file.read(entry * count)
        ends = [offset + length for _, _, offset, _, _, length, *_ in _SEGMENT.iter_unpack(table)]
        end = int(max([*ends, segments + len(table)]))
        if end >= size:
            return 0
        head[6], head[12], head[13] = 0, 0, 0  # e_shoff, e_shnum, e_shstrndx: no sections
        file.seek(0)
        file.write(_HEADER.pack(*head))
        os.ftruncate(file.fileno(), end)
    return size - end
