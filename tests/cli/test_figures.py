"""Bars and plots of characters, and which of them an answer is shown as."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpfn.cli.answer import print_answer
from gpfn.cli.figures import bar_text, number_text, plot_lines


def test_bars() -> None:
    assert bar_text(0.5, 4) == "██"
    assert bar_text(0.5, 4, blocks=False) == "##"
    assert bar_text(1 / 32, 4) == "▏"
    assert [bar_text(share, 2) for share in (-1, 0, 1, 7, math.nan, math.inf)] == [
        *("", "", "██", "██", "", "")
    ]


def test_plots() -> None:
    assert plot_lines([0, 1], 20, 3) == [
        "1 |     ████",
        "  |     ████",
        "0 | ▁▁▁▁████",
    ]
    assert plot_lines([0, math.nan, 1], 8, 2, blocks=False) == ["1 |   #", "0 |   #"]
    assert plot_lines([], 20, 3) == plot_lines([math.nan], 20, 3) == []
    assert len(plot_lines([5.0] * 1000, 40, 4)) == 4
    assert max(map(len, plot_lines(range(10_000), 40, 4))) <= 40
    assert number_text(0.1 + 0.2) == "0.3"


@settings(deadline=None)  # the first example pays for imports
@given(st.lists(st.floats(), max_size=200), st.integers(1, 100), st.integers(2, 9))
def test_any_series_is_drawn_in_its_place(values: list[float], width: int, height: int) -> None:
    lines = plot_lines(values, width, height)
    assert len(lines) in (0, height)
    margin = max((line.find("|") for line in lines), default=0)
    assert all(len(line) <= max(width, margin + 3) for line in lines)


@pytest.mark.parametrize(
    ("array", "shown"),
    [
        (np.float32(0.5), "y\n0.5\n"),
        (np.zeros((0, 3), np.float32), "y  float32 (0, 3); --json has the values\n"),
        (np.array([[True, False]]), "y[0]  y[1]\nTrue  False\n"),
        (np.array([b"a\xff", "ü".encode()], object), "y\na\\xff\nü\n"),
        (np.arange(9.0).reshape(1, 9), "y  float64 (1, 9) from 0 to 8; --json has the values\n"),
        (np.zeros((1, 9), object), "y  string (1, 9); --json has the values\n"),
        (np.array([[np.nan, np.inf]]), "y[0]  y[1]\nnan   inf\n"),
    ],
)
def test_outputs_without_classes(
    array: np.ndarray, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_answer({"y": np.asarray(array)}, {})
    assert capsys.readouterr().out == shown


def test_scores_that_are_no_shares(capsys: pytest.CaptureFixture[str]) -> None:
    scores = np.array([[-3.0, np.nan, 12.5]], np.float32)
    print_answer({"y": scores}, {"y": ["a", "b", "c"]}, best=2)
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["y", "score"],
        ["c", "12.5"],
        ["a", "-3"],
    ]


def test_outputs_of_different_lengths_are_tables_apart(capsys: pytest.CaptureFixture[str]) -> None:
    print_answer({"a": np.arange(2), "b": np.arange(3), "c": np.arange(2)}, {})
    assert capsys.readouterr().out == "a  c\n0  0\n1  1\nb\n0\n1\n2\n"
