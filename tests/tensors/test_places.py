"""How errors speak."""

import pytest

from gpfn.tensors.shapes import at, counted, shape_text, shown, what


def test_paths_counts_and_shapes() -> None:
    assert at("data", (3, 7)) == "data[3][7]"
    assert at("data", ()) == "data"
    assert (counted(1, "number"), counted(0, "list")) == ("1 number", "0 lists")
    assert [shape_text(s) for s in ((), (3,), (None, 20, 1))] == ["()", "(3,)", "(any, 20, 1)"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (1.5, "1.5"),
        ("a\r\nb", r"'a\r\nb'"),
        ("x" * 10**6, "'" + "x" * 38 + "…"),
        (b"\xff", r"b'\xff'"),
    ],
)
def test_a_value_is_shown_short_and_on_one_line(value: object, text: str) -> None:
    assert shown(value) == text


def test_a_huge_whole_number_is_not_spelled_out() -> None:
    assert shown(10**5000) == "a whole number of 16610 bits"


def test_kinds_of_json_values() -> None:
    assert [what(v) for v in ([1, 2], {}, "a", None)] == [
        "a list of 2",
        "an object",
        "the string 'a'",
        "null",
    ]
