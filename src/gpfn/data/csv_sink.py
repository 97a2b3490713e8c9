"""CSV that is written: a line of names, then a line a row, by Arrow's writer.

A value of a list has a column of its own, ``NAME.0``, ``NAME.1`` and so on.
"""

from __future__ import annotations

import csv as plain_csv
import io
from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

import pyarrow as pa
from pyarrow import csv

from gpfn.data.arrow import record_batch
from gpfn.data.seam import Array, Mask
from gpfn.data.sink import PartSink

__all__ = ["CsvSink", "flat_columns"]


class CsvSink(PartSink):
    """A CSV file that is written; see `gpfn.data.seam.ColumnSink`. A missing value is empty."""

    def __init__(self, path: str, separator: str = "") -> None:
        super().__init__(path)
        self._separator = separator or ("\t" if path.endswith(".tsv") else ",")
        self._out: Any = pa.OSFile(self._part, "wb")
        self._writer: Any = None
        self._schema: Any = None

    def _append(self, columns: Mapping[str, Array], missing: Mapping[str, Mask]) -> None:
        flat: dict[str, Array] = {}
        masks: dict[str, Mask] = {}
        for name, array in columns.items():
            for each, values in flat_columns(name, array):
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
        self._writer.write_batch(record_batch(flat, masks, self._schema))

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


def flat_columns(name: str, array: Array) -> Iterator[tuple[str, Array]]:
    """Give the columns of one value a row that an array of [rows, n…] has.

    >>> [name for name, _ in flat_columns("y", np.zeros((1, 2)))]
    ['y.0', 'y.1']
    """
    if array.ndim == 1:
        yield name, array
        return
    flat = array.reshape(len(array), prod(array.shape[1:]))
    if array.shape[1:] == (1,):
        yield name, flat[:, 0]
        return
    for number in range(flat.shape[1]):
        yield f"{name}.{number}", flat[:, number]
