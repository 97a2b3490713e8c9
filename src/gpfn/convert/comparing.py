"""How far two sides are apart on the same samples.

Numbers with a fraction differ by a distance: the absolute one up to 1; of larger values, it is
relative to the value or to what is usual in its column, as float32 has seven digits and no
more. Everything else is equal or not. NaN on both sides is agreement, NaN on one side is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Agreement", "Difference", "compare"]

_Array = np.ndarray[Any, Any]


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
    exact = not kinds & {*"fc"} or bool(kinds & {*"UOS"})
    values = sum(source.size for source, _ in pairs)
    both = [(_squeezed(source), _squeezed(target)) for source, target in pairs]
    for source, target in both:
        if source.shape != target.shape:
            told = f"has the shape {list(target.shape)}, and the source's {list(source.shape)}"
            return Difference(name, exact, wrong=told)
    if exact:
        unequal = sum(int((_plain(ours) != _plain(theirs)).sum()) for ours, theirs in both)
        return Difference(name, True, values, unequal=unequal)
    usual = _usual([source for source, _ in both])
    return Difference(name, False, values, max(_distance(*pair, usual) for pair in both))


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
    """Return the root of the mean square of all values, by column where there are columns."""
    columns = arrays[0].ndim == 2 and len({array.shape[1:] for array in arrays}) == 1
    joined = np.concatenate(arrays) if columns else np.concatenate([a.ravel() for a in arrays])
    squares = np.abs(joined.astype(np.complex128 if joined.dtype.kind == "c" else np.float64)) ** 2
    squares = np.where(np.isfinite(squares), squares, 0.0)
    return np.sqrt(squares.mean(axis=0)) if len(squares) else 0.0


def _distance(source: _Array, target: _Array, usual: Any) -> float:
    """Return the largest distance; infinite where NaN or an infinity is on one side alone."""
    if not source.size:
        return 0.0
    wide = np.complex128 if "c" in (source.dtype.kind, target.dtype.kind) else np.float64
    ours, theirs = source.astype(wide), target.astype(wide)
    same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    with np.errstate(invalid="ignore", over="ignore"):
        found = np.abs(ours - theirs) / np.maximum(np.maximum(1.0, np.abs(ours)), usual)
    found = np.where(same, 0.0, np.where(np.isnan(found), np.inf, found))
    return float(found.max())
