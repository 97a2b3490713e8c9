"""Rows in JSON and CSV become the same arrays, and what is wrong is told without a value."""

from contextlib import suppress
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpfn.errors import GpfnError, InvalidTensor, TooLarge, UnsupportedMedia
from gpfn.limits import Limits
from gpfn.models.columns import Column
from gpfn.rows.csv_rows import decode_csv_rows, text_of
from gpfn.rows.json_rows import check_text, decode_json_rows
from gpfn.rows.schema import RowSchema, row_schema
from gpfn.rows.values import WrongValue, checked
from gpfn.tensors.spec import TensorSpec

LIMITS = Limits()
SPECS = [
    TensorSpec("float32", (None, 1), "height"),
    TensorSpec("int32", (None, 1), "age"),
    TensorSpec("string", (None, 1), "postcode"),
    TensorSpec("int64", (None, 1), "id"),
    TensorSpec("bool", (None, 1), "member"),
]
SCHEMA = row_schema(SPECS)
ROW = {"height": 1.75, "age": 33, "postcode": "02139", "id": 1234567890123456789, "member": True}
LINE = "1.75,33,02139,1234567890123456789,true"
HEAD = ",".join(ROW)
FILLED = row_schema(
    SPECS,
    [
        Column("height", default=float("nan")),
        Column("age", default=40, missing=("n/a", "-")),
        Column("postcode", default="?"),
        Column("id", default=0),
        Column("member", default=False),
    ],
)
TWO = row_schema([TensorSpec("float32", (None, 2), "x")], [Column("b", "int64"), Column("a")])
TEXT = row_schema([TensorSpec("string", (None,), "text")])
SECRET = "hunter2"


def of_json(value: Any, schema: RowSchema = SCHEMA, limits: Limits = LIMITS) -> Any:
    return decode_json_rows(value, schema, limits).arrays


def of_csv(
    text: str | bytes, schema: RowSchema = SCHEMA, media: str = "text/csv", limits: Limits = LIMITS
) -> Any:
    data = text.encode() if isinstance(text, str) else text
    return decode_csv_rows(data, media, schema, limits).arrays


def plain(arrays: dict[str, Any]) -> dict[str, list[Any]]:
    return {name: array.tolist() for name, array in arrays.items()}


def dtypes(arrays: dict[str, Any]) -> list[str]:
    return [array.dtype.name for array in arrays.values()]


def refused(call: Any, kind: type[GpfnError] = InvalidTensor) -> tuple[str | None, str]:
    with pytest.raises(kind) as caught:
        call()
    assert SECRET not in str(caught.value)
    return caught.value.field, caught.value.detail


EXPECTED = {name: [[value]] for name, value in ROW.items()}


def test_an_object_goes_by_name_whatever_its_order() -> None:
    found = of_json(dict(reversed(ROW.items())))
    assert plain(found) == EXPECTED
    assert [*found] == [*ROW]
    assert dtypes(found) == ["float32", "int32", "object", "int64", "bool"]


@pytest.mark.parametrize(
    "value", [[ROW, ROW], [[*ROW.values()], [*ROW.values()]], [dict(sorted(ROW.items())), ROW]]
)
def test_lists_of_objects_and_of_lists_are_rows(value: object) -> None:
    assert plain(of_json(value)) == {name: [[each], [each]] for name, each in ROW.items()}


@pytest.mark.parametrize(
    "text",
    [
        LINE,
        f"{HEAD}\r\n{LINE}\r\n",
        f"\ufeff{HEAD}\n{LINE}",
        f'\ufeff"height",age,postcode,id,member\r{LINE}\r',
        f"{HEAD}\n{LINE}\n\n\n",
        "member,id,age,postcode,height\nTRUE,1234567890123456789, 33 ,02139,+1.750e0",
        'height,age,postcode,id,member\n1.75,"33","02139","1234567890123456789",1\n',
    ],
)
def test_csv_gives_the_same_arrays_as_json(text: str) -> None:
    found = of_csv(text)
    assert plain(found) == EXPECTED
    assert dtypes(found) == dtypes(of_json(ROW))


def test_a_row_is_the_same_row_beside_others() -> None:
    """The type of a column never depends on its batch."""
    whole = of_json([ROW, {**ROW, "age": 34.0}, {**ROW, "age": "35"}])
    assert whole["age"].tolist() == [[33], [34], [35]]
    assert dtypes(whole) == dtypes(of_json(ROW))
    assert of_json(ROW)["height"].shape == (1, 1)


def test_text_stays_as_it_was_sent() -> None:
    words = ["02139", "NA", "null", "nan", " padded ", "1e5", "ä\u0000", "true", '"', "a\nb"]
    assert of_json(words, TEXT)["text"].tolist() == words
    quoted = "\r\n".join('"' + word.replace('"', '""') + '"' for word in words)
    assert of_csv(quoted, TEXT, "text/csv; header=absent")["text"].tolist() == words


@pytest.mark.parametrize(("line", "row"), [(",,,,", {}), (" ,-,,,", {"age": "n/a"})])
def test_what_is_missing_has_its_declared_default(line: str, row: dict[str, object]) -> None:
    wanted = {"age": [[40]], "postcode": [["?"]], "id": [[0]], "member": [[False]]}
    for found in (of_csv(f"{HEAD}\n{line}\n", FILLED), of_json(row, FILLED), of_json([row], FILLED),
                  of_json([[None, *[None] * 4]], FILLED)):  # fmt: skip
        assert np.isnan(found.pop("height")).tolist() == [[True]]
        assert plain(found) == wanted
        assert dtypes(found) == ["int32", "object", "int64", "bool"]


def test_a_column_of_csv_may_be_absent_when_it_has_a_default() -> None:
    found = of_csv("postcode,id\n02139,7\n,8\n", FILLED)
    assert found["postcode"].tolist() == [["02139"], ["?"]]
    assert found["id"].tolist() == [[7], [8]]
    assert found["age"].tolist() == [[40], [40]]


def test_integers_with_a_gap_are_refused_without_a_default() -> None:
    specs = row_schema([TensorSpec("int64", (None,), "n")])
    assert refused(lambda: of_json([[1], [None], [3]], specs)) == (
        "data[1].n", "missing, and the column has no default",
    )  # fmt: skip
    assert refused(lambda: of_csv("n\n1\n\n3\n", specs))[0] == "data:3.n"
    filled = row_schema([TensorSpec("int64", (None,), "n")], [Column("n", default=-1)])
    for found in (of_json([1, None, 3], filled), of_csv("n\n1\n\n3\n", filled)):
        assert (found["n"].tolist(), found["n"].dtype) == ([1, -1, 3], np.int64)


def test_a_matrix_has_its_columns_in_the_order_of_the_description() -> None:
    in_json = (of_json({"a": 0.5, "b": 2}, TWO), of_json([[2, 0.5]], TWO))
    for found in (*in_json, of_csv("a,b\n0.5,2\n", TWO), of_csv("2,0.5", TWO)):
        assert (found["x"].tolist(), found["x"].dtype) == ([[2.0, 0.5]], np.float32)
    assert of_json([[1, 2], [3, 4]], TWO)["x"].tolist() == [[1, 2], [3, 4]]


def test_members_of_somebody_else_are_set_aside_where_they_may_be() -> None:
    found = decode_json_rows({**ROW, "action": SECRET}, SCHEMA, LIMITS, mixed=True)
    assert plain(found.arrays) == EXPECTED


@pytest.mark.parametrize(
    ("value", "field", "told"),
    [
        ({k: v for k, v in ROW.items() if k != "age"}, "data.age", "missing column age; the col"),
        ([ROW, {"age": 1}], "data[1].height", "missing columns height, postcode, id, member"),
        ({**ROW, "agee": SECRET}, "data.agee", "unknown column agee; the columns are height, age"),
        ([{**ROW, "age": None}], "data[0].age", "missing, and the column has no default"),
        ({**ROW, "age": SECRET}, "data.age", "expected a whole number (int32), got text"),
        ({**ROW, "age": 33.5}, "data.age", "got a number with a fraction"),
        ({**ROW, "age": 1 << 31}, "data.age", "out of range for int32 (-2147483648 to"),
        ({**ROW, "age": True}, "data.age", "expected a whole number (int32), got true or false"),
        ({**ROW, "age": [SECRET]}, "data.age", "got a list"),
        ({**ROW, "age": {"x": SECRET}}, "data.age", "got an object"),
        ({**ROW, "age": "9" * 5000}, "data.age", "a whole number of too many digits"),
        ({**ROW, "id": 2.0**60}, "data.id", "from 2**53 on write whole numbers without point"),
        ({**ROW, "id": "1e300"}, "data.id", "from 2**53 on"),
        ({**ROW, "height": 1e39}, "data.height", "too large for float32"),
        ({**ROW, "height": "nan"}, "data.height", "expected a number (float32), got text"),
        ({**ROW, "height": "1_0"}, "data.height", "got text"),
        ({**ROW, "height": "1,5"}, "data.height", "got text"),
        ({**ROW, "height": "\u0661"}, "data.height", "got text"),
        ({**ROW, "height": float("inf")}, "data.height", "expected a finite number"),
        ({**ROW, "postcode": 2139}, "data.postcode", "expected text, got a number"),
        ({**ROW, "postcode": "\ud800"}, "data", "half a character"),
        ({**ROW, "member": 1}, "data.member", "expected true or false, got a number"),
        ({**ROW, "member": "yes"}, "data.member", "expected true or false, got text"),
        ([], "data", "an empty list; expected at least one row"),
        ([ROW, [1]], "data[1]", "expected rows of one kind"),
        ([1, ROW], "data[1]", "expected rows of one kind"),
        ([1, 2, 3, 4, 5], "data", "expected a list of rows, each an object or a list"),
        ([[1, 2]], "data[0]", "expected 5 values in the order of the columns, got 2"),
        (5, "data", "expected a row as an object, or a list of rows"),
        (None, "data", "expected a row as an object, or a list of rows"),
    ],
)
def test_what_is_wrong_in_json_names_row_and_column(value: object, field: str, told: str) -> None:
    found = refused(lambda: of_json(value))
    assert found[0] == field
    assert told in found[1]


@pytest.mark.parametrize(
    ("text", "media", "field", "told"),
    [
        ("", "", "data", "empty; expected rows"),
        (HEAD, "", "data", "a line of names and no rows"),
        (f"{HEAD},extra\n{LINE},{SECRET}", "", "data:1.extra", "unknown column extra"),
        ("height,age\n1,2", "", "data:1.postcode", "missing columns postcode, id, member"),
        (f"age,{HEAD}\n1,{LINE}", "", "data:1.age", "a column that is there twice"),
        (f"{LINE}\n{SECRET}", "", "data:2", "expected 5 cells, got 1; the columns are height"),
        (f"{LINE}\n\n{LINE}", "", "data:2", "an empty line; expected 5 cells in each"),
        (f"\n\n{HEAD}\n{LINE}", "", "data:1", "an empty line; expected 5 cells in each"),
        (f"{HEAD}\n{LINE}\n{LINE.replace('33', SECRET)}", "", "data:3.age", "got text"),
        (f'{HEAD}\n1,2,"{SECRET}', "", "data:2", "not CSV: unexpected end of data"),
        (f'{HEAD}\n1,2,"a"{SECRET},3,1', "", "data:2", "not CSV: "),
        (HEAD.replace(",", ";"), "", "data:1", "if semicolons separate the cells, send it as"),
        (LINE.replace(",", "\t"), "", "data:1", "text/csv; separator=tab"),
        (LINE.replace(",", "|"), "", "data:1", "text/csv; separator=pipe"),
        (LINE, "; header=present", "data:1.height", "missing columns height, age"),
        (f"{HEAD},\n{LINE},", "", "data:1", "cell 6 of the names is empty"),
        (f"{HEAD},,\n{LINE},,", "", "data:1", "cell 6 of the names is empty"),
        (f"{HEAD}\n{LINE}", "; header=absent", "data:1.height", "expected a number"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_csv_names_line_and_column(
    text: str, media: str, field: str, told: str
) -> None:
    found = refused(lambda: of_csv(text, media=f"text/csv{media}"))
    assert found[0] == field
    assert told in found[1]


@pytest.mark.parametrize("media", ["separator=space", 'separator=";"', "header=yes"])
def test_unknown_parameters_of_the_media_type_are_refused(media: str) -> None:
    told = refused(lambda: of_csv(LINE, media=f"text/csv; {media}"), UnsupportedMedia)[1]
    assert told.startswith(f"expected {media.partition('=')[0]}=")


@pytest.mark.parametrize(
    ("media", "separator"),
    [
        ("text/csv; separator=semicolon", ";"),
        ("text/CSV;Separator=Tab", "\t"),
        ("text/csv; charset=utf-8; separator=pipe", "|"),
        ("text/tab-separated-values", "\t"),
        ("application/csv", ","),
    ],
)
def test_separators_are_said_and_not_guessed(media: str, separator: str) -> None:
    text = f"{HEAD}\n{LINE}".replace(",", separator).encode()
    found = decode_csv_rows(text, media, SCHEMA, LIMITS)
    assert found.separator == separator
    assert plain(found.arrays) == EXPECTED


@pytest.mark.parametrize("codec", ["utf-8", "utf-16", "utf-16le", "utf-16be"])
@pytest.mark.parametrize("header", ["present", "absent"])
def test_a_byte_order_mark_is_no_text(codec: str, header: str) -> None:
    line = "text\na" if header == "present" else "a"
    mark = "" if codec == "utf-16" else "\ufeff"  # Python writes that one itself
    media = f"text/csv; charset={codec}; header={header}"
    assert plain(of_csv(f"{mark}{line}\nb".encode(codec), TEXT, media)) == {"text": ["a", "b"]}
    assert text_of(f"{mark}hi".encode(codec), f"text/plain; charset={codec}", "body") == "hi"


def test_charsets_are_said_and_not_guessed() -> None:
    text = "text\r\nGr\u00fc\u00dfe\r\n"
    for codec in ("utf-8", "windows-1252", "utf-16"):
        media = f"text/csv; charset={codec}"
        assert of_csv(text.encode(codec), TEXT, media)["text"].tolist() == ["Gr\u00fc\u00dfe"]
    assert "not UTF-8" in refused(lambda: of_csv(text.encode("latin-1"), TEXT))[1]
    media = "text/csv; charset=klingon"
    assert "unknown charset" in refused(lambda: of_csv(b"x", TEXT, media), UnsupportedMedia)[1]


def test_many_rows_are_bounded() -> None:
    limits = Limits(rows=1000)
    one = row_schema([TensorSpec("float32", (None,), "n")])
    assert of_json([[1.0]] * 1000, one, limits)["n"].shape == (1000,)
    assert of_csv("1\n" * 1000, one, limits=limits)["n"].shape == (1000,)
    for call in (lambda: of_json([[1.0]] * 1001, one, limits),
                 lambda: of_csv("1\n" * 1_000_000, one, limits=limits)):  # fmt: skip
        field, told = refused(call, TooLarge)
        assert (field, told) == ("data", "more than 1000 rows; GPFN_MAX_ROWS sets this")
    few = Limits(elements=9)
    assert "elements" in refused(lambda: of_json([ROW, ROW], SCHEMA, few), TooLarge)[1]
    short = Limits(string_bytes=5)
    assert of_json("\u00e4bcd", TEXT, short)["text"].tolist() == ["\u00e4bcd"]
    for call in (lambda: of_json(["abc", "def"], TEXT, short),
                 lambda: of_csv("abc\ndef\n", TEXT, limits=short)):  # fmt: skip
        assert "bytes in strings" in refused(call, TooLarge)[1]
    assert "field limit" in refused(lambda: of_csv("x" * 200_000, TEXT))[1]


def test_numbers_of_a_column_fit_the_model_as_well() -> None:
    narrow = row_schema([TensorSpec("int8", (None,), "n")], [Column("n", "int64")])
    assert of_csv("n\n-128\n", narrow)["n"].tolist() == [-128]
    assert "out of range for int8" in refused(lambda: of_json([200], narrow))[1]
    assert "got null" in _what_of(None)
    odd = [[*ROW.values()], [*ROW.values()]]
    odd[0][2], odd[1][2] = None, "\ud800"
    assert refused(lambda: of_json(odd, FILLED)) == (
        "data[1].postcode", "expected Unicode text, got half a character",
    )  # fmt: skip


def _what_of(value: object) -> str:
    with pytest.raises(WrongValue) as caught:
        checked(value, SCHEMA.columns[0])
    return str(caught.value)


def test_a_whole_number_that_the_model_cannot_hold_is_refused() -> None:
    assert of_json({"b": 1 << 24, "a": 1}, TWO)["x"].tolist() == [[16777216.0, 1.0]]
    field, told = refused(lambda: of_json({"b": (1 << 24) + 1, "a": 1}, TWO))
    assert (field, "float32 cannot hold exactly" in told) == ("data.b", True)


def test_the_rows_of_a_text_are_bounded_before_it_is_parsed() -> None:
    limits = Limits(rows=3)
    for text in (
        b'[{"text": "a"}, {"text": "[{[{[{,,,,"}, {"text": "\\\\\\"[[[["}]',
        b'["a,b,c", "d,e", "f"]',
        b'[["a"], ["b"], ["c"]]',
        b'{"text": "[[[[[[[["}',
    ):
        check_text(text, TEXT, limits, "data")
        of_json(orjson.loads(text), TEXT, limits)
    for text in (b"[[],[],[],[]]", b"[{},{},{},{}]", b"[1,2,3,4]", b'["a","b","c","d"]'):
        assert (
            "more than 3 rows"
            in refused(lambda text=text: check_text(text, TEXT, limits, "data"), TooLarge)[1]
        )


numbers = st.one_of(
    st.integers(-(2**31), 2**31 - 1).map(float),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
)
rows = st.fixed_dictionaries(
    {
        "height": numbers,
        "age": st.integers(-(2**31), 2**31 - 1),
        "postcode": st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
        "id": st.integers(-(2**63), 2**63 - 1),
        "member": st.booleans(),
    }
)


@given(st.lists(rows, min_size=1, max_size=5), st.sampled_from(",;\t|"))
def test_json_and_csv_of_any_rows_are_equal(given_rows: list[dict[str, Any]], mark: str) -> None:
    def cell(value: Any) -> str:
        text = str(value).lower() if isinstance(value, bool) else str(value)
        return '"' + text.replace('"', '""') + '"'

    lines = [mark.join(ROW), *[mark.join(cell(row[name]) for name in ROW) for row in given_rows]]
    word = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}[mark]
    media = f"text/csv; header=present; separator={word}"
    assert plain(of_csv("\r\n".join(lines), media=media)) == plain(of_json(given_rows))


@given(st.binary(max_size=60), st.sampled_from([SCHEMA, FILLED, TWO, TEXT]))
def test_any_bytes_are_rows_or_refused(data: bytes, schema: RowSchema) -> None:
    with suppress(GpfnError):
        of_csv(data, schema)
