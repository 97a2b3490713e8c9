"""Troubles that users of other model servers have had with JSON: each with the right outcome.

Their sources are TF Serving, KServe, Triton and TorchServe; the texts are ours.
"""

import json
from typing import Any

import numpy as np
import orjson
import pytest

from gpfn.errors import InvalidTensor
from gpfn.tensors import TensorSpec
from gpfn.v1.predict import decode_predict
from gpfn.v1.predictions import encode_predictions
from tests.tensors.asking import LIMITS, spec


def sent(value: object, one: TensorSpec, form: str = "instances") -> Any:
    """Return the array that a value becomes."""
    return decode_predict(json.dumps({form: value}).encode(), [one], LIMITS).arrays[one.name]


def strings(*values: bytes) -> Any:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def test_text_that_looks_like_base64_stays_text_and_marked_bytes_are_bytes() -> None:
    assert sent(["aGk="], spec("string", None)).tolist() == [b"aGk="]
    assert sent([{"b64": "aGk="}], spec("string", None)).tolist() == [b"hi"]


@pytest.mark.parametrize("word", ["_-8=", "_-8", "/+8="])
def test_base64_is_read_in_both_alphabets(word: str) -> None:
    assert sent([{"b64": word}], spec("string", None)).tolist() == [b"\xff\xef"]


def test_replies_are_base64_only_where_the_name_says_so() -> None:
    y = strings(b"hi")
    assert encode_predictions({"y": y}, "inputs") == b'{"outputs":["hi"]}'
    assert encode_predictions({"y_bytes": y}, "inputs") == b'{"outputs":[{"b64":"aGk="}]}'


@pytest.mark.parametrize("value", [b"\xff", b"a\0\0", b"", b"\0"])
def test_bytes_of_any_kind_go_round(value: bytes) -> None:
    """Zeros at the end too, which NumPy's strings of fixed width lose."""
    reply = encode_predictions({"y_bytes": strings(value)}, "instances")
    again = sent(orjson.loads(reply)["predictions"], spec("string", None))
    assert again.tolist() == [value]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_no_reply_has_a_word_that_is_no_json(value: float, dtype: str) -> None:
    with pytest.raises(InvalidTensor, match="--nan-words"):
        encode_predictions({"y": np.array([1, value], dtype)}, "instances")


def test_a_shape_that_is_not_the_models_is_refused_before_anything_is_computed() -> None:
    with pytest.raises(InvalidTensor, match="expected 3 numbers, got 4") as caught:
        sent([[1, 2, 3, 4]], spec("float32", None, 3))
    assert caught.value.field == "instances[0]"


def test_wide_whole_numbers_are_exact_both_ways() -> None:
    number = 2**53 + 1
    array = sent([number], spec("int64", None))
    assert array.tolist() == [number]
    assert encode_predictions({"y": array}, "instances") == b'{"predictions":[%d]}' % number


def test_a_number_out_of_the_dtypes_range_is_refused() -> None:
    with pytest.raises(InvalidTensor, match="300 is out of range for uint8") as caught:
        sent([1, 300], spec("uint8", None))
    assert caught.value.field == "instances[1]"


@pytest.mark.parametrize("value", [1.5, True, "1", None])
def test_another_type_is_not_taken_for_a_whole_number(value: object) -> None:
    with pytest.raises(InvalidTensor):
        sent([1, value], spec("int32", None))
