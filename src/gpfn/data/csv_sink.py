"""CSV that is written: a line of names, then a line a row, by Arrow's writer.

A value of a list has a column of its own, ``NAME.0``, ``NAME.1`` and so on, or with the name of
its class behind the dot. Lists of several lengths are the text of their JSON.
"""

from __future__ import annotations

import csv as plain_csv
import io
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv

from gpfn.data.arrow import json_text, record_batch
from gpfn.data.seam import Array, Mask
from gpfn.data.sink import PartSink
from gpfn.errors import SetupError
from gpfn.models.labels import UNNAMED, ClassNames, class_keys

__all__ = ["CsvSink", "flat_columns"]

_UNLIKE = (
    "other lists than in the rows before: longer, shorter or null; write Parquet or JSON lines"
)


class CsvSink(PartSink):
    """A CSV file that is written; see `gpfn.data.seam.ColumnSink`.

    A missing value is empty; two quotes where it would be an empty line, which readers skip.
    """

    def __init__(self, path: str, separator: str = "", classes: ClassNames = UNNAMED) -> None:
        super().__init__(path)
        self._classes = classes
        self._separator = separator or ("\t" if path.endswith(".tsv") else ",")
        self._out: Any = pa.OSFile(self._part, "wb")
        self._writer: Any = None
        self._schema: Any = None
        self._objects: set[str] = set()

    def _append(self, columns: Mapping[str, Array], missing: Mapping[str, Mask]) -> None:
        flat: dict[str, Array] = {}
        masks: dict[str, Mask] = {}
        for name, given in columns.items():
            array = self._plain(name, given)
            for each, values in flat_columns(name, array, class_keys(name, array, self._classes)):
                if each in flat:
                    raise SetupError(f"two columns would be called {each}", field=self._path)
                flat[each] = values
                if name in missing:
                    masks[each] = missing[name]
        if self._writer is None:
            self._schema = record_batch(flat, masks).schema
            self._out.write(self._names())
            options = csv.WriteOptions(
                include_header=False, delimiter=self._separator, quoting_style="needed"
            )
            self._writer = csv.CSVWriter(self._out, self._schema, write_options=options)
        if unlike := {*flat} ^ {*self._schema.names}:
            raise SetupError(_UNLIKE, field=f"{self._path}: {min(unlike)}")
        batch = record_batch(flat, masks, self._schema)
        if batch.num_columns == 1 and batch.column(0).null_count:
            self._write_lone(batch.column(0))
        else:
            self._writer.write_batch(batch)

    def _plain(self, name: str, array: Array) -> Array:
        """Return lists of several lengths as text, and so those of the rows after them."""
        if array.dtype.kind == "O" and array.ndim == 1:
            self._objects.add(name)
        if name not in self._objects or not any(isinstance(each, np.ndarray) for each in array):
            return array
        texts = np.empty(len(array), object)
        texts[:] = [json_text(value) for value in array]
        return texts

    def _write_lone(self, column: pa.Array) -> None:
        """Write rows of a file's only column, some of which are missing."""
        if pa.types.is_string(column.type):
            filled = pa.RecordBatch.from_arrays([column.fill_null("")], schema=self._schema)
            self._writer.write_batch(filled)
            return
        texts = column.cast(pa.string()).fill_null('""').to_pylist()
        self._out.write("".join(f"{text}\n" for text in texts).encode())

    def _names(self) -> bytes:
        """Return the line of names, quoted where they have to be: Arrow quotes all of them."""
        out = io.StringIO(newline="")
        writer = plain_csv.writer(out, delimiter=self._separator, lineterminator="\n")
        writer.writerow(self._schema.names)
        return out.getvalue().encode()

    def _finish(self) -> None:
        self._abandon()

    def _abandon(self) -> None:
        writer, self._writer = self._writer, None
        try:
            if writer is not None:
                writer.close()
        finally:
            self._out.close()


def flat_columns(
    name: str, array: Array, labels: Sequence[str] = ()
) -> Iterator[tuple[str, Array]]:
    """Give the columns of one value a row that an array of [rows, n…] has.

    >>> [name for name, _ in flat_columns("y", np.zeros((1, 2)))]
    ['y.0', 'y.1']
    >>> [name for name, _ in flat_columns("y", np.zeros((1, 2)), ["no", "yes"])]
    ['y.no', 'y.yes']
    """
    if array.ndim == 1:
        yield name, array
        return
    flat = array.reshape(len(array), prod(array.shape[1:]))
    if array.shape[1:] == (1,) and not labels:
        yield name, flat[:, 0]
        return
    for number, label in enumerate(labels or range(flat.shape[1])):
        yield f"{name}.{label}", flat[:, number]
