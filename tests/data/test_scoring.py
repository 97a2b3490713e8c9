"""A file scored: every row in its place, whatever the chunks, and wrong rows set aside alone."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpfn.data.scorer import ModelOrder, Scorer
from gpfn.data.scoring import MaxFailed, ScoreJob, ScoreOptions, score_file
from gpfn.errors import GpfnError, ModelFailed, SetupError
from gpfn.models.columns import Column
from gpfn.models.open import open_model
from tests.data.scored import ROOT, fails, read, refusing, score, write
from tests.rows import making

FORECAST = str(ROOT / "models" / "forecast.tflite")
DIGITS = str(ROOT / "models" / "digits.tflite")
ROWS = st.lists(st.integers(0, 16), min_size=64, max_size=64)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(ROWS, min_size=1, max_size=9), st.integers(1, 10))
def test_a_row_is_scored_as_if_it_were_alone(
    tmp_path: Path, rows: list[list[int]], chunk: int
) -> None:
    images = np.array(rows, np.uint8).reshape(-1, 8, 8, 1)
    model = open_model(DIGITS)
    alone = np.concatenate([model({"image": row[None]})["probabilities"] for row in images])
    np.save(tmp_path / "in.npy", images)
    score(DIGITS, tmp_path / "in.npy", tmp_path / "out.npy", ScoreOptions(chunk=chunk))
    assert np.load(tmp_path / "out.npy").tobytes() == alone.tobytes()


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl", "npy"])
def test_every_format_gives_the_same_numbers(tmp_path: Path, suffix: str) -> None:
    windows = np.random.default_rng(1).normal(20, 5, (1000, 20)).astype(np.float32)
    wanted = open_model(FORECAST)({"series": windows[:, :, None]})["forecast"]
    columns = {f"t{at}": windows[:, at] for at in range(20)}
    if suffix == "npy":
        np.save(tmp_path / "in.npy", windows)
    else:
        write(tmp_path / f"in.{suffix}", **columns)
    found = score(FORECAST, tmp_path / f"in.{suffix}", tmp_path / "out.npy")
    assert (found.rows, found.failed, found.error) == (1000, 0, "")
    assert np.load(tmp_path / "out.npy").tobytes() == wanted.tobytes()


@pytest.mark.parametrize("chunk", [1, 3, 4, 100])
@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_rows_that_fail_are_set_aside_and_their_neighbours_are_not(
    tmp_path: Path, suffix: str, chunk: int
) -> None:
    rows = 23
    a = np.arange(rows, dtype=np.float32)
    a[[4, 5, 11]] = -1
    source = write(tmp_path / f"in.{suffix}", a=a, b=a + 10, c=a, id=np.arange(rows))
    target = tmp_path / f"out.{suffix}"
    report = score(
        refusing(tmp_path),
        source,
        target,
        ScoreOptions(chunk=chunk),
        features=("a", "b", "c"),
        keep=("id",),
    )
    assert (report.rows, report.failed) == (rows, 3)
    found = read(target)
    assert [int(value) for value in found["id"]] == [*range(rows)]
    wanted = [None if at in (4, 5, 11) else 3.0 * at + 10 for at in range(rows)]
    assert found["y"] == wanted
    set_aside = fails(target)
    assert [*set_aside] == [4, 5, 11]
    assert "a negative number" in set_aside[4]["reason"]
    assert set_aside[5]["file"] == str(source)
    values = {name: float(value) for name, value in set_aside[11]["values"].items()}
    assert values == {"a": -1, "b": 9, "c": -1, "id": 11}
    a[:] = 1
    write(source, a=a, b=a, c=a, id=a)
    assert score(refusing(tmp_path), source, target, features=("a", "b", "c")).failed == 0
    assert not Path(f"{target}.failed.jsonl").exists(), "it was of another run"


def test_values_that_do_not_fit_name_the_column_and_the_row(tmp_path: Path) -> None:
    columns = {
        "a": pa.array([1, 2**53 + 1, 2**53, 4, 5], pa.int64()),
        "b": pa.array([1.0, 1.0, None, 1e300, 1.0]),
        "c": pa.array(["1", "2.5", "3", "4", "x"]),
    }
    pq.write_table(pa.table(columns), tmp_path / "in.parquet")
    target = tmp_path / "out.csv"
    report = score(refusing(tmp_path), tmp_path / "in.parquet", target, features=("a", "b", "c"))
    assert (report.rows, report.failed) == (5, 4)
    told = {row: found["reason"] for row, found in fails(target).items()}
    assert told == {
        1: "a: a whole number from 2**53 on, which the model's float32 cannot hold exactly",
        2: "b: missing, and the column has no default",
        3: "b: too large for float32",
        4: "c: expected a number (float32), got text",
    }
    assert fails(target)[1]["values"] == {"a": 2**53 + 1, "b": 1.0, "c": "2.5"}


def test_any_number_and_any_depth_of_json_is_told_of_and_kept(tmp_path: Path) -> None:
    """orjson, which writes, knows whole numbers of 64 bits and 254 levels."""
    big, deep = 2**80 + 1, "[" * 300 + "]" * 300
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(
        f'{{"x": [1, 2, 3], "id": {big}}}\n{{"x": [1, 2, {big}], "id": 2}}\n'
        f'{{"x": {{"a": {big}}}, "id": 3}}\n{{"x": {deep}, "id": 4}}\n'
    )
    report = score(refusing(tmp_path), source, target, keep=("id",))
    assert (report.rows, report.failed) == (4, 3)
    lines = [json.loads(line) for line in target.read_text().splitlines()]
    assert [(line["id"], line["y"]) for line in lines] == [
        (big, 6),
        (2, None),
        (3, None),
        (4, None),
    ]
    told = {row: found["values"]["x"] for row, found in fails(target).items()}
    assert told == {1: [1, 2, big], 2: {"a": big}, 3: "a list"}


def test_rows_of_csv_and_events_that_cannot_be_read_are_in_their_place(tmp_path: Path) -> None:
    csv, events = tmp_path / "in.csv", tmp_path / "in.jsonl"
    csv.write_text("a,b,c\n1,2,3\n1,2\n1,,3\n1,2,x\nnan,2,3\n")
    target = tmp_path / "out.jsonl"
    assert score(refusing(tmp_path), csv, target).failed == 3
    assert read(target)["y"][0] == 6
    assert {row: found.get("text") for row, found in fails(target).items()} == {
        1: "1,2",
        2: None,
        3: None,
    }
    head = '{"specversion":"1.0","source":"/s","type":"t","id":"%s","data":%s}\n'
    events.write_text(head % (1, [1, 2, 3]) + "oops\n" + head % (3, [1, 2]) + head % (4, [4, 5, 6]))
    report = score(refusing(tmp_path), events, target, keep=("ce_id",))
    assert (report.rows, report.failed) == (4, 2)
    lines = [json.loads(line) for line in target.read_text().splitlines()]
    assert [(line["ce_id"], line["y"]) for line in lines] == [
        ("1", 6),
        (None, None),
        ("3", None),
        ("4", 15),
    ]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("wrong", [True, False])
def test_a_column_that_is_declared_bool_feeds_numbers(
    tmp_path: Path, suffix: str, wrong: bool
) -> None:
    """Whether a row is right does not depend on a word in another one."""
    path = tmp_path / f"in.{suffix}"
    flags = ["true", "false"] if suffix == "csv" else [True, False]
    if suffix == "parquet":
        write(path, a=[1, 2], flag=flags, c=[0, 0])
    elif suffix == "csv":
        rest = "3,oops,0\n" if wrong else ""
        path.write_text("a,flag,c\n" + f"1,{flags[0]},0\n2,{flags[1]},0\n" + rest)
    else:
        rows = [{"a": 1, "flag": True, "c": 0}, {"a": 2, "flag": False, "c": 0}]
        rest = [{"a": 3, "flag": "oops", "c": 0}] if wrong else []
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows + rest))
    columns = (Column("a"), Column("flag", dtype="bool"), Column("c"))
    score(refusing(tmp_path), path, tmp_path / "out.parquet", columns=columns)
    assert read(tmp_path / "out.parquet")["y"][:2] == [2, 2]


@pytest.mark.parametrize("odd", ["", "oops\n", "-1\n", "1.5\n"])
def test_large_whole_numbers_of_csv_are_exact_whatever_their_neighbours(
    tmp_path: Path, odd: str
) -> None:
    numbers = [2**53 + 1, 2**64 - 1, 5]
    (tmp_path / "in.csv").write_text("x\n" + "".join(f"{number}\n" for number in numbers) + odd)
    (tmp_path / "same.py").write_text(_SAME)
    score(f"{tmp_path}/same.py:same", tmp_path / "in.csv", tmp_path / "out.jsonl")
    assert read(tmp_path / "out.jsonl")["y"][:3] == numbers


@pytest.mark.parametrize("odd", [[], [0.5], ["oops"]])
@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_large_whole_numbers_are_refused_by_floats_in_every_format(
    tmp_path: Path, suffix: str, odd: list[Any]
) -> None:
    path = tmp_path / f"in.{suffix}"
    numbers = [2**53 + 1, 2**60, -(2**53) - 3, 2**53, 1]
    if suffix == "csv":
        lines = [f"{value},0,0\n" for value in numbers + odd]
        path.write_text("a,b,c\n" + "".join(lines))
    elif suffix == "jsonl":
        rows = [{"a": value, "b": 0, "c": 0} for value in numbers + odd]
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    else:
        write(path, a=numbers, b=[0] * 5, c=[0] * 5)
    target = tmp_path / "out.parquet"
    score(refusing(tmp_path), path, target, features=("a", "b", "c"))
    told = "a: a whole number from 2**53 on, which the model's float32 cannot hold exactly"
    assert [fails(target)[row]["reason"] for row in (0, 2)] == [told, told]
    assert read(target)["y"][:5] == [None, 2**60, None, 2**53, 1]


_SAME = """
from gpfn.models.python import declare
from gpfn.tensors.spec import TensorSpec

@declare({"x": TensorSpec("uint64", (None,))}, {"y": TensorSpec("uint64", (None,))})
def same(x):
    return x
"""


def test_defaults_of_a_description_stand_for_what_is_missing(tmp_path: Path) -> None:
    from gpfn.models.columns import Column

    (tmp_path / "in.csv").write_text("c,b,a\n3,,1\n3,?,1\n3,2,1\n")
    columns = (Column("a"), Column("b", default=10.0, missing=("?",)), Column("c"))
    found = score(refusing(tmp_path), tmp_path / "in.csv", tmp_path / "o.csv", columns=columns)
    assert found.failed == 0
    assert read(tmp_path / "o.csv")["y"] == [14, 14, 6]


@pytest.mark.parametrize(
    ("made", "classes", "wanted"),
    [
        ({}, (), making.CLASSES),
        ({"numbers": [2, 10, 1]}, (), ("2", "10", "1")),
        ({"numbers": [2, 10, 1]}, ("two", "ten", "one"), ("two", "ten", "one")),
        ({"zipmap": False}, ("r", "s", "t"), ("r", "s", "t")),
        ({"zipmap": False}, ("r", "s"), None),
        ({"zipmap": False}, ("crane", "heron", "crane"), None),
        ({"zipmap": False}, (), None),
    ],
)
def test_probabilities_have_the_names_of_their_classes(
    tmp_path: Path, made: dict[str, Any], classes: tuple[str, ...], wanted: tuple[str, ...] | None
) -> None:
    model = str(making.classifier(tmp_path, **made))
    source = write(tmp_path / "in.parquet", a=[0.0, 5.0], b=[9.0, -1.0], c=[0.0, 1.0])
    output = "p" if made.get("zipmap", True) else "scores"
    order = {"features": ("a", "b", "c"), "classes": classes, "outputs": (output,)}
    score(model, source, tmp_path / "o.parquet", **order)
    rows = read(tmp_path / "o.parquet")[output]
    score(model, source, tmp_path / "o.csv", **order)
    names = wanted or ("0", "1", "2")
    assert read(tmp_path / "o.csv") == {
        f"{output}.{name}": pytest.approx([row[at] for row in rows], rel=1e-6)
        for at, name in enumerate(names)
    }
    score(model, source, tmp_path / "o.jsonl", **order)
    lines = [json.loads(line)[output] for line in (tmp_path / "o.jsonl").open()]
    values = [[*line.values()] if isinstance(line, dict) else line for line in lines]
    assert values == [pytest.approx(row, rel=1e-6) for row in rows]
    for line in lines:
        assert (tuple(line) if isinstance(line, dict) else None) == wanted


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_what_is_kept_is_of_no_class(tmp_path: Path, suffix: str) -> None:
    """Only outputs are probabilities of classes, however many values a kept column has."""
    model = str(making.classifier(tmp_path, zipmap=False))
    lists = [[1.0, 2.0, 3.0]]
    source = write(tmp_path / "in.parquet", x=lists, kept=np.array(lists, np.float32))
    order = {"keep": ("kept",), "classes": ("r", "s", "t")}
    score(model, source, tmp_path / f"o.{suffix}", **order)
    found = read(tmp_path / f"o.{suffix}")
    if suffix == "csv":
        names = ["kept.0", "kept.1", "kept.2", "label", "scores.r", "scores.s", "scores.t"]
        assert [*found] == names
    else:
        assert found["kept"] == lists
        assert [*found["scores"][0]] == ["r", "s", "t"]


def test_no_column_of_csv_takes_the_place_of_another(tmp_path: Path) -> None:
    """What is kept may be called as a value of an output is."""
    source = write(tmp_path / "in.parquet", a=[1.0], b=[2.0], c=[3.0], **{"n.1": ["kept"]})
    order = {"features": ("a", "b", "c"), "keep": ("n.1",)}
    with pytest.raises(SetupError, match=r"o\.csv: two columns would be called n\.1"):
        score(refusing(tmp_path), source, tmp_path / "o.csv", **order)
    assert not (tmp_path / "o.csv").exists()
    score(refusing(tmp_path), source, tmp_path / "o.parquet", **order)
    assert read(tmp_path / "o.parquet") == {"n.1": ["kept"], "y": [6], "n": [[1, 2]]}


def test_a_file_of_which_every_row_fails_is_given_up_early(tmp_path: Path) -> None:
    model, target = refusing(tmp_path), tmp_path / "out.npy"
    np.save(tmp_path / "in.npy", np.full((5000, 3), -1.0))
    with pytest.raises(ModelFailed, match="the first 100 rows all failed"):
        score(model, tmp_path / "in.npy", target)
    np.save(tmp_path / "in.npy", np.full((50, 3), -1.0))
    with pytest.raises(SetupError, match=r"no row of 50 could be scored; .* the reasons are in"):
        score(model, tmp_path / "in.npy", target)
    assert len(fails(target)) == 50
    assert not target.exists()
    nearly = np.full((5000, 3), -1.0)
    nearly[100:] = 1
    np.save(tmp_path / "in.npy", nearly)
    for chunk in (7, 100, 5000):  # the same whatever the chunks
        with pytest.raises(ModelFailed, match="the first 100 rows all failed"):
            score(model, tmp_path / "in.npy", target, ScoreOptions(chunk=chunk))
        assert [*fails(target)] == [*range(100)]
        assert fails(target)[99]["values"] == {"data": [-1, -1, -1]}
    (tmp_path / "in.csv").write_text("a,b,c\n" + "1,x,3\n" * 300 + "1,2,-3\n" * 300)
    for chunk in (7, 5000):  # rows that do not fit, and rows that the model refuses
        with pytest.raises(ModelFailed, match="rows all failed"):
            score(model, tmp_path / "in.csv", target, ScoreOptions(chunk=chunk))
        assert [*fails(target)] == [*range(len(fails(target)))]
        assert len(fails(target)) >= 100
    late = np.full((150, 3), -1.0)
    late[99:] = 1
    np.save(tmp_path / "in.npy", late)
    assert score(model, tmp_path / "in.npy", target, ScoreOptions(chunk=10)).failed == 99
    assert np.isnan(np.load(target)["y"]).sum() == 99


@pytest.mark.parametrize(
    ("most", "told"),
    [(MaxFailed(2), "3 of 20 rows failed; --max-failed allows 2"), (MaxFailed(None, 0.1), "10")],
)
def test_more_failed_rows_than_allowed_fail_the_file(
    tmp_path: Path, most: MaxFailed, told: str
) -> None:
    array = np.ones((20, 3))
    array[[7, 8, 9]] = -1
    np.save(tmp_path / "in.npy", array)
    target = tmp_path / "out.npy"
    with pytest.raises(SetupError, match=told):
        score(refusing(tmp_path), tmp_path / "in.npy", target, ScoreOptions(max_failed=most))
    assert not target.exists()
    assert [*fails(target)] == [7, 8, 9]
    allowed = ScoreOptions(max_failed=MaxFailed(3, 0.15))
    assert score(refusing(tmp_path), tmp_path / "in.npy", target, allowed).failed == 3


@pytest.mark.parametrize("suffix", ["npy", "csv"])
@pytest.mark.parametrize("chunk", [100, 20_000, 40_000])
def test_a_share_of_failed_rows_is_that_of_the_whole_file(
    tmp_path: Path, suffix: str, chunk: int
) -> None:
    array = np.ones((40_000, 3), np.float32)
    array[1000:1400] = -1  # the share of the first chunks is more than that of all
    source = tmp_path / f"in.{suffix}"
    if suffix == "npy":
        np.save(source, array)
    else:
        write(source, a=array[:, 0], b=array[:, 1], c=array[:, 2])
    target = tmp_path / "out.npy"
    allowed = ScoreOptions(chunk=chunk, max_failed=MaxFailed(None, 0.01))
    assert score(refusing(tmp_path), source, target, allowed).failed == 400
    strict = ScoreOptions(chunk=chunk, max_failed=MaxFailed(None, 0.009))
    with pytest.raises(SetupError, match=r"rows failed; --max-failed allows 0\.9"):
        score(refusing(tmp_path), source, target, strict)


@pytest.mark.parametrize("percent", range(1, 100))
def test_a_share_is_allowed_to_the_row(percent: int) -> None:
    most = MaxFailed(None, float(str(percent)) / 100)
    most.check(percent, 100, 100)
    with pytest.raises(SetupError, match="rows failed"):
        most.check(percent + 1, 100, 100)


def test_a_file_is_scored_as_if_it_were_the_only_one(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(_OPEN)
    scorer = Scorer(ModelOrder(f"{path}:open_sizes"))
    for at, rows in enumerate(([[1.0, 1, 1]], [[-1.0, 1], [2, 2]])):
        np.save(tmp_path / f"{at}.npy", np.array(rows))
        target = str(tmp_path / f"{at}.out.npy")
        job = ScoreJob(str(tmp_path / f"{at}.npy"), target, f"{target}.failed.jsonl")
        score_file(job, scorer, ScoreOptions(chunk=1))
    scorer.close()
    found = np.load(target)
    assert np.isnan(found[0]).all()
    assert found[1].tolist() == [4, 4]


_OPEN = """
from gpfn.models.python import declare
from gpfn.tensors.spec import TensorSpec

OPEN = TensorSpec("float32", (None, None))


@declare(inputs={"x": OPEN}, outputs={"y": OPEN})
def open_sizes(x):
    if (x < 0).any():
        raise ValueError("a negative number")
    return 2 * x
"""


@pytest.mark.parametrize(
    ("order", "told"),
    [
        ({}, r"which columns feed the model\? It takes x .*there is a, b, c, d; name them: --feat"),
        ({"features": ("a", "b")}, "--features: 2 columns; the model takes"),
        ({"features": ("a", "b", "e")}, r"in\.csv: no column e.*there is a, b, c, d"),
        ({"features": ("a", "b", "c"), "keep": ("z",)}, r"in\.csv: no column z"),
    ],
)
def test_columns_that_do_not_fit_the_model(
    tmp_path: Path, order: dict[str, Any], told: str
) -> None:
    source = write(tmp_path / "in.csv", a=[1.0], b=[1.0], c=[1.0], d=[1.0])
    with pytest.raises(SetupError, match=told):
        score(refusing(tmp_path), source, tmp_path / "out.csv", **order)


@pytest.mark.parametrize(
    ("columns", "keep"),
    [
        ({"id": [7, 8], "a": [1, 2], "b": [3, 4], "c": [5, 6]}, "id"),
        ({"a": [1, 2], "b": [3, 4], "c": [5, 6]}, "a"),
        ({"id": [7, 8], "v": [[1, 3, 5], [2, 4, 6]]}, "id"),
    ],
)
def test_columns_that_are_kept_alone_are_not_counted(
    tmp_path: Path, columns: dict[str, list[Any]], keep: str
) -> None:
    source, target = write(tmp_path / "in.parquet", **columns), tmp_path / "out.parquet"
    score(refusing(tmp_path), source, target, keep=(keep,))
    found = read(target)
    assert found["y"] == [9, 12]
    assert found[keep] == columns[keep]


def unreadable(path: Path) -> Path:
    """Write a file with columns that cannot be read: nested, bytes, and one name twice."""
    nested, lost = pa.array([{"p": 1}]), pa.array([b"b"])
    number = pa.array([1.0])
    names = ["s", "bin", "d", "d", "a", "b"]
    arrays = [nested, lost, number, number, number, number]
    pq.write_table(pa.Table.from_arrays(arrays, names), path)
    return path


@pytest.mark.parametrize(
    ("order", "told"),
    [
        ({"features": ("a", "b", "s")}, r"in\.parquet: s: a nested column \(struct"),
        (
            {"features": ("a", "b", "bin")},
            r"in\.parquet: bin: a column of binary, which is neither",
        ),
        ({"features": ("d", "a", "b")}, r"in\.parquet: d: a column that is there twice"),
        ({"features": ("a", "b", "z")}, r"in\.parquet: no column z"),
    ],
)
def test_why_a_column_cannot_be_read_is_told(
    tmp_path: Path, order: dict[str, Any], told: str
) -> None:
    source = unreadable(tmp_path / "in.parquet")
    with pytest.raises(SetupError, match=told):
        score(refusing(tmp_path), source, tmp_path / "out.csv", **order)


@pytest.mark.parametrize("name", ["s", "d"])
def test_why_a_column_is_no_input_or_kept_is_told(tmp_path: Path, name: str) -> None:
    model = tmp_path / "named.py"
    model.write_text(NAMED.format(name=name))
    source = unreadable(tmp_path / "in.parquet")
    for order in ({}, {"features": ("a",), "keep": (name,)}):
        with pytest.raises(SetupError, match=rf"in\.parquet: {name}: a "):
            score(f"{model}:same", source, tmp_path / "out.csv", **order)


NAMED = """
from gpfn.models.python import declare
from gpfn.tensors.spec import TensorSpec

@declare(inputs={{"{name}": TensorSpec("float32", (None,))}})
def same({name}):
    return {{"y": {name}}}
"""


def test_lists_of_the_wrong_length(tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", np.ones((4, 5)))
    told = r"no row of 4 could .* the first one: data: 5 values; the model takes"
    with pytest.raises(SetupError, match=told):
        score(refusing(tmp_path), tmp_path / "in.npy", tmp_path / "out.npy")
    table = pa.table({"x": pa.array([[1.0, 2, 3], [1], None, [4, 5, 6]])})
    pq.write_table(table, tmp_path / "in.parquet")
    report = score(refusing(tmp_path), tmp_path / "in.parquet", tmp_path / "out.csv")
    assert (report.rows, report.failed) == (4, 2)
    assert read(tmp_path / "out.csv")["y"] == [6, None, None, 15]


@pytest.mark.parametrize("chunk", [1, 2, 3, 100])
def test_lists_of_an_open_length_do_not_depend_on_their_neighbours(
    tmp_path: Path, chunk: int
) -> None:
    path = tmp_path / "model.py"
    path.write_text(_OPEN)
    lists = [None, [1.0, 2], [3, 4], [5], [6, None], None, [7, 8, 9], [7, 8, 9], [0, 1], []]
    pq.write_table(pa.table({"x": pa.array(lists)}), tmp_path / "in.parquet")
    target = tmp_path / "out.parquet"
    options = ScoreOptions(chunk=chunk)
    report = score(f"{path}:open_sizes", tmp_path / "in.parquet", target, options)
    wanted = [None if at not in (1, 2, 8) else [2 * v for v in lists[at]] for at in range(10)]
    assert pq.read_table(target)["y"].to_pylist() == wanted
    assert report.failed == 7
    told = {row: fault["reason"] for row, fault in fails(target).items()}
    assert told[3] == "x: 1 values; the model takes float32 (any, any), and 2 of them in this file"
    assert told[6] == told[7]
    assert "missing" in told[0]
    assert "missing" in told[4]


@pytest.mark.parametrize("chunk", [1, 3])
def test_lists_of_a_wrong_length_are_faults_of_their_rows_in_any_chunk(
    tmp_path: Path, chunk: int
) -> None:
    lists = [[1.0, 2], [1.0, 2], [1.0, 2], [1.0, 2, 3], [1.0, 2, 3], [1.0]]
    pq.write_table(pa.table({"x": pa.array(lists)}), tmp_path / "in.parquet")
    options = ScoreOptions(chunk=chunk)
    score(refusing(tmp_path), tmp_path / "in.parquet", tmp_path / "out.csv", options)
    assert read(tmp_path / "out.csv")["y"] == [None, None, None, 6, 6, None]


def test_a_file_of_no_rows_has_an_output_of_none(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("a,b,c\n")
    for suffix in ("parquet", "csv", "npy", "jsonl"):
        report = score(refusing(tmp_path), tmp_path / "in.csv", tmp_path / f"out.{suffix}")
        assert (report.rows, report.failed) == (0, 0)
    assert pq.read_schema(tmp_path / "out.parquet").names == ["y", "n"]
    assert (tmp_path / "out.csv").read_text() == "y,n.0,n.1\n"
    assert len(np.load(tmp_path / "out.npy")) == 0


def test_a_damaged_file_leaves_no_output(tmp_path: Path) -> None:
    source = write(tmp_path / "in.parquet", x=np.ones((300_000, 3), np.float32))
    whole = bytearray(source.read_bytes())
    whole[len(whole) // 2 : len(whole) // 2 + 1000] = bytes(1000)
    source.write_bytes(whole)
    with pytest.raises(GpfnError, match=r"in\.parquet: "):
        score(refusing(tmp_path), source, tmp_path / "out.parquet")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.parquet", "model.py"]


@pytest.mark.parametrize("name", ["single", "one", "short"])
def test_models_that_take_one_row_are_asked_row_by_row(tmp_path: Path, name: str) -> None:
    rows = np.arange(30, dtype=np.float32).reshape(10, 3)
    np.save(tmp_path / "in.npy", rows)
    report = score(refusing(tmp_path, name), tmp_path / "in.npy", tmp_path / "out.npy")
    assert bool(report.notes) == (name != "short")
    assert report.failed == 0
    found = np.load(tmp_path / "out.npy")
    assert found["y"].tolist() == rows.sum(1).tolist()
    assert found["n"].tolist() == rows[:, :2].tolist()


def test_a_server_that_is_busy_is_no_fault_of_a_row(tmp_path: Path) -> None:
    rows = np.ones((10, 3))
    rows[4] = -1
    np.save(tmp_path / "in.npy", rows)
    with pytest.raises(GpfnError, match="not now"):
        score(refusing(tmp_path, "busy"), tmp_path / "in.npy", tmp_path / "out.npy")
    report = score(refusing(tmp_path, "wrong"), tmp_path / "in.npy", tmp_path / "out.npy")
    assert report.failed == 1
