"""Answers to the byte as the real server gives them."""

import json
import math
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpfn.errors import ModelFailed
from gpfn.tfaas.answers import (
    ListedModel,
    encode_error,
    encode_labels,
    encode_models,
    encode_values,
    read_error,
)
from gpfn.tfaas.parameters import TfaasParameters, parameters_of
from tests.tfaas.recordings import exchanges


def test_recorded_numbers_are_written_again_to_the_byte(shared: Path) -> None:
    count = 0
    for exchange in exchanges(shared):
        if exchange.status == 200 and exchange.reply.startswith((b"[0", b"[1", b"[2")):
            values = np.array(json.loads(exchange.reply), np.float32)
            assert encode_values(values) == exchange.reply
            count += 1
    assert count > 20


def test_recorded_labels_are_written_again_to_the_byte(shared: Path) -> None:
    count = 0
    for exchange in exchanges(shared):
        if exchange.reply.startswith(b'{"filename"'):
            document = json.loads(exchange.reply)
            labels = [each["label"] for each in document["labels"]]
            values = np.array([each["probability"] for each in document["labels"]], np.float32)
            assert encode_labels(document["filename"], labels, values) == exchange.reply
            shuffled = encode_labels(document["filename"], labels[::-1], values[::-1])
            told = [each["probability"] for each in json.loads(shuffled)["labels"]]
            assert told == [each["probability"] for each in document["labels"]]
            count += 1
    assert count > 5


def test_recorded_errors_are_written_again_to_the_byte(shared: Path) -> None:
    count = 0
    for exchange in exchanges(shared):
        if exchange.reply.startswith(b'{"error"') and b"<" not in exchange.reply:
            assert encode_error(read_error(exchange.reply)) == exchange.reply
            count += 1
    assert count > 20
    assert read_error(b"Limit exceeded\n") == read_error(b"[]") == read_error(b'{"error":1}') == ""


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, b"1"),
        (-0.0, b"-0"),
        (0.5, b"0.5"),
        (1e-6, b"0.000001"),
        (9.999999e-7, b"9.999999e-7"),
        (1.5e-15, b"1.5e-15"),
        (123456789, b"123456790"),
        (1e13, b"10000000000000"),
        (-1.5e15, b"-1500000000000000"),
        (1.2345678e20, b"123456780000000000000"),
        (1e21, b"1e+21"),
        (3.4028235e38, b"3.4028235e+38"),
        (1e-45, b"1e-45"),
    ],
)
def test_numbers_are_told_as_go_tells_them(value: float, text: bytes) -> None:
    array = np.array([value], np.float32)
    assert encode_values(array) == b"[" + text + b"]\n"
    assert encode_values(np.array([array, array])) == b"[[" + text + b"],[" + text + b"]]\n"


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=6))
def test_numbers_are_read_as_they_were(values: list[float]) -> None:
    array = np.array(values, np.float32)
    text = encode_values(array)
    again = np.array(json.loads(text, parse_int=float), np.float32)
    assert again.tobytes() == array.tobytes()
    for number in text[1:-2].split(b",") if values else ():
        assert not number.endswith(b".0")
        small = 0 < abs(float(number)) < 1e-6
        large = abs(float(number)) >= 1e21
        assert (b"e" in number) == (small or large)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_what_json_has_not_is_the_models_fault(wrong: float) -> None:
    """The real server answers 200 with an empty body."""
    for array in (np.array([1, wrong], np.float32), np.array([1, wrong], np.float64)):
        with pytest.raises(ModelFailed) as refused:
            encode_values(array)
        assert refused.value.field == "output[1]"
    with pytest.raises(ModelFailed):
        encode_labels("x", ["a", "b"], np.array([1, wrong], np.float32))


def test_outputs_of_other_types() -> None:
    assert encode_values(np.array([1, -2], np.int64)) == b"[1,-2]\n"
    assert encode_values(np.array([0.1, 1 / 3])) == b"[0.1,0.33333334]\n"
    assert encode_values(np.array([0.5], np.float16)) == b"[0.5]\n"
    assert encode_values(np.array([True, False])) == b"[1,0]\n"
    with pytest.raises(ModelFailed):
        encode_values(np.array([1e300]))
    with pytest.raises(ModelFailed):
        encode_values(np.array([b"a"], object))
    columns = np.array([[1, 2], [3, 4]], np.float32).T
    assert encode_values(columns) == b"[[1,3],[2,4]]\n"


def test_labels_are_at_most_five_and_only_of_outputs() -> None:
    values = np.arange(8, dtype=np.float32)
    answer = json.loads(encode_labels("a/b.png", [f"c{at}" for at in range(7)], values))
    assert answer["filename"] == "a/b.png"
    assert [each["label"] for each in answer["labels"]] == ["c6", "c5", "c4", "c3", "c2"]
    longer = json.loads(encode_labels("", ["a", "b", "c"], values[:1]))
    assert longer == {"filename": "", "labels": [{"label": "a", "probability": 0}]}
    assert json.loads(encode_labels("", [], values))["labels"] == []
    assert json.loads(encode_labels("", ["a"], values[:0]))["labels"] == []


def test_texts_cannot_leave_their_string() -> None:
    text = '</script>&"\\\u2028\ud800'
    answer = encode_error(text)
    assert b"<" not in answer
    assert json.loads(answer)["error"] == '</script>&"\\\u2028?'


def test_a_list_of_models_has_the_keys_of_both_generations(shared: Path) -> None:
    recorded = next(
        exchange for exchange in exchanges(shared) if exchange.reply.startswith(b'[{"name"')
    )
    wanted = json.loads(recorded.reply)[0]
    given_then = {"input_node": "x:0", "outputNode": "out", "description": "dnn"}
    model = ListedModel(
        "luca",
        "tf_model.pb",
        "labels.txt",
        parameters_of(given_then),
        wanted["timestamp"],
        {"version": 3},
    )
    (listed,) = orjson.loads(encode_models([model]))
    assert {key: listed[key] for key in wanted} == wanted
    assert (listed["inputNode"], listed["outputNode"], listed["ImgChannels"]) == ("x", "out", 0)
    assert listed["version"] == 3
    assert encode_models([]) == b"[]\n"
    assert b'"timestamp":"then"' in encode_models(
        [ListedModel("a", "b", "", TfaasParameters(timestamp="then"), "now")]
    )
