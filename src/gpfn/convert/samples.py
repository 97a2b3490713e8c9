"""What both sides are asked: samples that are given, or random ones that fit the model.

Random ones are made from a seed, so that a difference can be seen again. Where the framework
tells what its columns, thresholds, embeddings and categories are, values lie there: a tree asked
far from all its thresholds would always give the same leaf.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gpfn.errors import InvalidTensor, SetupError
from gpfn.tensors.spec import TensorSpec

__all__ = ["BATCHES", "Arrays", "given_samples", "has_open_batch", "random_samples"]

Arrays = dict[str, np.ndarray[Any, Any]]

BATCHES = (1, 2, 7, 64)
_OPEN = 8
"""What an axis is given that the model leaves open, besides the first."""
_SETS = 4
_GAPS = 0.05
_WORDS = ("a", "the model", "north", "7", "two words", "ÄÖ", "", "unknown")
_INTEGERS = {"uint8": (0, 256), "int8": (-128, 128)}
_SMALL = (0, 10)
_MOST_ELEMENTS = 1 << 27
_FARTHEST = 1e9


def has_open_batch(inputs: Sequence[TensorSpec]) -> bool:
    """Say whether every input leaves its first size open."""
    return bool(inputs) and all(spec.shape and spec.shape[0] is None for spec in inputs)


def random_samples(
    inputs: Sequence[TensorSpec], facts: Mapping[str, Any], seed: int
) -> list[Arrays]:
    """Return samples of 1, 2, 7 and 64 rows, or of the model's own number of rows.

    ``facts`` may have ``ranges`` by input (a low and a high end for all or for each column),
    ``values`` (texts) and ``gaps`` (whether NaN is a value that the model knows).

    Raises SetupError for an input of unknown shape, and for one too large to make up.
    """
    random = np.random.default_rng(seed)
    if has_open_batch(inputs):
        whole = {spec.name: _values(spec, BATCHES[-1], facts, random) for spec in inputs}
        return [{name: array[:rows] for name, array in whole.items()} for rows in BATCHES]
    return [
        {spec.name: _values(spec, _first(spec), facts, random) for spec in inputs}
        for _ in range(_SETS)
    ]


def given_samples(arrays: Arrays, inputs: Sequence[TensorSpec]) -> list[Arrays]:
    """Return given arrays as samples: their beginnings of 1, 2, 7 and 64 rows, and the whole.

    A model of a fixed number of rows is asked piece by piece. Raises InvalidTensor for arrays of
    no rows, of different numbers, or of fewer rows than the model takes.
    """
    counts = {len(array) if array.ndim else 1 for array in arrays.values()}
    if len(counts) != 1 or 0 in counts:
        told = f"expected as many rows of each, and one at least; got {sorted(counts)}"
        raise InvalidTensor(told, field="--sample")
    rows = counts.pop()
    if has_open_batch(inputs):
        sizes = [*dict.fromkeys(min(size, rows) for size in (*BATCHES, rows))]
        return [{name: array[:size] for name, array in arrays.items()} for size in sizes]
    size = next((spec.shape[0] for spec in inputs if spec.shape and spec.shape[0]), rows)
    if rows < size:
        told = f"the model takes {size} rows at a time, and there are {rows}"
        raise InvalidTensor(told, field="--sample")
    starts = range(0, rows - size + 1, size)
    return [{k: array[at : at + size] for k, array in arrays.items()} for at in starts]


def _first(spec: TensorSpec) -> int:
    return (spec.shape[0] or 1) if spec.shape else 1


def _values(
    spec: TensorSpec, rows: int, facts: Mapping[str, Any], random: np.random.Generator
) -> np.ndarray[Any, Any]:
    if spec.shape is None:
        told = f"the shape of {spec.name} is not known; give samples by --sample"
        raise SetupError(told, field="--sample")
    shape = (
        (rows, *(_OPEN if size is None else size for size in spec.shape[1:])) if spec.shape else ()
    )
    if np.prod(shape, dtype=np.float64) > _MOST_ELEMENTS:
        raise SetupError(f"{spec.name} is too large to make up; give --sample", field="--sample")
    known = _listed(facts, "values", spec.name)
    if spec.dtype == "string":
        return _chosen(shape, known or [*_WORDS], random)
    if spec.dtype == "bool":
        return random.random(shape) < 0.5
    dtype = np.dtype(spec.dtype)
    if known:
        return _chosen(shape, known, random).astype(dtype)
    spans = _spans(_listed(facts, "ranges", spec.name), shape)
    if dtype.kind in "iu":
        low, high = spans if spans is not None else _INTEGERS.get(spec.dtype, _SMALL)
        ends = np.floor(low).astype(int), np.ceil(high).astype(int)
        return random.integers(*ends, shape).astype(dtype)
    if spans is None:
        return random.standard_normal(shape).astype(dtype)
    found = random.uniform(*spans, shape)
    whole = random.random(shape) < 0.25  # a category is a whole number
    found = np.where(whole, np.round(found), found)
    if len(spans) == 2 and np.ndim(spans[0]) == 0:  # an embedding's numbers, kept as fractions
        found = np.clip(np.floor(found), spans[0], spans[1] - 1)
    if facts.get("gaps") and rows > 1:
        found[random.random(shape) < _GAPS] = np.nan
    return found.astype(dtype)


def _listed(facts: Mapping[str, Any], key: str, name: str) -> list[Any]:
    found = facts.get(key)
    listed = found.get(name) if isinstance(found, dict) else None
    return listed if isinstance(listed, list) else []


def _spans(ranges: list[Any], shape: tuple[int, ...]) -> tuple[Any, Any] | None:
    """Return low and high ends: numbers when there is one range, else one for each column."""
    try:
        ends = np.array(ranges, np.float64)
    except (TypeError, ValueError):
        return None
    if ends.ndim != 2 or ends.shape[1] != 2:
        return None
    if not ((np.abs(ends) < _FARTHEST).all() and (ends[:, 0] < ends[:, 1]).all()):
        return None
    if len(ends) == 1 and (len(shape) < 2 or shape[-1] != 1):
        return float(ends[0, 0]), float(ends[0, 1])
    return (ends[:, 0], ends[:, 1]) if len(shape) > 1 and shape[-1] == len(ends) else None


def _chosen(
    shape: tuple[int, ...], known: list[Any], random: np.random.Generator
) -> np.ndarray[Any, Any]:
    """Return values out of those that are known, of all columns or a list for each."""
    found = np.empty(shape, object)
    if all(isinstance(each, list) for each in known) and len(known) == shape[-1]:
        for at, values in enumerate(known):
            found[..., at] = _chosen(shape[:-1], values, random)
        return found
    flat = found.reshape(-1)
    flat[:] = [known[at] for at in random.integers(0, len(known), flat.size)]
    return flat.reshape(shape)
