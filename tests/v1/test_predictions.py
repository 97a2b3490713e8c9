"""Arrays to replies, as a strict parser reads them; and replies to arrays again."""

import json
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gpfn.errors import BackendError, InvalidTensor
from gpfn.tensors import TensorSpec
from gpfn.v1.envelope import Form
from gpfn.v1.predict import decode_predict
from gpfn.v1.predictions import encode_predictions
from tests.tensors.asking import LIMITS, refusal

Y = np.array([[0.1, 1], [1e16, 16777216]], "f4")
K = np.array([3, 4], "i8")


@pytest.mark.parametrize(
    ("outputs", "form", "text"),
    [
        ({"y": Y}, "instances", b'{"predictions":[[0.1,1.0],[1e+16,16777216.0]]}'),
        ({"y": Y}, "inputs", b'{"outputs":[[0.1,1.0],[1e+16,16777216.0]]}'),
        (
            {"y": Y[:, 0], "k": K},
            "instances",
            b'{"predictions":[{"y":0.1,"k":3},{"y":1e+16,"k":4}]}',
        ),
        ({"y": Y, "k": K}, "inputs", b'{"outputs":{"y":[[0.1,1.0],[1e+16,16777216.0]],"k":[3,4]}}'),
        ({"y": np.float32(1)[()]}, "inputs", b'{"outputs":1.0}'),
        ({"y": np.zeros((0, 3))}, "instances", b'{"predictions":[]}'),
        ({"y": np.array([True]), "z": K[:1]}, "instances", b'{"predictions":[{"y":true,"z":3}]}'),
        ({"y": np.array([0.1], "f2")}, "instances", b'{"predictions":[0.099975586]}'),
        ({"y": Y.T}, "inputs", b'{"outputs":[[0.1,1e+16],[1.0,16777216.0]]}'),
        ({"y": Y.astype(">f4")}, "inputs", b'{"outputs":[[0.1,1.0],[1e+16,16777216.0]]}'),
        ({"y": np.array([2**63 - 1])}, "inputs", b'{"outputs":[9223372036854775807]}'),
    ],
)
def test_replies(outputs: dict[str, Any], form: Form, text: bytes) -> None:
    arrays = {name: np.asarray(array) for name, array in outputs.items()}
    assert encode_predictions(arrays, form) == text


def strings(*values: Any) -> Any:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def test_strings_are_text_and_base64_where_the_name_says_bytes() -> None:
    both = {"s": strings(b"a", "ü".encode()), "s_bytes": strings(b"\xff", b"a\0\0")}
    assert orjson.loads(encode_predictions(both, "instances"))["predictions"] == [
        {"s": "a", "s_bytes": {"b64": "/w=="}},
        {"s": "ü", "s_bytes": {"b64": "YQAA"}},
    ]
    grid = {"y_bytes": both["s_bytes"].reshape(2, 1)}
    assert encode_predictions(grid, "inputs") == b'{"outputs":[[{"b64":"/w=="}],[{"b64":"YQAA"}]]}'
    one = {"y": np.array(b"null", object)}
    assert encode_predictions(one, "inputs") == b'{"outputs":"null"}'


def test_bytes_that_are_no_text_are_told_with_the_ways_out() -> None:
    grid = strings(b"a", b"\xff").reshape(1, 2)
    told = refusal(lambda: encode_predictions({"s": grid}, "inputs"))
    assert told.startswith("s[0][1]: bytes that are no UTF-8 text")
    assert "_bytes" in told
    assert "/v2" in told


# NaN and Infinity

N = np.array([[np.nan, 1], [-np.inf, np.inf]], "f4")


@pytest.mark.parametrize("form", ["instances", "inputs"])
@pytest.mark.parametrize("more", [{}, {"k": K}])
def test_a_result_that_is_not_finite_names_the_option(form: Form, more: dict[str, Any]) -> None:
    told = refusal(lambda: encode_predictions({"y": N, **more}, form))
    assert told.startswith("y[0][0]: the result is nan, which JSON cannot hold; /v2")
    assert "--nan-words" in told


def test_words_when_asked() -> None:
    def text(outputs: dict[str, Any], form: Form) -> bytes:
        return encode_predictions(outputs, form, nan_words=True)

    assert text({"y": N}, "instances") == b'{"predictions":[[NaN,1.0],[-Infinity,Infinity]]}'
    assert text({"y": N[:, 0], "null": K}, "instances") == (
        b'{"predictions":[{"y":NaN,"null":3},{"y":-Infinity,"null":4}]}'
    )
    assert text({"y": N[0, 0], "s": strings(b"null")}, "inputs") == (
        b'{"outputs":{"y":NaN,"s":["null"]}}'
    )


def test_the_word_null_in_names_and_texts_is_no_number() -> None:
    outputs = {"null": np.ones(1), "s": strings(b"null")}
    assert encode_predictions(outputs, "instances") == (
        b'{"predictions":[{"null":1.0,"s":"null"}]}'
    )


# what has no rows, and what is no tensor


@pytest.mark.parametrize(
    "outputs",
    [
        {"y": np.array(1.0)},
        {"y": np.ones(3), "z": np.ones(2)},
        {"y": np.ones(3), "z": np.array(1.0)},
    ],
)
def test_outputs_without_rows_are_told_to_be_asked_by_columns(outputs: dict[str, Any]) -> None:
    told = refusal(lambda: encode_predictions(outputs, "instances"), InvalidTensor)
    assert "send 'inputs' instead of 'instances'" in told
    assert encode_predictions(outputs, "inputs")


@pytest.mark.parametrize(
    "array",
    [
        np.ones(1, "c8"),
        np.ones(1, "M8[s]"),
        np.ma.masked_array([1.0], [True]),
        np.ones(1, np.longdouble),
    ],
)
def test_what_is_no_tensor(array: Any) -> None:
    assert refusal(lambda: encode_predictions({"y": array}, "inputs"), BackendError)[:3] == "y: "


# round trips

DTYPES = ("bool", "int8", "uint8", "int32", "int64", "uint64", "float16", "float32", "float64")


@st.composite
def several(draw: st.DrawFn) -> dict[str, Any]:
    """Return one to three arrays with equally many rows."""
    rows = draw(st.integers(1, 4))
    names = draw(st.lists(st.sampled_from(["a", "null", "c:"]), min_size=1, unique=True))
    found = {}
    for name in names:
        shape = (rows, *draw(hnp.array_shapes(min_dims=0, max_dims=2, max_side=3)))
        found[name] = draw(hnp.arrays(draw(st.sampled_from(DTYPES)), shape))
    return found


@given(several(), st.sampled_from(["instances", "inputs"]))
def test_what_is_written_is_read_as_the_same_bits(arrays: dict[str, Any], form: Form) -> None:
    reply = encode_predictions(arrays, form, nan_words=True)
    key = b"predictions" if form == "instances" else b"outputs"
    assert reply.startswith(b'{"%b":' % key)
    request = reply.replace(key, form.encode(), 1)
    specs = [TensorSpec(str(array.dtype), array.shape, name) for name, array in arrays.items()]
    again = decode_predict(request, specs, LIMITS, nan_words=True).arrays
    for name, array in arrays.items():
        assert again[name].dtype == array.dtype
        assert np.array_equal(again[name], array, equal_nan=array.dtype.kind == "f")


@given(several(), st.sampled_from(["instances", "inputs"]))
def test_a_strict_parser_reads_every_reply(arrays: dict[str, Any], form: Form) -> None:
    def no_word(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    try:
        reply = encode_predictions(arrays, form)
    except InvalidTensor:
        assert not all(np.isfinite(array).all() for array in arrays.values())
        return
    json.loads(reply, parse_constant=no_word)
    assert orjson.loads(reply)
