"""CSV as a model's inputs: names or none, any shape for a row, and what is wrong."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpfn.cli.columns import inputs_of_rows
from gpfn.cli.csv_rows import read_csv, read_rows
from gpfn.errors import InvalidTensor, TooLarge
from gpfn.limits import Limits
from gpfn.models.columns import Column
from gpfn.tensors.spec import TensorSpec

LIMITS = Limits()
X = TensorSpec("float32", (None, 3), "x")


@pytest.mark.parametrize(
    "text",
    [
        "1,2,3\n4,5,6\n",
        "a,b,c\n1,2,3\n4,5,6",
        "\ufeffa;b;c\r\n1;2;3\r\n4;5;6\r\n\r\n",
        '1\t2\t"3"\n 4\t5.0\t6e0\n',
    ],
)
def test_a_line_is_a_row(text: str) -> None:
    (array,) = read_csv(text.encode(), [X], LIMITS, path="f").values()
    assert array.dtype == np.float32
    assert array.tolist() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize("shape", [(None, 3, 1), (1, 3, 1), (None, 1, 3), None])
def test_a_row_has_the_inputs_shape(shape: tuple[int | None, ...] | None) -> None:
    spec = TensorSpec("int64", shape, "x")
    array = read_csv(b"1,2,3\n4,5,6\n", [spec], LIMITS, path="f")["x"]
    assert array.shape == (2, *(shape[1:] if shape else (3,)))


def test_a_column_may_be_an_input() -> None:
    specs = [TensorSpec("float32", (None, 1), "b"), TensorSpec("int32", (None,), "a")]
    arrays = read_csv(b"a,b\n1,0.5\n2,1\n", specs, LIMITS, path="f")
    assert arrays["a"].tolist() == [1, 2]
    assert arrays["b"].tolist() == [[0.5], [1.0]]
    with pytest.raises(
        InvalidTensor, match="missing column b; unknown column c; the columns are b, a"
    ):
        read_csv(b"a,c\n1,2\n", specs, LIMITS, path="f")
    assert read_csv(b"1,2", [], LIMITS, path="f")[""].tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (b"", "f"),
        (b"a,b\n", "f"),
        (b"1,2\n3\n", "f:2"),
        (b"a,b,c\n1,2,3\n\n4,5,6\n", "f:3"),
        (b",,\n1,2,3\n", "f:1.column1"),
        (b"1,nan,2\n", "f:1.column2"),
        (b"1,inf,2\n", "f:1.column2"),
        (b"1,1" + b"0" * 5000 + b",2\n", "f:1.column2"),
        (b"1,2,y\n", "f:1.column3"),
        (b"a,b,c\n1,2,3\n1,2,x\n", "f:3.c"),
        (b"1,2,\n", "f:1.column3"),
        (b"1,2,1" + b"0" * 400 + b"\n", "f:1.column3"),
        (b"1,2,1_0\n", "f:1.column3"),
        ("1,2,٣\n".encode(), "f:1.column3"),
        (b"1,2,1e39\n", "f:1.column3"),
        (b"1,2\n", "f"),
        (b"\xff", "f"),
        (b'"' + b"1" * 200_000 + b'"', "f:1"),
        (b'1,2,3\n1,2,"3\n4,5,6\n', "f:3"),  # a quote that nobody closes
        (b'1,2,"3"4\n', "f:1"),
        (b"\n1,2,3\n4,5,6\n", "f:1"),
    ],
)
def test_what_is_wrong_is_named(text: bytes, field: str) -> None:
    with pytest.raises(InvalidTensor) as refused:
        read_csv(text, [X], LIMITS, path="f")
    assert refused.value.field == field
    with pytest.raises(TooLarge):
        read_csv(b"1,2,3\n" * 3, [X], Limits(elements=8), path="f")


def test_no_text_is_guessed_at() -> None:
    specs = [TensorSpec("string", (None,), "zip"), TensorSpec("bool", (None,), "new")]
    text = '"zip"|new\n02139|true\nNA|0\n"a|b\nc"|FALSE\n'
    arrays = read_csv(text.encode(), specs, LIMITS, path="f")
    assert arrays["zip"].tolist() == ["02139", "NA", "a|b\nc"]
    assert arrays["new"].tolist() == [True, False, False]
    with pytest.raises(InvalidTensor, match=r"f:3.new: expected true or false, got text"):
        read_csv(b"zip;new\na;1\nb;yes\n", specs, LIMITS, path="f")


def test_an_empty_cell_is_missing_as_it_is_to_a_function_of_rows() -> None:
    specs = [TensorSpec("string", (None,), "zip"), TensorSpec("float32", (None,), "new")]
    with pytest.raises(InvalidTensor, match=r"f:3.zip: "):
        read_csv(b"zip,new\nNA,1\n,2\n", specs, LIMITS, path="f")
    declared = [Column("zip", default="none")]
    rows = read_rows(b"zip,new\nNA,1\n,2\n", LIMITS, path="f", known=["zip"])
    assert inputs_of_rows(rows, specs, LIMITS, declared)["zip"].tolist() == ["NA", "none"]


def test_a_row_of_nothing_is_a_row() -> None:
    specs = [TensorSpec("string", (None,), "zip"), TensorSpec("float32", (None,), "new")]
    declared = [Column("zip", default="none"), Column("new", default=7)]
    text = b"zip,new\na,1\n,\nb,2\n\n"
    arrays = read_csv(text, specs, LIMITS, path="f", declared=declared)
    assert arrays["zip"].tolist() == ["a", "none", "b"]
    assert arrays["new"].tolist() == [1, 7, 2]
    arrays = read_csv(b'zip\na\n"  "\n\nb\n\n', specs[:1], LIMITS, path="f", declared=declared[:1])
    assert arrays["zip"].tolist() == ["a", "  ", "none", "b"]


def test_rows_are_counted_while_they_are_read() -> None:
    with pytest.raises(TooLarge, match="2 rows"):
        read_rows(b"1,2\n" * 3 + b'"', Limits(rows=2), path="f")


def test_a_first_line_with_a_known_name_is_one_of_names() -> None:
    specs = [TensorSpec("float32", (None,), "2020"), TensorSpec("float32", (None,), "2021")]
    assert read_csv(b"2021,2020\n1,2\n", specs, LIMITS, path="f")["2020"].tolist() == [2]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            b"a,bb\n1,2\n",
            "f: missing column b; unknown column bb; the columns are a, b; did you mean b?",
        ),
        (b"a,weight\n1,2\n", "f: missing column b; unknown column weight; the columns are a, b"),
        (b"a,b,\n1,2,\n", "f: cell 3 of the names is empty"),
        (b"a\n1\n", "f: missing column b; the columns are a, b"),
        (b"a,b,a\n1,2,3\n", "f: the column 'a' is there twice"),
        (b"1,2\n", "f: expected a first line with the inputs' names: a, b"),
    ],
)
def test_columns_that_are_not_the_models(text: bytes, told: str) -> None:
    specs = [TensorSpec("float32", (None,), "a"), TensorSpec("float32", (None,), "b")]
    with pytest.raises(InvalidTensor) as refused:
        read_csv(text, specs, LIMITS, path="f")
    assert str(refused.value) == told


@settings(deadline=None)  # the first example pays for imports
@given(st.lists(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=3, max_size=3), min_size=1))  # fmt: skip  # noqa: E501
def test_numbers_are_read_as_they_were_written(rows: list[list[float]]) -> None:
    text = "\n".join(",".join(map(repr, row)) for row in rows)
    assert read_csv(text.encode(), [X], LIMITS, path="f")["x"].tolist() == rows


@settings(deadline=None)  # the first example pays for imports
@given(st.binary(max_size=60))
def test_anything_is_read_or_refused(data: bytes) -> None:
    try:
        array = read_csv(data, [X], LIMITS, path="f")["x"]
    except (InvalidTensor, TooLarge):
        return
    assert array.ndim == 2
