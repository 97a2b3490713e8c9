"""A user's series as files have it: what is read, and what is refused in one line."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import series
from own_series import OwnSeries, Parts, cut, own_series, without_later

from gpfn.errors import SetupError
from tests.conftest import ROOT

Read = Callable[..., OwnSeries]


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    """Write a file called s.csv and read its column ``value``, with ``day`` if there is one."""
    monkeypatch.chdir(tmp_path)

    def write_and_read(content: str | bytes, **chosen: object) -> OwnSeries:
        data = content if isinstance(content, bytes) else content.encode()
        Path("s.csv").write_bytes(data)
        time = "day" if b"day" in data else ""
        return own_series([Path("s.csv")], "value", time, **chosen)  # type: ignore[arg-type]

    return write_and_read


def test_the_sample_is_the_made_series() -> None:
    found = own_series([ROOT / "training" / "sales.csv"], "value", "month")
    assert np.abs(found.values - series.monthly(180, 4)).max() < 0.0051
    assert (found.label(0), found.label(180), found.season) == ("2000-01", "2015-01", 12)


@pytest.mark.parametrize(
    ("content", "values"),
    [
        ("value\n1\n2.5\n-3e2\n", [1, 2.5, -300]),
        ("\ufeffvalue;x\n1,5;a\n2;b\n.5;c\n", None),
        ("\ufeffvalue;x\n1,5;a\n2;b\n0,5;c\n", [1.5, 2, 0.5]),
        ("value;x\n1.500;a\n2.000,25;b\n", [1500, 2000.25]),
        ('value,x\n"1,500",a\n"2,000.25",b\n', [1500, 2000.25]),
        ('"value"\t"x"\n"1"\t"a, b"\n"2"\t"line\nbreak"\n3\tc\n', [1, 2, 3]),
        ("sep=;\nvalue;x\n7;a\n", [7]),
        ("x|value \na| 7 \n\n\n", [7]),
        ("value\r\n1\r\n2\r\n\r\n", [1, 2]),
        ("value\n1\n2\n".encode("utf-16"), [1, 2]),
    ],
)
def test_forms_of_csv(read: Read, content: str | bytes, values: list[float] | None) -> None:
    if values is None:
        with pytest.raises(SetupError, match="no number"):
            read(content)
    else:
        assert read(content).values.tolist() == values


def test_a_doubtful_sign_is_asked_for(read: Read) -> None:
    content = 'value,x\n"1,500",a\n"2,125",b\n'
    with pytest.raises(SetupError, match=r"^s\.csv:2: .*may be 1500 or 1\.5; say --decimal"):
        read(content)
    assert read(content, decimal=",").values.tolist() == [1.5, 2.125]
    assert read(content, decimal=".").values.tolist() == [1500, 2125]
    with pytest.raises(SetupError, match=r"may be 1\.5 or 1500"):
        read("value;x\n1.500;a\n2.125;b\n")
    assert read("value,x\n1.500,a\n2.125,b\n").values.tolist() == [1.5, 2.125]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "s.csv: has no first line with names of columns"),
        ("value\n", "s.csv: has no rows"),
        ("a,b\n1,2\n", "s.csv: no column 'value'; --column is one of 'a', 'b'"),
        ("value,value\n1,2\n", "s.csv: several columns are called 'value'"),
        ("value\n1\nmuch\n", "s.csv:3: column value: 'much' is no number"),
        ("value\n1\n1e999\n", "s.csv:3: column value: '1e999' is no number"),
        ("value\n1\ninf\n", "s.csv:3: column value: 'inf' is no number"),
        ("value\n1\n1_000\n", "s.csv:3: column value: '1_000' is no number"),
        ("value\n1\n٣\n", "s.csv:3: column value: '٣' is no number"),
        ("value,x\n1,2\n3\n", "s.csv:3: expected 2 fields between ',', got 1"),
        ('value,x\n1,2\n"3,4\n5,6\n', "s.csv:3: cannot be read as CSV"),
        (b"value\n1\n\xe4\n", "s.csv: is no UTF-8"),
        (b"\x89PNG\0\0", "s.csv: is no CSV"),
        ("value\n1\n\n3\n", "s.csv:3: column value: no value, one of 1; --fill previous or"),
        ("value\nNaN\n3\n", "s.csv:2: column value: no value at the beginning; remove"),
        ("value\n3\nn/a\n", "s.csv:3: column value: no value at the end; remove such rows"),
        ("value,x\n,1\n?,1\n", "s.csv:2: column value: no value in any row"),
        ("value\n1e31\n2\n", "s.csv:2: column value: values up to 1e+31, which float32"),
    ],
)
def test_what_is_no_series_is_told_with_its_line(
    read: Read, content: str | bytes, told: str
) -> None:
    with pytest.raises(SetupError) as raised:
        read(content)
    assert str(raised.value).startswith(told)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("days", "told"),
    [
        ("2020-01,2020-02,2020-02,2020-03", "s.csv:4: column day: 2020-02 is there twice, also in"),
        ("2020-01,2020-03,2020-02", "s.csv:4: column day: 2020-02 comes after 2020-03; sort"),
        ("2020-01,2020-02,2020-05", "s.csv:4: column value: 2 missing between 2020-02 and 2020-05"),
        ("2020-01,2020-02,2020-13", "s.csv:4: column day: '2020-13' is no time such as 2020-01"),
        ("2020-01,,2020-03", "s.csv:3: column day: '' is no time such as 2020-01"),
        ("soon,2020-02", "s.csv:2: column day: 'soon' is no time; known forms: 2020-01, "),
        ("01/02/2020,02/02/2020", "s.csv:2: column day: is 01/02/2020 a day and a month, or"),
        ("2020-01-01T00:00,2020-01-01T01:00,2020-01-01T02:00,2020-01-01T02:20",
         "s.csv:5: column day: 2020-01-01T02:20 comes after 2020-01-01T02:00, and most steps"),
    ],
)  # fmt: skip
def test_times_that_are_out_of_order(read: Read, days: str, told: str) -> None:
    rows = "".join(f"{day},{number}\n" for number, day in enumerate(days.split(",")))
    with pytest.raises(SetupError) as raised:
        read(f"day,value\n{rows}")
    assert str(raised.value).startswith(told)
    assert "\n" not in str(raised.value)


def test_what_is_missing_is_filled_when_asked(read: Read) -> None:
    rows = "day,value\n2020-01-01,1\n2020-01-02,\n2020-01-05,5\n2020-01-06,6\n"
    linear = read(rows, fill="linear")
    assert (linear.values.tolist(), linear.gaps.tolist()) == ([1, 2, 3, 4, 5, 6], [1, 2, 3])
    assert linear.is_missing.tolist() == [False, True, True, True, False, False]
    assert read(rows, fill="previous").values.tolist() == [1, 1, 1, 1, 5, 6]
    with pytest.raises(SetupError, match=r"s\.csv:4: 10798 of 10801 values would have to be put"):
        read("day,value\n2020-01,1\n2020-02,2\n2920-01,3\n", fill="linear")


def test_a_line_over_the_end_of_what_is_learned_from_tells_nothing_of_later(read: Read) -> None:
    rows = "".join(f"2020-01-{day:02d},{day}\n" for day in range(1, 31) if day not in (20, 21, 22))
    found = read(f"day,value\n{rows}", fill="linear")
    assert found.values.tolist() == [*range(1, 31)]
    told = without_later(found, Parts(21, 25, 30))
    assert told.values.tolist() == [*range(1, 20), 19, 19, *range(22, 31)]
    assert without_later(found, Parts(19, 25, 30)).values.tolist() == [*range(1, 31)]


def test_rows_are_sorted_when_asked(read: Read) -> None:
    newest_first = "day,value\n2020-03,3\n2020-02,2\n2020-01,1\n"
    assert read(newest_first, sort=True).values.tolist() == [1, 2, 3]
    with pytest.raises(SetupError, match="2020-02 comes after 2020-03"):
        read(newest_first)


def test_several_files_are_one_series(tmp_path: Path) -> None:
    files = [tmp_path / "1.csv", tmp_path / "2.parquet", tmp_path / "3.jsonl"]
    files[0].write_text("day;value\n2020-01-30;1,5\n2020-01-31;2\n")
    days = pa.array(np.array(["2020-02-01", "2020-02-02"], "datetime64[D]"))
    pq.write_table(pa.table({"value": [3.0, None], "day": days}), files[1])
    files[2].write_text('{"day": "2020-02-03", "value": 5}\n{"value": 6, "day": "2020-02-04"}\n')
    found = own_series(files, "value", "day", fill="linear")
    assert found.values.tolist() == [1.5, 2, 3, 4, 5, 6]
    assert found.label(6) == "2020-02-05"
    with pytest.raises(SetupError, match=r"2\.parquet: row 2: column value: no value"):
        own_series(files, "value", "day")


def test_why_a_column_cannot_be_read_is_told(tmp_path: Path) -> None:
    file = tmp_path / "s.parquet"
    pq.write_table(pa.table({"x": [1.0], "value": [{"p": 1}]}), file)
    with pytest.raises(SetupError, match=r"s\.parquet: column value: a nested column"):
        own_series([file], "value", "")


def test_parquet_of_other_types(tmp_path: Path) -> None:
    file = tmp_path / "s.parquet"
    stamps = pa.array([1577836800 + hour * 3600 for hour in range(3)], pa.timestamp("s", "UTC"))
    texts = pa.array(["1", "2", "x"])
    nested = pa.array([{"a": 1}] * 3)
    table = {"at": stamps, "whole": pa.array([1, 2, 3]), "text": texts, "nested": nested}
    table["flag"] = pa.array([True, False, True])
    pq.write_table(pa.table(table), file)
    found = own_series([file], "whole", "at")
    assert (found.values.tolist(), found.step_name, found.season) == ([1, 2, 3], "hour", 24)
    for column, told in [("text", "row 3: column text: 'x' is no number"), ("flag", "flag"),
                         ("nested", "nested"), ("none", "no column 'none'")]:  # fmt: skip
        with pytest.raises(SetupError, match=told):
            own_series([file], column, "")
    odd = tmp_path / "odd.jsonl"
    for value in ("1e400", "1" + "0" * 400, "true", "[1]", '{"a": 1}'):
        odd.write_text(f'{{"value": 1}}\n{{"value": {value}}}\n')
        with pytest.raises(SetupError, match=r"odd\.jsonl"):
            own_series([odd], "value", "")
    pq.write_table(pa.table({"value": [1.0, float("inf")]}), tmp_path / "inf.parquet")
    with pytest.raises(SetupError, match="row 2: column value: 'inf' is no number"):
        own_series([tmp_path / "inf.parquet"], "value", "")
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(SetupError, match=r"s\.parquet: not a Parquet file that can be read"):
        own_series([file], "whole", "at")
    with pytest.raises(SetupError, match=r"gone\.csv: no such file"):
        own_series([tmp_path / "gone.csv"], "", "")


def test_parts_by_time() -> None:
    values = np.arange(100.0)
    parts = cut(OwnSeries("value", values, None), 20, 3)
    assert parts == (70, 80, 100)


@pytest.mark.parametrize(
    ("count", "window", "horizon", "told"),
    [
        (1, 20, 1, "1 values; windows of 20 and 1 ahead need 40; bring more"),
        (39, 20, 1, "39 values; windows of 20 and 1 ahead need 40; --window 19 would do"),
        (40, 20, 1, ""),
        (60, 20, 12, "60 values; windows of 20 and 12 ahead need 64; --window 17 would do"),
    ],
)
def test_too_short_says_how_many_are_needed(
    count: int, window: int, horizon: int, told: str
) -> None:
    short = OwnSeries("value", np.arange(float(count)), None)
    if not told:
        assert cut(short, window, horizon).length == count
        return
    with pytest.raises(SetupError, match=f"column value: {told}"):
        cut(short, window, horizon)


def test_a_series_that_does_not_move_is_nothing_to_learn() -> None:
    same = np.full(100, 5.0)
    with pytest.raises(SetupError, match="all 100 values are 5: nothing to learn; take a"):
        cut(OwnSeries("value", same, None), 20, 1)
    with pytest.raises(SetupError, match="the first 70 values are about 1e"):
        cut(OwnSeries("value", 1e9 + np.arange(100.0), None), 20, 1)
