"""Conditions on columns: what they mean, and what is said of those that mean nothing."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpfn.data.cut import Cut
from gpfn.errors import SetupError

ROWS = {
    "mass": np.array([119.0, 121.0, 125.0, np.nan, 131.0], np.float32),
    "nMuon": np.array([0, 1, 2, 3, 4], np.int64),
    "Jet_pt[0]": np.array([10, 40, 50, 60, 0.0], np.float32),
    "mean radius": np.array([1.0, 2, 3, 4, 5]),
    "jet.eta": np.array([-3.0, -1, 0, 1, 3]),
    "isTight": np.array([True, False, True, False, True]),
    "channel": np.array(["mm", "ee", "em", None, "mm"], object),
    "count(Jet_pt)": np.array([1, 0, 0, 0, 2]),
    "run": np.array([2**60, 2**60 + 1, 1, 2, 3], np.int64),
}


def rows_of(text: str) -> list[int]:
    """Return the numbers of the rows that fulfil a condition."""
    return np.flatnonzero(Cut(text)(ROWS)).tolist()


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("mass > 120", [1, 2, 4]),
        ("mass > 120 and mass < 130", [1, 2]),
        ("mass > 120 & mass < 130", [1, 2]),
        ("mass > 120 && mass < 130", [1, 2]),
        ("(mass > 120) & (mass < 130)", [1, 2]),
        ("120 < mass < 130", [1, 2]),
        ("mass < 120 or mass > 130", [0, 4]),
        ("mass < 120 || mass > 130", [0, 4]),
        ("mass < 120 | mass > 130", [0, 4]),
        ("not mass > 120", [0, 3]),
        ("!(mass > 120)", [0, 3]),
        ("~(mass > 120)", [0, 3]),
        ("mass != 121", [0, 2, 4]),
        ("Jet_pt[0] > 30 and nMuon >= 2", [2, 3]),
        ("Jet_pt[ 0 ] > 30 and nMuon>=2", [2, 3]),
        ("`mean radius` >= 4", [3, 4]),
        ("abs(jet.eta) < 2.4", [1, 2, 3]),
        ("isTight", [0, 2, 4]),
        ("isTight and not nMuon == 2", [0, 4]),
        ("channel == 'mm'", [0, 4]),
        ('channel != "mm"', [1, 2]),
        ("nMuon * 2 + 1 == 5", [2]),
        ("nMuon % 2 == 0", [0, 2, 4]),
        ("2 ** nMuon ** 1 > 4", [3, 4]),
        ("-nMuon > -2", [0, 1]),
        ("-2 ** 2 == -4", [0, 1, 2, 3, 4]),
        ("+nMuon == 1", [1]),
        ("1 / nMuon > 1e6", [0]),
        ("log(nMuon - 5) > 0", []),
        ("max(nMuon, 2) == 2 and min(nMuon, 1) == 1", [1, 2]),
        ("hypot(nMuon, nMuon) > 5.6", [4]),
        ("run == 1152921504606846977", [1]),
        ("nMuon < 99999999999999999999999", [0, 1, 2, 3, 4]),
        ("count( Jet_pt ) >= 1", [0, 4]),
        ("true", [0, 1, 2, 3, 4]),
        ("FALSE OR nMuon == .3e1", [3]),
        ("nMuon == 1 or nMuon == 2 and mass > 130", [1]),
    ],
)
def test_a_condition_means_what_people_mean(text: str, rows: list[int]) -> None:
    assert rows_of(text) == rows


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "expected a column or a number, got the end, at character 1 of ''"),
        ("mass >", "expected a column or a number, got the end, at character 7 of 'mass >'"),
        ("mass = 120", "= compares nothing; write ==, at character 6"),
        ("(mass > 1", "expected ), got the end, at character 10"),
        ("mass > 1)", "expected and, or, a comparison or the end, got ')', at character 9"),
        ("mass > 12x", "'12x' is no number, at character 8"),
        ("channel == 'mm", "' is opened and not closed, at character 12"),
        ("mass[nMuon] > 1", "an index is one whole number behind a name, such as Jet_pt[0]"),
        ("mass > 1; mass", "';' means nothing here, at character 9"),
        ("system('x') > 1", "no function system; there are abs, sqrt, exp"),
        ("__import__('os')", "no function __import__"),
        ("count(1) > 1", "no function count; there are"),
        ("abs(mass, 1) > 1", "abs takes 1 of them, got 2, at character 1"),
        ("mas > 120", "no column 'mas'; did you mean mass?, at character 1"),
        ("mass > 1 and zzz", "no column 'zzz'; there are mass, nMuon, Jet_pt[0], mean radius, j"),
        ("mass > 1 and zzz", "jet.eta, isTight and 3 more, at character 14"),
        ("nMuon", "expected a condition, got a number; compare it, such as with > 0, at ch"),
        ("nMuon and isTight", "expected a condition, got a number"),
        ("not nMuon", "expected a condition, got a number"),
        ("channel", "expected a condition, got a text"),
        ("channel == 1", "a text is compared with a number, at character 9"),
        ("1 == channel", "a text is compared with a number"),
        ("channel > 'a'", "texts are equal or not; > is for numbers, at character 9"),
        ("-channel == 1", "expected a number, got a text, at character 2"),
        ("(" * 40 + "mass" + ")" * 40, "more than 30 levels, at character 31"),
        ("+".join(["mass"] * 400) + " > 1", "more than 300 words and marks"),
        ("m" * 20_000, "more than 10000 characters"),
    ],
)  # fmt: skip
def test_what_means_nothing_is_told_with_its_position(text: str, told: str) -> None:
    with pytest.raises(SetupError) as raised:
        Cut(text)(ROWS)
    assert told in str(raised.value)
    assert str(raised.value).startswith("--signal-region: ")
    assert "\n" not in str(raised.value)


def test_a_column_of_lists_needs_an_index() -> None:
    with pytest.raises(SetupError, match=re.escape("take one of them, such as Jet_pt[0]")):
        Cut("Jet_pt > 3")({"Jet_pt": np.ones((2, 3))})


def test_the_columns_are_told_before_any_row_is_read() -> None:
    cut = Cut("mass > 120 & Jet_pt[0] > abs(mass)")
    assert cut.columns == ("mass", "Jet_pt[0]")
    with pytest.raises(SetupError, match=r"in a\.csv; did you mean mass_1"):
        cut.check_columns(["mass_1", "Jet_pt[0]"], "a.csv")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("y < 8", "number"),
        ("-1 < y < a", "number"),
        ("a > 1 and not abs(y) == a", "number"),
        ("y % 2 == a", "number"),
        ("'x' != y", "text"),
        ("y == 'x' or y == 1", "text"),
        ("y == a and a > 1", ""),
        ("y == true", ""),
        ("not y", ""),
    ],
)
def test_what_is_beside_a_column_says_what_it_is_taken_for(text: str, kind: str) -> None:
    assert Cut(text).kind_of("y") == kind


def test_the_longest_chain_is_computed() -> None:
    assert rows_of("+".join(["nMuon"] * 148) + " > 147") == [1, 2, 3, 4]


def test_no_rows_are_no_rows() -> None:
    assert Cut("a > 1")({"a": np.empty(0)}).shape == (0,)
    assert Cut("true")({"a": np.empty(0)}).shape == (0,)


@given(st.text(alphabet="ab01.'\"`<>=!&|~()[]+-*/%, notradx", max_size=40))
def test_any_text_is_a_condition_or_an_error_of_ours(text: str) -> None:
    rows = {"a": np.arange(3.0), "b": np.array(["x", None, "y"], object)}
    try:
        found = Cut(text)(rows)
    except SetupError as error:
        assert "at character" in str(error)  # noqa: PT017
    else:
        assert (found.dtype, found.shape) == (np.bool_, (3,))
