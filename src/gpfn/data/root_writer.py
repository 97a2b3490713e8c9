"""Friend trees: a ROOT file with a tree of flat branches beside the tree that was read.

ROOT adds a friend tree's branches to those of the tree that was read, entry by entry, or by the
number of the entry: that is what ``entry`` has.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from gpfn.data.seam import Array, Mask
from gpfn.data.sink import PartSink
from gpfn.errors import SetupError

__all__ = ["COMPRESSIONS", "ENTRY", "FRIEND", "RootSink"]

FRIEND = "Friend"
"""The name of the tree that is written, unless another one is asked for."""

ENTRY = "entry"
"""The branch with the number of the row, counted from 0, unless a column is called so."""

COMPRESSIONS = {"zstd": ("ZSTD", 3), "zlib": ("ZLIB", 1), "lz4": ("LZ4", 1), "none": ("ZLIB", 0)}
"""What baskets may be compressed with: uproot's name of it, and the level."""

_NO_WORD = re.compile(r"[^A-Za-z0-9_.]+")
_BASKET_ROWS = 50_000
"""Entries of a basket: many small ones make a file large and slow to read."""
_BASKET_BYTES = 64 << 20
"""Bytes of entries that are held until they are written, where entries are large."""
_BASKETS = 32
"""Baskets that a tree has room for at first; it makes room for ten times as many as needed."""


class RootSink(PartSink):
    """A ROOT file with one tree; see `gpfn.data.seam.ColumnSink`.

    A column of [rows] becomes a branch, one of [rows, n] a branch of arrays; `ENTRY` is added.
    What ROOT's formulas would read as something else in a name becomes ``_``. The first call of
    `write` makes the tree, also one without rows. Raises SetupError for text, for two columns
    whose branches would have one name, and for a missing whole number, which ROOT has no word
    for; a missing floating-point number becomes NaN.
    """

    def __init__(self, path: str, tree: str = FRIEND, compression: str = "zstd") -> None:
        if compression not in COMPRESSIONS:
            known = ", ".join(COMPRESSIONS)
            raise SetupError(f"no compression {compression!r}; there are {known}", field=path)
        self._compression = compression
        self._name = tree
        self._root: Any = None
        self._out: Any = None
        self._tree: Any = None
        self._names: dict[str, str] = {}
        self._types: dict[str, np.dtype[Any]] = {}
        self._held: list[dict[str, Array]] = []
        self._rows = self._written = self._bytes = 0
        super().__init__(path)

    def _append(self, columns: Mapping[str, Array], missing: Mapping[str, Mask]) -> None:
        count = len(next(iter(columns.values()), ()))
        numbers = np.arange(self._written, self._written + count, dtype=np.int64)
        columns = {**columns, ENTRY: columns.get(ENTRY, numbers)}
        if not self._types:
            self._names = _branch_names(columns, self._path)
            self._types = {name: self._type(name, each) for name, each in columns.items()}
            self._begin()
        rows = {
            name: self._column(name, columns[name], missing.get(name), dtype)
            for name, dtype in self._types.items()
        }
        self._held.append(rows)
        self._rows += count
        self._written += count
        self._bytes += sum(each.nbytes for each in rows.values())
        if self._rows >= _BASKET_ROWS or self._bytes >= _BASKET_BYTES:
            self._flush()

    def _begin(self) -> None:
        import uproot

        kind, level = COMPRESSIONS[self._compression]
        self._out = open(self._part, "r+b")  # noqa: SIM115 - closed at the end
        self._root = uproot.recreate(self._out, compression=getattr(uproot, kind)(level))
        types = {self._names[name]: dtype for name, dtype in self._types.items()}
        self._tree = self._root.mktree(self._name, types, initial_basket_capacity=_BASKETS)

    def _type(self, name: str, array: Array) -> np.dtype[Any]:
        """Return a branch's dtype, with the shape of its arrays."""
        where = f"{self._path}: {name}"
        if array.dtype.kind not in "biuf":
            told = "a column of text, which a ROOT file has no branch for here"
            raise SetupError(f"{told}; leave it out, or write Parquet or CSV", field=where)
        dtype = np.dtype(np.float32) if array.dtype == np.float16 else array.dtype.newbyteorder("=")
        tail = array.shape[1:]
        return dtype if tail in ((), (1,)) else np.dtype((dtype, tail))

    def _column(self, name: str, array: Array, mask: Mask | None, dtype: np.dtype[Any]) -> Array:
        where = f"{self._path}: {name}"
        if self._type(name, array[:0]) != dtype:
            raise SetupError(f"becomes {array.dtype} where it was {dtype}", field=where)
        found = array.astype(dtype.base, copy=False).reshape(len(array), *dtype.shape)
        if mask is None or not mask.any():
            return found
        if dtype.base.kind != "f":
            told = "is missing in some rows, and a branch of whole numbers has no word for that"
            raise SetupError(f"{told}; leave it out, or write Parquet or CSV", field=where)
        found = found.copy()
        found[mask] = np.nan
        return found

    def _flush(self) -> None:
        held, rows = self._held, self._rows
        self._held, self._rows, self._bytes = [], 0, 0
        if rows:
            self._tree.extend(
                {
                    branch: np.concatenate([each[name] for each in held])
                    for name, branch in self._names.items()
                }
            )

    def _finish(self) -> None:
        if self._root is None:  # nobody said which branches there are
            self._append({}, {})
        self._flush()
        self._root.close()
        self._out.close()

    def _abandon(self) -> None:
        if self._out is not None:
            self._out.close()


def _branch_names(columns: Iterable[str], path: str) -> dict[str, str]:
    """Return the branch of each column: its name, with ``_`` for what is no part of a word."""
    found: dict[str, str] = {}
    for name in columns:
        branch = _NO_WORD.sub("_", name).strip("_") or "column"
        if branch in found.values():
            told = f"would be the branch {branch}, which another column is; leave one of them out"
            raise SetupError(told, field=f"{path}: {name}")
        found[name] = branch
    return found
