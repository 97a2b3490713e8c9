"""The columns of rows: what a model says, what a model.toml adds, and what cannot be."""

import pytest

from gpfn.errors import SetupError
from gpfn.limits import Limits
from gpfn.models.columns import Column
from gpfn.rows.json_rows import decode_json_rows
from gpfn.rows.schema import listed, row_schema, zero_row
from gpfn.tensors.spec import DTYPES, TensorSpec

MATRIX = [TensorSpec("float32", (None, 2), "x")]
EACH = [
    TensorSpec("float32", (None, 1), "height"),
    TensorSpec("string", (None, 1), "city"),
    TensorSpec("float32", (None,), "age"),
    TensorSpec("int64", None, "count"),
]


def test_columns_are_the_inputs_in_the_models_order() -> None:
    schema = row_schema(EACH, [Column("age", default=40), Column("height")])
    assert schema.names == ("height", "city", "age", "count")
    assert [column.dtype.name for column in schema.columns] == [
        "float32", "string", "float32", "int64",
    ]  # fmt: skip
    assert [column.default for column in schema.columns] == [None, None, 40.0, None]
    assert not schema.is_text
    assert {block.inputs for block in schema.blocks} == {
        ("height",), ("city",), ("age",), ("count",),
    }  # fmt: skip


def test_inputs_of_one_dtype_and_shape_are_packed_together() -> None:
    specs = [TensorSpec("float32", (None, 1), name) for name in "abc"]
    [block] = row_schema(specs).blocks
    assert (block.inputs, block.tail, block.matrix) == (("a", "b", "c"), (1,), False)


def test_the_columns_of_a_matrix_are_those_of_the_description() -> None:
    schema = row_schema(MATRIX, [Column("b", "int64"), Column("a", missing=("?",))])
    assert schema.names == ("b", "a")
    assert [column.dtype.name for column in schema.columns] == ["int64", "float32"]
    [block] = schema.blocks
    assert block.matrix
    assert not block.plain
    assert row_schema([TensorSpec("float32", (None, None), "x")], [Column("a")]).names == ("a",)


def test_a_matrix_of_one_column_has_a_name_either_way() -> None:
    one = [TensorSpec("string", (None, 1), "x")]
    assert row_schema(one).names == ("x",)
    assert row_schema(one, [Column("text")]).names == ("text",)
    assert row_schema(one, [Column("x", default="")]).columns[0].default == ""
    assert row_schema(one).is_text
    assert not row_schema(MATRIX, [Column("a"), Column("b")]).is_text


@pytest.mark.parametrize(
    ("specs", "declared", "field", "told"),
    [
        ([], [], "inputs", "does not say what it takes; declare inputs="),
        (MATRIX, [], "columns", "have no names: list them in a model.toml"),
        (MATRIX, [Column("a")], "columns", "model.toml has 1, but x takes 2"),
        (MATRIX, [Column("a"), Column("a")], "columns[1].name", "a is there twice"),
        (EACH, [Column("hight")], "columns[0].name", "the model has no input hight; it takes"),
        ([*EACH, *MATRIX], [], "inputs.x", "takes float32 (any, 2); rows need an input of one"),
        (EACH, [Column("city", "int64")], "columns[0].dtype", "int64 cannot feed city, which is"),
        (EACH, [Column("age", "string")], "columns[0].dtype", "string cannot feed age"),
        (EACH, [Column("count", "float64")], "columns[0].dtype", "float64 cannot feed count"),
        (EACH, [Column("age", default="x")], "columns[0].default", "a value of float32, got text"),
        (EACH, [Column("age"), Column("count", default=1.5)], "columns[1].default", "fraction"),
        (EACH, [Column("count", default=float("nan"))], "columns[0].default", "fraction"),
        (EACH, [Column("city", default=5)], "columns[0].default", "expected text, got a number"),
        (EACH, [Column("age", default=True)], "columns[0].default", "got true or false"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_where_it_is_declared(
    specs: list[TensorSpec], declared: list[Column], field: str, told: str
) -> None:
    with pytest.raises(SetupError) as caught:
        row_schema(specs, declared)
    assert caught.value.field == field
    assert told in caught.value.detail


def test_zeros_are_a_row() -> None:
    specs = [TensorSpec(dtype, (None,), dtype) for dtype in sorted(DTYPES)]
    schema = row_schema(specs)
    arrays = decode_json_rows(zero_row(schema), schema, Limits()).arrays
    assert {name: not array[0] for name, array in arrays.items()} == dict.fromkeys(DTYPES, True)


def test_names_in_errors_are_not_too_many() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed([str(n) for n in range(10)]) == "0, 1, 2, 3, 4, 5, 6, 7 and 2 more"
