"""TF Serving's and KServe's V1 on a real socket: Python's client, curl, and the recorded calls."""

import gzip
import json
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from gpfn.deadline import NEVER, Deadline
from gpfn.limits import Limits
from gpfn.models.open import open_model
from gpfn.serving import Server
from gpfn.tensors.spec import TensorSpec
from tests.conftest import ROOT
from tests.serving.serving import SETTINGS, Doubler, Running

CURL = ("curl", "-sS", "-w", "\n%{http_code} %{content_type}")


class Mixer:
    """Two inputs, three outputs, one of bytes: ``y`` is x times k, ``t_bytes`` what came as t."""

    name = "mixer"
    backend = "python"
    inputs = (
        TensorSpec("float32", (None, 2), "x"),
        TensorSpec("int64", (None,), "k"),
        TensorSpec("string", (None,), "t"),
    )
    outputs = (
        TensorSpec("float32", (None, 2), "y"),
        TensorSpec("int64", (None,), "k"),
        TensorSpec("string", (None,), "t_bytes"),
    )

    def __call__(
        self,
        inputs: Mapping[str, np.ndarray],
        *,
        outputs: Sequence[str] = (),
        deadline: Deadline = NEVER,
    ) -> dict[str, np.ndarray]:
        y = (inputs["x"] * inputs["k"][:, None]).astype("float32")
        return {"y": y, "k": inputs["k"], "t_bytes": inputs["t"]}


class Row(Doubler):
    """One value of every two, as KServe's recorded model has it: their sum."""

    inputs = (TensorSpec("int64", (None, 2), "x"),)
    outputs = (TensorSpec("int64", (None,), "y"),)

    def __call__(
        self,
        inputs: Mapping[str, np.ndarray],
        *,
        outputs: Sequence[str] = (),
        deadline: Deadline = NEVER,
    ) -> dict[str, np.ndarray]:
        return {"y": inputs["x"].sum(axis=1)}


@contextmanager
def serving(models: Mapping[str, Any], *, start: bool = True, **changes: Any) -> Iterator[Running]:
    """Serve models by name on a free port."""
    server = Server(models, replace(SETTINGS, **changes))
    (server.start if start else server.begin)()
    try:
        yield Running(server, server.address[1])
    finally:
        server.stop()


@pytest.fixture(scope="module")
def served() -> Iterator[Running]:
    with serving({"m": Row(), "half": Doubler(), "mix": Mixer()}, queue=200, max_batch=64) as run:
        yield run


def predict(run: Running, model: str, body: object, **headers: str) -> tuple[int, Any]:
    """Return the status and the document that a model answers a body with."""
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    status, fields, reply = run.ask("POST", f"/v1/models/{model}:predict", text, **headers)
    assert fields["content-type"] == "application/json"
    return status, orjson.loads(reply)


def told(run: Running, model: str, body: object) -> tuple[int, str]:
    status, document = predict(run, model, body)
    assert list(document) == ["error"]
    return status, document["error"]


# predictions


def test_rows_and_columns(served: Running) -> None:
    assert predict(served, "half", {"instances": [[1, 2.5]]}) == (200, {"predictions": [[2, 5]]})
    assert predict(served, "half", {"inputs": [[1, 2.5]]}) == (200, {"outputs": [[2, 5]]})


def test_several_inputs_and_outputs(served: Running) -> None:
    rows = [{"x": [1, 2], "k": 3, "t": "a"}, {"x": [3, 4], "k": -1, "t": {"b64": "/w=="}}]
    assert predict(served, "mix", {"instances": rows}) == (
        200,
        {
            "predictions": [
                {"y": [3, 6], "k": 3, "t_bytes": {"b64": "YQ=="}},
                {"y": [-3, -4], "k": -1, "t_bytes": {"b64": "/w=="}},
            ]
        },
    )
    columns = {"x": [[1, 2]], "k": [2**53 + 1], "t": [""]}
    status, document = predict(served, "mix", {"inputs": columns})
    assert status == 200
    assert document["outputs"]["k"] == [2**53 + 1]


@pytest.mark.parametrize(
    "path", ["m:predict", "m:PREDICT", "m/versions/1:Predict", "%6D/versions/%31:predict"]
)
def test_paths_of_a_prediction(served: Running, path: str) -> None:
    body = b'{"instances": [[1, 2]]}'
    assert served.ask("POST", f"/v1/models/{path}", body)[::2] == (200, b'{"predictions":[3]}')


def test_a_compressed_body_and_one_without_a_media_type(served: Running) -> None:
    body = gzip.compress(b'{"instances": [[1, 2]]}')
    assert predict(served, "m", body, content_encoding="gzip") == (200, {"predictions": [3]})
    text = b'{"instances": [[1, 2]]}'
    assert predict(served, "m", text, content_type="text/plain") == (200, {"predictions": [3]})


def test_large_bodies_and_replies_are_whole(served: Running) -> None:
    x = np.arange(60_000, dtype="float32").reshape(-1, 2)
    status, document = predict(served, "half", {"instances": x.tolist()})
    assert status == 200
    assert np.array_equal(np.array(document["predictions"], "float32"), x * 2)
    status, text = told(served, "half", {"instances": [*x.tolist(), ["a", 1]]})
    assert (status, text[:21]) == (400, "instances[30000][0]: ")


def test_rows_beyond_a_batch_are_computed_in_parts(served: Running) -> None:
    rows = [[index, 1] for index in range(1000)]
    assert predict(served, "m", {"instances": rows})[1]["predictions"] == [*range(1, 1001)]


# troubles of batched callers


def test_callers_of_one_batch_have_their_own_rows_forms_and_errors(served: Running) -> None:
    """100 callers at once with 1 to 3 rows in either form, every seventh of them wrong."""

    def ask(number: int) -> None:
        rows = [[number, row] for row in range(number % 3 + 1)]
        form, key = [("instances", "predictions"), ("inputs", "outputs")][number % 2]
        if number % 7 == 0:
            status, text = told(served, "m", {form: [*rows, [number, "x"]]})
            assert (status, f"{form}[{len(rows)}][1]" in text) == (400, True)
            return
        sums = [number + row for row in range(len(rows))]
        assert predict(served, "m", {form: rows}) == (200, {key: sums})

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(ask, range(100)))


def test_rows_of_a_batch_are_those_that_a_caller_has_alone() -> None:
    """A LiteRT model, which the engine asks for the rows of several callers at once."""
    path = str(ROOT / "models" / "forecast.tflite")
    model = open_model(path)
    series = np.random.default_rng(5).random((40, 20, 1), "float32")

    def ask(number: int) -> None:
        rows = series[number : number + number % 3 + 1]
        [alone] = model({model.inputs[0].name: rows}).values()
        status, document = predict(run, "forecast", {"instances": rows.tolist()})
        assert status == 200
        assert np.allclose(document["predictions"], alone, rtol=1e-5, atol=1e-6)

    with serving({"forecast": path}, queue=200) as run, ThreadPoolExecutor(16) as pool:
        list(pool.map(ask, range(36)))
    model.close()


def test_a_model_with_another_number_of_rows_answers_nobody() -> None:
    class Short(Doubler):
        def __call__(self, inputs: Any, **_: Any) -> dict[str, np.ndarray]:
            return {"y": inputs["x"][1:] * 2}

    with serving({"short": Short()}, max_batch=64) as run:
        assert predict(run, "short", {"instances": [[1, 2], [3, 4]]})[0] == 500


def test_a_body_that_takes_more_memory_than_there_is_is_not_read() -> None:
    """Four bytes of text are 115 of memory: a list of one number."""
    body = b'{"instances":[' + b",".join([b"[1]"] * 400_000) + b"]}"
    with serving({"m": Doubler()}, limits=Limits(body_bytes=2_000_000)) as run:
        status, text = told(run, "m", body)
        assert (status, "GPFN_MAX_INFLIGHT_BYTES" in text) == (413, True)
        assert predict(run, "m", {"instances": [[1.5, 2]] * 100_000})[0] == 200
        until = time.monotonic() + 5
        while run.service.budget.used:
            assert time.monotonic() < until


# errors


@pytest.mark.parametrize(
    ("model", "body", "status", "text"),
    [
        ("half", b"x", 400, "JSON Parse error: "),
        ("half", b"", 400, "JSON Parse error: The document is empty."),
        ("half", {}, 400, "Missing 'inputs' or 'instances' key"),
        ("half", {"instances": [[1, 2, 3]]}, 400, "instances[0]: expected 2 numbers, got 3"),
        ("half", {"instances": [[1, "x"]]}, 400, "instances[0][1]: expected a number"),
        ("half", {"instances": [[1, 2]], "signature_name": "z"}, 400, 'name: "z" not found'),
        ("mix", {"instances": [[1, 2]]}, 400, "expecting list of objects"),
        (
            "mix",
            {"inputs": {"x": [[1, 2]], "k": [1, 2], "t": ["", ""]}},
            400,
            "k: 2 rows, but x has 1",
        ),
        ("nope", {"instances": [1]}, 404, "Servable not found for request: Latest(nope)"),
        ("half/versions/9", {}, 404, "Servable not found for request: Specific(half, 9)"),
        ("half/labels/new", {}, 404, "Unrecognized servable version label: new"),
    ],
)
def test_errors_of_predictions(
    served: Running, model: str, body: object, status: int, text: str
) -> None:
    found = told(served, model, body)
    assert (found[0], text in found[1]) == (status, True), found


@pytest.mark.parametrize("path", ["m:predict", "m", "", "m/versions/1"])
def test_a_path_or_method_that_is_none_is_400(served: Running, path: str) -> None:
    method = "GET" if ":" in path else "POST"
    status, fields, body = served.ask(method, f"/v1/models/{path}")
    assert (status, fields["content-type"]) == (400, "application/json")
    assert body == b'{\n    "error": "Malformed request: %b /v1/models/%b"\n}' % (
        method.encode(),
        path.encode(),
    )


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1", 400),
        ("GET", "/v1/", 400),
        ("GET", "/v1/model/m", 400),
        ("GET", "/v1/models/m/versions", 400),
        ("GET", "/v1/models/m/x", 400),
        ("DELETE", "/v1/models/m", 400),
        ("POST", "/v1/models/m:train", 400),
        ("POST", "/v1/models/m:", 400),
        ("POST", "/v1/models/:predict", 400),
        ("GET", "/v1/models/nope", 404),
        ("GET", "/v1/models/m/versions/2", 404),
        ("GET", "/v1/models/m/labels/stable", 404),
        ("GET", "/v1/models/nope/metadata", 404),
        ("GET", "/v1/models/%2e%2e", 400),
        ("GET", "/v1/models/a%2fb", 400),
        ("GET", "/v1/models/a%00", 400),
        ("GET", "/v1/models/%ff", 400),
        ("POST", "/v1/models/m:classify", 501),
        ("POST", "/v1/models/m:Regress", 501),
        ("POST", "/v1/models/m/versions/1:explain", 501),
        ("POST", "/v1/models/nope:explain", 404),
    ],
)
def test_every_error_is_json(served: Running, method: str, path: str, status: int) -> None:
    got, fields, body = served.ask(method, path, b"{}" if method == "POST" else None)
    assert (got, fields["content-type"]) == (status, "application/json")
    assert list(orjson.loads(body)) == ["error"]


def test_a_coding_that_is_none_is_told_in_json_too(served: Running) -> None:
    assert predict(served, "m", b"x", content_encoding="br")[0] == 415
    assert predict(served, "m", b"x", content_encoding="gzip")[0] == 400


def test_errors_of_a_model_say_nothing_of_ours() -> None:
    def breaks(x: np.ndarray) -> None:
        if x[0, 0] > 5:
            raise KeyError("secret")

    with serving({"m": Doubler(breaks)}) as run:
        status, text = told(run, "m", {"instances": [[6, 0]]})
        assert status == 500
        assert "secret" not in text
        assert predict(run, "m", {"instances": [[1, 0]]})[0] == 200


# NaN and Infinity


@pytest.mark.filterwarnings("ignore:overflow")
def test_words_are_an_error_that_names_the_option_unless_it_is_given(served: Running) -> None:
    body = b'{"instances": [[NaN, -Infinity]]}'
    status, text = told(served, "half", body)
    assert (status, "--nan-words" in text) == (400, True)
    big = {"instances": [[3e38, 1]]}
    status, text = told(served, "half", big)
    assert status == 400
    assert "y[0][0]: the result is inf" in text
    assert "--nan-words" in text
    with serving({"half": Doubler()}, nan_words=True) as run:
        path = "/v1/models/half:predict"
        assert run.ask("POST", path, body)[2] == b'{"predictions":[[NaN,-Infinity]]}'
        reply = run.ask("POST", path, json.dumps(big).encode())[2]
        assert reply == b'{"predictions":[[Infinity,2.0]]}'


# status and metadata


def test_status_is_for_both_dialects(served: Running) -> None:
    for path in ("/v1/models/m", "/v1/models/m/versions/1"):
        status, fields, body = served.ask("GET", path)
        assert (status, fields["content-type"]) == (200, "application/json")
        assert orjson.loads(body) == {
            "name": "m",
            "ready": True,
            "model_version_status": [
                {
                    "version": "1",
                    "state": "AVAILABLE",
                    "status": {"error_code": "OK", "error_message": ""},
                }
            ],
        }


def test_metadata_and_the_list(served: Running) -> None:
    status, _, body = served.ask("GET", "/v1/models/mix/versions/1/metadata")
    assert status == 200
    document = orjson.loads(body)
    assert document["model_spec"] == {"name": "mix", "signature_name": "", "version": "1"}
    signature = document["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert {name: one["dtype"] for name, one in signature["inputs"].items()} == {
        "x": "DT_FLOAT",
        "k": "DT_INT64",
        "t": "DT_STRING",
    }
    models = orjson.loads(served.ask("GET", "/v1/models")[2])["models"]
    assert sorted(models) == ["half", "m", "mix"]


def test_what_is_being_loaded_is_503_everywhere() -> None:
    """The model waits in its first call, which is made to warm it up."""
    go = threading.Event()

    def inside(_: np.ndarray) -> None:
        go.wait(20)

    slow = Doubler(inside)
    slow.notes_warm_up = True
    with serving({"m": slow}, start=False) as run:
        try:
            until = time.monotonic() + 10
            while b"LOADING" not in (reply := run.ask("GET", "/v1/models/m"))[2]:
                assert reply[0] == 503
                assert time.monotonic() < until
            assert reply[0] == 503
            assert reply[1]["retry-after"]
            document = orjson.loads(reply[2])
            assert (document["name"], document["ready"]) == ("m", False)
            assert document["model_version_status"][0]["state"] == "LOADING"
            assert "error" in document
            status, text = told(run, "m", {"instances": [[1, 2]]})
            assert (status, "loaded" in text) == (503, True)
            assert run.ask("GET", "/v1/models/m/metadata")[0] == 503
        finally:
            go.set()
        while run.ask("GET", "/v1/models/m")[0] != 200:
            assert time.monotonic() < until
        assert predict(run, "m", {"instances": [[1, 2]]})[0] == 200


def test_a_version_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"no model")
    with serving({"m": str(broken)}, start=False) as run:
        until = time.monotonic() + 20
        while b"END" not in (reply := run.ask("GET", "/v1/models/m"))[2]:
            assert time.monotonic() < until
        assert reply[0] == 503
        [version] = orjson.loads(reply[2])["model_version_status"]
        assert version["status"]["error_code"] == "INTERNAL"
        assert "broken.tflite" in version["status"]["error_message"]
        assert str(tmp_path).encode() not in reply[2]


# the engine's errors


def test_a_full_queue_is_503_and_time_that_is_up_504() -> None:
    go, busy = threading.Event(), threading.Event()

    def inside(x: np.ndarray) -> None:
        if x[0, 0] == 7:
            busy.set()
            go.wait(20)

    body = {"instances": [[7, 7]]}
    changes = {"threads": 1, "queue": 1, "max_batch": 0, "request_seconds": 1.0}
    with serving({"m": Doubler(inside)}, **changes) as run, ThreadPoolExecutor(6) as pool:
        try:
            asked = [pool.submit(run.ask, "POST", "/v1/models/m:predict", json.dumps(body).encode())
                     for _ in range(6)]  # fmt: skip
            replies = [one.result() for one in asked]
        finally:
            go.set()
    statuses = sorted(status for status, _, _ in replies)
    assert {*statuses} == {503, 504}, statuses
    for status, fields, text in replies:
        assert list(orjson.loads(text)) == ["error"]
        assert (fields["retry-after"] is not None) == (status == 503)


# programs nobody here wrote


def curl(run: Running, path: str, *more: str) -> tuple[str, str]:
    """Return what curl shows of an answer, and its status with the media type."""
    command = [*CURL, f"http://127.0.0.1:{run.port}{path}", *more]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    body, _, status = done.stdout.rpartition("\n")
    return body, status


def test_curl(served: Running) -> None:
    assert curl(served, "/v1/models/half:predict", "-d", '{"instances": [[1.0, 2.0]]}') == (
        '{"predictions":[[2.0,4.0]]}',
        "200 application/json",
    )
    large = "[" + ",".join(["[1.5,2.5]"] * 2000) + "]"
    body, status = curl(served, "/v1/models/half:predict", "-d", f'{{"inputs": {large}}}')
    assert status == "200 application/json"
    assert orjson.loads(body)["outputs"] == [[3.0, 5.0]] * 2000
    assert curl(served, "/v1/models/half:predict", "-d", "x")[1] == "400 application/json"
    assert curl(served, "/v1/models/half", "-I")[1] == "200 application/json"


DIFFERENT = {
    "KServe server GET /v1/models": "other models are served",
    "KServe server, v1 predict, not JSON": "500 with the server's own exception there",
    "KServe server, v1 predict, no instances": "500 with the server's own exception there",
    "KServe server, v1 predict, instances not a list": "500 with its own exception there",
}
"""Recorded calls that are answered in another way, and why."""


def test_recorded_calls_of_kserves_client_and_curl(served: Running, shared: Path) -> None:
    """The same status; what they were answered with is in our answer, but for errors' words."""
    lines = (shared / "reference" / "wire" / "oip.jsonl").read_text().splitlines()
    replayed = 0
    for line in map(json.loads, lines):
        for exchange in line.get("exchanges") or ():
            request, recorded = exchange["request"], exchange["response"]
            if not request["path"].startswith("/v1"):
                continue
            headers = {k: v for k, v in request["headers"] if k.lower() != "content-length"}
            body = request["body"].encode() or None
            status, fields, text = served.ask(request["method"], request["path"], body, **headers)
            assert fields["content-type"] == "application/json"
            document = orjson.loads(text)
            replayed += 1
            if line["case"] in DIFFERENT:
                assert status == (400 if recorded["status"] == 500 else 200)
                continue
            assert status == recorded["status"], line["case"]
            expected = orjson.loads(recorded["body"])
            if status == 200:
                assert {name: document[name] for name in expected} == expected
            else:
                assert list(document) == list(expected) == ["error"]
    assert replayed >= 10
