"""Requests that are wrong: each is refused, and the error names the place."""

import json
import struct
import time
import tracemalloc
from typing import Any

import numpy as np
import pytest

from gpfn.errors import CallerError, InvalidRequest, InvalidTensor, TooLarge
from gpfn.limits import Limits
from gpfn.oip.body import is_raw
from gpfn.oip.classes import best_classes
from gpfn.oip.reply import decode_reply, encode_reply
from gpfn.oip.request import (
    InferCall,
    OutputAsked,
    decode_infer,
    decode_raw_infer,
    encode_infer,
    time_allowed,
)
from gpfn.tensors.spec import TensorSpec

LIMITS = Limits()
GOOD: dict[str, Any] = {"name": "x", "shape": [2], "datatype": "FP32", "data": [1, 2]}
HEADER = "Inference-Header-Content-Length"


def refusal(body: bytes, json_size: str | None = None, **options: Any) -> CallerError:
    with pytest.raises(CallerError) as caught:
        decode_infer(body, json_size, LIMITS, **options)
    return caught.value


def tensor(**changes: Any) -> bytes:
    """Return a request with one input, a member set to None left out."""
    entry = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    return json.dumps({"inputs": [entry]}).encode()


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"name": 5}, "name", "a string"),
        ({"name": None}, "name", "missing"),
        ({"shape": None}, "shape", "missing"),
        ({"datatype": None}, "datatype", "missing"),
        ({"data": None}, "data", "missing"),
        ({"shape": "2"}, "shape", "list of sizes"),
        ({"shape": [-1]}, "shape[0]", "from 0 up, got -1"),
        ({"shape": [-1, -2]}, "shape[0]", "from 0 up"),
        ({"shape": [True, 2]}, "shape[0]", "got true"),
        ({"shape": [2.0]}, "shape[0]", "got 2.0"),
        ({"shape": [1 << 63]}, "shape", "GPFN_MAX_ELEMENTS"),
        ({"shape": [1 << 32, 1 << 32]}, "shape", "GPFN_MAX_ELEMENTS"),
        ({"shape": [0, 1 << 62]}, "shape", "GPFN_MAX_ELEMENTS"),
        ({"shape": [1 << 20, 0]}, "shape", "rows without a value"),
        ({"shape": [1] * 17 + [2]}, "shape", "GPFN_MAX_RANK"),
        ({"shape": [3]}, "data", "expected 3 values for shape (3,), got 2"),
        ({"shape": []}, "data", "expected 1 value for shape (), got 2"),
        ({"datatype": "FLOAT"}, "datatype", "known: BOOL"),
        ({"datatype": ["FP32"]}, "datatype", "unknown datatype"),
        ({"datatype": "fp32"}, "datatype", "unknown datatype"),
        ({"data": 1}, "data", "expected a list, got 1"),
        ({"data": {"0": 1}}, "data", "got an object"),
        ({"data": [[1], [2, 3]]}, "data", "lists of one length"),
        ({"data": [[1], 2]}, "data", "lists of one length"),
        ({"data": [1, [2]]}, "data[1]", "expected a number (FP32), got a list"),
        ({"data": [[1, "a"]]}, "data[0][1]", "expected a number (FP32), got the string 'a'"),
        ({"data": [1, None]}, "data[1]", "got null"),
        ({"data": [1, True]}, "data[1]", "got true"),
        ({"data": [1, 1e39]}, "data[1]", "too large for float32"),
        ({"data": [[1], [-4e38]]}, "data[1][0]", "too large for float32"),
        ({"datatype": "FP16", "data": [1, 65520]}, "data[1]", "too large for float16"),
        ({"datatype": "BF16", "data": [1, 3.4e38]}, "data[1]", "too large for BF16"),
        ({"datatype": "INT32", "data": [1, 2.0]}, "data[1]", "whole number (INT32), got 2.0"),
        ({"datatype": "INT32", "data": [1, 1 << 31]}, "data[1]", "out of range"),
        ({"datatype": "INT64", "data": [1, 1 << 63]}, "data[1]", "out of range"),
        ({"datatype": "UINT64", "data": [1, 1 << 64]}, "data[1]", "whole number"),
        ({"datatype": "UINT8", "data": [-1, 0]}, "data[0]", "out of range"),
        ({"datatype": "UINT8", "data": [True, 0]}, "data[0]", "got true"),
        ({"datatype": "BOOL", "data": [True, 1]}, "data[1]", "expected a boolean (BOOL), got 1"),
        ({"datatype": "BYTES", "data": ["a", 1]}, "data[1]", "expected a string (BYTES), got 1"),
        ({"datatype": "BYTES", "data": [{"b64": "AA"}, "a"]}, "data[0]", "got an object"),
        ({"parameters": []}, "parameters", "expected an object"),
        ({"parameters": {"binary_data_size": 8}}, "parameters.binary_data_size", "only one of"),
        (
            {"data": None, "parameters": {"shared_memory_region": "r"}},
            "parameters.shared_memory_region",
            "not supported",
        ),
        (
            {"parameters": {"shared_memory_offset": 1}},
            "parameters.shared_memory_offset",
            "not supported",
        ),
    ],
)  # fmt: skip
def test_a_wrong_tensor(changes: dict[str, Any], field: str, words: str) -> None:
    error = refusal(tensor(**changes))
    assert error.field == f"inputs[0].{field}"
    assert words in error.detail
    assert error.status in (400, 413)


def test_an_entry_of_another_kind_and_names_that_come_twice() -> None:
    assert refusal(b'{"inputs":[5]}').field == "inputs[0]"
    twice = json.dumps({"inputs": [GOOD, GOOD]}).encode()
    error = refusal(twice)
    assert (error.field, error.detail) == ("inputs[1].name", "this name comes twice")
    with pytest.raises(TooLarge, match="GPFN_MAX_TENSORS") as caught:
        decode_infer(b'{"inputs":[%b]}' % b",".join([b"{}"] * 100), None, LIMITS)
    assert caught.value.field == "inputs"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"[]", "body"),
        (b"5", "body"),
        (b"\xff\xfe{\0}\0", "body"),
        (b'{"inputs":', "body"),
        (b"[" * 1_000_000, "body"),
        (b'{"a":' * 1_000_000, "body"),
        (b'{"inputs":' + b"[" * 500 + b"]" * 500 + b"}", "inputs[0]"),
        (b'{"inputs":{}}', "inputs"),
        (b'{"inputs":null}', "inputs"),
        (b'{"inputs":[],"id":5}', "id"),
        (b'{"inputs":[],"parameters":[]}', "parameters"),
        (b'{"inputs":[],"parameters":{"a":{}}}', "parameters.a"),
        (b'{"inputs":[],"parameters":{"a":null}}', "parameters.a"),
        (b'{"inputs":[],"parameters":{"binary_data_output":1}}', "parameters.binary_data_output"),
        (b'{"inputs":[],"outputs":{}}', "outputs"),
        (b'{"inputs":[],"outputs":["y"]}', "outputs[0]"),
        (b'{"inputs":[],"outputs":[{"name":1}]}', "outputs[0]"),
        (b'{"inputs":[],"outputs":[{"name":"y"},{"name":"y"}]}', "outputs[1].name"),
        (b'{"inputs":[],"outputs":[{"name":"y","parameters":5}]}', "outputs[0].parameters"),
    ],
)
def test_a_wrong_document(body: bytes, field: str) -> None:
    error = refusal(body)
    assert error.field == field
    assert len(str(error)) < 300
    refusal(body, nan_words=True)


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"binary_data": 1}, "binary_data"),
        ({"binary_data": None}, "binary_data"),
        ({"classification": 0}, "classification"),
        ({"classification": -1}, "classification"),
        ({"classification": True}, "classification"),
        ({"classification": "2"}, "classification"),
        ({"shared_memory_region": "r"}, "shared_memory_region"),
    ],
)
def test_wrong_parameters_of_an_output(parameters: dict[str, Any], field: str) -> None:
    document = {"inputs": [], "outputs": [{"name": "y", "parameters": parameters}]}
    error = refusal(json.dumps(document).encode())
    assert error.field == f"outputs[0].parameters.{field}"


def test_ten_thousand_outputs() -> None:
    document = {"inputs": [], "outputs": [{"name": str(i)} for i in range(10_000)]}
    error = refusal(json.dumps(document).encode())
    assert (error.status, error.field) == (413, "outputs")


@pytest.mark.parametrize(
    "json_size", ["", " ", "x", "-1", "+5", "1_0", "9" * 30, "99999", "0", "\u0663", "5.0", "0x5"]
)
def test_a_header_that_is_no_number_or_out_of_range(json_size: str) -> None:
    assert refusal(tensor(), json_size).field == HEADER


def binary(size: object, data: bytes, **changes: Any) -> CallerError:
    parameters = {"binary_data_size": size}
    text = tensor(**{"data": None, "parameters": parameters, **changes})
    return refusal(text + data, str(len(text)))


@pytest.mark.parametrize(
    ("size", "data", "field"),
    [
        (8, bytes(7), "inputs[0].parameters.binary_data_size"),
        (8, bytes(9), "inputs"),
        (4, bytes(8), "inputs[0].parameters.binary_data_size"),
        (9, bytes(9), "inputs[0].parameters.binary_data_size"),
        (-8, bytes(8), "inputs[0].parameters.binary_data_size"),
        (1 << 63, bytes(8), "inputs[0].parameters.binary_data_size"),
        (8.0, bytes(8), "inputs[0].parameters.binary_data_size"),
        (True, bytes(1), "inputs[0].parameters.binary_data_size"),
        ("8", bytes(8), "inputs[0].parameters.binary_data_size"),
    ],
)
def test_sizes_that_do_not_add_up(size: object, data: bytes, field: str) -> None:
    assert binary(size, data).field == field


def test_binary_data_without_the_header() -> None:
    text = tensor(data=None, parameters={"binary_data_size": 8})
    assert refusal(text).field == "inputs[0].parameters.binary_data_size"
    assert refusal(text + bytes(8)).field == "body"


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (struct.pack("<I", 5) + b"abcd", "inputs[0].data[0]"),
        (struct.pack("<I", 0xFFFFFFFF) + bytes(4), "inputs[0].data[0]"),
        (struct.pack("<I", 1) + b"a" + bytes(3), "inputs[0].data[1]"),
        (struct.pack("<I", 1) + b"a", "inputs[0].data"),
        (bytes(9), "inputs[0].data"),
        (b"", "inputs[0].data"),
    ],
)
def test_lengths_of_strings_beyond_the_body(data: bytes, field: str) -> None:
    assert binary(len(data), data, datatype="BYTES").field == field


def test_a_boolean_that_is_neither_0_nor_1() -> None:
    error = binary(2, b"\1\2", datatype="BOOL")
    assert (error.field, error.detail) == ("inputs[0].data[1]", "expected 0 or 1, got 2")


def test_limits_hold_for_all_tensors_together() -> None:
    entries = [{**GOOD, "name": str(i)} for i in range(3)]
    texts = [{**entry, "datatype": "BYTES", "data": ["ab", "c"]} for entry in entries]
    body = json.dumps({"inputs": entries}).encode()
    with pytest.raises(TooLarge, match="GPFN_MAX_ELEMENTS") as caught:
        decode_infer(body, None, Limits(elements=5))
    assert caught.value.field == "inputs[2].shape"
    with pytest.raises(TooLarge, match="GPFN_MAX_STRING_BYTES") as caught:
        decode_infer(json.dumps({"inputs": texts}).encode(), None, Limits(string_bytes=8))
    assert caught.value.field == "inputs[2]"
    arrays = {str(i): np.array([b"ab", b"c"], object) for i in range(3)}
    pieces, size = encode_infer(arrays)
    with pytest.raises(TooLarge, match="GPFN_MAX_STRING_BYTES"):
        decode_infer(b"".join(pieces), str(size), Limits(string_bytes=8))


def test_a_lie_costs_no_memory() -> None:
    """A small request that says it is large is refused before anything large is made."""
    lies = [
        tensor(shape=[16 << 20]),
        tensor(shape=[16 << 20], data=None, parameters={"binary_data_size": 64 << 20}),
        tensor(shape=[16 << 20], datatype="BYTES", data=None, parameters={"binary_data_size": 0}),
    ]
    for lie in lies:
        tracemalloc.start()
        refusal(lie, str(len(lie)))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 100_000


def test_words_are_numbers_only_where_they_are_allowed() -> None:
    body = b'{"inputs":[{"name":"x","shape":[2,2],"datatype":"FP32","data":[NaN,-Infinity,1e2,3]}]}'
    error = refusal(body)
    assert error.field == "body"
    assert "send the tensor as binary data" in error.detail
    call = decode_infer(body, None, LIMITS, nan_words=True)
    assert np.array_equal(
        call.inputs["x"], np.array([[np.nan, -np.inf], [100, 3]], np.float32), equal_nan=True
    )
    assert not call.inputs["x"].flags.writeable
    for data, field in ((b"[NaN,1e39]", "inputs[0].data[1]"), (b"[NaN,1e400]", "body")):
        wrong = b'{"inputs":[{"name":"x","shape":[2],"datatype":"FP32","data":%b}]}' % data
        assert refusal(wrong, nan_words=True).field == field
    whole = body.replace(b"FP32", b"INT32")
    assert refusal(whole, nan_words=True).field == "inputs[0].data[0]"
    # the word in a string makes no difference
    named = body.replace(b'"x"', b'"NaN \\ud83d\\ude00"').replace(b"NaN,-Infinity", b"1,2")
    assert list(decode_infer(named, None, LIMITS, nan_words=True).inputs) == ["NaN \U0001f600"]
    half = body.replace(b'"x"', b'"\\ud83d"')
    assert refusal(half, nan_words=True).field == "body"


def test_large_numbers_whose_sum_is_beyond_a_double() -> None:
    body = tensor(datatype="FP64", data=[1.5e308, 1.5e308])
    assert decode_infer(body, None, LIMITS).inputs["x"].tolist() == [1.5e308, 1.5e308]


def test_null_is_nothing_and_unknown_members_are_ignored() -> None:
    document = {
        "model_name": "m",
        "id": None,
        "parameters": None,
        "inputs": [{**GOOD, "parameters": None, "more": 1}],
        "outputs": None,
    }
    call = decode_infer(json.dumps(document).encode(), None, LIMITS)
    assert call[:2] == ("", {})
    assert call[3:] == ({"x": "FP32"}, (), False)


def test_an_output_comes_as_it_asks_or_else_as_the_request_does() -> None:
    document = {
        "inputs": [],
        "parameters": {"binary_data_output": True},
        "outputs": [
            {"name": "a"},
            {"name": "b", "parameters": {"binary_data": False}},
            {"name": "c", "parameters": {"classification": 3}},
        ],
    }
    call = decode_infer(json.dumps(document).encode(), None, LIMITS)
    assert call.outputs == (
        OutputAsked("a", True),
        OutputAsked("b", False),
        OutputAsked("c", True, 3),
    )


def test_the_time_that_a_request_allows() -> None:
    assert time_allowed({}) is None
    assert time_allowed({"timeout": 0}) is None
    assert time_allowed({"timeout": 1_500_000}) == 1.5
    for wrong in (-1, 1.5, "5", True):
        with pytest.raises(InvalidRequest) as caught:
            time_allowed({"timeout": wrong})
        assert caught.value.field == "parameters.timeout"


@pytest.mark.parametrize(
    ("spec", "body", "shape"),
    [
        (TensorSpec("float32", (None, 2), "x"), bytes(8), (1, 2)),
        (TensorSpec("float32", (None, None, 2), "x"), bytes(24), (1, 3, 2)),
        (TensorSpec("string", (None, 1), "x"), b"abc", (1, 1)),
        (TensorSpec("string", None, "x"), b"", (1,)),
    ],
)
def test_a_raw_request(spec: TensorSpec, body: bytes, shape: tuple[int, ...]) -> None:
    call = decode_raw_infer(body, spec, LIMITS, batched=spec.shape is not None)
    assert (call.inputs["x"].shape, call.binary) == (shape, True)
    if spec.dtype == "string":
        assert call.inputs["x"].ravel().tolist() == [body]


@pytest.mark.parametrize(
    ("spec", "size"),
    [
        (TensorSpec("float32", (None, 2), "x"), 9),
        (TensorSpec("float32", (None, 2), "x"), 16),
        (TensorSpec("float32", (None, None, None), "x"), 16),
        (TensorSpec("float32", (None, 0), "x"), 4),
        (TensorSpec("string", (None, 2), "x"), 4),
    ],
)
def test_a_raw_request_that_does_not_fit(spec: TensorSpec, size: int) -> None:
    with pytest.raises(InvalidTensor) as caught:
        decode_raw_infer(bytes(size), spec, LIMITS, batched=True)
    assert caught.value.field == "x"


@pytest.mark.parametrize("dtype", ["float32", "string"])
def test_a_raw_request_over_a_limit(dtype: str) -> None:
    spec = TensorSpec(dtype, (None,), "x")
    with pytest.raises(TooLarge):
        decode_raw_infer(bytes(4000), spec, Limits(elements=5, string_bytes=5), batched=True)


def test_only_0_is_raw() -> None:
    assert [is_raw(value) for value in (None, "0", "", "1", "00")] == [False, True] + [False] * 3


JSON = InferCall("", {}, {}, {}, (), binary=False)


def test_what_json_cannot_hold_names_the_other_way() -> None:
    for array in (np.array([1, np.nan]), np.array([b"\xff"], object), np.array([-np.inf], "f2")):
        with pytest.raises(InvalidTensor, match="binary_data: true") as caught:
            encode_reply("m", "1", {"y": array}, JSON)
        assert caught.value.field == "y"
        encode_reply("m", "1", {"y": array}, JSON._replace(binary=True))
    pieces, _ = encode_reply(
        "m", "1", {"y": np.array([[1, np.nan], [np.inf, -np.inf]], "f4")}, JSON, nan_words=True
    )
    assert b'"data":[1.0,NaN,Infinity,-Infinity]' in b"".join(pieces)


def test_arrays_that_are_no_tensors() -> None:
    for array in (np.array([1j]), np.array(["2020-01-01"], "M8[D]"), np.array([None], object)):
        for call in (JSON, JSON._replace(binary=True)):
            with pytest.raises(InvalidTensor) as caught:
                encode_reply("m", "1", {"y": array}, call)
            assert (caught.value.field or "")[:1] == "y"
    with pytest.raises(InvalidTensor, match="not exact in BF16") as caught:
        encode_infer({"x": np.array([[1, 0.1]], np.float32)}, datatypes={"x": "BF16"})
    assert caught.value.field == "x[0][1]"
    with pytest.raises(InvalidTensor, match="is no INT32"):
        encode_infer({"x": np.zeros(1)}, datatypes={"x": "INT32"})


def test_other_layouts_of_arrays_are_sent_as_their_values() -> None:
    whole = np.arange(6, dtype=np.float32).reshape(2, 3)
    for array in (whole.T, whole[:, ::2], whole.astype(">f4"), np.asfortranarray(whole)):
        for binary in (True, False):
            pieces, size = encode_reply("m", "1", {"y": array}, JSON._replace(binary=binary))
            reply = decode_reply(b"".join(pieces), str(size) if size else None, LIMITS)
            assert np.array_equal(reply.outputs["y"], array)


@pytest.mark.parametrize(
    ("array", "count", "expected"),
    [
        ([[0.1, 0.7, 0.2]], 2, [["0.700000:1:b", "0.200000:2"]]),
        ([[1, 1, 0], [0, 2, 2]], 2, [["1:0:a", "1:1:b"], ["2:1:b", "2:2"]]),
        ([[np.nan, 1.0]], 9, [["1.000000:1:b", "nan:0:a"]]),
        ([[[1.0, 3.0], [2.0, 0.0]]], 2, [["3.000000:1:b", "2.000000:2"]]),
    ],
)
def test_the_best_classes(array: Any, count: int, expected: list[list[str]]) -> None:
    found = best_classes(np.array(array), count, ("a", "b"), batched=True, path="y")
    assert [[text.decode() for text in row] for row in found.tolist()] == expected


def test_classes_of_what_is_no_batch_and_of_what_has_no_values() -> None:
    unsigned = np.array([[0, 255], [254, 1]], np.uint8)
    assert best_classes(unsigned, 2, batched=False, path="y").tolist() == [b"255:1", b"254:2"]
    assert best_classes(np.zeros((0, 3)), 2, batched=True, path="y").shape == (0, 2)
    assert best_classes(np.zeros((2, 0)), 2, batched=True, path="y").shape == (2, 0)
    for wrong in (np.array([[True]]), np.array([[b"a"]], object)):
        with pytest.raises(InvalidTensor):
            best_classes(wrong, 1, batched=True, path="y")


def test_many_bad_requests_take_little_time() -> None:
    body = tensor(shape=[1 << 63])
    begun = time.process_time()
    for _ in range(1000):
        refusal(body)
    assert time.process_time() - begun < 2
