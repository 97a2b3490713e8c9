"""Columns that are kept beside the scores: no value of them changes, in any format."""

import csv
import json
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot

from gpfn.data.scoring import ScoreOptions
from gpfn.errors import SetupError
from tests.data.scored import refusing, score


@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_kept_values_of_json_stay_whatever_is_beside_them(tmp_path: Path, chunk: int) -> None:
    """The first rows have none, or are of another kind than those to come."""
    values = [None, None, 1, 2.5, "hey", True, [1, 2], [1], {"a": None}, 2**70, "é,\n"]
    source = tmp_path / "in.jsonl"
    rows = [{"x": [at, 0, 0], "k": value} for at, value in enumerate(values)]
    source.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    texts = [
        value
        if value is None or isinstance(value, str)
        else json.dumps(value, separators=(",", ":"))
        for value in values
    ]
    for suffix, wanted in (("jsonl", values), ("csv", texts), ("parquet", texts)):
        target = tmp_path / f"out.{suffix}"
        score(refusing(tmp_path), source, target, ScoreOptions(chunk=chunk), keep=("k",))
        if suffix == "jsonl":
            found = [json.loads(line)["k"] for line in target.read_text().splitlines()]
        elif suffix == "csv":
            with target.open(newline="") as file:
                found = [row["k"] or None for row in csv.DictReader(file)]
        else:
            found = pq.read_table(target)["k"].to_pylist()
        assert (found, [*map(type, found)]) == (wanted, [*map(type, wanted)])
    source.write_text("".join(f'{{"k": {at}.5, "x": 1, "n": 2}}\n' for at in range(3)))
    target = tmp_path / "out.csv"
    score(refusing(tmp_path), source, target, features=("k", "x", "n"), keep=("k",), outputs=("y",))
    assert target.read_text() == 'k,y\n"0.5",3.5\n"1.5",4.5\n"2.5",5.5\n'


def test_kept_numbers_of_json_are_numbers_where_there_is_no_text(tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.npy"
    source.write_text("".join(f'{{"x": [{at}, 0, 0], "n": {at}}}\n' for at in range(4)))
    score(refusing(tmp_path), source, target, ScoreOptions(chunk=2), keep=("n",), outputs=("y",))
    assert np.load(target)["n"].tolist() == [0, 1, 2, 3]
    with source.open("a") as file:
        file.write('{"x": [1, 0, 0], "n": 2.5}\n')
    with pytest.raises(SetupError, match=r"out\.npy: n: becomes float64 where it was int64"):
        score(
            *(refusing(tmp_path), source, target, ScoreOptions(chunk=2)),
            keep=("n",),
            outputs=("y",),
        )


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_columns_that_are_kept_are_there_without_a_row(tmp_path: Path, suffix: str) -> None:
    kinds = {
        "n": pa.int64(),
        "t": pa.string(),
        "v": pa.list_(pa.float32()),
        "w": pa.list_(pa.int8(), 2),
    }
    arrays = {name: pa.array([], kind) for name, kind in kinds.items()}
    x = {"x": pa.array([], pa.list_(pa.float32()))}
    pq.write_table(pa.table({**arrays, **x}), tmp_path / "in.parquet")
    (tmp_path / "in.csv").write_text("x,n,t\n")
    keep = ("n", "t") if suffix == "csv" else ("n", "t", "v", "w")
    more = {"columns": ()} if suffix == "parquet" else {"features": ("x", "n", "t")}
    for target in ("out.parquet", "out.csv"):
        source = tmp_path / f"in.{suffix}"
        score(refusing(tmp_path), source, tmp_path / target, keep=keep, outputs=("y",), **more)
    schema = pq.read_schema(tmp_path / "out.parquet")
    assert schema.names == [*keep, "y"]
    if suffix == "parquet":
        assert schema.types == [
            pa.int64(),
            pa.string(),
            kinds["v"],
            pa.list_(pa.int8()),
            pa.float32(),
        ]
        assert (tmp_path / "out.csv").read_text() == "n,t,w.0,w.1,y\n"
    else:
        assert (tmp_path / "out.csv").read_text() == "n,t,y\n"


def test_numbers_that_are_kept_are_there_without_a_row(tmp_path: Path) -> None:
    kind = np.dtype([("x", "f4", (3,)), ("n", "i8")])
    np.save(tmp_path / "in.npy", np.zeros(0, kind))
    target = tmp_path / "out.npy"
    score(refusing(tmp_path), tmp_path / "in.npy", target, keep=("n",), outputs=("y",))
    assert np.load(target).dtype == [("n", "i8"), ("y", "f4")]
    with uproot.recreate(tmp_path / "in.root") as file:
        file.mktree("Events", {"x": "3 * float32", "n": "int64", "v": "var * int16"})
    keep = ("n", "v[0]")
    score(refusing(tmp_path), tmp_path / "in.root", target, keep=keep, outputs=("y",))
    assert np.load(target).dtype == [("n", "i8"), ("v[0]", "i2"), ("y", "f4")]


def test_kept_lists_may_all_be_empty(tmp_path: Path) -> None:
    lists = pa.array([[], [], [1.5]], pa.list_(pa.float32()))
    pq.write_table(pa.table({"x": [[1.0] * 3] * 3, "v": lists}), tmp_path / "in.parquet")
    target = tmp_path / "out.parquet"
    options = ScoreOptions(chunk=2)
    score(refusing(tmp_path), tmp_path / "in.parquet", target, options, keep=("v",))
    assert pq.read_table(target)["v"].equals(pa.chunked_array([lists]))


def test_kept_values_of_parquet_do_not_change(tmp_path: Path) -> None:
    source, target = tmp_path / "in.parquet", tmp_path / "out.jsonl"
    money = pa.array([Decimal("1234567890123456789.01"), None], pa.decimal128(25, 2))
    columns = {"m": money, "s": money.take([1, 1]).cast(pa.decimal128(15, 2)), "x": [[1.0] * 3] * 2}
    pq.write_table(pa.table({**columns, "v": [[1, 2], None]}), source)
    score(refusing(tmp_path), source, target, keep=("m", "s", "v"))
    lines = [json.loads(line) for line in target.read_text().splitlines()]
    assert [(line["m"], line["v"]) for line in lines] == [
        ("1234567890123456789.01", [1, 2]),
        (None, None),
    ]
    pq.write_table(pa.table({**columns, "v": [[1, 2], [1, None]]}), source)
    with pytest.raises(SetupError, match=r"in\.parquet: v: a list with a null in it"):
        score(refusing(tmp_path), source, target, keep=("v",))


@pytest.mark.parametrize("chunk", [1, 2, 9])
def test_kept_lists_of_one_value_are_lists_whatever_is_beside_them(
    tmp_path: Path, chunk: int
) -> None:
    source = tmp_path / "in.parquet"
    for lists in ([[1], [2], [3, 4], [5], None, [6, 7]], [[1], [2]]):
        kept = pa.array(lists, pa.list_(pa.int64()))
        pq.write_table(pa.table({"x": [[1.0] * 3] * len(lists), "q": kept}), source)
        for suffix in ("jsonl", "csv", "parquet"):
            target = tmp_path / f"out.{suffix}"
            score(refusing(tmp_path), source, target, ScoreOptions(chunk=chunk), keep=("q",))
        assert pq.read_table(target)["q"].equals(pa.chunked_array([kept]))
        lines = (tmp_path / "out.jsonl").read_text().splitlines()
        assert [json.loads(line)["q"] for line in lines] == lists
        with (tmp_path / "out.csv").open(newline="") as file:
            found = [json.loads(row["q"] or "null") for row in csv.DictReader(file)]
        assert found == lists


@pytest.mark.parametrize("chunk", [1, 2, 9])
def test_kept_lists_in_csv_are_text_or_told_by_their_column(tmp_path: Path, chunk: int) -> None:
    source, target = tmp_path / "in.parquet", tmp_path / "out.csv"

    def kept(*lists: list[float] | None) -> list[str]:
        column = pa.array(lists, pa.list_(pa.float32()))
        pq.write_table(pa.table({"x": [[1.0] * 3] * len(lists), "q": column}), source)
        score(refusing(tmp_path), source, target, ScoreOptions(chunk=chunk), keep=("q",))
        with target.open(newline="") as file:
            return [row["q"] for row in csv.DictReader(file)]

    assert kept(None, [0.1, 2], [3], [4, 5]) == ["", "[0.1,2.0]", "[3.0]", "[4.0,5.0]"]
    for last in ([1.0, 2.0, 3.0], [1.0], None):
        if chunk == 9:
            assert kept([1, 2], [3, 4], last)[:2] == ["[1.0,2.0]", "[3.0,4.0]"]
            continue
        told = r"out\.csv: q(\.\d)?: other lists than in the rows before: longer, shorter or null"
        with pytest.raises(SetupError, match=told):
            kept([1, 2], [3, 4], last)
