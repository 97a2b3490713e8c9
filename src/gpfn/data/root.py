"""ROOT files as columns: named branches, and the vector that a mapping makes of them.

``features`` is that vector, [rows, width] of float32, where a mapping is given. Every other
column is a branch of one value an entry or of an array of one length, in its own dtype, or one
value of a branch that has several: ``Jet_pt[0]``, which is missing where there is none, and
``count(Jet_pt)``. An entry whose vector cannot be made, because float32 cannot hold one of its
values, is a fault; its other columns are there all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np

from gpfn.data.root_features import Jagged, Values, VectorPart, features, picked
from gpfn.data.root_file import RootTree, readable
from gpfn.data.root_spans import read_none, read_spans
from gpfn.data.seam import Array, Chunk, Extent, Fault, Mask
from gpfn.errors import SetupError
from gpfn.models.branches import BranchInput, BranchMapping, Pick, parse_pick

__all__ = ["FEATURES", "RootSource"]

FEATURES = "features"
"""The column that a mapping makes."""

_CHUNK_BYTES = 64 << 20
"""Bytes that the branches of a chunk may take, however many values an event has."""


class RootSource:
    """A tree of a ROOT file; see `gpfn.data.seam.ColumnSource`.

    ``mapping`` says which tree is read, and what ``features`` is made of; without one there is
    no such column, and ``tree`` may say which tree. ``columns`` are names that will be asked for;
    of those, ``Jet_pt[0]`` and ``count(Jet_pt)`` are columns too. Raises SetupError for a file or
    a tree that cannot be read, and for a branch of the mapping that is not there.
    """

    def __init__(
        self,
        path: str,
        mapping: BranchMapping | None = None,
        tree: str = "",
        columns: Sequence[str] = (),
    ) -> None:
        named = (tree,) if tree else mapping.tree if mapping else ()
        self._path = path
        self._mapping = mapping
        self._asked = tuple(columns)
        self._tree = RootTree(path, named)
        try:
            self._parts = _resolved(mapping, self._tree) if mapping else []
        except BaseException:
            self.close()
            raise
        self.unreadable: Mapping[str, str] = {}
        self.rows: int | None = self._tree.rows
        self._done = 0

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of its columns; with a mapping the vector, and the names of all branches.

        To find out which of thousands of branches are columns takes a second, and who has a
        mapping asks for few: one that is no column is told when it is asked for.
        """
        names = (FEATURES, *self._tree.names) if self._mapping else self._columns()
        return (*names, *(name for name in self._asked if name not in names and self._made(name)))

    def _made(self, name: str) -> bool:
        """Say whether a name asks for a branch that is there, or for a value of one.

        Whether that is a column is told when it is read.
        """
        pick = parse_pick(name)
        return self._tree.has(name) or (pick is not None and self._tree.has(pick.branch))

    def _columns(self) -> tuple[str, ...]:
        """Return the names of branches that have as many numbers in each entry."""
        found = []
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
        if wanted is None:
            wanted = ([FEATURES] if self._mapping else []) + [*self._columns()]
        names = wanted
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
        faults: dict[int, str] = {}
        for name in names:
            with readable(self._path, name):
                if name in picks:
                    columns[name], mask = picked(picks[name], branches[picks[name].branch])
                else:
                    columns[name], faults = features(self._parts, branches, rows)
                    mask = _mask(faults, rows)
            if mask is not None:
                missing[name] = mask
        told = {row: Fault(why) for row, why in faults.items()}
        return Chunk(columns, self._done, rows, missing, told)

    def empty(self, names: Sequence[str]) -> dict[str, Array]:
        """Return columns of no entry; see `gpfn.data.seam.ColumnSource`."""
        picks = {name: self._pick(name) for name in names if not self._is_features(name)}
        branches = read_none(self._tree, [*dict.fromkeys(each.branch for each in picks.values())])
        return self._chunk(names, picks, branches, 0).columns

    def _is_features(self, name: str) -> bool:
        return name == FEATURES and self._mapping is not None

    def _pick(self, name: str) -> Pick:
        if self._tree.has(name):
            pick: Pick | None = Pick(name)
        else:
            pick = parse_pick(name)
        if pick is None or pick.width != 1:
            raise self._tree.missing([name])
        kind = self._tree.kind(pick.branch)
        if kind == "several" and not (pick.stop or pick.counted):
            told = (
                f"has several values an entry: ask for {name}[0], or for {name}[0:8] in a mapping"
            )
            raise SetupError(told, field=f"{self._path}: {name}")
        if kind != "array":
            _check_kind(pick, self._tree)
        return pick

    def _read(self, names: Sequence[str], rows: int) -> Iterator[tuple[dict[str, Values], int]]:
        """Give the branches of one chunk after the other, and how many entries it has."""
        rows = min(rows, max(1, _CHUNK_BYTES // (4 * sum(p.pick.width for p in self._parts) or 1)))
        if not names:  # nothing is wanted but the number of rows
            for first in range(0, self._tree.rows, rows):
                yield {}, min(rows, self._tree.rows - first)
            return
        for branches, count in read_spans(self._tree, names, _CHUNK_BYTES):
            for first in range(0, count, rows):
                end = min(first + rows, count)
                yield {name: _cut(each, first, end) for name, each in branches.items()}, end - first

    def close(self) -> None:
        """Close the file."""
        self._tree.close()


def _mask(rows: Iterable[int], count: int) -> Mask | None:
    """Return the mask of some rows; None for none."""
    found = np.zeros(count, np.bool_)
    found[[*rows]] = True
    return found if found.any() else None


def _cut(values: Values, first: int, end: int) -> Values:
    """Return a branch's values of some entries; without a copy."""
    if isinstance(values, Jagged):
        return Jagged(values.offsets[first : end + 1], values.values)
    return values[first:end]


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
