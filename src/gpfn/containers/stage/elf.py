"""Cutting off of a shared library what the loader never maps: symbols and section tables.

What ``strip`` does, without binutils in the base image: a program needs the segments of
the program headers only (System V ABI, chapter 5), and sections beyond them serve
linkers and debuggers. TensorFlow's C library has 205 MB of such names.
"""

import os
import struct
from pathlib import Path
from typing import BinaryIO

__all__ = ["cut"]

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")  # Elf64_Ehdr, little-endian
_SEGMENT = struct.Struct("<IIQQQQQQ")
_LITTLE_64 = b"\x7fELF\x02\x01"
_SHARED = 3  # e_type ET_DYN


def cut(path: Path) -> int:
    """Shorten a 64-bit little-endian shared library in place; returns the bytes saved.

    Anything else is left as it is, and not even opened for writing: in an image's build
    that alone copies a file into the next layer.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = _shared_library(file)
        end = _end_of_segments(file, head) if head else size
    if end >= size:
        return 0
    head[6], head[12], head[13] = 0, 0, 0  # e_shoff, e_shnum, e_shstrndx: no sections
    with path.open("r+b") as file:
        file.write(_HEADER.pack(*head))
        os.ftruncate(file.fileno(), end)
    return size - end


def _shared_library(file: BinaryIO) -> list[int]:
    """Return the fields of the header, none for what is no shared library."""
    start = file.read(_HEADER.size)
    if len(start) < _HEADER.size or not start.startswith(_LITTLE_64):
        return []
    head = list(_HEADER.unpack(start))
    kind, entry, count = head[1], head[9], head[10]
    return head if kind == _SHARED and entry == _SEGMENT.size and count else []


def _end_of_segments(file: BinaryIO, head: list[int]) -> int:
    segments, entry, count = head[5], head[9], head[10]
    file.seek(segments)
    table = file.read(entry * count)
    ends = [offset + length for _, _, offset, _, _, length, *_ in _SEGMENT.iter_unpack(table)]
    return int(max([*ends, segments + len(table)]))
