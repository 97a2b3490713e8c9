"""Status, metadata, the list of models and errors, as clients of both dialects read them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from gpfn.errors import (
    BackendTimeout,
    CannotConnect,
    DeadlineExceeded,
    InvalidRequest,
    InvalidTensor,
    ModelFailed,
    Overloaded,
    TooLarge,
    UnsupportedMedia,
)
from gpfn.tensors import TensorSpec
from gpfn.v1.documents import (
    VersionStatus,
    error_body,
    metadata_document,
    models_document,
    status_document,
    status_of,
)
from gpfn.v1.predict import decode_predict
from gpfn.v1.predictions import encode_predictions
from tests.tensors.asking import LIMITS


def test_one_object_has_both_dialects_status() -> None:
    text = status_document("m", [VersionStatus("2"), VersionStatus("3", "LOADING")])
    assert b"\n  " in text
    assert orjson.loads(text) == {
        "name": "m",
        "ready": True,
        "model_version_status": [
            {
                "version": "2",
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            },
            {
                "version": "3",
                "state": "LOADING",
                "status": {"error_code": "OK", "error_message": ""},
            },
        ],
    }


def test_a_model_that_is_not_ready_says_why() -> None:
    ended = VersionStatus("1", "END", "cut at byte 7")
    document = orjson.loads(status_document("m", [ended]))
    assert document["ready"] is False
    assert document["error"] == "Model with name m is not ready."
    assert document["model_version_status"][0]["status"] == {
        "error_code": "INTERNAL",
        "error_message": "cut at byte 7",
    }


def test_metadata_is_a_signature_def() -> None:
    inputs = [TensorSpec("float32", (None, 20), "x"), TensorSpec("string", None, "s")]
    outputs = [TensorSpec("float16", (), "y"), TensorSpec("int64", (None,), "k")]
    document = orjson.loads(metadata_document("m", "3", inputs, outputs))
    assert document["model_spec"] == {"name": "m", "signature_name": "", "version": "3"}
    signature = document["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    assert signature["inputs"]["x"] == {
        "dtype": "DT_FLOAT",
        "tensor_shape": {
            "dim": [{"size": "-1", "name": ""}, {"size": "20", "name": ""}],
            "unknown_rank": False,
        },
        "name": "x",
    }
    assert signature["inputs"]["s"]["dtype"] == "DT_STRING"
    assert signature["inputs"]["s"]["tensor_shape"] == {"dim": [], "unknown_rank": True}
    assert [signature["outputs"][name]["dtype"] for name in "yk"] == ["DT_HALF", "DT_INT64"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidTensor("a"), 400),
        (InvalidRequest("a"), 400),
        (InvalidRequest("a", status=404), 404),
        (InvalidRequest("a", status=408), 408),
        (InvalidRequest("a", status=501), 501),
        (UnsupportedMedia("a"), 415),
        (TooLarge("a"), 413),
        (Overloaded("a"), 503),
        (DeadlineExceeded("a"), 504),
        (BackendTimeout("a"), 504),
        (CannotConnect("a"), 500),
        (ModelFailed("a"), 500),
        (KeyError("a"), 500),
    ],
)
def test_statuses_are_those_of_tf_serving(error: Exception, status: int) -> None:
    assert status_of(error) == status


def test_errors_are_pretty_and_keep_to_themselves_what_is_ours() -> None:
    assert error_body(InvalidTensor('a "b"', field="instances[0]")) == (
        b'{\n    "error": "instances[0]: a \\"b\\""\n}'
    )
    assert b"secret" not in error_body(KeyError("secret"))
    assert b"/usr" not in error_body(ModelFailed("cannot open /usr/lib/m.so"))


# what KServe's server answered its client and curl


@pytest.fixture(scope="module")
def recorded(shared: Path) -> list[dict[str, Any]]:
    """The V1 exchanges that were recorded, each with its case."""
    lines = (shared / "reference" / "wire" / "oip.jsonl").read_text().splitlines()
    return [
        {"case": line["case"], **exchange}
        for line in map(json.loads, lines)
        for exchange in line.get("exchanges") or ()
        if exchange["request"]["path"].startswith("/v1")
    ]


def test_recorded_predictions_come_out_byte_for_byte(recorded: list[dict[str, Any]]) -> None:
    """The recorded model adds up each row; it answers with JSON's numbers, so with whole ones."""
    specs = [TensorSpec("int64", (None, None), "x")]
    good = [one for one in recorded if one["response"]["body"].startswith('{"predictions"')]
    assert good
    for exchange in good:
        request = decode_predict(exchange["request"]["body"].encode(), specs, LIMITS)
        y = np.asarray(request.arrays["x"]).sum(axis=1)
        reply = encode_predictions({"y": y}, request.form)
        assert reply.decode() == exchange["response"]["body"]


def test_recorded_bodies_that_kserve_fails_at_are_the_callers_fault(
    recorded: list[dict[str, Any]],
) -> None:
    """KServe's server says 500 with its own exception; here it is 400 and tells what is wrong."""
    failed = [one for one in recorded if one["response"]["status"] == 500]
    assert len(failed) == 3
    for exchange in failed:
        with pytest.raises((InvalidRequest, InvalidTensor)) as caught:
            decode_predict(
                exchange["request"]["body"].encode(), [TensorSpec("int64", None, "x")], LIMITS
            )
        assert status_of(caught.value) == 400


def test_recorded_documents_are_within_ours(recorded: list[dict[str, Any]]) -> None:
    bodies = [orjson.loads(one["response"]["body"]) for one in recorded]
    assert orjson.loads(models_document(["m"])) in bodies
    status = orjson.loads(status_document("m", [VersionStatus("1")]))
    assert {name: status[name] for name in ("name", "ready")} in bodies
