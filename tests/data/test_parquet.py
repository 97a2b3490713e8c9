"""Parquet's types as columns: nulls, lists, dictionaries, and what is refused."""

from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gpfn.data.formats import open_sink, open_source
from gpfn.data.seam import Chunk
from gpfn.errors import SetupError


def read(path: Path, table: pa.Table, wanted: list[str] | None = None) -> Chunk:
    """Return the only chunk of a table that was written."""
    pq.write_table(table, path)
    source = open_source(path)
    [chunk] = source.chunks(wanted, 1000)
    source.close()
    return chunk


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rows.parquet"


def test_nulls_are_told_apart_from_nan(path: Path) -> None:
    columns = {
        "f": pa.array([1.5, None, float("nan")], pa.float32()),
        "i": pa.array([None, 2**60 + 1, 3], pa.int64()),
        "b": pa.array([True, False, None]),
        "t": pa.array(["a", None, ""]),
        "none": pa.nulls(3),
    }
    chunk = read(path, pa.table(columns))
    masks = {name: mask.tolist() for name, mask in chunk.missing.items()}
    assert masks == {
        "f": [False, True, False],
        "i": [True, False, False],
        "b": [False, False, True],
        "t": [False, True, False],
        "none": [True, True, True],
    }
    assert chunk.columns["i"].tolist() == [0, 2**60 + 1, 3]
    assert np.isnan(chunk.columns["f"]).tolist() == [False, True, True]


def test_lists_of_one_length_are_a_matrix_and_others_are_objects(path: Path) -> None:
    columns = {
        "even": pa.array([[1, 2], [3, 4]]),
        "fixed": pa.FixedSizeListArray.from_arrays(pa.array([1.0, 2.0, 3.0, 4.0]), 2),
        "odd": pa.array([[1, 2], [3]]),
        "gap": pa.array([[1.0, 2.0], None]),
        "inner": pa.array([[1.0, None], [1.0, 2.0]]),
    }
    chunk = read(path, pa.table(columns))
    assert chunk.columns["even"].tolist() == [[1, 2], [3, 4]]
    assert chunk.columns["fixed"].tolist() == [[1, 2], [3, 4]]
    assert [value.tolist() for value in chunk.columns["odd"]] == [[1, 2], [3]]
    assert chunk.missing["gap"].tolist() == [False, True]
    assert chunk.missing["inner"].tolist() == [True, False]


def test_dictionaries_decimals_and_times(path: Path) -> None:
    columns = {
        "d": pa.array(["x", "y", "x"]).dictionary_encode(),
        "m": pa.array([1, 2, 3]).cast(pa.decimal128(21, 2)),
        "when": pa.array([0, 1, 2], pa.timestamp("s")),
        "half": pa.array(np.ones(3, np.float16)),
    }
    chunk = read(path, pa.table(columns))
    assert chunk.columns["d"].tolist() == ["x", "y", "x"]
    assert chunk.columns["m"].tolist() == [1, 2, 3]
    assert chunk.columns["when"][1] == "1970-01-01 00:00:01.000"
    assert chunk.columns["half"].dtype == np.float16


def test_nested_columns_are_left_out_and_refused_by_name(path: Path) -> None:
    nested = pa.array([{"a": 1}, {"a": 2}])
    table = pa.table({"s": nested, "x": pa.array([1.0, 2.0]), "l": pa.array([["a"], ["b"]])})
    assert [*read(path, table).columns] == ["x"]
    with pytest.raises(SetupError, match=r"rows\.parquet: s: a nested column \(struct"):
        read(path, table, ["s"])
    with pytest.raises(SetupError, match=r"rows\.parquet: l: a column of lists of string"):
        read(path, table, ["x", "l"])


def test_a_name_that_is_there_twice_is_refused_when_it_is_asked_for(path: Path) -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2]), pa.array([3])], ["a", "b", "a"])
    assert [*read(path, table).columns] == ["b"]
    with pytest.raises(SetupError, match="there twice"):
        read(path, table, ["a"])


def test_small_writes_become_few_row_groups(path: Path) -> None:
    with open_sink(path) as sink:
        for at in range(2000):
            sink.write({"x": np.arange(at * 100, at * 100 + 100)})
    found = pq.ParquetFile(path)
    assert found.metadata.num_row_groups == 2
    assert found.read()["x"].to_pylist() == [*range(200_000)]


def test_whole_decimals_keep_their_digits(path: Path) -> None:
    long, short = 12345678901234567890, 2**53 + 1
    columns = {
        "l": pa.array([Decimal(long), None], pa.decimal128(20, 0)),
        "s": pa.array([Decimal(short), None], pa.decimal128(18, 0)),
    }
    chunk = read(path, pa.table(columns))
    assert chunk.columns["l"][0] == str(long)
    assert int(chunk.columns["s"][0]) == short
    assert chunk.missing["l"].tolist() == chunk.missing["s"].tolist() == [False, True]


@pytest.mark.parametrize("step", [1, 2, 6])
def test_lists_of_any_length_are_written_the_same_whatever_the_chunks(
    path: Path, step: int
) -> None:
    lists = [[1.0, 2.0], [3.0, 4.0], [5.0], [6.0, 7.0], None, []]
    table = pa.table({"r": pa.array(lists, pa.list_(pa.float32()))})
    pq.write_table(table, path)
    target = path.with_name("again.parquet")
    source = open_source(path)
    with open_sink(target) as sink:
        for chunk in source.chunks(None, step):
            sink.write(chunk.columns, chunk.missing)
    assert pq.read_table(target)["r"].to_pylist() == lists
    assert pq.read_schema(target).field("r").type == pa.list_(pa.float32())


def test_long_lists_are_read_a_few_rows_at_once(path: Path) -> None:
    lists = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(200 << 17, np.int8)), 1 << 17)
    table = pa.table({"a.b": lists, "x": pa.array(np.arange(200))})
    pq.write_table(table, path)  # the zeros take next to nothing on the disk
    source = open_source(path)
    assert [chunk.rows for chunk in source.chunks(["a.b"], 1000)] == [64, 64, 64, 8]
    source.close()
    source = open_source(path)
    (chunk,) = source.chunks(["x"], 1000)
    assert chunk.columns["x"].tolist() == [*range(200)]


def test_long_lists_are_written_before_they_fill_the_memory(path: Path) -> None:
    with open_sink(path) as sink:
        for _ in range(12):
            sink.write({"y": np.zeros((100, 1 << 15), np.float32)})
    assert pq.ParquetFile(path).metadata.num_row_groups == 2


def test_a_file_of_no_rows(path: Path) -> None:
    with open_sink(path) as sink:
        sink.write({"x": np.zeros(0, np.float32), "m": np.zeros((0, 3))})
    source = open_source(path)
    assert (source.names, source.rows, [*source.chunks(None, 10)]) == (("x", "m"), 0, [])
    with open_sink(path):
        pass
    assert open_source(path).rows == 0
