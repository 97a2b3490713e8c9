"""Arrays to data: every dtype and layout, never invalid JSON."""

import json
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gpfn.errors import BackendError, UnsupportedMedia
from gpfn.tensors import TensorSpec, decode_json, encode
from gpfn.tensors.dtypes import KINDS
from tests.tensors.asking import LIMITS, refusal, spec


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


@pytest.mark.parametrize("name", sorted(KINDS))
@pytest.mark.parametrize("form", ["nested", "named", "flat", "open-inference"])
def test_every_dtype_and_layout_in_every_form(name: str, form: Any) -> None:
    kind = KINDS[name]
    array = np.array([[1, 0, 1], [0, 0, 1]]).astype(str if name == "string" else kind.dtype)
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
