"""The documents of the protocol, as its clients read them."""

import json
from typing import Any

import orjson
import pytest

from gpfn.errors import InvalidRequest, InvalidTensor
from gpfn.oip.documents import (
    ModelIndex,
    ModelStatistics,
    error_body,
    error_text,
    model_config,
    model_metadata,
    model_statistics,
    read_model_metadata,
    repository_index,
    server_metadata,
)
from gpfn.tensors.spec import TensorSpec

INPUTS = (TensorSpec("float32", (None, 42), "x"), TensorSpec("string", (None,), "t"))
OUTPUTS = (TensorSpec("float32", (None, 1), "y"), TensorSpec("bool", None, "z"))


def test_metadata_have_the_axis_of_the_batch() -> None:
    document = model_metadata("dnn", ["1", "2"], "litert", INPUTS, OUTPUTS)
    assert document == {
        "name": "dnn",
        "versions": ["1", "2"],
        "platform": "litert",
        "inputs": [
            {"name": "x", "datatype": "FP32", "shape": [-1, 42]},
            {"name": "t", "datatype": "BYTES", "shape": [-1]},
        ],
        "outputs": [
            {"name": "y", "datatype": "FP32", "shape": [-1, 1]},
            {"name": "z", "datatype": "BOOL", "shape": []},
        ],
    }
    served = read_model_metadata(orjson.loads(orjson.dumps(document)))
    assert (served.inputs, served.outputs) == (INPUTS, OUTPUTS)


def test_the_configuration_leaves_that_axis_out() -> None:
    options: dict[str, Any] = {"platform": "litert", "backend": "gpfn"}
    config = model_config("dnn", INPUTS, OUTPUTS, max_batch=64, **options)
    assert (config["name"], config["max_batch_size"]) == ("dnn", 64)
    assert config["input"] == [
        {"name": "x", "data_type": "TYPE_FP32", "dims": [42]},
        {"name": "t", "data_type": "TYPE_STRING", "dims": []},
    ]
    unbatched = model_config("dnn", INPUTS, OUTPUTS, max_batch=0, **options)
    assert unbatched["input"][0]["dims"] == [-1, 42]


def test_statistics_have_what_perf_analyzer_reads() -> None:
    steps = {"success": (3, 300), "queue": (3, 30)}
    one = ModelStatistics("dnn", "1", 5, 6, 3, steps, {4: {"compute_infer": (1, 9)}, 2: {}})
    (told,) = model_statistics([one])["model_stats"]
    assert told["inference_stats"]["success"] == {"count": 3, "ns": 300}
    assert set(told["inference_stats"]) == {
        "success", "fail", "queue", "compute_input", "compute_infer", "compute_output"
    }  # fmt: skip
    assert [row["batch_size"] for row in told["batch_stats"]] == [2, 4]
    assert told["batch_stats"][1]["compute_infer"] == {"count": 1, "ns": 9}
    assert (told["last_inference"], told["inference_count"], told["execution_count"]) == (5, 6, 3)


def test_the_index() -> None:
    rows = [
        ModelIndex("a", "1", "READY"),
        ModelIndex("a", "2", "UNAVAILABLE", "unloaded"),
        ModelIndex("b"),
    ]
    assert repository_index(rows) == [
        {"name": "a", "version": "1", "state": "READY"},
        {"name": "a", "version": "2", "state": "UNAVAILABLE", "reason": "unloaded"},
        {"name": "b"},
    ]
    assert repository_index(rows, ready=True) == [{"name": "a", "version": "1", "state": "READY"}]


def test_the_server() -> None:
    assert server_metadata("gpfn", "1", ("statistics",)) == {
        "name": "gpfn",
        "version": "1",
        "extensions": ["statistics"],
    }


def test_errors_have_the_place_and_no_text_of_a_bug() -> None:
    body = error_body(InvalidTensor("expected 2", field="inputs[0].data"))
    assert json.loads(body) == {"error": "inputs[0].data: expected 2"}
    assert error_text(body) == "inputs[0].data: expected 2"
    assert b"secret" not in error_body(ValueError("secret"))


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", ""),
        (b"no", ""),
        (b"[]", ""),
        (b'{"error":5}', ""),
        (b'{"error":"","detail":"a"}', "a"),
        (b'{"detail":[{"loc":["body",0],"msg":"a"},5,{"msg":"b"}]}', "body.0: a; b"),
    ],
)
def test_what_errors_say(body: bytes, text: str) -> None:
    assert error_text(body) == text


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ([], "metadata"),
        ({"inputs": {}}, "inputs"),
        ({"outputs": [5]}, "outputs[0]"),
        ({"inputs": [{"name": "x"}]}, "inputs[0]"),
        ({"inputs": [{"name": "x", "shape": [1.0]}]}, "inputs[0].shape"),
        ({"inputs": [{"name": "x", "shape": []}] * 2}, "inputs[1]"),
    ],
)
def test_metadata_that_are_none(document: object, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_model_metadata(document)
    assert caught.value.field == field
