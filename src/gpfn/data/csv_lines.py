"""A block of CSV in which a line is wrong: the lines that are right, and why others are not."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from gpfn.data.csv_blocks import Block, CsvHead
from gpfn.data.seam import Array, Chunk, Fault, Mask

__all__ = ["Parted", "parted", "spread"]


class Parted(NamedTuple):
    """The right lines of a block as CSV, the faults by the row's number, the number of rows."""

    whole: bytes
    faults: dict[int, Fault]
    rows: int


def parted(block: Block, head: CsvHead) -> Parted:
    """Return a block as the lines that are right and the faults of the others."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=head.separator, lineterminator="\n")
    faults: dict[int, Fault] = {}
    number = -1
    for number, cells in enumerate(_lines(block, head)):
        told = _wrong(cells, len(head.names))
        if told:
            faults[number] = Fault(told, _shown(head.separator.join(cells)))
        else:
            writer.writerow(cells)
    return Parted(out.getvalue().encode(), faults, number + 1)


def _lines(block: Block, head: CsvHead) -> Iterator[list[str]]:
    text = io.StringIO(bytes(block).decode(errors="surrogateescape"), newline="")
    reader = csv.reader(text, delimiter=head.separator)
    limit = csv.field_size_limit(len(block) + 1)
    try:
        for cells in reader:
            if cells or len(head.names) == 1:
                yield cells or [""]
    finally:
        csv.field_size_limit(limit)


def _wrong(cells: Sequence[str], width: int) -> str:
    if len(cells) != width:
        return f"expected {width} cells, got {len(cells)}"
    if not "".join(cells).isascii():
        try:
            "".join(cells).encode()
        except UnicodeEncodeError:
            return "not UTF-8 text"
    return ""


def _shown(text: str) -> str:
    return text.encode(errors="surrogateescape").decode(errors="backslashreplace")


def spread(
    block: Parted,
    columns: Mapping[str, Array],
    missing: Mapping[str, Mask],
    names: Sequence[str],
    rows: int,
) -> Iterator[Chunk]:
    """Give chunks of a block, in which rows with a fault are where they are in the file."""
    count, faults = block.rows, block.faults
    right = np.ones(count, np.bool_)
    right[[*faults]] = False
    whole = {name: _widened(columns.get(name), right) for name in names}
    masks: dict[str, Mask] = {}
    for name in names:
        masks[name] = ~right
        if name in missing:
            masks[name][right] = missing[name]
    for at in range(0, count, rows):
        end = min(count, at + rows)
        yield Chunk(
            {name: array[at:end] for name, array in whole.items()},
            0,
            end - at,
            {name: mask[at:end] for name, mask in masks.items()},
            {row - at: fault for row, fault in faults.items() if at <= row < end},
        )


def _widened(array: Array | None, right: Mask) -> Array:
    if array is None:
        return np.full(len(right), np.nan)
    dtype = array.dtype
    whole = np.full(right.shape, None, object) if dtype.hasobject else np.zeros(right.shape, dtype)
    if dtype.kind == "f":
        whole[:] = np.nan
    whole[right] = array
    return whole
