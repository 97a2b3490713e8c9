"""How far two sides are apart on the same samples.

Numbers with a fraction differ by a distance: the absolute one up to 1; of larger values, it is
relative to the value or to what is usual in its column, as float32 has seven digits and no
more. Where all values are tiny, a thousand times the largest stands for the 1, so that nothing
passes for 0. Everything else is equal or not. NaN on both sides is agreement, NaN on one side is
not, and nothing but NaN says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Agreement", "Difference", "compare"]

_Array = np.ndarray[Any, Any]

_NUMBERS = {*"biuf"}
_TINY = 1000.0
"""Times the largest value: a difference within a tolerance of 1e-5 is a hundredth of that."""


class Difference(NamedTuple):
    """What was found of one output: the largest distance, or how many labels are not equal."""

    name: str
    exact: bool
    values: int = 0
    largest: float = 0.0
    unequal: int = 0
    wrong: str = ""
    """What cannot be compared at all, such as other shapes."""


class Agreement(NamedTuple):
    """What was found of all outputs on all samples."""

    outputs: tuple[Difference, ...]

    @property
    def largest(self) -> float:
        """The largest distance of all outputs of numbers with a fraction."""
        return max((each.largest for each in self.outputs if not each.exact), default=0.0)

    @property
    def equal_share(self) -> float | None:
        """Which share of the labels is equal; None where there are no labels."""
        values = sum(each.values for each in self.outputs if each.exact)
        return 1 - sum(each.unequal for each in self.outputs) / values if values else None

    def refusal(self, tolerance: float) -> str:
        """Return why both do not agree within a tolerance; nothing if they do."""
        for each in self.outputs:
            if each.wrong:
                return f"{each.name}: {each.wrong}"
        if not any(each.values for each in self.outputs):
            return "no output has a value that could be compared"
        for each in self.outputs:
            if each.unequal:
                return f"{each.name}: {each.unequal} of {each.values} values are not equal"
        for each in self.outputs:
            if not each.largest <= tolerance:
                told = f"differs by {each.largest:.2g}, over the tolerance of {tolerance:g}"
                return f"{each.name}: {told}"
        return ""


def compare(name: str, pairs: Sequence[tuple[_Array, _Array]]) -> Difference:
    """Return what is found of one output: the source's and the target's of each sample."""
    kinds = {side.dtype.kind for pair in pairs for side in pair}
    exact = not kinds <= {*"fc"}  # a label as a fraction on one side is the same label or not
    values = sum(source.size for source, _ in pairs)
    both = [(_squeezed(source), _squeezed(target)) for source, target in pairs]
    for source, target in both:
        if source.shape != target.shape:
            told = f"has the shape {list(target.shape)}, and the source's {list(source.shape)}"
            return Difference(name, exact, wrong=told)
    if exact:
        unequal = sum(_unequal(*pair) for pair in both)
        return Difference(name, True, values, unequal=unequal)
    if values and all(np.isnan(side).all() for pair in both for side in pair):
        return Difference(name, False, values, wrong="is NaN throughout, which shows nothing")
    sources = [source for source, _ in both]
    usual, least = _usual(sources), _least(sources)
    return Difference(name, False, values, max(_distance(*pair, usual, least) for pair in both))


def _unequal(ours: _Array, theirs: _Array) -> int:
    """Return how many labels differ: as numbers where both are some, else as they are written."""
    if {ours.dtype.kind, theirs.dtype.kind} <= _NUMBERS:
        return int((ours != theirs).sum())
    return int((_plain(ours) != _plain(theirs)).sum())


def _squeezed(array: _Array) -> _Array:
    """Return an array without sizes of 1 at its end: a column and its values are the same."""
    while array.ndim > 1 and array.shape[-1] == 1:
        array = array[..., 0]
    return array


def _plain(array: _Array) -> _Array:
    """Return labels as texts: whole numbers and texts compare by how they are written."""
    texts = [
        v.decode(errors="replace") if isinstance(v, bytes) else v for v in array.ravel().tolist()
    ]
    return np.array([str(int(text)) if isinstance(text, bool) else str(text) for text in texts])


def _usual(arrays: Sequence[_Array]) -> Any:
    """Return the median size of all values, by column where there are columns.

    Not a mean, which one enormous value would make so large that all others agree.
    """
    columns = arrays[0].ndim == 2 and len({array.shape[1:] for array in arrays}) == 1
    joined = np.concatenate(arrays) if columns else np.concatenate([a.ravel() for a in arrays])
    if not joined.size:
        return 0.0
    sizes = _sizes(joined)
    return np.median(np.where(np.isfinite(sizes), sizes, 0.0), axis=0)


def _least(arrays: Sequence[_Array]) -> float:
    """Return what distances are relative to at least: 1, and less where all values are tiny."""
    sizes = np.concatenate([_sizes(array).ravel() for array in arrays])
    largest = float(sizes[np.isfinite(sizes)].max(initial=0.0))
    return min(1.0, _TINY * largest) or 1.0


def _sizes(array: _Array) -> _Array:
    return np.abs(array.astype(np.complex128 if array.dtype.kind == "c" else np.float64))


def _distance(source: _Array, target: _Array, usual: Any, least: float) -> float:
    """Return the largest distance; infinite where NaN or an infinity is on one side alone."""
    if not source.size:
        return 0.0
    wide = np.complex128 if "c" in (source.dtype.kind, target.dtype.kind) else np.float64
    ours, theirs = source.astype(wide), target.astype(wide)
    same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    with np.errstate(invalid="ignore", over="ignore"):
        found = np.abs(ours - theirs) / np.maximum(np.maximum(least, np.abs(ours)), usual)
    found = np.where(same, 0.0, np.where(np.isnan(found), np.inf, found))
    return float(found.max())
