"""From branches of events to a vector of float32 for each: the step that is the limit of it all.

A branch with several values an event is a flat array of all values and the offsets where each
event's begin. Padding it branch by branch makes an array of every step between. Here the places
are found once for all branches that have the same offsets, and the values go straight from the
flat array into the matrix: bit for bit what padding gives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gpfn.data.seam import Array, Mask
from gpfn.models.branches import Pick

__all__ = ["Jagged", "Values", "VectorPart", "features", "picked"]

_BITS = 1 << 24
"""Up to here a float32 holds every whole number."""
_EXACT = 1 << 53
"""Up to here a whole number may be rounded, as a number of JSON and CSV is; see docs/score.md."""


class Jagged(NamedTuple):
    """A branch with several values an event: event ``n`` has those from ``offsets[n]`` on.

    ``offsets`` are one more than events, ``values`` may be more than they reach.
    """

    offsets: npt.NDArray[np.int64]
    values: Array

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """How many values each event has."""
        return np.diff(self.offsets)


Values = Array | Jagged
"""What a chunk has of a branch: [rows], [rows, n] of arrays of one length, or several values."""


class VectorPart(NamedTuple):
    """Columns of the matrix from ``column`` on: what is picked of a branch, and its padding."""

    pick: Pick
    padding: float
    column: int


def features(
    parts: Sequence[VectorPart], branches: Mapping[str, Values], rows: int
) -> tuple[npt.NDArray[np.float32], dict[int, str]]:
    """Return the matrix of ``rows`` events, [rows, width] of float32, and what is wrong with some.

    An event is wrong that has a value which float32 cannot hold: a whole number beyond 2**53 that
    it would round, a floating-point number that would become infinite. The reason names the branch.
    """
    width = sum(part.pick.width for part in parts)
    usual = parts[0].padding if parts else 0.0
    found = np.full((rows, width), usual, np.float32)
    faults: dict[int, str] = {}
    for part in parts:
        if part.pick.stop and part.padding != usual:
            found[:, part.column : part.column + part.pick.width] = part.padding
    for together in _alike(parts, branches):
        _scatter(found, together, faults)
    for part in parts:
        if not part.pick.stop:
            value, _ = picked(part.pick, branches[part.pick.branch])
            found[:, part.column] = _as_float32(value, part.pick.branch, faults)
    return found, faults


def picked(pick: Pick, values: Values) -> tuple[Array, Mask | None]:
    """Return one value of each event in the branch's own dtype, and which have none.

    ``pick`` is of one value: a branch that has one, one of several, or how many there are.
    """
    if not pick.stop and not pick.counted:
        assert not isinstance(values, Jagged)  # noqa: S101 - the pick was checked
        return values, None
    values = _jagged(values)
    if pick.counted:
        return values.counts, None
    found = np.zeros(len(values.counts), values.values.dtype)
    missing = np.ones(len(found), np.bool_)
    for events, places in _where(values.offsets, pick):
        found[events] = values.values[places]
        missing[events] = False
    return found, missing if missing.any() else None


def _jagged(values: Values) -> Jagged:
    """Return values of an array of one length as those of any length are."""
    if isinstance(values, Jagged):
        return values
    rows, size = values.shape
    return Jagged(np.arange(rows + 1, dtype=np.int64) * size, values.reshape(-1))


def _alike(
    parts: Sequence[VectorPart], branches: Mapping[str, Values]
) -> Iterator[list[tuple[VectorPart, Jagged]]]:
    """Give parts that take the same slice of branches with the same offsets, together."""
    groups: list[list[tuple[VectorPart, Jagged]]] = []
    for part in parts:
        if not part.pick.stop:
            continue
        branch = _jagged(branches[part.pick.branch])
        for group in groups:
            other, like = group[0]
            same = other.pick[1:] == part.pick[1:]
            if same and np.array_equal(like.offsets, branch.offsets):
                group.append((part, branch))
                break
        else:
            groups.append([(part, branch)])
    yield from groups


def _scatter(
    found: npt.NDArray[np.float32],
    together: Sequence[tuple[VectorPart, Jagged]],
    faults: dict[int, str],
) -> None:
    """Put the values of parts with the same places into their columns."""
    part, branch = together[0]
    flat, width = found.reshape(-1), found.shape[1]
    for number, (events, places) in enumerate(_where(branch.offsets, part.pick)):
        rows = events * width
        for each, other in together:
            value = other.values.take(places)
            if value.dtype != np.float32:
                value = _as_float32(value, each.pick.branch, faults, events)
            flat[each.column + number :][rows] = value


def _where(offsets: npt.NDArray[np.int64], pick: Pick) -> Iterator[tuple[Array, Array]]:
    """Give, for each value of a slice, the events that have it and where it lies."""
    counts = np.diff(offsets)
    if len(counts) and int(counts.min()) < 0:
        raise ValueError("the offsets of a branch go backwards")
    events = np.flatnonzero(counts > pick.start)
    for number in range(pick.start, pick.stop):
        if number > pick.start:
            events = events[counts[events] > number]
        if not len(events):
            return
        yield events, offsets[events] + number


def _as_float32(
    values: Array, branch: str, faults: dict[int, str], events: Array | None = None
) -> npt.NDArray[np.float32]:
    """Return numbers as float32, which is how they reach a model.

    A float64 is rounded, and a whole number up to 2**53. ``events`` are the numbers of the events
    in the chunk, where they are not simply counted. Of an event with a larger whole number that
    would be rounded, or with a finite number that would not stay one, the reason is added to
    ``faults``.
    """
    kind, size = values.dtype.kind, values.dtype.itemsize
    with np.errstate(over="ignore"):
        found = values.astype(np.float32, copy=False)
    wrong, why = np.zeros(0, np.intp), ""
    if kind in "iu" and size > 4:
        large = np.flatnonzero(np.abs(found) >= _EXACT)
        wrong, why = large[_rounded(values[large])], "beyond 2**53, which a float32 would round"
    elif kind == "f" and size > 4:
        infinite = np.flatnonzero(np.isinf(found))
        wrong, why = infinite[~np.isinf(values[infinite])], "which is too large for a float32"
    for at in wrong.tolist():
        event = at if events is None else int(events[at])
        faults.setdefault(event, f"{branch}: {values[at]}, {why}")
    return found


def _rounded(values: Array) -> Mask:
    """Say which whole numbers, none of them 0, are beyond 2**53 and no float32."""
    signed = values.dtype.kind == "i"
    size = np.abs(values.astype(np.int64)).view(np.uint64) if signed else values.astype(np.uint64)
    lowest = size & (~size + np.uint64(1))
    far: Mask = (size // lowest >= _BITS) & (size > _EXACT)
    return far
