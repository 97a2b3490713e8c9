"""Settings are read in one way, and a bad one is told in one line with its name."""

import subprocess
import sys

import pytest

from gpfn.errors import SetupError
from gpfn.settings import read_choice, read_duration, read_size, read_switch, read_whole

NAME = "GPFN_TEST"


@pytest.mark.parametrize(
    ("text", "value"), [("7", 7), ("007", 7), ("0" * 5000 + "7", 7), ("", 3), ("0", 0)]
)
def test_whole_numbers(text: str, value: int) -> None:
    assert read_whole(NAME, 3, environ={NAME: text}) == value


@pytest.mark.parametrize("text", ["-1", "+1", "1.0", "1e3", "٣", " 1", "x", "9" * 5000, "1_000"])
def test_what_is_no_whole_number_is_told_in_one_line(text: str) -> None:
    with pytest.raises(SetupError, match="expected a whole number") as caught:
        read_whole(NAME, 3, environ={NAME: text})
    assert caught.value.field == NAME
    assert len(str(caught.value)) < 120
    assert "\n" not in str(caught.value)


def test_bounds_are_part_of_the_message() -> None:
    with pytest.raises(SetupError, match="expected a whole number from 1 to 65535, got '65536'"):
        read_whole(NAME, 1, least=1, most=65535, environ={NAME: "65536"})
    with pytest.raises(SetupError, match="expected a whole number above 0, got '0'"):
        read_whole(NAME, 1, least=1, environ={NAME: "0"})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1048576", 1 << 20),
        ("64k", 64 << 10),
        ("64 KiB", 64 << 10),
        ("64kB", 64000),
        ("6MiB", 6 << 20),
        ("2GB", 2 * 1000**3),
        ("1b", 1),
        ("", 5),
    ],
)
def test_sizes(text: str, value: int) -> None:
    assert read_size(NAME, 5, environ={NAME: text}) == value


@pytest.mark.parametrize("text", ["0", "k", "-1k", "1.5M", "1T", "64kk", "9" * 30])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(SetupError, match="number of bytes from 1 up, such as 64k"):
        read_size(NAME, 5, environ={NAME: text})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2", 2.0),
        ("0.5", 0.5),
        ("0" * 5000 + "2.5s", 2.5),
        ("00", 0.0),
        ("500ms", 0.5),
        ("2s", 2.0),
        ("5m", 300.0),
        ("1h", 3600.0),
    ],
)
def test_durations(text: str, value: float) -> None:
    assert read_duration(NAME, 9.0, environ={NAME: text}) == value


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "1d", "s", "1e99", "9" * 5000, "2 days"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(SetupError, match="expected seconds from 0 to 86400"):
        read_duration(NAME, 9.0, environ={NAME: text})


def test_switches_and_choices() -> None:
    assert [read_switch(NAME, environ={NAME: text}) for text in ("on", "TRUE", "1", "off", "")] == [
        *(True, True, True, False, False)
    ]
    with pytest.raises(SetupError, match="expected on or off, got 'maybe'"):
        read_switch(NAME, environ={NAME: "maybe"})
    assert read_choice(NAME, "text", ("text", "json"), environ={NAME: "json"}) == "json"
    with pytest.raises(SetupError, match="expected one of text, json, got 'xml'"):
        read_choice(NAME, "text", ("text", "json"), environ={NAME: "xml"})


def test_a_long_value_is_cut() -> None:
    with pytest.raises(SetupError) as caught:
        read_choice(NAME, "a", ("a",), environ={NAME: "x" * 5_000_000})
    assert len(str(caught.value)) < 120


def test_it_loads_nothing() -> None:
    code = "import sys; a = set(sys.modules); import gpfn.settings; print(*set(sys.modules) - a)"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = {name.split(".")[0] for name in run.stdout.split()}
    assert not loaded & {"re", "typing", "enum", "dataclasses", "functools", "json"}
