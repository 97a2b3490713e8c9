"""ROOT files as columns: named branches, and the vector that a mapping makes of them.

``features`` is that vector, [rows, width] of float32, where a mapping is given. Every other
column is a branch of one value an entry or of an array of one length, in its own dtype, or one
value of a branch that has several: ``Jet_pt[0]``, which is missing where there is none, and
``count(Jet_pt)``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from gpfn.data.root_features import Jagged, Values, VectorPart, features, picked
from gpfn.data.root_file import RootTree, readable
from gpfn.data.seam import Array, Chunk, Extent, Mask
from gpfn.errors import SetupError
from gpfn.models.branches import BranchInput, BranchMapping, Pick, parse_pick

__all__ = ["FEATURES", "RootSource"]

FEATURES = "features"
"""The column that a mapping makes."""

_CHUNK_BYTES = 128 << 20
"""Bytes that the branches of a chunk may take, unpacked, however many values an event has."""


class RootSource:
    """A tree of a ROOT file; see `gpfn.data.seam.ColumnSource`.

    ``mapping`` says which tree is read, and what ``features`` is made of; without one there is
    no such column, and ``tree`` may say which tree. Raises SetupError for a file or a tree that
    cannot be read, and for a branch of the mapping that is not there.
    """

    def __init__(self, path: str, mapping: BranchMapping | None = None, tree: str = "") -> None:
        named = (tree,) if tree else mapping.tree if mapping else ()
        self._path = path
        self._mapping = mapping
        self._tree = RootTree(path, named)
        try:
            self._parts = _resolved(mapping, self._tree) if mapping else []
        except BaseException:
            self.close()
            raise
        self.rows: int | None = self._tree.rows
        self._done = 0

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The vector, and every branch of as many values in each entry."""
        found = [FEATURES] if self._mapping else []
        for name in self._tree.names:
            try:
                found += [name] if self._tree.kind(name) != "several" else []
            except SetupError:  # it is no column; who asks for it is told why
                continue
        return tuple(found)

    @property
    def extent(self) -> Extent:
        """How many entries were given."""
        return Extent(self._done, self._tree.rows)

    def chunks(self, wanted: Sequence[str] | None, rows: int) -> Iterator[Chunk]:
        """Give the rows; see `gpfn.data.seam.ColumnSource`."""
        names = self.names if wanted is None else wanted
        picks = {name: self._pick(name) for name in names if not self._is_features(name)}
        parts = self._parts if len(picks) < len(names) else []
        branches = [part.pick.branch for part in parts] + [p.branch for p in picks.values()]
        for branches_of, count in self._read([*dict.fromkeys(branches)], rows):
            chunk = self._chunk(names, picks, branches_of, count)
            self._done += count
            yield chunk

    def _chunk(
        self, names: Sequence[str], picks: dict[str, Pick], branches: dict[str, Values], rows: int
    ) -> Chunk:
        columns: dict[str, Array] = {}
        missing: dict[str, Mask] = {}
        for name in names:
            if name not in picks:
                with readable(self._path):
                    columns[name] = self._features(branches, rows)
                continue
            with readable(self._path, name):
                columns[name], mask = picked(picks[name], branches[picks[name].branch])
            if mask is not None:
                missing[name] = mask
        return Chunk(columns, self._done, rows, missing)

    def _features(self, branches: dict[str, Values], rows: int) -> Array:
        return features(self._parts, branches, rows, path=self._path, first=self._done)

    def _is_features(self, name: str) -> bool:
        return name == FEATURES and self._mapping is not None

    def _pick(self, name: str) -> Pick:
        if self._tree.has(name):
            pick: Pick | None = Pick(name)
        else:
            pick = parse_pick(name)
        if pick is None or pick.width != 1:
            raise self._tree.missing([name])
        if pick.stop or pick.counted or self._tree.kind(pick.branch) != "array":
            _check_kind(pick, self._tree)
        return pick

    def _read(self, names: Sequence[str], rows: int) -> Iterator[tuple[dict[str, Values], int]]:
        """Give the branches of one chunk after the other, and how many entries it has."""
        if not self._tree.rows:
            return
        step = _step(self._tree, names, rows, sum(p.pick.width for p in self._parts))
        if not names:  # a mapping makes no column that is wanted, but the rows are
            for first in range(0, self._tree.rows, step):
                yield {}, min(step, self._tree.rows - first)
            return
        found = self._iterate(names, step)
        while True:
            with readable(self._path, ", ".join(names) if len(names) < 2 else ""):
                array = next(found, None)
                if array is None:
                    return
                chunk = {name: _values(array[name].layout) for name in names}, len(array)
            array = None  # its memory is not needed while the chunk is
            yield chunk

    def _iterate(self, names: Sequence[str], step: int) -> Iterator[Any]:
        found: Iterator[Any] = self._tree.tree.iterate([*names], step_size=step, library="ak")
        return found

    def close(self) -> None:
        """Close the file."""
        self._tree.close()


def _values(layout: Any) -> Values:
    """Return a branch of a chunk as arrays, of numbers in the machine's byte order."""
    if layout.is_regular:
        layout = layout.to_RegularArray().to_packed()
        return np.asarray(layout.content.data).reshape(len(layout), layout.size)
    if not layout.is_list:
        return np.asarray(layout.data)
    layout = layout.to_ListOffsetArray64(False)
    offsets, values = np.asarray(layout.offsets.data), np.asarray(layout.content.data)
    if not 0 <= offsets[0] <= offsets[-1] <= len(values):
        raise ValueError("the offsets of a branch do not fit its values")
    return Jagged(offsets, values)


def _step(tree: RootTree, names: Sequence[str], rows: int, width: int) -> int:
    """Return how many entries a chunk has, so that its branches stay within a bound."""
    densest = 4.0 * width
    for name in names:
        found = tree.bytes_of(name)
        if found is None:
            continue
        starts, sizes = found
        entries = np.maximum(np.diff(starts), 1)
        densest += float((sizes / entries).max()) if len(sizes) else 0.0
    return max(1, min(rows, int(_CHUNK_BYTES / max(densest, 1.0))))


def _resolved(mapping: BranchMapping, tree: RootTree) -> list[VectorPart]:
    """Return what of the mapping is there, and where its values go."""
    parts: list[VectorPart] = []
    column = 0
    seen: dict[tuple[Pick, int], BranchInput] = {}
    for each in mapping.inputs:
        pick = _chosen(each, mapping, tree)
        _check_kind(pick, tree)
        for number in range(max(pick.stop, 1)):
            key = (pick._replace(start=0, stop=0), number)
            if number >= pick.start and seen.setdefault(key, each) is not each:
                told = f"{each.place} and {seen[key].place} are both {pick.branch} in this file"
                raise SetupError(f"{told}; see {mapping.origin or 'the mapping'}", field=tree.path)
        parts.append(VectorPart(pick, each.padding, column))
        column += pick.width
    return parts


def _chosen(each: BranchInput, mapping: BranchMapping, tree: RootTree) -> Pick:
    for pick in each.choices:
        if tree.has(pick.branch):
            return pick
    error = tree.missing([pick.branch for pick in each.choices])
    where = f"{each.place} of {mapping.origin}" if mapping.origin else each.place
    raise SetupError(f"{error.detail} (asked for by {where})", field=error.field)


def _check_kind(pick: Pick, tree: RootTree) -> None:
    """Raise SetupError where a branch of one value is sliced, or one of several is not."""
    kind = tree.kind(pick.branch)
    several = bool(pick.stop) or pick.counted
    if several and kind == "one":
        told = f"has one value an entry: ask for {pick.branch} as it is"
    elif not several and kind != "one":
        told = f"has several values an entry: ask for {pick.branch}[0:8], or for another number"
    else:
        return
    raise SetupError(told, field=f"{tree.path}: {pick.branch}")
