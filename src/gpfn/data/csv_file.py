"""CSV files: read in blocks that end where a line does, each of them by Arrow's reader.

A first block tells the columns' dtypes, unless they are said. A block that does not fit them
is read with dtypes of its own, so that one wrong cell makes a column of one chunk text; a
block with a line of too many cells or too few is gone through line by line
(:mod:`gpfn.data.csv_lines`). An empty cell is a missing value, and nothing else is.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from gpfn.data.ahead import ahead
from gpfn.data.arrow import batch_columns, empty_batch
from gpfn.data.csv_blocks import Block, CsvBlocks, CsvHead, read_head
from gpfn.data.seam import Array, Chunk, Extent
from gpfn.data.wanted import check_wanted
from gpfn.errors import SetupError
from gpfn.tensors.dtypes import DTYPE_TABLE

__all__ = ["CsvSource"]

_FIRST = 1 << 20
"""Bytes of the block whose values tell the dtypes."""
_BLOCK = 4 << 20
"""Bytes of the others: several threads have something to do, and a chunk is in the cache."""

_EXACT = float(1 << 53)
_PIECE = 1 << 20
"""Bytes that a thread of Arrow's parses at once. One piece needs no thread; and where it fails,
no thread may be at work still when the process ends, which Arrow aborts at."""


class CsvSource:
    """A CSV file with a line of names; see `gpfn.data.seam.ColumnSource`.

    ``separator`` is found in the first line when it is empty. ``types`` are the dtypes of
    columns, ``string`` for text as it stands in the file; those of others are found.
    """

    def __init__(
        self, path: str, separator: str = "", types: Mapping[str, str] | None = None
    ) -> None:
        self._path = path
        self._said = {name: _arrow_type(kind) for name, kind in (types or {}).items()}
        self._head: CsvHead = read_head(path, separator)
        self._blocks = CsvBlocks(path, self._head)
        self.names = self._head.names
        self.unreadable: Mapping[str, str] = {}
        self.rows: int | None = None
        self._running: Generator[Chunk, None, None] | None = None

    @property
    def extent(self) -> Extent:
        """How many bytes were given."""
        return self._blocks.extent

    def chunks(self, wanted: Sequence[str] | None, rows: int) -> Iterator[Chunk]:
        """Give the rows; see `gpfn.data.seam.ColumnSource`."""
        self._running = self._given(wanted, rows)
        return self._running

    def _given(self, wanted: Sequence[str] | None, rows: int) -> Generator[Chunk, None, None]:
        names = list(self.names if wanted is None else wanted)
        check_wanted(names, self.names, self._path)
        kinds: dict[str, pa.DataType] = {k: v for k, v in self._said.items() if k in names}
        first, size = 0, _FIRST if len(kinds) < len(names) else _BLOCK
        blocks = self._blocks.blocks(size, _BLOCK)
        for chunks in ahead(self._read(block, names, kinds, rows) for block in blocks):
            for chunk in chunks:
                yield chunk._replace(first=first)
                first += chunk.rows

    def _read(
        self, block: Block, names: list[str], kinds: dict[str, pa.DataType], rows: int
    ) -> Iterator[Chunk]:
        """Return the chunks of a block; what is found out of dtypes is added to ``kinds``."""
        try:
            table = self._typed(block, names, kinds)
        except _LineError:
            return self._by_line(block, names, kinds, rows)
        for field in table.schema:
            if not pa.types.is_null(field.type):
                kinds.setdefault(field.name, field.type)
        return self._chunks(self._as_written(table, block), names, rows)

    def _chunks(self, table: pa.Table, names: list[str], rows: int) -> Iterator[Chunk]:
        for batch in table.combine_chunks().to_batches(max_chunksize=rows):
            columns, missing = batch_columns(batch, names, self._path)
            yield Chunk(columns, 0, batch.num_rows, missing)

    def _by_line(
        self, block: Block, names: list[str], kinds: dict[str, pa.DataType], rows: int
    ) -> Iterator[Chunk]:
        from gpfn.data.csv_lines import parted, spread

        lines = parted(block, self._head)
        whole = lines.whole
        typed = self._typed(whole, names, kinds) if whole else None
        table = self._as_written(typed, whole) if typed is not None else None
        batches = table.combine_chunks().to_batches() if table is not None else []
        columns, missing = batch_columns(batches[0], names, self._path) if batches else ({}, {})
        yield from spread(lines, columns, missing, names, rows)

    def _typed(self, block: Block, names: list[str], kinds: Mapping[str, pa.DataType]) -> pa.Table:
        """Return a block as a table: of the known dtypes, or of its own where it has others."""
        try:
            return self._parsed(block, names, kinds)
        except pa.ArrowInvalid:
            found = self._parsed(block, names, {})
        fitting = {f.name: self._fitting(f, kinds.get(f.name)) for f in found.schema}
        same = all(fitting[f.name] == f.type for f in found.schema)
        return found if same else self._parsed(block, names, fitting)

    def _as_written(self, table: pa.Table, block: Block) -> pa.Table:
        """Return a block's table with columns as text in which Arrow may read another number.

        It takes ``1e400`` for infinity, and in columns of whole numbers ``0x10`` for 16. Where
        an input takes fractions, whole numbers from 2**53 on are to be looked at in full.
        The texts of all columns that may be such are read at once.
        """
        columns = dict(zip(table.column_names, table.columns, strict=True))
        hexadecimal = _has(block, b"0x") or _has(block, b"0X")
        far = [name for name, column in columns.items() if self._is_far(column, name)]
        whole = [n for n, c in columns.items() if hexadecimal and pa.types.is_integer(c.type)]
        if not far and not whole:
            return table
        texts = self._parsed(block, far + whole, dict.fromkeys(far + whole, pa.string()))
        odd = [n for n in far if self._is_beyond(columns[n], texts.column(n), n)]
        return pa.table({**columns, **{name: texts.column(name) for name in odd + whole}})

    def _is_far(self, column: pa.ChunkedArray, name: str) -> bool:
        """Say whether a column of fractions has values whose texts are to be looked at."""
        if not pa.types.is_floating(column.type):
            return False
        said = name in self._said
        far = pc.greater_equal(pc.abs(column), _EXACT) if said else pc.is_inf(column)
        return bool(pc.any(far).as_py())

    def _is_beyond(self, column: pa.ChunkedArray, texts: pa.ChunkedArray, name: str) -> bool:
        """Say whether infinity stands for a number in a column, and not for the word.

        Or, where its type was said, a fraction for a large whole number.
        """
        column, texts = column.combine_chunks(), texts.combine_chunks()
        odd = pc.and_(pc.is_inf(column), pc.match_substring_regex(texts, "[0-9]"))
        if name in self._said:
            far = pc.greater_equal(pc.abs(column), _EXACT)
            whole = pc.match_substring_regex(texts, r"^\s*[+-]?[0-9]+\s*$")
            odd = pc.or_(odd, pc.and_(far, whole))
        return bool(pc.any(odd).as_py())

    def _fitting(self, field: pa.Field, before: pa.DataType | None) -> pa.DataType:
        """Return what a column is read as in a block that does not fit the types so far.

        A column whose type was said is of that type where its values allow it, and else text:
        so a value is read the same way whatever its block has besides. One whose type was found
        ``before`` is of whole numbers until there is a fraction.
        """
        found, said = field.type, self._said.get(field.name)
        wanted = said or before
        if wanted is None or wanted == found or pa.types.is_null(found):
            return found
        whole, fraction = pa.types.is_integer(found), pa.types.is_floating(found)
        if pa.types.is_floating(wanted):
            return wanted if whole or fraction else pa.string()
        return found if fraction and not said else pa.string()

    def _parsed(self, block: Block, names: list[str], kinds: Mapping[str, pa.DataType]) -> pa.Table:
        head = self._head
        try:
            table = csv.read_csv(
                pa.BufferReader(pa.py_buffer(block)),
                csv.ReadOptions(
                    column_names=head.names, block_size=_PIECE, use_threads=len(block) > _PIECE
                ),
                csv.ParseOptions(
                    delimiter=head.separator,
                    newlines_in_values=_has(block, b'"'),
                    ignore_empty_lines=len(head.names) > 1,
                ),
                csv.ConvertOptions(
                    include_columns=names,
                    column_types=dict(kinds),
                    null_values=[""],
                    strings_can_be_null=True,
                ),
            )
        except pa.ArrowInvalid as error:
            if _of_lines(str(error)):
                raise _LineError from None
            raise
        dates = {f.name: pa.string() for f in table.schema if _kept(f.type) != f.type}
        return self._parsed(block, names, {**kinds, **dates}) if dates else table

    def empty(self, names: Sequence[str]) -> dict[str, Array]:
        """Return columns of no row; see `gpfn.data.seam.ColumnSource`."""
        fields = (pa.field(name, self._said.get(name, pa.string())) for name in names)
        return batch_columns(empty_batch(fields), names, self._path)[0]

    def close(self) -> None:
        """Close the file, after the thread that reads ahead."""
        if self._running is not None:
            self._running.close()
        self._blocks.close()


def _has(block: Block, sign: bytes) -> bool:
    """Say whether a block may have that sign: a view leaves the begin of a line out."""
    whole: Any = block.obj if isinstance(block, memoryview) else block
    return sign in whole


class _LineError(Exception):
    """A line of a block has more cells, or fewer, than there are names; or it is not UTF-8."""


def _of_lines(told: str) -> bool:
    return "CSV parse error" in told or "UTF8" in told


def _kept(kind: pa.DataType) -> pa.DataType:
    """Return the type that a column is read as where one was found: dates stay text."""
    plain = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_string)
    if pa.types.is_null(kind):
        return kind
    return kind if any(test(kind) for test in plain) else pa.string()


def _arrow_type(name: str) -> pa.DataType:
    if name not in DTYPE_TABLE or name == "float16":
        raise SetupError(f"no dtype that CSV is read as: {name!r}", field="types")
    return pa.type_for_alias(name)
