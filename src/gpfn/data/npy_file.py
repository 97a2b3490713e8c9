"""NumPy's ``.npy`` files: read in pieces, without pickle and without mapping the file.

A plain array of [rows, n…] is one column, ``data``; one of a structured dtype has a column a
field. What is written is the one or the other, by the number of columns.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from tokenize import TokenError
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format

from gpfn.data.seam import Array, Chunk, Extent, Mask
from gpfn.data.sink import PartSink
from gpfn.data.wanted import check_wanted
from gpfn.errors import SetupError

__all__ = ["DATA", "NpySink", "NpySource"]

DATA = "data"
"""The name of the only column of a file that has no names."""

_NO_TEXT = "text, which .npy cannot hold; write Parquet, CSV or JSON lines"
_NO_LISTS = (
    "lists that are not all of one length, which .npy cannot hold; write Parquet, CSV or JSON lines"
)
_MOST_BYTES = 16 << 20
"""Bytes of rows that are read at once, however long a row is."""
_UNREADABLE = (
    *(ValueError, SyntaxError, TypeError, EOFError, OSError),
    *(TokenError, RecursionError, MemoryError),
)
"""What NumPy raises of headers that are no literals."""

_READERS = {
    (1, 0): npy_format.read_array_header_1_0,
    (2, 0): npy_format.read_array_header_2_0,
}


class NpySource:
    """A ``.npy`` file; see `gpfn.data.seam.ColumnSource`. Raises SetupError for a damaged one."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: IO[bytes] = open(path, "rb", buffering=0)  # noqa: SIM115 - closed by close
        try:
            self._shape, self._fortran, self._dtype = self._header()
            self._start = self._file.tell()
            self._check()
        except BaseException:
            self._file.close()
            raise
        self.names = self._dtype.names or (DATA,)
        self.unreadable: Mapping[str, str] = {}
        self.rows: int | None = self._shape[0]
        self._done = 0

    def _header(self) -> tuple[tuple[int, ...], bool, Any]:
        try:
            version = npy_format.read_magic(self._file)
            if version not in _READERS:
                raise SetupError(f"an unknown version {version} of .npy", field=self._path)
            shape, fortran, dtype = _READERS[version](self._file)
        except _UNREADABLE as error:
            raise SetupError(f"not a .npy file: {error}", field=self._path) from error
        return shape, fortran, dtype

    def _check(self) -> None:
        dtype, shape = self._dtype, self._shape
        if dtype.hasobject:
            told = "an array of objects is a pickle, which is never loaded; save numbers or text"
            raise SetupError(told, field=self._path)
        if not shape:
            raise SetupError("a single value; expected an array of rows", field=self._path)
        if min(shape) < 0:
            raise SetupError(f"its header says the shape {shape}", field=self._path)
        for name, kind in _fields(dtype):
            if kind.base.kind not in "biufSU":
                told = f"values of {kind.base}, which are neither numbers nor text"
                raise SetupError(told, field=f"{self._path}: {name}")
        self._row = prod(shape[1:]) * dtype.itemsize  # of Python's numbers, which do not wrap
        if shape[0] and not self._row:
            raise SetupError(f"{shape[0]} rows without a value in them", field=self._path)
        have = os.fstat(self._file.fileno()).st_size - self._start
        if have < self._row * shape[0]:
            told = f"cut short: {have} bytes of values, and its header says {self._row * shape[0]}"
            raise SetupError(told, field=self._path)

    @property
    def extent(self) -> Extent:
        """How many rows were given."""
        return Extent(self._done, self._shape[0])

    def chunks(self, wanted: Sequence[str] | None, rows: int) -> Iterator[Chunk]:
        """Give the rows; see `gpfn.data.seam.ColumnSource`."""
        names = self.names if wanted is None else tuple(wanted)
        check_wanted(names, self.names, self._path)
        rows = max(1, min(rows, _MOST_BYTES // max(1, self._row)))
        for first in range(0, self._shape[0], rows):
            count = min(rows, self._shape[0] - first)
            array = self._piece(first, count)
            self._done = first + count
            yield Chunk(self._columns(array, names), first, count)

    def _columns(self, array: Array, names: Sequence[str]) -> dict[str, Array]:
        return {name: _native(array[name] if self._dtype.names else array) for name in names}

    def empty(self, names: Sequence[str]) -> dict[str, Array]:
        """Return columns of no row; see `gpfn.data.seam.ColumnSource`."""
        return self._columns(np.empty((0, *self._shape[1:]), self._dtype), names)

    def _piece(self, first: int, count: int) -> Array:
        array = np.empty((count, *self._shape[1:]), self._dtype)
        if not self._fortran or array.ndim == 1:
            self._fill(array, first * self._row)
            return array
        size = self._dtype.itemsize
        parts = array.reshape(count, -1, order="F")
        piece = np.empty(count, self._dtype)
        for number in range(parts.shape[1]):  # column by column, as the file has them
            self._fill(piece, (number * self._shape[0] + first) * size)
            parts[:, number] = piece
        return parts.reshape(array.shape, order="F")

    def _fill(self, array: Array, offset: int) -> None:
        view = memoryview(array.reshape(-1).view(np.uint8).data) if array.size else memoryview(b"")
        self._file.seek(self._start + offset)
        while len(view):
            got = self._file.readinto(view)  # type: ignore[attr-defined] # a raw file has it
            if not got:
                raise SetupError("it became shorter while it was read", field=self._path)
            view = view[got:]

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _fields(dtype: Any) -> list[tuple[str, Any]]:
    if dtype.names is None:
        return [(DATA, dtype)]
    return [(name, dtype.fields[name][0]) for name in dtype.names]


def _native(array: Array) -> Array:
    if array.dtype.kind == "U":
        return array.astype(object)
    if array.dtype.kind == "S":
        return np.char.decode(array, "utf-8", "backslashreplace").astype(object)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


class NpySink(PartSink):
    """A ``.npy`` file that is written; see `gpfn.data.seam.ColumnSink`.

    One column is a plain array, several are fields of a structured one. There is no missing
    value in it: NaN stands for one of floating-point numbers, the smallest number (of unsigned
    ones the largest) for one of whole numbers. Raises SetupError for text, for a missing truth
    value, and for values that the dtype or the shape of the first rows does not hold.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._out: IO[bytes] = open(self._part, "wb")  # noqa: SIM115 - closed by _finish
        self._dtype: Any = None
        self._tail: tuple[int, ...] = ()
        self._rows = 0

    def _append(self, columns: Mapping[str, Array], missing: Mapping[str, Mask]) -> None:
        if self._dtype is None:
            self._begin(columns)
        filled = {n: self._column(n, array, missing.get(n)) for n, array in columns.items()}
        if self._dtype.names is None:
            [array] = filled.values()
            whole = np.ascontiguousarray(array)
        else:
            whole = np.empty(len(next(iter(filled.values()))), self._dtype)
            for name, array in filled.items():
                whole[name] = array
        if whole.size:
            self._out.write(whole.reshape(-1).view(np.uint8).data)
        self._rows += len(whole)

    def _column(self, name: str, array: Array, mask: Mask | None) -> Array:
        """Return a column in the dtype that it has in the file; NaN or the like where missing."""
        where = f"{self._path}: {name}"
        _check_numbers(array, where)
        whole = self._dtype
        kind = np.dtype((whole, self._tail)) if whole.names is None else whole[name]
        dtype = kind.base
        if len(array) and array.shape[1:] != kind.shape:
            raise SetupError(_NO_LISTS, field=where)
        if array.dtype != dtype:
            array = _cast(array, mask, dtype, where)
        if mask is None or not mask.any():
            return array
        if dtype.kind == "b":
            told = "is missing in some rows, and there is no such truth value in .npy"
            raise SetupError(f"{told}; write Parquet, CSV or JSON lines", field=where)
        return _filled(array, mask)

    def _begin(self, columns: Mapping[str, Array]) -> None:
        for name, array in columns.items():
            _check_numbers(array, f"{self._path}: {name}")
        if len(columns) == 1:
            [array] = columns.values()
            self._dtype, self._tail = array.dtype, array.shape[1:]
        else:
            fields = [(name, a.dtype, a.shape[1:]) for name, a in columns.items()]
            self._dtype = np.dtype(fields)
        self._head()

    def _head(self) -> None:
        """Write the header; NumPy leaves room in it for any number of rows."""
        npy_format.write_array_header_1_0(
            self._out,
            {
                "descr": npy_format.dtype_to_descr(self._dtype),
                "fortran_order": False,
                "shape": (self._rows, *self._tail),
            },
        )

    def _finish(self) -> None:
        if self._dtype is None:
            self._dtype = np.dtype(np.float32)
        self._out.seek(0)
        self._head()
        self._out.close()

    def _abandon(self) -> None:
        self._out.close()


def _check_numbers(array: Array, where: str) -> None:
    """Raise SetupError for an array that is not of numbers or truth values."""
    if array.dtype.kind not in "biuf":
        lists = any(isinstance(value, np.ndarray | list) for value in array)
        raise SetupError(_NO_LISTS if lists and array.ndim == 1 else _NO_TEXT, field=where)


def _cast(array: Array, mask: Mask | None, dtype: Any, where: str) -> Array:
    """Return values in the dtype of the rows before. Raises SetupError where one would change."""
    with np.errstate(all="ignore"):
        found = array.astype(dtype)
        again = found.astype(array.dtype)
    there = slice(None) if mask is None else ~mask
    same = np.array_equal(again[there], array[there], equal_nan=dtype.kind == "f")
    if {dtype.kind, array.dtype.kind} == {"i", "u"}:  # what wraps there comes back as it was
        same = same and np.array_equal((found < 0)[there], (array < 0)[there])
    if not same or (dtype.kind == "b") != (array.dtype.kind == "b"):
        told = f"becomes {array.dtype} where it was {dtype}; write Parquet, CSV or JSON lines"
        raise SetupError(told, field=where)
    return found


def _filled(array: Array, mask: Mask) -> Array:
    kind = array.dtype.kind
    whole = array.copy()
    if kind == "f":
        whole[mask] = np.nan
    else:
        info = np.iinfo(array.dtype)
        whole[mask] = info.max if kind == "u" else info.min
    return whole
