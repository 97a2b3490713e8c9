"""Whatever a file has, it is a series or one line that names it; never another error."""

import csv
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from number_texts import numbers
from own_series import own_series
from time_axis import time_axis
from time_forms import label, times_of

from gpfn.errors import SetupError

CELLS = st.text(max_size=12) | st.sampled_from(
    ["1", "1.5", "1,5", "1.000,5", "", "NaN", "2020-01", "2020-02", "2020-13", "x", "-", '"']
)
PARTS = [b"value", b"t", b",", b";", b"\t", b"\n", b"\r", b'"', b"1", b".", b"2020-01", b"\xef\xbb"]


@pytest.fixture(scope="module")
def file() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder, "s.csv")


def outcome(file: Path, time: str, *, fill: str, sort: bool) -> tuple[str, np.ndarray]:
    """Return what is told of a file, and its values when nothing is."""
    try:
        return "", own_series([file], "value", time, fill=fill, sort=sort).values
    except SetupError as error:
        return str(error), np.array([])


@given(st.binary(max_size=60) | st.lists(st.sampled_from(PARTS), max_size=40).map(b"".join))
@example(b"\xff\xfe")
@example(b"\xfe\xffv")
@example(b"v" * 140_000 + b"\n1\n")
@example(b"value\n" + b'"' + b"1" * 140_000 + b'"\n')
def test_any_bytes(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    for time in ("", "t"):
        told, found = outcome(file, time, fill="linear", sort=bool(time))
        assert "\n" not in told
        assert bool(told) == ("s.csv" in told)
        assert told or np.isfinite(found).all()


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=6), st.sampled_from(",;\t|"))
def test_any_cells(file: Path, rows: list[tuple[str, str]], separator: str) -> None:
    text = io.StringIO()
    csv.writer(text, delimiter=separator).writerows([("t", "value"), *rows])
    file.write_text(text.getvalue(), encoding="utf-8", errors="replace", newline="")
    assert "\n" not in outcome(file, "t", fill="previous", sort=True)[0]


@given(st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=8))
def test_numbers_come_back_as_they_were_written(values: list[float]) -> None:
    places = ["p"] * len(values)
    assert numbers([repr(each) for each in values], places, "c").tolist() == values
    swapped = [repr(each).replace(".", ",") for each in values]
    assert numbers(swapped, places, "c", decimal=",").tolist() == values


@given(st.sampled_from(["year", "quarter", "month", "week", "day"]), st.integers(-900, 9000))
def test_labels_are_read_as_their_times(unit: str, count: int) -> None:
    count = count % 500 if unit == "year" else count
    assert times_of([label(unit, count)], ["p"], "c")[0] in (unit, "month")
    texts = [label(unit, count + step) for step in range(3)]
    found = time_axis(texts, ["p"] * 3, "c")
    assert [found.label(step) for step in range(3)] == texts
