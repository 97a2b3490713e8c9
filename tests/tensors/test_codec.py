"""Data bytes to arrays by their media type; arrays to data: never invalid JSON."""

import json
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gpfn.errors import BackendError, TooLarge, UnsupportedMedia
from gpfn.limits import Limits
from gpfn.tensors import TensorSpec, decode_bytes, decode_json, encode
from gpfn.tensors.dtypes import DTYPE_TABLE
from tests.tensors.asking import LIMITS, SERIES, refusal, spec

ZEROS = np.zeros((2, 20, 1), np.float32)


@pytest.mark.parametrize(
    "media_type", ["application/json", "application/octet-stream", "application/x-npy"]
)
@pytest.mark.parametrize("as_view", [bytes, memoryview])
def test_each_media_type(media_type: str, as_view: type) -> None:
    done = encode({"series": ZEROS}, media_type)
    arrays = decode_bytes(
        as_view(done.body), done.media_type, [SERIES], LIMITS, attributes=done.attributes
    )
    assert list(arrays) == ["series"]
    assert arrays["series"].dtype == np.float32
    assert np.array_equal(arrays["series"], ZEROS)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", "data: empty"),
        (b"{", "data: not JSON: "),
        (b"[1,2,NaN]", "data: not JSON: "),
        (b"[0,1e999]", "data[1]: 1e999 is beyond the range of a double"),
        (b'["\xff"]', "data: not JSON: "),
        (b"[" * 10_000 + b"]" * 10_000, "data: not JSON: "),
        (b"[[[1]]]", "data[0]: expected 20 lists, got 1"),
        (b'"\xc3\xbc"', "data: expected a list of lists, got the string 'ü'"),
        (b"null", "data: expected a list of lists, got null"),
    ],
)
def test_json_that_is_wrong(data: bytes, error: str) -> None:
    got = refusal(lambda: decode_bytes(data, "application/json", [SERIES], LIMITS))
    assert got.startswith(error)


@pytest.mark.parametrize(
    ("media_type", "error"),
    [
        ("image/png", "no decoder for 'image/png'; known: application/json, application/octet"),
        ("", "no decoder for data without a media type; known: "),
        ("application/json; charset=latin-1", "no decoder for 'application/json; charset=latin-1'"),
    ],
)
def test_other_media_types_are_refused(media_type: str, error: str) -> None:
    got = refusal(lambda: decode_bytes(b"[]", media_type, [SERIES], LIMITS), UnsupportedMedia)
    assert got.startswith(error)


def test_binary_forms_carry_one_tensor() -> None:
    specs = [spec("int8", name="a"), spec("int8", name="b")]
    for media_type in ("application/octet-stream", "application/x-npy"):
        error = refusal(lambda m=media_type: decode_bytes(b"", m, specs, LIMITS), UnsupportedMedia)
        assert error == f"{media_type} carries one tensor, this function takes a, b"


def test_binary_forms_carry_nan_unless_the_spec_says_finite() -> None:
    data = np.array([1, np.nan], "<f4").tobytes()
    arrays = decode_bytes(data, "application/octet-stream", [spec("float32")], LIMITS)
    assert np.isnan(arrays["x"][1])
    finite = TensorSpec("float32", None, "x", finite=True)
    error = refusal(lambda: decode_bytes(data, "application/octet-stream", [finite], LIMITS))
    assert error == "data[1]: expected a finite number, got nan"


def test_bytes_are_limited() -> None:
    data = orjson.dumps([0] * 50)
    error = refusal(
        lambda: decode_bytes(data, "application/json", [SERIES], Limits(body_bytes=99)), TooLarge
    )
    assert error == "data: more than 99 bytes; GPFN_MAX_BODY_BYTES sets this"


def test_nested_is_what_orjson_writes_of_the_array_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual case goes straight to orjson: no list is made, nothing is reshaped."""
    import gpfn.tensors.codec as module

    def slow(*_args: object) -> None:
        raise AssertionError("took the slow route")

    monkeypatch.setattr(module, "_shaped", slow)
    array = np.linspace(-1, 1, 40, dtype=np.float32).reshape(2, 20, 1)
    done = encode({"y": array})
    assert done.body == orjson.dumps(array, option=orjson.OPT_SERIALIZE_NUMPY)
    assert (done.media_type, done.nonfinite, dict(done.attributes)) == (
        "application/json",
        False,
        {},
    )


@pytest.mark.parametrize("name", sorted(DTYPE_TABLE))
@pytest.mark.parametrize("form", ["nested", "named", "flat", "open-inference"])
def test_every_dtype_and_layout_in_every_form(name: str, form: Any) -> None:
    dtype = DTYPE_TABLE[name]
    array = np.array([[1, 0, 1], [0, 0, 1]]).astype(str if name == "string" else dtype.numpy)
    for layout in (array, array.T, array[:, ::2], array.astype(array.dtype.newbyteorder(">"))):
        value = json.loads(encode({"x": layout}, form=form).body)
        if form == "open-inference":
            value = {"inputs": value["outputs"]}
        again = decode_json(value, [spec(name, *layout.shape)], LIMITS)["x"]
        assert again.shape == layout.shape
        expected = np.char.encode(layout) if name == "string" else layout
        assert again.tolist() == expected.tolist()


def test_the_forms_spelled_out() -> None:
    y = {"y": np.array([[1, 2]], np.int8)}
    two = {**y, "z": np.array(0.5, np.float16)}
    assert encode(y).body == b"[[1,2]]"
    assert encode(y, form="named").body == b'{"y":[[1,2]]}'
    assert encode(y, form="flat").body == b'{"shape":[1,2],"data":[1,2]}'
    assert encode(two).body == b'{"y":[[1,2]],"z":0.5}'
    assert encode(two, form="flat").body == (
        b'{"y":{"shape":[1,2],"data":[1,2]},"z":{"shape":[],"data":[0.5]}}'
    )
    assert json.loads(encode(y, form="open-inference").body) == {
        "outputs": [{"name": "y", "shape": [1, 2], "datatype": "INT8", "data": [1, 2]}]
    }


def test_strings_are_text_or_base64() -> None:
    array = np.array([["ü".encode(), b"\xff\x00"]], object)
    assert orjson.loads(encode({"y": array}).body) == [["ü", {"b64": "/wA="}]]
    again = decode_json(orjson.loads(encode({"y": array}).body), [spec("string")], LIMITS)["x"]
    assert again.tolist() == array.tolist()


@pytest.mark.parametrize("array", [[np.nan], [[1, np.inf]], -np.inf, [0] * 999 + [np.nan]])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("form", ["nested", "named", "flat", "open-inference"])
def test_what_is_not_finite_becomes_null_and_is_told(array: object, dtype: str, form: Any) -> None:
    done = encode({"y": np.array(array, dtype)}, form=form)
    assert done.nonfinite
    assert "null" in done.body.decode()
    json.loads(done.body, parse_constant=pytest.fail)


def test_what_is_not_finite_may_be_refused() -> None:
    results = {"a": np.zeros(2), "y": np.array([[0, 1], [np.inf, 1]])}
    error = refusal(lambda: encode(results, nonfinite="refuse"), BackendError)
    assert error == "y[1][0]: the result is inf, which JSON cannot hold"
    assert not encode({"a": np.zeros(2)}, nonfinite="refuse").nonfinite


def test_the_word_null_is_not_a_null() -> None:
    done = encode({"y": np.array(["null"]), "null": np.zeros(1)}, nonfinite="refuse")
    assert not done.nonfinite


@pytest.mark.parametrize(
    "array",
    [
        np.array([1j]),
        np.array(["2020-01-01"], "M8[D]"),
        np.array([None]),
        np.array([1.0], np.longdouble),
    ],
)
@pytest.mark.parametrize(
    "media_type", ["application/json", "application/x-npy", "application/octet-stream"]
)
def test_what_is_no_tensor_is_the_models_fault(array: Any, media_type: str) -> None:
    error = refusal(lambda: encode({"y": array}, media_type), BackendError)
    assert error == f"y: an array of {array.dtype} is no tensor"


def test_media_types_that_cannot_carry_it() -> None:
    two = {"a": np.zeros(1), "b": np.zeros(1)}
    error = refusal(lambda: encode(two, "application/x-npy"), UnsupportedMedia)
    assert error == "application/x-npy carries one tensor, this answer has a, b"
    error = refusal(lambda: encode(two, "image/png"), UnsupportedMedia)
    assert error == "no encoder for 'image/png'"


def test_the_requests_json_type_is_kept() -> None:
    done = encode({"y": np.zeros(1)}, "application/vnd.acme+json")
    assert done.media_type == "application/vnd.acme+json"


def test_bare_bytes_say_what_they_are() -> None:
    done = encode({"y": np.ones((1, 2), ">f4")}, "application/octet-stream")
    assert done.attributes == {"dtype": "float32", "shape": "1,2"}
    assert done.body == np.ones(2, "<f4").tobytes()


@settings(max_examples=200, deadline=None)
@given(
    arrays.arrays(
        st.sampled_from(["<f4", "<f8", "<f2", ">f4", "<i8", "<u8", "|i1", "|b1"]),
        arrays.array_shapes(max_dims=3, max_side=3),
        elements={"allow_nan": False, "allow_infinity": False},
    )
)
def test_what_is_encoded_is_decoded_to_the_same_bits(array: np.ndarray) -> None:
    wanted = TensorSpec(array.dtype.newbyteorder("=").name, array.shape, "y")
    again = decode_json(orjson.loads(encode({"y": array}).body), [wanted], LIMITS)["y"]
    assert again.tobytes() == array.astype(again.dtype).tobytes()
