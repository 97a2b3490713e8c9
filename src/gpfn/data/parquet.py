"""Parquet files: row groups are read page by page, so memory stays small however large one is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gpfn.data.arrow import batch_columns, empty_batch, obstacle, record_batch
from gpfn.data.seam import Array, Chunk, Extent, Mask
from gpfn.data.sink import PartSink
from gpfn.data.wanted import check_wanted
from gpfn.errors import SetupError

__all__ = ["ParquetSink", "ParquetSource"]

_BUFFER = 256 << 10
"""Bytes of a column that are read at once; without it, whole columns of a row group are."""
_GROUP = 1 << 17
"""Rows of a row group that is written; smaller ones are read more slowly."""
_MOST_BYTES = 64 << 20
"""Bytes of rows that are in memory at once, whether they are read or written."""
_VALUE_BYTES = 8


class ParquetSource:
    """A Parquet file; see `gpfn.data.seam.ColumnSource`. Raises SetupError for a damaged one.

    Of columns that are ``kept`` no value changes: decimals that a double does not hold are text.
    """

    def __init__(self, path: str, kept: Sequence[str] = ()) -> None:
        self._path = path
        self._kept = frozenset(kept)
        self._file: Any = None
        try:
            self._file = pq.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False)
            schema = self._file.schema_arrow
        except (pa.ArrowException, OSError) as error:
            self.close()
            raise _damaged(path, error) from error
        why = {field.name: obstacle(field.type) for field in schema}
        why |= dict.fromkeys(_repeated(schema.names), "a column that is there twice")
        self.names = tuple(name for name, told in why.items() if not told)
        self.unreadable = {name: told for name, told in why.items() if told}
        self.rows: int | None = self._file.metadata.num_rows
        self._done = 0

    @property
    def extent(self) -> Extent:
        """How many rows were given."""
        return Extent(self._done, self.rows or 0)

    def chunks(self, wanted: Sequence[str] | None, rows: int) -> Iterator[Chunk]:
        """Give the rows; see `gpfn.data.seam.ColumnSource`."""
        names = self.names if wanted is None else wanted
        check_wanted(names, self.names, self._path, self.unreadable)
        for batch in self._batches(names, rows):
            columns, missing = batch_columns(batch, names, self._path, self._kept)
            chunk = Chunk(columns, self._done, batch.num_rows, missing)
            self._done += batch.num_rows
            yield chunk

    def _batches(self, names: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        try:
            most = max(1, min(rows, int(_MOST_BYTES / self._row_bytes(names))))
            for batch in self._file.iter_batches(most, columns=[*names]):
                if batch.num_rows:
                    yield batch
        except (pa.ArrowException, OSError) as error:
            raise _damaged(self._path, error) from error

    def _row_bytes(self, names: Sequence[str]) -> float:
        """Return about how many bytes a row has, at the most on average of a row group.

        Lists and texts may be of any length; how many values there are is told in the file,
        where what they take on the disk may be little.
        """
        schema, about = self._file.schema, self._file.metadata
        paths = [schema.column(number).path for number in range(len(schema))]
        wanted = [at for at, path in enumerate(paths) if _is_of(path, {*names})]
        largest = 1.0
        for number in range(about.num_row_groups):
            group = about.row_group(number)
            leaves = [group.column(at) for at in wanted]
            size = sum(
                max(each.num_values * _VALUE_BYTES, each.total_uncompressed_size) for each in leaves
            )
            largest = max(largest, size / max(1, group.num_rows))
        return largest

    def empty(self, names: Sequence[str]) -> dict[str, Array]:
        """Return columns of no row; see `gpfn.data.seam.ColumnSource`."""
        batch = empty_batch(self._file.schema_arrow.field(name) for name in names)
        return batch_columns(batch, names, self._path, self._kept)[0]

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def _is_of(path: str, names: set[str]) -> bool:
    """Tell whether a path of the file's schema is that of a column, or of what it is made of."""
    parts = path.split(".")
    return any(".".join(parts[:end]) in names for end in range(1, len(parts) + 1))


def _of_any_length(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return lists of one length as lists of any: those of rows to come may be longer."""
    arrays = [
        array.cast(pa.list_(array.type.value_type))
        if pa.types.is_fixed_size_list(array.type)
        else array
        for array in batch.columns
    ]
    return pa.RecordBatch.from_arrays(arrays, batch.schema.names)


def _repeated(names: Sequence[str]) -> set[str]:
    return {name for at, name in enumerate(names) if name in names[:at]}


def _damaged(path: str, error: BaseException) -> SetupError:
    return SetupError(f"not a Parquet file that can be read: {error}", field=path)


class ParquetSink(PartSink):
    """A Parquet file that is written; see `gpfn.data.seam.ColumnSink`."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._writer: Any = None
        self._held: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0

    def _append(self, columns: Mapping[str, Array], missing: Mapping[str, Mask]) -> None:
        schema = self._held[0].schema if self._held else self._writer and self._writer.schema
        batch = record_batch(columns, missing, schema)
        batch = batch if schema else _of_any_length(batch)
        self._held.append(batch)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        if self._rows >= _GROUP or self._bytes >= _MOST_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._writer is None:
            schema = self._held[0].schema if self._held else pa.schema([])
            texts = [field.name for field in schema if pa.types.is_string(field.type)]
            self._writer = pq.ParquetWriter(
                self._part, schema, compression="zstd", use_dictionary=texts
            )  # a dictionary of numbers takes ten times as long, and is larger
        if self._held:
            self._writer.write_table(pa.Table.from_batches(self._held))
        self._held, self._rows, self._bytes = [], 0, 0

    def _finish(self) -> None:
        self._flush()
        writer, self._writer = self._writer, None
        writer.close()

    def _abandon(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
