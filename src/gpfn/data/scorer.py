"""A model over chunks of rows: the part of scoring that knows no file.

What is scored is a chunk, and what comes of it are columns with as many rows in the same order.
A row that cannot be scored is missing in them, and has its reason beside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np

from gpfn.data.computing import HOPELESS, Hopeless, RowAsker, row_bytes
from gpfn.data.feeding import Feeder, column_feeder, feeder_of
from gpfn.data.input_column import row_shape
from gpfn.data.root import FEATURES
from gpfn.data.seam import Array, Chunk, Mask
from gpfn.data.wanted import check_wanted
from gpfn.errors import SetupError
from gpfn.models.branches import BranchMapping
from gpfn.models.columns import Column
from gpfn.models.labels import output_classes
from gpfn.models.open import open_with_token
from gpfn.tensors.codec import text_or_base64
from gpfn.tensors.dtypes import DTYPE_TABLE
from gpfn.tensors.shapes import spec_text
from gpfn.tensors.spec import TensorSpec

__all__ = ["ModelOrder", "Scored", "Scorer"]

_CHUNK_ROWS = 1 << 14
_CHUNK_BYTES = 4 << 20
"""A chunk that fits into the cache of a processor is scored fastest."""


class ModelOrder(NamedTuple):
    """Which model, and how files feed it; can be pickled.

    ``uri`` is what `gpfn.models.open_model` opens. ``features`` are columns in the order of the
    only input, ``columns`` those that the model's description lists, ``keep`` columns of a file
    that its output has as well. ``largest`` is the most rows of a call, None when nobody says.
    ``classes`` are the names of classes that the description has.
    """

    uri: str
    token: str = ""
    threads: int = 1
    outputs: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    keep: tuple[str, ...] = ()
    largest: int | None = None
    classes: tuple[str, ...] = ()


class Scored(NamedTuple):
    """What comes of a chunk: columns, the rows that are missing in them, and why they are."""

    columns: dict[str, Array]
    missing: dict[str, Mask]
    faults: dict[int, str]


class Scorer:
    """An open model with the feeder of one kind of file.

    Raises SetupError or ModelUnreadable when the model cannot be opened.
    """

    def __init__(self, order: ModelOrder) -> None:
        self.order = order
        self.model = open_with_token(order.uri, threads=order.threads, token=order.token)
        self._asked = RowAsker(self.model, order.outputs, order.largest)
        self.obstacle = self._asked.obstacle
        kept: dict[str, tuple[str, ...]] = dict.fromkeys(order.keep, ())
        self.classes = output_classes(self.model, order.classes) | kept
        self._kinds: dict[str, tuple[Any, tuple[int, ...]]] = {}
        self._answered = self._failed = 0

    @property
    def chunk_rows(self) -> int:
        """How many rows a chunk should have: many small ones, few large ones."""
        return max(1, min(_CHUNK_ROWS, _CHUNK_BYTES // row_bytes(self.model)))

    def feeder(
        self,
        names: Sequence[str],
        path: str,
        mapping: BranchMapping | None = None,
        why: Mapping[str, str] = {},
    ) -> Feeder:
        """Return how a file with these columns feeds the model; its rows are counted from now.

        A ``mapping`` makes its only input, unless features are named. ``why`` says of further
        columns why they cannot be read. Raises SetupError for columns that are not there, and
        for a mapping of another width than the input's.
        """
        order = self.order
        specs = self.model.inputs
        if mapping is not None and not order.features:
            _check_width(specs, mapping, path)
            made = column_feeder(specs[0], FEATURES)
        elif getattr(self.model, "takes_columns", False):
            wanted = order.features or tuple(name for name in names if name not in order.keep)
            specs = tuple(TensorSpec("float32", (None, 1), name) for name in wanted)
            made = feeder_of(specs, names, path=path)
        else:
            if not order.features and not order.columns:
                check_wanted([spec.name for spec in specs if spec.name in why], names, path, why)
            made = feeder_of(
                specs,
                names,
                declared=order.columns,
                features=order.features,
                keep=order.keep,
                path=path,
            )
        check_wanted((*made.wanted, *order.keep), names, path, why)
        self._answered = self._failed = 0
        self._kinds = {}  # where sizes are open, another file may have other ones
        self._asked.begin()
        return made

    def score(self, chunk: Chunk, feeder: Feeder) -> Scored:
        """Return the outputs for a chunk, after the columns that are kept.

        Raises GpfnError when it is not the rows that are wrong, and Hopeless when the first
        hundred of a file are and no other is right.
        """
        fed = feeder.feed(chunk)
        faults = fed.faults
        rows = np.arange(chunk.rows) if fed.rows is None else fed.rows
        arrays: Mapping[str, Array] = {}
        if len(rows):
            try:
                given = self._asked.ask(fed.arrays)
            except Hopeless as error:
                error.faults = faults | {int(rows[at]): told for at, told in error.faults.items()}
                raise
            faults |= {int(rows[at]): told for at, told in given.faults.items()}
            arrays = given.arrays
            if given.rows is not None:
                rows = rows[given.rows]
        self._count(rows, chunk.rows, faults)
        return self._spread(chunk, arrays, rows, faults)

    @property
    def has_answered(self) -> bool:
        """Whether a row of the file was answered, so that it is known what outputs are."""
        return self._answered > 0

    def blank(self, chunk: Chunk, faults: dict[int, str]) -> Scored:
        """Return what comes of a chunk of which no row was answered."""
        return self._spread(chunk, {}, np.zeros(0, np.intp), faults)

    def empty(self) -> dict[str, Array]:
        """Return the outputs of no row, as far as the model tells what they are."""
        self._learn({})
        return {name: np.zeros((0, *tail), dtype) for name, (dtype, tail) in self._kinds.items()}

    def close(self) -> None:
        """Close the model."""
        self.model.close()

    def _count(self, rows: Array, count: int, faults: Mapping[int, str]) -> None:
        """Note which of a chunk's rows were answered; raise when the file's first ones all fail."""
        failed_first = self._failed + (int(rows[0]) if len(rows) else count)
        if not self._answered and failed_first >= HOPELESS:
            told = f"the first {failed_first} rows all failed; the first one: "
            raise Hopeless(told + faults[min(faults)], {**faults})
        self._answered += len(rows)
        self._failed += len(faults)

    def _spread(
        self, chunk: Chunk, arrays: Mapping[str, Array], rows: Array, faults: dict[int, str]
    ) -> Scored:
        columns = {name: chunk.columns[name] for name in self.order.keep}
        missing = {name: chunk.missing[name] for name in columns if name in chunk.missing}
        gaps = None
        if faults:
            gaps = np.ones(chunk.rows, np.bool_)
            gaps[rows] = False
        if arrays or gaps is not None:
            self._learn(arrays)
        for name in arrays or self._kinds:
            if name in columns:
                raise SetupError("a column that is kept has the name of an output", field=name)
            columns[name] = _texts(arrays[name]) if name in arrays else np.zeros(0)
            if gaps is not None:
                columns[name] = self._widened(name, arrays.get(name), rows, chunk.rows)
                missing[name] = gaps
        return Scored(columns, missing, faults)

    def _widened(self, name: str, array: Array | None, rows: Array, count: int) -> Array:
        dtype, tail = self._kinds[name]
        empty = np.nan if dtype.kind == "f" else "" if dtype.kind == "O" else 0
        whole = np.full((count, *tail), empty, dtype)
        if array is not None:
            whole[rows] = _texts(array)
        return whole

    def _learn(self, arrays: Mapping[str, Array]) -> None:
        """Note what outputs are: as they come, or before as the model says."""
        if arrays:
            self._kinds = {name: (a.dtype, a.shape[1:]) for name, a in arrays.items()}
        elif not self._kinds:
            wanted = self.order.outputs
            for spec in self.model.outputs:
                if not wanted or spec.name in wanted:
                    tail = tuple(size or 1 for size in row_shape(spec) or ())
                    self._kinds[spec.name] = (DTYPE_TABLE[spec.dtype].numpy, tail)


def _texts(array: Array) -> Array:
    """Return an output of bytes as text; base64 of what is none."""
    if array.dtype.kind not in "OSU":
        return array
    texts = np.empty(prod(array.shape), object)
    values = text_or_base64(array.ravel().tolist())
    assert isinstance(values, list)  # noqa: S101 - a list stays one
    texts[:] = [value["b64"] if isinstance(value, dict) else value for value in values]
    return texts.reshape(array.shape)


def _check_width(specs: Sequence[TensorSpec], mapping: BranchMapping, path: str) -> None:
    """Raise SetupError, with the file, unless a mapping makes what a model's only input takes."""
    takes = ", ".join(f"{spec.name} {spec_text(spec)}" for spec in specs)
    tail = row_shape(specs[0]) if len(specs) == 1 else ()
    known = tail is not None and None not in tail
    if len(specs) != 1 or (known and prod(size or 1 for size in tail or ()) != mapping.width):
        origin = f" of {mapping.origin}" if mapping.origin else ""
        told = f"the mapping{origin} makes {mapping.width} values an entry, the model takes {takes}"
        raise SetupError(told, field=path)
