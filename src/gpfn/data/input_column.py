"""One column of a file as an input of a model: a value a row, or a list in the input's shape.

Lists of a wrong length are faults of their rows. Where the model leaves it open how long they
are, the first one of the file that fits says it, so that no row depends on the chunk it is in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import NamedTuple

import numpy as np

from gpfn.data.seam import Array, Chunk
from gpfn.data.values import taken
from gpfn.rows.values import RowColumn
from gpfn.tensors.dtypes import DTYPE_TABLE
from gpfn.tensors.shapes import spec_text
from gpfn.tensors.spec import TensorSpec

__all__ = ["FedInput", "column_of", "row_shape", "sizes_of", "whole_input"]


class FedInput(NamedTuple):
    """An input and the columns that feed it: one of its shape, or several of one value a row."""

    spec: TensorSpec
    columns: tuple[RowColumn, ...]
    matrix: bool

    @property
    def tail(self) -> tuple[int | None, ...]:
        """The shape of a row."""
        return row_shape(self.spec) or ()


def whole_input(
    each: FedInput, chunk: Chunk, faults: dict[int, str], counts: dict[str, int]
) -> Array:
    """Return one column as the input: its values, or lists in its shape."""
    column = each.columns[0]
    array = chunk.columns[column.name]
    if array.dtype.kind == "O" and column.taken.name != "string":
        array = _of_lists(array, each, faults, counts)
        chunk = chunk._replace(columns={column.name: array})
    found = column_of(column, chunk, faults)
    size = prod(found.shape[1:])
    mask = chunk.missing.get(column.name)
    told = () if mask is not None and mask.all() else (size,)
    count = _count(each, told, counts)
    if size != count:
        for row in range(chunk.rows):
            faults.setdefault(row, _misfit(each, size, count))
        found = np.zeros((chunk.rows, count), found.dtype)
    if each.spec.shape is None or len(found.shape) == 1 + len(each.tail):
        return found
    return found.reshape(chunk.rows, *sizes_of(each.tail, count))


def _count(each: FedInput, sizes: Iterable[int], counts: dict[str, int]) -> int:
    """Return how many values each row has: where that is open, as many as the first that fits.

    ``sizes`` are those of rows, in order. What is found is kept in ``counts`` for the rows
    after them, so that it is the same whatever the chunks.
    """
    known = prod(size or 1 for size in each.tail)
    if each.spec.shape is not None and None not in each.tail:
        return known
    name = each.spec.name
    if name not in counts:
        first = next((size for size in sizes if size and not size % known), None)
        if first is None:
            return known
        counts[name] = first
    return counts[name]


def _misfit(each: FedInput, size: int, count: int) -> str:
    takes = f"the model takes {spec_text(each.spec)}"
    if each.spec.shape is None or None in each.tail:
        takes += f", and {count} of them in this file"
    return f"{each.columns[0].name}: {size} values; {takes}"


def _of_lists(
    array: Array, each: FedInput, faults: dict[int, str], counts: dict[str, int]
) -> Array:
    """Return lists of any lengths as [rows, n]; those of another length are faults."""
    there = [value for value in array if value is not None]
    if there and not any(isinstance(value, np.ndarray | list) for value in there):
        return array
    flat = [None if value is None else np.array(value, object).ravel() for value in array]
    count = _count(each, (one.size for one in flat if one is not None), counts)
    whole = np.zeros((len(array), count), object)
    for row, one in enumerate(flat):
        if one is not None and one.size == count:
            whole[row] = one
        elif one is not None:
            faults.setdefault(row, _misfit(each, one.size, count))
    numbers = np.zeros(whole.shape, DTYPE_TABLE[each.spec.dtype].numpy)
    for number in range(count):
        found = taken(whole[:, number], None, each.columns[0])
        numbers[:, number] = found.values
        for row, told in found.faults.items():
            faults.setdefault(row, f"{each.columns[0].name}: {told}")
    return numbers


def column_of(column: RowColumn, chunk: Chunk, faults: dict[int, str]) -> Array:
    """Return a column of a chunk as its input takes it; what is wrong with rows is added."""
    found = taken(chunk.columns[column.name], chunk.missing.get(column.name), column)
    for row, told in found.faults.items():
        faults.setdefault(row, f"{column.name}: {told}")
    return found.values


def sizes_of(tail: Sequence[int | None], count: int) -> list[int]:
    """Return the shape of a row of ``count`` values; the first open size takes the rest."""
    known = prod(size for size in tail if size is not None) or 1
    sizes: list[int] = []
    left = count // known
    for size in tail:
        sizes.append(left if size is None else size)
        left = left if size is not None else 1
    return sizes


def row_shape(spec: TensorSpec) -> tuple[int | None, ...] | None:
    """Return the shape of a row of an input: all but its first size, where that is of rows.

    An input whose first size is another number than 1 has no such axis. None when it is not told.

    >>> row_shape(TensorSpec("float32", (None, 42))), row_shape(TensorSpec("float32", (20,)))
    ((42,), (20,))
    """
    if spec.shape is None:
        return None
    return spec.shape[1:] if spec.shape[:1] in ((None,), (1,)) else spec.shape
