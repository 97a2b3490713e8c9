"""The classification extension: the best classes of each row, in place of its values."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from gpfn.errors import InvalidTensor

__all__ = ["best_classes"]

_Array = np.ndarray[Any, Any]


def best_classes(
    array: _Array, count: int, labels: Sequence[str] = (), *, batched: bool, path: str
) -> _Array:
    """Return ``VALUE:INDEX`` or ``VALUE:INDEX:LABEL`` of the largest values, as bytes.

    A batch of shape (n, …) gives (n, k), where a row's values count in row-major order; what
    is no batch is one row and gives (k,). k is ``count``, or as many as there are. Equal
    values stand in the order of their indexes, NaN last. Floating-point values have six
    digits behind the point. An index without a label has none.

    Raises InvalidTensor for booleans and strings.
    """
    if array.dtype.kind not in "fiu":
        told = "classification is for numbers; ask for this output as it is"
        raise InvalidTensor(told, field=path)
    width = prod(array.shape[1:]) if batched else array.size
    rows = array.reshape(len(array) if batched else 1, width)
    names = [f":{label}".encode() for label in labels[:width]]
    names += [b""] * (width - len(names))
    texts = [text for row in rows for text in _best(row, count, names)]
    found: _Array = np.empty(len(texts), object)
    found[:] = texts
    return found.reshape(len(array), min(count, width)) if batched else found


def _best(row: _Array, most: int, names: Sequence[bytes]) -> list[bytes]:
    floating = row.dtype.kind == "f"
    key = np.where(np.isnan(row), -np.inf, row) if floating else row
    # the last of an ascending order of the row backwards: equal values by their index
    order = len(row) - 1 - np.argsort(key[::-1], kind="stable")[::-1][:most]
    form = b"%f:%d" if floating else b"%d:%d"
    pairs = zip(row[order].tolist(), order.tolist(), strict=True)
    return [form % (value, index) + names[index] for value, index in pairs]
