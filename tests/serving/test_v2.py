"""Open Inference Protocol v2 over REST: real sockets, JSON and bytes, and what is refused."""

import gzip
import json
import zlib
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import numpy as np
import pytest

from gpfn.limits import Limits
from gpfn.models.python import PythonModel, declare
from gpfn.serving import Server, ServerSettings
from gpfn.tensors.spec import TensorSpec

X = TensorSpec("float32", (None, 2), "x")


@declare({"x": X}, {"y": X, "z": TensorSpec("int64", (None,), "z")})
def both(x: np.ndarray) -> dict[str, np.ndarray]:
    return {"y": x * 2, "z": np.arange(len(x))}


@declare({"s": TensorSpec("string", (None,), "s")}, {"t": TensorSpec("string", (None,), "t")})
def echo(s: np.ndarray) -> np.ndarray:
    return s


@declare({"x": X}, {"y": X})
def short(x: np.ndarray) -> np.ndarray:
    return x[:-1]


class Asked:
    def __init__(self, port: int) -> None:
        self.port = port

    def __call__(
        self, path: str, body: object = None, method: str = "", **headers: str
    ) -> tuple[int, Any, Any]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method or ("GET" if data is None else "POST"), path, data, named)
        reply = connection.getresponse()
        content = reply.read()
        connection.close()
        return reply.status, reply.headers, content


@pytest.fixture(scope="module")
def ask() -> Iterator[Asked]:
    models = {"both": PythonModel(both), "echo": PythonModel(echo), "short": PythonModel(short)}
    with Server(models, ServerSettings(port=0, threads=2)) as server:
        yield Asked(server.address[1])


def tensor(name: str, datatype: str, shape: list[int], data: object) -> dict[str, object]:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


ROW = tensor("x", "FP32", [1, 2], [1, 2.5])


def test_json_in_and_out(ask: Asked) -> None:
    status, headers, body = ask("/v2/models/both/infer", {"id": "a", "inputs": [ROW]})
    assert (status, headers["content-type"]) == (200, "application/json")
    assert json.loads(body) == {
        "id": "a",
        "model_name": "both",
        "model_version": "1",
        "outputs": [
            tensor("y", "FP32", [1, 2], [2.0, 5.0]),
            tensor("z", "INT64", [1], [0]),
        ],
    }


def test_outputs_come_in_the_models_order_and_only_those_asked_for(ask: Asked) -> None:
    wanted = [{"name": "z"}, {"name": "y", "parameters": {"binary_data": True}}]
    status, headers, body = ask("/v2/models/both/infer", {"inputs": [ROW], "outputs": wanted})
    size = int(headers["inference-header-content-length"])
    found = json.loads(body[:size])
    assert (status, headers["content-type"]) == (200, "application/octet-stream")
    assert [output["name"] for output in found["outputs"]] == ["y", "z"]
    assert np.frombuffer(body[size:], "<f4").tolist() == [2, 5]
    _, _, body = ask("/v2/models/both/infer", {"inputs": [ROW], "outputs": [{"name": "z"}]})
    assert [output["name"] for output in json.loads(body)["outputs"]] == ["z"]


@pytest.mark.parametrize(
    ("coding", "compress", "inflate"),
    [("gzip", gzip.compress, gzip.decompress), ("deflate", zlib.compress, zlib.decompress)],
)
def test_compressed_both_ways(ask: Asked, coding: str, compress: Any, inflate: Any) -> None:
    rows = np.arange(2000, dtype="<f4").reshape(1000, 2)
    given = {"name": "x", "datatype": "FP32", "shape": [1000, 2]}
    document = {
        "inputs": [{**given, "parameters": {"binary_data_size": 8000}}],
        "parameters": {"binary_data_output": True},
    }
    head = json.dumps(document).encode()
    status, headers, body = ask(
        "/v2/models/both/infer",
        compress(head + rows.tobytes()),
        content_encoding=coding,
        accept_encoding=coding,
        inference_header_content_length=str(len(head)),
    )
    assert (status, headers["content-encoding"]) == (200, coding)
    size = int(headers["inference-header-content-length"])
    plain = inflate(body)
    np.testing.assert_array_equal(np.frombuffer(plain[size : size + 8000], "<f4"), rows.ravel() * 2)


def test_strings_keep_their_bytes(ask: Asked) -> None:
    texts = ["aGk=", "a\0\0", "ü"]
    status, _, body = ask("/v2/models/echo/infer", {"inputs": [tensor("s", "BYTES", [3], texts)]})
    assert (status, json.loads(body)["outputs"][0]["data"]) == (200, texts)


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"inputs": [{**ROW, "datatype": "INT32", "data": [1, 2]}]}, 400, "expects 'FP32'"),
        ({"inputs": [{**ROW, "shape": [1, 3]}]}, 400, "inputs[0].data: expected 3 values"),
        ({"inputs": [tensor("x", "FP32", [1, 3], [1, 2, 3])]}, 400, "x"),
        ({"inputs": [{**ROW, "shape": [-1, 2]}]}, 400, "inputs[0].shape"),
        ({"inputs": [{**ROW, "shape": [1 << 62, 1 << 62]}]}, 413, "inputs[0]"),
        ({"inputs": [{**ROW, "name": "no"}]}, 400, "unexpected inference input 'no'"),
        ({"inputs": [ROW, ROW]}, 400, "inputs[1]"),
        ({"inputs": []}, 400, "missing required input(s) ['x']"),
        ({"inputs": [ROW], "outputs": [{"name": "no"}]}, 400, "unexpected inference output 'no'"),
        ({"inputs": [ROW], "parameters": {"timeout": -1}}, 400, "parameters.timeout"),
        (b"{", 400, "not JSON"),
        (b"", 400, "empty, expected JSON"),
    ],
)
def test_what_is_wrong_is_named(ask: Asked, body: object, status: int, told: str) -> None:
    found, headers, reply = ask("/v2/models/both/infer", body)
    assert (found, headers["content-type"]) == (status, "application/json")
    assert told in json.loads(reply)["error"]
    assert ask("/v2/models/both/infer", {"inputs": [ROW]})[0] == 200


def test_a_model_that_gives_other_rows_is_found_out(ask: Asked) -> None:
    status, _, body = ask(
        "/v2/models/short/infer", {"inputs": [tensor("x", "FP32", [2, 2], [1] * 4)]}
    )
    assert status == 200, "a function that was not declared to have a batch axis may do so"
    assert json.loads(body)["outputs"][0]["shape"] == [1, 2]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/nope", 404),
        ("GET", "/v2/", 404),
        ("GET", "/v2/models/nope", 404),
        ("GET", "/v2/models/both/versions/9", 404),
        ("GET", "/v2/models/both/infer", 405),
        ("POST", "/v2", 405),
        ("DELETE", "/v2/models/both", 405),
        ("GET", "/v2/models/a%2Fb", 400),
        ("GET", "/v2/models/%2e%2e", 400),
        ("GET", "/v2/models/a%00", 400),
        ("GET", "/v2/systemsharedmemory/status", 404),
    ],
)
def test_errors_have_one_form(ask: Asked, method: str, path: str, status: int) -> None:
    found, headers, body = ask(path, method=method)
    assert (found, headers["content-type"]) == (status, "application/json")
    assert list(json.loads(body)) == ["error"]


def test_a_request_that_is_broken_is_told_in_json(ask: Asked) -> None:
    status, headers, body = ask("/v2/models/both/infer", b"x", content_encoding="br")
    assert (status, headers["content-type"]) == (415, "application/json")
    assert list(json.loads(body)) == ["error"]


def test_a_body_that_is_too_large_is_told_in_json() -> None:
    settings = ServerSettings(port=0, limits=Limits(body_bytes=1000))
    with Server({"both": PythonModel(both)}, settings) as server:
        status, headers, body = Asked(server.address[1])("/v2/models/both/infer", bytes(2000))
    assert (status, headers["content-type"]) == (413, "application/json")
    assert list(json.loads(body)) == ["error"]


def test_statistics_are_live(ask: Asked) -> None:
    def counted() -> Any:
        return json.loads(ask("/v2/models/both/stats")[2])["model_stats"][0]

    before = counted()
    ask("/v2/models/both/infer", {"inputs": [ROW]})
    ask("/v2/models/both/infer", {"inputs": [tensor("x", "FP32", [1, 3], [1, 2, 3])]})
    after = counted()
    assert after["inference_count"] == before["inference_count"] + 1
    for step in ("success", "fail", "queue", "compute_infer"):
        old, new = (each["inference_stats"][step] for each in (before, after))
        assert (new["count"], new["ns"] > old["ns"]) == (old["count"] + 1, True)


def test_a_model_is_unloaded_and_loaded(ask: Asked) -> None:
    assert ask("/v2/repository/models/echo/unload", {})[::2] == (200, b"")
    entries = {entry["name"]: entry for entry in json.loads(ask("/v2/repository/index", b"")[2])}
    assert entries["echo"] == {
        "name": "echo", "version": "1", "state": "UNAVAILABLE", "reason": "unloaded",
    }  # fmt: skip
    assert ask("/v2/models/echo/ready")[0] == 404
    ready = json.loads(ask("/v2/repository/index", {"ready": True})[2])
    assert "echo" not in [entry["name"] for entry in ready]
    assert ask("/v2/health/ready")[0] == 200, "it was unloaded on purpose"
    assert ask("/v2/repository/models/echo/load", {})[::2] == (200, b"")
    assert ask("/v2/models/echo/ready")[0] == 200
    config = {"parameters": {"config": "{}", "file:1/model.py": "eA=="}}
    assert ask("/v2/repository/models/echo/load", config)[0] == 400
    assert ask("/v2/repository/models/nope/load", {})[0] == 404
    assert ask("/v2/repository/models/nope/unload", {})[0] == 404
