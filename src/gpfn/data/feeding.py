"""Which columns of a file feed a model's inputs, and how a chunk of them becomes its arrays.

In this order: the columns that ``--features`` names, as the values of the only input; the
columns that the model's description lists; a column for each input, by its name; one column of
lists for the only input; and all columns of a file, where there are as many as it takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import numpy as np

from gpfn.data.input_column import FedInput, column_of, row_shape, sizes_of, whole_input
from gpfn.data.seam import Array, Chunk
from gpfn.data.wanted import shown_names
from gpfn.errors import SetupError
from gpfn.models.columns import Column
from gpfn.rows.schema import row_schema
from gpfn.rows.values import RowColumn
from gpfn.tensors.dtypes import DTYPE_TABLE
from gpfn.tensors.shapes import spec_text
from gpfn.tensors.spec import TensorSpec, bare

__all__ = ["Fed", "Feeder", "column_feeder", "feeder_of"]

_BLOCK = 1 << 18
"""Bytes of a matrix that are filled at once, so that they are still in the cache."""


class Fed(NamedTuple):
    """A model's arrays for the rows that fit it: their numbers in the chunk, None for all.

    ``faults`` are the others, by number, with the reason.
    """

    arrays: dict[str, Array]
    rows: Array | None
    faults: dict[int, str]


class Feeder:
    """What makes a model's arrays of a file's chunks.

    ``wanted`` are the columns that it needs, ``types`` their dtypes where a format has none of
    its own. ``assumed`` says, where nobody did, what was taken for what.
    """

    def __init__(self, inputs: Sequence[FedInput], assumed: str = "") -> None:
        self._inputs = tuple(inputs)
        columns = {column.name: column for each in inputs for column in each.columns}
        self.wanted = tuple(columns)
        self.types = {name: _text_type(column) for name, column in columns.items()}
        self.assumed = assumed
        self._counts: dict[str, int] = {}

    def feed(self, chunk: Chunk) -> Fed:
        """Return the arrays for the rows of a chunk.

        Raises SetupError, with the column, for lists where each of several columns has one
        value of the input; they would be wrong for every row.
        """
        faults = {row: fault.reason for row, fault in chunk.faults.items()}
        arrays = {}
        for each in self._inputs:
            if each.matrix:
                arrays[each.spec.name] = _matrix(each, chunk, faults)
            else:
                arrays[each.spec.name] = whole_input(each, chunk, faults, self._counts)
        if not faults:
            return Fed(arrays, None, faults)
        right = np.ones(chunk.rows, np.bool_)
        right[[*faults]] = False
        rows = np.flatnonzero(right)
        return Fed({name: array[rows] for name, array in arrays.items()}, rows, faults)


def _text_type(column: RowColumn) -> str:
    """Return what text without types is read as: numbers in full, to be rounded once."""
    if column.dtype.name in ("string", "bool", "uint64"):
        return column.dtype.name
    return "int64" if column.dtype.whole else "float64"


def _matrix(each: FedInput, chunk: Chunk, faults: dict[int, str]) -> Array:
    """Return columns side by side, in blocks of rows that stay in the cache."""
    parts = [column_of(column, chunk, faults) for column in each.columns]
    for column, part in zip(each.columns, parts, strict=True):
        if part.ndim != 1:
            told = f"{part.shape[1:]} values a row; expected one"
            raise SetupError(told, field=column.name)
    dtype = DTYPE_TABLE[each.spec.dtype].numpy
    whole = np.empty((chunk.rows, len(parts)), dtype)
    step = max(64, _BLOCK // max(1, len(parts) * dtype.itemsize))
    for at in range(0, chunk.rows, step):
        block = whole[at : at + step]
        for number, part in enumerate(parts):
            block[:, number] = part[at : at + step]
    return whole.reshape(chunk.rows, *sizes_of(each.tail, len(parts)))


def feeder_of(
    specs: Sequence[TensorSpec],
    names: Sequence[str],
    *,
    declared: Sequence[Column] = (),
    features: Sequence[str] = (),
    keep: Sequence[str] = (),
    path: str = "",
) -> Feeder:
    """Return how a file with columns ``names`` feeds a model that takes ``specs``.

    ``declared`` are the columns of its description, ``features`` those that the user names,
    ``keep`` those that the output has as well: where not all columns fit, the others may.
    Raises SetupError, which says what there is and what to do.
    """
    if not specs:
        raise SetupError("the model does not say what it takes, so no file can feed it")
    if features:
        return _by_features(specs, features)
    if declared:
        return _by_schema(specs, declared)
    others = [name for name in names if name not in keep]
    found = _by_name(specs, names) or _by_order(specs, names) or _by_order(specs, others)
    if found is not None:
        return found
    takes = ", ".join(f"{spec.name} {spec_text(spec)}" for spec in specs)
    hint = "name them: --features a,b,c" if len(specs) == 1 else "rename the columns"
    told = f"which columns feed the model? It takes {takes}; there is {shown_names(names)}; {hint}"
    raise SetupError(told, field=path)


def _plain(name: str, spec: TensorSpec) -> RowColumn:
    dtype = DTYPE_TABLE[spec.dtype]
    return RowColumn(name, dtype, dtype)


def _by_features(specs: Sequence[TensorSpec], features: Sequence[str]) -> Feeder:
    if len(specs) != 1:
        takes = ", ".join(spec.name for spec in specs)
        told = f"the model takes {takes}; features are for one input: name columns like its inputs"
        raise SetupError(told, field="--features")
    [spec] = specs
    if len({*features}) < len(features):
        raise SetupError("a column is there twice", field="--features")
    width = _width(spec)
    if width not in (None, len(features)):
        told = f"{len(features)} columns; the model takes {spec_text(spec)}"
        raise SetupError(told, field="--features")
    if len(features) == 1:
        return Feeder([FedInput(spec, (_plain(features[0], spec),), matrix=False)])
    return Feeder([FedInput(spec, tuple(_plain(name, spec) for name in features), matrix=True)])


def column_feeder(spec: TensorSpec, name: str) -> Feeder:
    """Return how a column that has the values of the only input in each row feeds it."""
    return Feeder([FedInput(spec, (_plain(name, spec),), matrix=False)])


def _by_schema(specs: Sequence[TensorSpec], declared: Sequence[Column]) -> Feeder:
    schema = row_schema(specs, declared)
    by_name = {spec.name: spec for spec in specs}
    inputs = []
    for block in schema.blocks:
        columns = tuple(schema.columns[number] for number in block.columns)
        if block.matrix:
            inputs.append(FedInput(by_name[block.inputs[0]], columns, matrix=True))
        else:
            pairs = zip(block.inputs, columns, strict=True)
            inputs += [FedInput(by_name[name], (column,), matrix=False) for name, column in pairs]
    return Feeder(inputs)


def _by_name(specs: Sequence[TensorSpec], names: Sequence[str]) -> Feeder | None:
    inputs = []
    for spec in specs:
        name = next((name for name in (spec.name, bare(spec.name)) if name in names), None)
        if name is None:
            return None
        inputs.append(FedInput(spec, (_plain(name, spec),), matrix=False))
    return Feeder(inputs)


def _by_order(specs: Sequence[TensorSpec], names: Sequence[str]) -> Feeder | None:
    """Take the only column, or all columns where there are as many as the input takes."""
    from gpfn.data.json_lines import EVENT_COLUMNS

    own = [name for name in names if name not in EVENT_COLUMNS]
    if len(specs) != 1 or not own:
        return None
    [spec] = specs
    if len(own) == 1:
        return Feeder([FedInput(spec, (_plain(own[0], spec),), matrix=False)])
    if _width(spec) != len(own):
        return None
    told = f"{shown_names(own)} are taken as the values of {spec.name}, in this order"
    return Feeder([FedInput(spec, tuple(_plain(n, spec) for n in own), matrix=True)], told)


def _width(spec: TensorSpec) -> int | None:
    """Return how many values a row of an input has; None where that is open."""
    shape = row_shape(spec)
    return None if shape is None or None in shape else prod(size or 1 for size in shape)
