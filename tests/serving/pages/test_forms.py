"""What people send: whatever it is, it is an array of the model's or an error with its place."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpfn.errors import CallerError, InvalidRequest, InvalidTensor, TooLarge
from gpfn.limits import Limits
from gpfn.serving.pages.forms import (
    Sent,
    arrays_of_cells,
    arrays_of_text,
    number_of,
    read_form,
    read_query,
)
from gpfn.serving.pages.trying import cell_name, filled, views_of
from gpfn.tensors.dtypes import DTYPE_TABLE
from gpfn.tensors.spec import TensorSpec

from .shelf import Model, Shelf

FORM = "application/x-www-form-urlencoded"
NUMBERS = sorted(set(DTYPE_TABLE) - {"string"})


def shown(*specs: TensorSpec):
    return Shelf({"m": Model(specs)}).model("m")


@pytest.mark.parametrize("dtype", NUMBERS)
def test_cells_become_the_input_of_any_type(dtype: str) -> None:
    model = shown(TensorSpec(dtype, (None, 2, 2), "x"), TensorSpec("float32", (), "y"))
    texts = filled(model, "steps")
    arrays = arrays_of_cells(model, texts)
    assert (arrays["x"].shape, arrays["x"].dtype) == ((1, 2, 2), np.dtype(dtype))
    assert arrays["y"].shape == ()
    assert arrays["x"].all()
    assert not arrays_of_cells(model, filled(model, "zeros"))["x"].any()


@given(st.dictionaries(st.sampled_from([cell_name(0, i) for i in range(3)]), st.text()))
def test_any_text_in_a_cell_is_a_number_or_named(texts: dict[str, str]) -> None:
    for dtype in ("float16", "float32", "uint8", "int64", "bool"):
        model = shown(TensorSpec(dtype, (None, 3), "x"))
        place = ""
        try:
            array = arrays_of_cells(model, texts)["x"]
        except InvalidTensor as error:
            place = str(error.field)
        else:
            assert array.shape == (1, 3)
        assert place in ["", *(cell_name(0, i) for i in range(3))]


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=3, max_size=3))
def test_numbers_are_those_that_were_typed(values: list[float]) -> None:
    model = shown(TensorSpec("float32", (None, 3), "x"))
    typed = {cell_name(0, at): repr(value) for at, value in enumerate(values)}
    assert arrays_of_cells(model, typed)["x"].tolist() == [values]


@pytest.mark.parametrize(
    ("dtype", "text"),
    [("uint8", "256"), ("uint8", "-1"), ("int8", "1.0"), ("uint64", "9" * 39), ("bool", "2")],
)
def test_what_the_type_has_not_is_refused(dtype: str, text: str) -> None:
    model = shown(TensorSpec(dtype, (None, 1), "x"))
    with pytest.raises(InvalidTensor) as caught:
        arrays_of_cells(model, {cell_name(0, 0): text})
    assert caught.value.field == "c0.0"


@given(st.binary(max_size=400))
def test_any_file_is_arrays_or_an_error(data: bytes) -> None:
    from gpfn.serving.pages.forms import SentFile

    model = shown(TensorSpec("float32", (None, 2), "x"), TensorSpec("string", (None,), "s"))
    for sent in (
        Sent({"text": data.decode("latin-1")}, {}),
        Sent({}, {"file": SentFile("x", data)}),
    ):
        place = "text"
        try:
            arrays_of_text(model, sent, Limits())
        except CallerError as error:
            place = str(error.field or "text")
        assert place.startswith(("text", "file"))


def test_inputs_by_name() -> None:
    model = shown(TensorSpec("float32", (None, 2), "x"), TensorSpec("string", (None,), "s"))
    text = json.dumps({"x": [[1, 2], [3, 4]], "s": ["a", "b"]})
    arrays = arrays_of_text(model, Sent({"text": text}, {}), Limits())
    assert arrays["x"].tolist() == [[1, 2], [3, 4]]
    with pytest.raises(CallerError):
        arrays_of_text(model, Sent({"text": '{"x": [[1, 2]]}'}, {}), Limits())


@given(
    st.binary(max_size=600), st.sampled_from([FORM, "multipart/form-data; boundary=xx", "", "a/b"])
)
def test_any_body_is_a_form_or_an_error(body: bytes, kind: str) -> None:
    try:
        sent = read_form(body, kind)
    except CallerError:
        return
    assert all(isinstance(text, str) for text in sent.texts.values())


def test_too_many_fields_are_refused_before_they_are_read() -> None:
    with pytest.raises(TooLarge):
        read_form(b"a=1&" * 1000, FORM)
    with pytest.raises(TooLarge):
        read_query("/?" + "a=1&" * 1000)


def test_a_file_of_a_form_has_its_name() -> None:
    body = (
        b'--xx\r\nContent-Disposition: form-data; name="image"; filename="%b"\r\n\r\n'
        b"data\r\n--xx--\r\n"
    )
    sent = read_form(body % "größe %22.png".encode(), "multipart/form-data; boundary=xx")
    assert sent.files["image"] == ('größe ".png', b"data")
    assert (
        read_form(body.replace(b"data\r", b"\r") % b"x", "multipart/form-data; boundary=xx").files
        == {}
    )


@pytest.mark.parametrize("text", ["0", "-1", "1.0", "\u0661", "1e3", "9" * 10, "x", " 1"])
def test_what_is_no_version(text: str) -> None:
    with pytest.raises(InvalidRequest):
        number_of(text)
    assert number_of("12") == 12
    assert number_of("") is None


def test_which_ways_to_try_a_model() -> None:
    small, large = TensorSpec("float32", (None, 64), "x"), TensorSpec("float32", (None, 65), "x")
    assert views_of(shown(small)) == ["cells", "text"]
    assert views_of(shown(large)) == ["text"]
    assert views_of(shown(TensorSpec("string", (None,), "s"))) == ["text"]
    assert views_of(shown(TensorSpec("float32", None, "x"))) == ["text"]
    assert views_of(shown(TensorSpec("uint8", (None, 32, 32, 3), "x"))) == ["image", "text"]
    assert views_of(shown()) == ["text"]
