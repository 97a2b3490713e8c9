"""Rows out of real files: what is selected, counted and refused, each in a line."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tabular_rows
from tabular_rows import DataFile, Rows, Wanted, read_rows

from gpfn.data.cut import Cut
from gpfn.errors import SetupError


def read(*files: Path | DataFile, **wanted: Any) -> Rows:
    """Read files with ``y`` as the target, unless something else is wanted."""
    listed = [file if isinstance(file, DataFile) else DataFile(file) for file in files]
    target = "" if listed[0].label else "y"
    return read_rows(listed, Wanted(**{"target": target, **wanted}), lambda *_: None)


def text_file(folder: Path, text: str, name: str = "data.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def parquet(folder: Path, columns: dict[str, Any], name: str = "data.parquet") -> Path:
    path = folder / name
    pq.write_table(pa.table(columns), path, row_group_size=3)
    return path


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("a,b,y\n1,2,0\n3,4,1\n", "utf-8"),
        ("a;b;y\n1;2;0\n3;4;1\n", "utf-8"),
        ("a\tb\ty\n1\t2\t0\n3\t4\t1\n", "utf-8"),
        ('"a","b","y"\r\n"1","2","0"\r\n"3","4","1"\r\n', "utf-8"),
        ("a,b,y\n1,2,0\n3,4,1\n", "utf-8-sig"),
    ],
    ids=["commas", "semicolons", "tabs", "quotes", "BOM"],
)
def test_csv_is_read_as_people_write_it(tmp_path: Path, text: str, encoding: str) -> None:
    rows = read(text_file(tmp_path, text, encoding=encoding))
    assert rows.features == ("a", "b")
    assert rows.values.dtype == np.float32
    assert rows.values.tolist() == [[1, 2], [3, 4]]
    assert rows.targets.tolist() == [0, 1]


def test_several_files_are_one_table_by_the_names_of_columns(tmp_path: Path) -> None:
    one = text_file(tmp_path, "a,b,y\n1,2,x\n", "one.csv")
    two = parquet(tmp_path, {"y": ["z"], "more": ["text"], "b": [4], "a": [True]})
    rows = read(one, two)
    assert rows.values.tolist() == [[1, 2], [1, 4]]
    assert rows.targets.tolist() == ["x", "z"]


def test_the_file_may_say_the_class(tmp_path: Path) -> None:
    signal = parquet(tmp_path, {"a": [1.0, 2.0]}, "s.parquet")
    background = text_file(tmp_path, "a\n3\n")
    rows = read(DataFile(signal, "signal"), DataFile(background, "background"))
    assert rows.features == ("a",)
    assert rows.targets.tolist() == ["signal", "signal", "background"]


@pytest.mark.parametrize(
    ("wanted", "features"),
    [
        ({}, ("pt", "eta", "phi_1", "phi_2")),
        ({"features": "phi_2,pt"}, ("phi_2", "pt")),
        ({"features": "phi_*, pt"}, ("phi_1", "phi_2", "pt")),
        ({"drop": "phi_?"}, ("pt", "eta")),
        ({"features": "*", "drop": "pt,eta"}, ("phi_1", "phi_2")),
    ],
)
def test_features_are_chosen_by_name(
    tmp_path: Path, wanted: dict[str, str], features: tuple[str, ...]
) -> None:
    path = text_file(tmp_path, "pt,eta,phi_1,phi_2,y\n1,2,3,4,5\n")
    assert read(path, **wanted).features == features


def test_columns_that_cannot_be_read_can_be_left_out(tmp_path: Path) -> None:
    path = parquet(tmp_path, {"a": NESTED, "b": [1, 2], "c": [b"1", b"2"], "y": [0, 1]})
    assert read(path, drop="a,c").features == ("b",)
    assert read(path, features="b").features == ("b",)


def test_the_signal_region_selects_rows(tmp_path: Path) -> None:
    path = text_file(tmp_path, "mass,a,y\n119,1,0\n125,2,1\n,3,0\n131,4,1\n")
    rows = read(path, region=Cut("mass > 120 & mass < 130"), drop="mass")
    assert rows.values.tolist() == [[2]]
    assert rows.counts["outside_region"] == 3


def test_rows_that_cannot_be_used_are_counted(tmp_path: Path) -> None:
    text = "a,b,y\n1,2,0\n,2,0\n3,inf,1\n4,5,\n6,1e39,0\nnan,1,1\n7,8,1\n9\n"
    rows = read(text_file(tmp_path, text))
    assert rows.values.tolist() == [[1, 2], [7, 8]]
    expected = {"read": 8, "unreadable": 1, "without_target": 1, "not_finite": 2, "usable": 2}
    assert rows.counts == {**expected, "outside_region": 0, "with_missing": 2}


def test_rows_with_gaps_can_be_kept(tmp_path: Path) -> None:
    path = parquet(tmp_path, {"a": [1, None, 3], "b": [None, None, None], "y": [0, 1, 0]})
    rows = read(path, missing="median")
    assert np.isnan(rows.values).tolist() == [[False, True], [True, True], [False, True]]
    assert rows.counts["with_missing"] == 3
    assert rows.counts["usable"] == 3


def test_labels_lose_their_spaces_and_empty_ones_are_missing(tmp_path: Path) -> None:
    rows = read(parquet(tmp_path, {"a": [1, 2, 3, 4], "y": [" s ", "s", " ", None]}))
    assert rows.targets.tolist() == ["s", "s"]
    assert rows.counts["without_target"] == 2


def test_numbers_that_float32_cannot_subtract_are_not_finite(tmp_path: Path) -> None:
    rows = read(text_file(tmp_path, "a,y\n3e38,1.5\n-3e38,1.5\n1,1e38\n1,2.5\n"))
    assert rows.values.tolist() == [[1]]
    assert rows.counts["not_finite"] == 2
    assert rows.counts["without_target"] == 1


def test_more_rows_than_any_memory_has_are_refused(tmp_path: Path) -> None:
    path = text_file(tmp_path, "a,y\n1,1\n")
    with pytest.raises(SetupError, match=r"^--max-rows: 1,0.* rows of 1 columns do not fit"):
        read(path, most=10**15)


def test_labels_stay_on_one_line(tmp_path: Path) -> None:
    assert read(parquet(tmp_path, {"a": [1], "y": ["a\n b"]})).targets.tolist() == ["a b"]


def test_truth_values_are_numbers_and_labels(tmp_path: Path) -> None:
    rows = read(text_file(tmp_path, "a,y\ntrue,true\nfalse,false\n"))
    assert rows.values.tolist() == [[1], [0]]
    assert rows.targets.tolist() == ["true", "false"]


def test_features_of_truth_values_alone_are_told_apart(tmp_path: Path) -> None:
    one = text_file(tmp_path, "b,n,e,both,y\nTrue,1,,false,0\n,0,,true,1\n", "one.csv")
    gaps = pa.nulls(2, pa.int64())
    two = parquet(tmp_path, {"b": [True] * 2, "n": [1, 0], "e": gaps, "both": [1, 0], "y": [0, 1]})
    rows = read(one, two, missing="median")
    assert rows.switches == {"b"}
    assert rows.values[:, 3].tolist() == [0, 1, 1, 0]


def test_a_table_of_many_columns_takes_no_look_at_all_of_them_for_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []

    class Kind(tuple[str, str]):
        def __iter__(self) -> Iterator[str]:
            looks.append(self)
            return super().__iter__()

    monkeypatch.setattr(tabular_rows, "kinds_of", lambda _, names: {Kind((n, "b")) for n in names})
    names = [f"c{at}" for at in range(100)]
    path = text_file(tmp_path, ",".join([*names, "y"]) + "\n" + ",".join(["1"] * 101) + "\n")
    assert read(path).switches == set(names)
    assert len(looks) < 500


FAR_DOWN = 40_000
"""Lines of thirty bytes that are more than the first block of a CSV file."""


@pytest.mark.parametrize(
    ("near", "late", "labels"),
    [
        (["True", "False"], "maybe", ["False", "True", "maybe"]),
        (["True", "False"], "TRUE", ["false", "true"]),
        (["007", "010"], "V10", ["007", "010", "V10"]),
        (["007", "010"], "011", ["007", "010", "011"]),
        (["1", "2"], "3", [1, 2, 3]),
        (["1", "2.0"], "1.0", [1, 2]),
        (["1", "2"], "nan", [1, 2]),
        (["9007199254740993", "9007199254740992"], "1", ["1", f"{2**53}", f"{2**53 + 1}"]),
    ],
)
def test_a_label_is_one_class_wherever_it_stands_in_a_file(
    tmp_path: Path, near: list[str], late: str, labels: list[str]
) -> None:
    lines = [f"{1:.30f},{near[at % 2]}" for at in range(FAR_DOWN)]
    path = text_file(tmp_path, "\n".join(["a,y", *lines, f"2,{late}", *lines[:10]]) + "\n")
    assert sorted(set(read(path).targets)) == labels


def test_labels_are_the_same_in_files_of_other_formats(tmp_path: Path) -> None:
    table = parquet(tmp_path, {"a": [1, 2], "y": [True, False]})
    text = text_file(tmp_path, "a,y\n3,True\n4,False\n")
    lines = text_file(tmp_path, '{"a": 5, "y": true}\n{"a": 6, "y": "maybe"}\n', "data.jsonl")
    assert read(table, text).targets.tolist() == ["true", "false"] * 2
    assert read(lines).targets.tolist() == ["true", "maybe"]


@pytest.mark.parametrize(
    ("cut", "kept"), [("y > 1", [2, 4]), ("y == 1 | y == 3", [1, 4]), ("y != 2", [1, 4])]
)
def test_a_region_compares_the_target_of_a_csv_file(
    tmp_path: Path, cut: str, kept: list[int]
) -> None:
    path = text_file(tmp_path, "a,y\n1,1\n2,2\n3,\n4,3\n")
    assert read(path, region=Cut(cut)).values.ravel().tolist() == kept


@pytest.mark.parametrize("value", ["nan", "inf", "1e999", "V", ""])
def test_a_region_of_numbers_passes_over_a_target_that_is_none(tmp_path: Path, value: str) -> None:
    path = text_file(tmp_path, f"a,y\n1,1\n2,{value}\n3,9\n4,007\n")
    rows = read(path, region=Cut("y < 8"))
    assert rows.values.ravel().tolist() == [1, 4]


def test_a_region_compares_a_target_with_gaps_with_another_column(tmp_path: Path) -> None:
    path = text_file(tmp_path, "a,y\n1,1\n2,nan\n3,9\n")
    assert read(path, region=Cut("y <= a")).values.ravel().tolist() == [1]


@pytest.mark.parametrize(("cut", "kept"), [("y != '1'", 2 * 10 + 2), ("-y < 0", 2 * 10)])
def test_a_region_takes_the_target_for_the_same_in_every_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: str, kept: int
) -> None:
    monkeypatch.setattr(tabular_rows, "_CHUNK", 10)
    lines = [f"1,{at % 3}" for at in range(30)]
    path = text_file(tmp_path, "\n".join(["a,y", *lines, "1,x", "1,x"]) + "\n")
    assert read(path, region=Cut(cut)).counts["usable"] == kept


@pytest.mark.parametrize(("cut", "kept"), [("y", [1]), ("not y", [2]), ("y == true", [1])])
def test_a_region_may_be_a_target_of_truth_values(
    tmp_path: Path, cut: str, kept: list[int]
) -> None:
    path = text_file(tmp_path, "a,y\n1,True\n2,False\n")
    assert read(path, region=Cut(cut)).values.ravel().tolist() == kept


def test_more_rows_than_are_wanted_are_sampled(tmp_path: Path) -> None:
    path = parquet(tmp_path, {"a": np.arange(1000.0), "y": np.arange(1000) % 2})
    rows = read(path, most=10, seed=3)
    assert rows.values.shape == (10, 1)
    assert rows.counts["usable"] == 1000
    assert (rows.values[:, 0] % 2 == rows.targets).all()
    assert read(path, most=10, seed=3).values.tolist() == rows.values.tolist()
    assert read(path, most=10, seed=4).values.tolist() != rows.values.tolist()


NESTED = pa.array([{"x": 1}, {"x": 2}])
BAD = [
    ("a,y\n1,0\n2,1\n", {"target": "z"}, "data.csv: no column z; there is a, y"),
    ("a,kind\n1,0\n", {"target": "Kind"}, "data.csv: no column Kind (did you mean kind?)"),
    ("a,y\n1,0\n", {"features": "b"}, "data.csv: no column b; there is a, y"),
    ("a,y\n1,0\n", {"features": "q_*"}, "--features: data.csv has no column 'q_*'"),
    ("a,y\n1,0\n", {"features": "a,y"}, "--features: y is the target and cannot be a feature"),
    ("a,y\n1,0\n", {"drop": "aa"}, "--drop: data.csv has no column 'aa'; did you mean a?"),
    ("a,y\n1,0\n", {"drop": "a"}, "data.csv: no column is left for a feature; there are a, y"),
    ("a,a,y\n1,2,0\n", {}, "data.csv: a: a column that is there twice"),
    ("a,y\n", {}, "data.csv: no rows in it"),
    ("", {}, "data.csv: an empty file"),
    ("a,city,y\n1,Rome,0\n", {}, ("data.csv: column 'city', row 1: text, where a model takes "
     "numbers; encode it as numbers, or leave it out with --drop 'city'")),
    ("a,b,c,y\n1,2,x,0\n2,n/a,y,1\n", {}, ("data.csv: column 'b', row 2: text, where a "
     "model takes numbers (and 1 more column); encode it as numbers, or leave it out with --drop "
     "'b,c'")),
    ("day,y\n2026-01-02,0\n", {}, "data.csv: column 'day', row 1: text, where"),
    ("id,y\n9007199254740993,0\n", {}, ("data.csv: column 'id', row 1: a whole number over 2**53 "
     "is an id and no amount; leave it out with --drop id")),
    ("a,y\n1,0\n", {"region": Cut("a > 1 & bb > 2")}, ("--signal-region: no column 'bb' in data.csv"
     "; there are a, y, at character 9 of 'a > 1 & bb > 2'")),
    ("a,y\n1,0\n", {"region": Cut("a > 1")}, ("DATA: none of 1 rows can be used: 1 are outside of "
     "--signal-region 'a > 1'")),
    ("a,y\n,0\n,1\n", {}, "DATA: none of 2 rows can be used: 2 lack a value; --missing median"),
    ("a,y\n1,\n", {}, "DATA: none of 1 rows can be used: 1 have no y"),
    ("a,y\ninf,1\n", {}, "DATA: none of 1 rows can be used: 1 have an infinite value"),
    ({"a": [[1, 2], [3]], "y": [0, 1]}, {}, "data.parquet: column 'a'"),
    ({"a": NESTED, "y": [0, 1]}, {}, ("data.parquet: column 'a': a nested column (struct<x: int64>)"
     ", which is no value a row; write its parts as columns; leave it out with --drop 'a'")),
    ({"a": NESTED, "b": [1, 2], "c": [b"1", b"2"], "y": [0, 1]}, {}, "with --drop 'a,c'"),
    ({"a": NESTED, "b": [1, 2], "y": [0, 1]}, {"features": "*"}, "data.parquet: column 'a': "),
    ({"a": NESTED, "y": [0, 1]}, {"drop": "a"}, "data.parquet: no column is left for a feature"),
    ({"a": NESTED, "b": [1, 2], "y": [0, 1]}, {"features": "b,a"}, "data.parquet: a: "),
    ({"a": [1, 2], "y": NESTED}, {}, "data.parquet: y: "),
    ({"a": [1, 2], "y": [[1], [2]]}, {}, "data.parquet: column 'y' has"),
    ({"a": pa.array([1, 2], pa.timestamp("s")), "y": [0, 1]}, {}, "data.parquet: column 'a'"),
    ({"a": [1, 2], "y": [2**60, 1]}, {}, "data.parquet: column 'y', row 1: a whole number over"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "wanted", "told"), BAD)
def test_bad_input_is_told_in_a_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    content: str | dict[str, Any],
    wanted: dict[str, Any],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    here = Path()
    path = text_file(here, content) if isinstance(content, str) else parquet(here, content)
    with pytest.raises(SetupError) as raised:
        read(path, **wanted)
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_second_file_without_a_feature_is_named(tmp_path: Path) -> None:
    files: Sequence[Path] = (
        text_file(tmp_path, "aa,y\n1,0\n", "one.csv"),
        text_file(tmp_path, "ab,y\n1,0\n", "two.csv"),
    )
    with pytest.raises(SetupError, match=r"two\.csv: no column aa; there is ab, y"):
        read(*files)


def test_a_text_far_down_is_named_with_its_row(tmp_path: Path) -> None:
    lines = [f"{number},{number % 2}" for number in range(200_000)]
    lines[150_000] = "n/a,1"
    path = text_file(tmp_path, "\n".join(["a,y", *lines]) + "\n")
    with pytest.raises(SetupError, match="column 'a', row 150001: text"):
        read(path)
