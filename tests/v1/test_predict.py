"""Bodies of ``:predict`` to arrays: every form, every refusal with its place."""

import json
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpfn.errors import InvalidRequest, InvalidTensor, TooLarge
from gpfn.limits import Limits
from gpfn.tensors import TensorSpec
from gpfn.v1.predict import decode_predict
from tests.tensors.asking import LIMITS, refusal, spec

X = (TensorSpec("float32", (None, 2), "x"),)
XY = (TensorSpec("float32", (None, 2), "x"), TensorSpec("int64", (None,), "y"))
TEXTS = (TensorSpec("string", None, "s"),)


def arrays(value: object, specs: Any = X, **named: Any) -> dict[str, Any]:
    """Return the arrays of a body, given as a value or as its text."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return decode_predict(body, specs, LIMITS, **named).arrays


def told(value: object, specs: Any = X, kind: Any = InvalidTensor, **named: Any) -> str:
    """Return the text of the error that a body is refused with."""
    return refusal(lambda: arrays(value, specs, **named), kind)


@pytest.mark.parametrize("form", ["instances", "inputs"])
def test_one_input_is_a_list_of_rows_in_both_forms(form: str) -> None:
    request = decode_predict(json.dumps({form: [[1.5, 2], [3, 4]]}).encode(), X, LIMITS)
    assert request.form == form
    array = request.arrays["x"]
    assert array.dtype == np.float32
    assert array.tolist() == [[1.5, 2.0], [3.0, 4.0]]
    assert not array.flags.writeable


@pytest.mark.parametrize(
    "body",
    [
        {"instances": [{"x": [1, 2], "y": 7}, {"y": 8, "x": [3, 4]}]},
        {"inputs": {"y": [7, 8], "x": [[1, 2], [3, 4]]}},
        {"inputs": {"x": [[1, 2], [3, 4]], "y": [7, 8]}, "signature_name": "serving_default"},
    ],
)
def test_several_inputs_by_name(body: object) -> None:
    found = arrays(body, XY)
    assert list(found) == ["x", "y"]
    assert found["x"].tolist() == [[1, 2], [3, 4]]
    assert (found["y"].dtype, found["y"].tolist()) == (np.int64, [7, 8])


def test_one_input_may_be_named() -> None:
    assert arrays({"instances": [{"x": [1, 2]}]})["x"].tolist() == [[1, 2]]
    assert arrays({"inputs": {"x": [[1, 2]]}})["x"].tolist() == [[1, 2]]


def test_a_scalar_is_an_input_of_the_column_form() -> None:
    assert arrays({"inputs": 5}, [TensorSpec("int32", (), "x")])["x"].shape == ()


def test_members_beside_the_data_are_passed_over() -> None:
    assert arrays({"instances": [[1, 2]], "context": {"a": [None]}, "id": "a:b"})["x"].size == 2


# strings


def test_a_string_is_its_utf8_and_base64_only_where_it_says_so() -> None:
    body = {"instances": ["aGk=", {"b64": "aGk="}, {"b64": "_w"}, "ü\0", "a:b"]}
    assert arrays(body, TEXTS)["s"].tolist() == [b"aGk=", b"hi", b"\xff", "ü\0".encode(), b"a:b"]


def test_bytes_in_every_place() -> None:
    specs = (*TEXTS, TensorSpec("string", (None,), "b64"))
    assert arrays({"inputs": {"b64": "/w=="}}, TEXTS)["s"].tolist() == b"\xff"
    body = {"instances": [{"s": ["a", {"b64": "AAA="}], "b64": {"b64": ""}}]}
    assert {name: array.tolist() for name, array in arrays(body, specs).items()} == {
        "s": [[b"a", b"\0\0"]],
        "b64": [b""],
    }
    alone = (TensorSpec("string", (None,), "b64"),)
    assert arrays({"inputs": {"b64": ["x"]}}, alone)["b64"].tolist() == [b"x"]


@pytest.mark.parametrize(
    "item", [{"b64": "?"}, {"b64": 5}, {"b64": "aGk=", "x": 1}, {"c": "aGk="}, 5, None, "\ud800"]
)
def test_what_is_no_string(item: object) -> None:
    kind = (InvalidTensor, InvalidRequest)
    assert "instances" in told({"instances": [["a"], [item]]}, TEXTS, kind) or item == "\ud800"


# numbers


@pytest.mark.parametrize(
    ("dtype", "good", "bad"),
    [
        ("float32", 2**24, 2**24 + 1),
        ("float32", 2**24 - 1, -(2**24) - 1),
        ("float32", 2**65, 2**65 + 1),
        ("float64", 2**53, 2**53 + 1),
        ("float16", 2048, 2049),
        ("int64", 2**63 - 1, 2**63),
        ("uint64", 2**64 - 1, 2**64),
        ("uint8", 255, 300),
        ("int8", -128, -129),
    ],
)
@pytest.mark.parametrize("form", ["instances", "inputs"])
def test_no_whole_number_is_bent(dtype: str, good: int, bad: int, form: str) -> None:
    specs = [spec(dtype, None, None)]
    assert int(arrays({form: [[0, good]]}, specs)["x"][0, 1]) == good
    assert told({form: [[1.5 if "f" in dtype else 1, bad]]}, specs).startswith(f"{form}[0][1]: ")


def test_a_number_that_would_be_another_is_named() -> None:
    loss = "Cannot convert JSON value: 16777217 to float32 without loss of precision"
    assert told({"instances": [[1.5, 16777217]]}) == f"instances[0][1]: {loss}"
    body = {"instances": [{"x": [1, 2], "y": 1}, {"x": [3, 16777217], "y": 1}]}
    assert told(body, XY) == f"instances[1].x[1]: {loss}"
    body = {"instances": [[1.5, 16777217]], "parameters": {"a": 1.5}}  # type: ignore[dict-item]
    assert told(body) == f"instances[0][1]: {loss}"


def test_a_float_takes_the_nearest_value() -> None:
    assert arrays({"instances": [[0.1, 16777217.0]]})["x"].tolist() == [
        [float(np.float32(0.1)), 16777216.0]
    ]


@pytest.mark.parametrize(
    "values",
    [["1", 2], [True, 2], [None, 2], [[1], 2], [1e39, 2], [{}, 2], [1], [1, 2, 3], 5, "ab", []],
)
def test_what_does_not_fit_is_told_with_its_place(values: object) -> None:
    assert told({"instances": [[1, 2], values]}).startswith("instances")
    named = {"instances": [{"x": [1, 2], "y": 1}, {"x": values, "y": 1}]}
    assert told(named, XY).startswith("instances")
    assert told({"inputs": {"x": [[1, 2], values], "y": [1]}}, XY).startswith("inputs.x")


@given(st.lists(st.integers() | st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_each_number_is_as_it_was_sent_or_refused(numbers: list[float]) -> None:
    """Whole numbers exactly, others as NumPy rounds them, in every dtype of floats."""
    places: list[str] = []
    for dtype in ("float16", "float32", "float64"):
        body = json.dumps({"instances": numbers}).encode()
        try:
            found = decode_predict(body, [spec(dtype, None)], LIMITS).arrays["x"]
        except InvalidTensor as error:
            places.append(error.field or "")
            continue
        for sent, kept in zip(numbers, found.tolist(), strict=True):
            assert kept == (sent if type(sent) is int else float(np.dtype(dtype).type(sent)))
    assert all(place.startswith("instances[") for place in places)


# NaN and Infinity

WORDS = b'{"instances": [[NaN, 1], [-Infinity, Infinity]]}'


def test_words_are_numbers_when_asked() -> None:
    found = arrays(WORDS, nan_words=True)["x"]
    assert np.array_equal(found, [[np.nan, 1], [-np.inf, np.inf]], equal_nan=True)
    assert not found.flags.writeable
    rows = b'{"instances": [{"x": [NaN, 1], "y": 3}]}'
    assert np.isnan(arrays(rows, XY, nan_words=True)["x"][0, 0])
    assert np.isinf(
        arrays(b'{"inputs": Infinity}', [TensorSpec("float64", ())], nan_words=True)[""]
    )


def test_words_are_refused_by_default_and_the_option_named() -> None:
    assert "--nan-words" in told(WORDS, kind=InvalidRequest)


@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool", "string"])
def test_words_are_floats_only(dtype: str) -> None:
    body = b'{"instances": [NaN]}'
    assert told(body, [spec(dtype, None)], nan_words=True).startswith("instances[0]: ")


@pytest.mark.parametrize("number", ["1e400", "-1e999", "9" * 5000])
def test_a_number_beyond_a_double_is_no_infinity(number: str) -> None:
    body = b'{"instances": [[%b, NaN]]}' % number.encode()
    told(body, kind=(InvalidRequest, InvalidTensor), nan_words=True)
    told(body, kind=(InvalidRequest, InvalidTensor))


def test_a_text_may_have_the_words() -> None:
    body = {"instances": ["NaN", "Infinity"]}
    assert arrays(body, TEXTS, nan_words=True)["s"].tolist() == [b"NaN", b"Infinity"]


# envelopes


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "JSON Parse error: The document is empty. at offset: 0"),
        (b"x", "JSON Parse error: unexpected character, expected a JSON value at"),
        (b"[1]", "JSON Value: a list of 1 Not an object"),
        (b"{}", "Missing 'inputs' or 'instances' key"),
        (b'{"inputs": 1, "instances": [1]}', "expecting only one of 'inputs' or 'instances' keys"),
        (b'{"instances": 5}', "Expecting 'instances' to be an list/array"),
        (b'{"instances": {}}', "Expecting 'instances' to be an list/array"),
        (b'{"instances": []}', "No values in 'instances' array"),
        (b'{"instances": [[1,2]], "signature_name": 5}', "'signature_name' key"),
        (
            b'{"instances": [[1,2]], "signature_name": "x"}',
            'Serving signature name: "x" not found in signature def',
        ),
        (b'{"instances": [[1,2]], "instances": [[1,2]]}', "instances: the member occurs twice"),
        (b'{"instances": [[1,2]], "a\\u003a": 1, "a:": 2}', "a:: the member occurs twice"),
        (b'{"instances": [{"x": [1,2], "x": [1,2]}]}', "x: the member occurs twice"),
        (b'{"instances": [[1,2]]} x', "JSON Parse error"),
        (b'{"instances": [[1,2]', "JSON Parse error"),
        (b"\xff\xfe{\0}\0", "JSON Parse error: this is UTF-16, not UTF-8"),
        (b'{"instances": ["\xff"]}', "JSON Parse error"),
    ],
)
def test_envelopes_that_are_refused(body: bytes, text: str) -> None:
    assert text in told(body, kind=(InvalidRequest, InvalidTensor))


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"instances": [[1, 2]]}, "instances is a plain list, but expecting"),
        ({"instances": [{"x": [1, 2]}]}, "instances[0]: Missing named input: y"),
        (
            {"instances": [{"x": [1, 2], "y": 1}, {"x": [1, 2], "y": 1, "z": 1}]},
            "instances[1].z: unknown input; known: x, y",
        ),
        ({"instances": [{"x": [1, 2], "y": 1}, 5]}, "instances[1]: expected an object, got 5"),
        ({"inputs": [[1, 2]]}, "inputs: expected an object with x, y, got a list of 1"),
        ({"inputs": {"x": [[1, 2]]}}, "inputs: Missing named input: y"),
        ({"inputs": {"x": [[1, 2]], "y": [1], "z": 1}}, "inputs.z: unknown input; known: x, y"),
        ({"inputs": {"x": [[1, 2]], "y": ["a"]}}, "inputs.y[0]: expected a number"),
        (
            {"instances": [{"x": [1, 2], "y": 1}, {"x": [1, "a"], "y": 1}]},
            "instances[1].x[1]: expected a number, got the string 'a'",
        ),
    ],
)
def test_names_that_are_not_the_inputs(body: object, text: str) -> None:
    assert told(body, XY).startswith(text)


def test_a_model_that_declares_nothing_cannot_be_asked() -> None:
    assert "/v2" in told({"instances": [1]}, (), InvalidRequest)


def test_a_member_among_many_that_occurs_twice_is_found_in_little_time() -> None:
    names = ",".join([f'"{number}":1' for number in range(100_000)])
    began = time.perf_counter()
    body = b'{"instances":[[1,2]],"a":{%b,"99999":1}}' % names.encode()
    assert told(body, kind=InvalidRequest) == "99999: the member occurs twice"
    assert time.perf_counter() - began < 3


# limits


@pytest.mark.parametrize("depth", [17, 300, 1023, 1025, 100_000])
@pytest.mark.parametrize("words", [False, True])
def test_a_depth_bomb(depth: int, words: bool) -> None:
    number = b"NaN" if words else b"1"
    for specs in (X, [TensorSpec("float32", None, "x")], TEXTS):
        for key in (b"instances", b"inputs"):
            body = b'{"%b": %b%b%b}' % (key, b"[" * depth, number, b"]" * depth)
            told(body, specs, (InvalidRequest, InvalidTensor, TooLarge), nan_words=words)
            objects = b'{"%b": [%b%b%b]}' % (key, b'{"x":' * depth, number, b"}" * depth)
            told(objects, specs, (InvalidRequest, InvalidTensor, TooLarge), nan_words=words)


def test_what_is_passed_over_may_be_deep_but_not_bottomless() -> None:
    for depth in (300, 100_000):
        body = b'{"instances": [[1, 2]], "a": %b%b}' % (b'[{"b":' * depth, b"1")
        told(body + b"}]" * depth + b"}", kind=InvalidRequest)
    body = b'{"instances": [[1, 2]], "a": %b1%b}' % (b'[{"b":' * 150, b"}]" * 150)
    assert arrays(body)["x"].tolist() == [[1, 2]]


def test_more_than_the_limits_allow() -> None:
    few = Limits(elements=4, string_bytes=4)
    flat = [spec("float32", None)]
    for body, specs in (
        ({"instances": [1] * 5}, flat),
        ({"inputs": [[1]] * 5}, [spec("int8", None, None)]),
        ({"inputs": {"x": [[1, 2]], "y": [1, 2, 3]}}, XY),
        ({"instances": ["abcde"]}, TEXTS),
        ({"inputs": {"s": ["abc"], "t": ["abc"]}}, (*TEXTS, TensorSpec("string", None, "t"))),
        ({"instances": [[]] * 5000}, [TensorSpec("float32", None, "x")]),
    ):
        text = json.dumps(body).encode()
        assert refusal(lambda: decode_predict(text, specs, few), TooLarge)  # noqa: B023


def test_text_beyond_the_object_is_no_part_of_it() -> None:
    assert arrays(b'\xef\xbb\xbf{"instances": [[1, 2]]}\r\n ')["x"].tolist() == [[1, 2]]
