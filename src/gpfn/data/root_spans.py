"""Entries of a tree in spans: as many as are read at once, in a bounded memory.

Baskets are unpacked as a whole, so a span ends where those of all its branches do: then none of
them is unpacked twice. Where so much would be too large, it is cut, and the reader keeps what it
has unpacked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from gpfn.data.root_features import Jagged, Values
from gpfn.data.root_file import RootTree, readable

__all__ = ["read_none", "read_spans"]

_ENTRIES = 50_000
"""Entries that are worth the while of a read, if there are as many."""
_Ends = npt.NDArray[np.int64]


def read_spans(
    tree: RootTree, names: Sequence[str], most: int
) -> Iterator[tuple[dict[str, Values], int]]:
    """Give the branches ``names`` in spans of about ``most`` bytes, and how many entries each has.

    Raises SetupError, with the file, for a branch that is damaged or has too large a basket.
    """
    if not tree.rows:
        return
    known = [each for name in names if (each := tree.bytes_of(name)) is not None]
    ends, densest = _clusters(known, tree.rows), _densest(known)
    largest = int(np.diff(ends, prepend=0).max())
    if known and largest * densest <= most:
        arrays = _whole(tree, names, _together(ends, min(_ENTRIES, int(most / max(densest, 1)))))
    else:
        arrays = tree.tree.iterate(
            [*names], step_size=_step(tree, names, most, densest), library="ak"
        )
    while True:
        with readable(tree.path, names[0] if len(names) == 1 else ""):
            array = next(arrays, None)
            if array is None:
                return
            count = len(array)
            branches = {name: _values(array[name].layout) for name in names}
        array = None  # its memory is not needed while the values are
        yield branches, count


def read_none(tree: RootTree, names: Sequence[str]) -> dict[str, Values]:
    """Return branches of no entry. Raises SetupError, with the file, for one that is damaged."""
    with readable(tree.path):
        array = next(_whole(tree, names, iter([(0, 0)])))
        return {name: _values(array[name].layout) for name in names}


def _step(tree: RootTree, names: Sequence[str], most: int, densest: float) -> int:
    """Return how many entries are read at once where baskets are larger, or there are none."""
    if densest:
        return max(1, min(_ENTRIES, int(most / densest)))
    with readable(tree.path):
        return max(1, min(_ENTRIES, int(tree.tree.num_entries_for(most, filter_name=[*names]))))


def _clusters(known: Sequence[tuple[_Ends, _Ends]], rows: int) -> _Ends:
    """Return where baskets of all branches end, the tree's end too."""
    if not known:
        return np.array([rows], np.int64)
    common = reduce(np.intersect1d, [starts for starts, _ in known])
    return np.union1d(common[(common > 0) & (common < rows)], [rows])


def _densest(known: Sequence[tuple[_Ends, _Ends]]) -> float:
    """Return how many bytes an entry of all branches has, at the most on average of a basket."""
    total = 0.0
    for starts, sizes in known:
        if len(sizes):
            total += float((sizes / np.maximum(np.diff(starts), 1)).max())
    return total


def _together(ends: _Ends, entries: int) -> Iterator[tuple[int, int]]:
    """Give spans of about so many entries, each of whole clusters."""
    first = 0
    for number, end in enumerate(ends):
        following = ends[number + 1] if number + 1 < len(ends) else None
        if following is None or following - first > entries:
            yield first, int(end)
            first = int(end)


def _whole(tree: RootTree, names: Sequence[str], spans: Iterator[tuple[int, int]]) -> Iterator[Any]:
    for first, end in spans:
        yield tree.tree.arrays([*names], entry_start=first, entry_stop=end, library="ak")


def _values(layout: Any) -> Values:
    """Return a branch as arrays, of numbers in the machine's byte order."""
    from awkward.contents import ListOffsetArray

    if layout.is_regular:
        layout = layout.to_RegularArray().to_packed()
        return np.asarray(layout.content.data).reshape(len(layout), layout.size)
    if not layout.is_list:
        return np.asarray(layout.data)
    if not isinstance(layout, ListOffsetArray):
        layout = layout.to_ListOffsetArray64(False)
    offsets, values = np.asarray(layout.offsets.data), np.asarray(layout.content.data)
    if not 0 <= offsets[0] <= offsets[-1] <= len(values):
        raise ValueError("the offsets of a branch do not fit its values")
    return Jagged(offsets, values)
