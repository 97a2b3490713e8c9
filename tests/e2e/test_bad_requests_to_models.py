"""What callers of a model server get wrong, or do on purpose, by every protocol.

Each row goes to one `gpfn serve`. The answer names what is wrong, in the protocol's own form;
the next call succeeds; and who asks another model all the time sees nothing of it.
"""

import gzip
import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpfn.graphpipe import InferRequest
from gpfn.graphpipe.encode import encode_request
from gpfn.limits import Limits
from gpfn.models.python import PythonModel
from gpfn.serving import Server, ServerSettings
from tests.e2e.models_served import ModelServer, Prober, Reply, put_functions, served, tensor

V2, V1, GRAPHPIPE = "/v2/models/both/infer", "/v1/models/both:predict", "/graphpipe/both"
MIB = 1 << 20
BODY = 8 * MIB
HEADER = "Inference-Header-Content-Length"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    folder = tmp_path_factory.mktemp("models")
    put_functions(folder, "double", "both", "echo", "free", "infinite")
    log = folder.parent / "bad-requests.log"
    environ = {"GPFN_MAX_BODY_BYTES": str(BODY)}
    with (
        served(log, "--models-dir", str(folder), environ=environ) as running,
        Prober(running) as prober,
    ):
        yield running
        assert prober.slowest < 5


def check_good(server: ModelServer) -> None:
    assert server.rows("both", [[1, 2], [3, 4]]) == [[2, 4], [6, 8]]


def document(reply: Reply) -> str:
    """Return the error of a V1 reply, which TF Serving writes on lines of its own."""
    assert reply.headers["content-type"] == "application/json", reply
    assert reply.body.startswith(b'{\n    "error": "'), reply
    return str(json.loads(reply.body)["error"])


# Open Inference v2


def v2(*inputs: object, **members: object) -> bytes:
    return json.dumps({"inputs": list(inputs or [tensor()]), **members}).encode()


def deep(depth: int, left: bytes = b"[", right: bytes = b"]") -> bytes:
    return left * depth + right * depth


ROWS_V2: dict[str, tuple[bytes, int, str]] = {
    "negative shape": (v2(tensor(shape=[-1, 2])), 400, "inputs[0].shape[0]"),
    "negative twice": (v2(tensor(shape=[-1, -2])), 400, "inputs[0].shape[0]"),
    "shape that overflows": (v2(tensor(shape=[1 << 32, 1 << 32])), 413, "inputs[0].shape"),
    "shape that overflows to what is there": (
        v2(tensor(shape=[(1 << 63) + 1, 2])), 413, "inputs[0].shape",
    ),
    "shape of 2^64": (v2(tensor(shape=[1 << 64, 2])), 400, "inputs[0].shape"),
    "shape of 10^400": (v2(tensor(shape=[10**400, 2])), 413, "inputs[0].shape"),
    "shape of a float": (v2(tensor(shape=[1.0, 2])), 400, "inputs[0].shape[0]"),
    "shape of true": (v2(tensor(shape=[True, 2])), 400, "inputs[0].shape[0]"),
    "shape that is text": (v2(tensor(shape="12")), 400, "inputs[0].shape"),
    "shape that is a number": (v2(tensor(shape=2)), 400, "inputs[0].shape"),
    "shape of 17 dimensions": (v2(tensor(shape=[1] * 16 + [2])), 413, "inputs[0].shape"),
    "shape of nothing but rows": (v2(tensor(shape=[1 << 40, 0], data=[])), 413, "inputs[0].shape"),
    "no shape": (v2({"name": "x", "datatype": "FP32", "data": [1, 2]}), 400, "inputs[0].shape"),
    "another width": (v2(tensor(shape=[1, 3], data=[1, 2, 3])), 400, "x"),
    "too few values": (v2(tensor(data=[1])), 400, "inputs[0].data"),
    "too many values": (v2(tensor(data=[1, 2, 3])), 400, "inputs[0].data"),
    "ragged": (v2(tensor(shape=[2, 2], data=[[1, 2], [3]])), 400, "inputs[0].data"),
    "no data": (v2(tensor(data=None)), 400, "inputs[0].data"),
    "data that is text": (v2(tensor(data="12")), 400, "inputs[0].data"),
    "data that is an object": (v2(tensor(data={"0": 1})), 400, "inputs[0].data"),
    "null among numbers": (v2(tensor(data=[1, None])), 400, "inputs[0].data[1]"),
    "true among numbers": (v2(tensor(data=[1, True])), 400, "inputs[0].data[1]"),
    "text among numbers": (v2(tensor(data=[1, "2"])), 400, "inputs[0].data[1]"),
    "beyond float32": (v2(tensor(data=[1, 1e39])), 400, "inputs[0].data[1]"),
    "NaN": (v2(tensor(data=[1, float("nan")])), 400, "binary data"),
    "300 as UINT8": (v2(tensor(datatype="UINT8", data=[1, 300])), 400, "inputs[0].data[1]"),
    "2^63 as INT64": (v2(tensor(datatype="INT64", data=[1, 1 << 63])), 400, "inputs[0].data[1]"),
    "a float as INT32": (v2(tensor(datatype="INT32", data=[1, 1.5])), 400, "inputs[0].data[1]"),
    "another datatype": (v2(tensor(datatype="INT32", data=[1, 2])), 400, "inputs.x"),
    "unknown datatype": (v2(tensor(datatype="FP128")), 400, "inputs[0].datatype"),
    "datatype in small letters": (v2(tensor(datatype="fp32")), 400, "inputs[0].datatype"),
    "datatype that is a list": (
        json.dumps({"inputs": [{"name": "x", "shape": [1, 2], "datatype": ["FP32"]}]}).encode(),
        400, "inputs[0].datatype",
    ),
    "name that is a number": (
        json.dumps({"inputs": [{"name": 7, "shape": [1, 2], "datatype": "FP32"}]}).encode(),
        400, "inputs[0].name",
    ),
    "name of NUL": (v2(tensor(name="\0")), 400, "unexpected inference input"),
    "name of 100 kB": (v2(tensor(name="x" * 100_000)), 400, "unexpected inference input"),
    "data and binary_data_size": (
        v2(tensor(parameters={"binary_data_size": 8})), 400,
        "inputs[0].parameters.binary_data_size",
    ),
    "shared memory": (
        v2(tensor(data=None, parameters={"shared_memory_region": "r"})), 400,
        "inputs[0].parameters.shared_memory_region",
    ),
    "an input twice": (v2(tensor(), tensor()), 400, "inputs[1].name"),
    "10,000 inputs": (v2(*[tensor(name=str(n)) for n in range(10_000)]), 413, "inputs"),
    "no inputs": (b'{"inputs":[]}', 400, "inputs"),
    "no member inputs": (b"{}", 400, "inputs"),
    "inputs that are an object": (b'{"inputs":{}}', 400, "inputs"),
    "an input that is a list": (b'{"inputs":[[]]}', 400, "inputs[0]"),
    "an output twice": (v2(outputs=[{"name": "y"}] * 2), 400, "outputs[1].name"),
    "10,000 outputs": (v2(outputs=[{"name": str(n)} for n in range(10_000)]), 413, "outputs"),
    "unknown output": (v2(outputs=[{"name": "no"}]), 400, "outputs"),
    "output that is text": (v2(outputs=["y"]), 400, "outputs[0]"),
    "classification of -1": (
        v2(outputs=[{"name": "y", "parameters": {"classification": -1}}]), 400,
        "outputs[0].parameters.classification",
    ),
    "binary_data that is text": (
        v2(outputs=[{"name": "y", "parameters": {"binary_data": "true"}}]), 400,
        "outputs[0].parameters.binary_data",
    ),
    "parameters that are a list": (v2(parameters=[]), 400, "parameters"),
    "a parameter that is an object": (v2(parameters={"a": {}}), 400, "parameters.a"),
    "negative timeout": (v2(parameters={"timeout": -1}), 400, "parameters.timeout"),
    "timeout of text": (v2(parameters={"timeout": "1"}), 400, "parameters.timeout"),
    "id that is a number": (v2(id=7), 400, "id"),
    "empty": (b"", 400, "body"),
    "not JSON": (b"hello", 400, "body"),
    "a list": (b"[]", 400, "body"),
    "cut off": (v2()[:-3], 400, "body"),
    "two documents": (v2() + v2(), 400, "body"),
    "UTF-16": (v2().decode().encode("utf-16"), 400, "body"),
    "bytes that are no UTF-8": (b'{"id":"\xff"}', 400, "body"),
    "half of a pair": (b'{"id":"\\ud800","inputs":[]}', 400, ""),
    "lists 100,000 deep": (deep(100_000), 400, "body"),
    "lists 100,000 deep and open": (b"[" * 100_000, 400, "body"),
    "objects 100,000 deep": (deep(100_000, b'{"a":', b"1}"), 400, "body"),
    "data 100,000 deep": (
        b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":%b}]}' % deep(100_000),
        400, "body",
    ),
    "data 500 deep": (
        b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":%b}]}' % deep(500),
        413, "inputs[0].data",
    ),
    "300,000 lists": (
        b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[%b[]]}]}'
        % (b"[]," * 300_000), 413, "inputs[0].data",
    ),
    "two and a half million lists": (
        b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[%b[]]}]}'
        % (b"[]," * 2_500_000), 413, "body",
    ),
    "a million objects": (
        b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[%b{}]}]}'
        % (b"{}," * 1_000_000), 413, "body",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS_V2)
def test_v2_says_what_is_wrong(server: ModelServer, name: str) -> None:
    body, status, told = ROWS_V2[name]
    reply = server.ask(V2, body)
    assert reply.status == status, reply
    assert told in reply.error
    assert len(reply.body) < 3000
    check_good(server)


@pytest.mark.parametrize(
    "size",
    ["", " ", "x", "-1", "+5", "1_0", "9" * 30, "99999", "5.0", "0x5", "1e1", "\xb2", "5,5", "00"],
)
def test_a_header_length_that_is_none(server: ModelServer, size: str) -> None:
    reply = server.ask(V2, v2(), **{HEADER: size})
    assert reply.status == 400, reply
    assert HEADER in reply.error
    check_good(server)


def sized(size: object, **changes: Any) -> bytes:
    return v2(tensor(data=None, parameters={"binary_data_size": size}, **changes))


@pytest.mark.parametrize(
    ("head", "data", "field"),
    [
        (sized(8), bytes(7), "inputs[0].parameters.binary_data_size"),
        (sized(8), bytes(9), "inputs: 1 byte too many"),
        (sized(4), bytes(4), "inputs[0].parameters.binary_data_size"),
        (sized(-8), bytes(8), "inputs[0].parameters.binary_data_size"),
        (sized(1 << 63), bytes(8), "inputs[0].parameters.binary_data_size"),
        (sized(8.0), bytes(8), "inputs[0].parameters.binary_data_size"),
        (sized("8"), bytes(8), "inputs[0].parameters.binary_data_size"),
        (sized(True), bytes(1), "inputs[0].parameters.binary_data_size"),
        (sized(2, datatype="BOOL"), b"\1\2", "inputs[0].data[1]"),
        (sized(1 << 40, shape=[1 << 38]), b"", "inputs[0].shape"),
        (sized(16, shape=[2, -2]), bytes(16), "inputs[0].shape[1]"),
    ],
)
def test_sizes_that_do_not_add_up(
    server: ModelServer, head: bytes, data: bytes, field: str
) -> None:
    reply = server.ask(V2, head + data, **{HEADER: str(len(head))})
    assert reply.status in (400, 413), reply
    assert field in reply.error
    check_good(server)


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (struct.pack("<I", 5) + b"abcd", "inputs[0].data[0]"),
        (struct.pack("<I", 0xFFFFFFFF) + bytes(4), "inputs[0].data[0]"),
        (struct.pack("<I", 1) + b"a" + bytes(3), "inputs[0].data[1]"),
        (struct.pack("<I", 1) + b"a" + bytes(4) + b"b", "inputs[0].data: 1 byte behind"),
        (bytes(3), "inputs[0].data"),
    ],
)
def test_lengths_of_strings_beyond_the_body(server: ModelServer, data: bytes, field: str) -> None:
    entry = {"name": "s", "datatype": "BYTES", "shape": [2]}
    head = json.dumps(
        {"inputs": [{**entry, "parameters": {"binary_data_size": len(data)}}]}
    ).encode()
    reply = server.ask("/v2/models/echo/infer", head + data, **{HEADER: str(len(head))})
    assert reply.status == 400, reply
    assert field in reply.error


def test_a_million_strings_hold_nobody_up(server: ModelServer) -> None:
    """Reading them takes a second: in a thread, while the others are answered."""
    count = 1_000_000
    entry = {"name": "s", "datatype": "BYTES", "shape": [count]}
    head = json.dumps({"inputs": [{**entry, "parameters": {"binary_data_size": 4 * count}}]})
    # the datatype is hidden by an escape
    text = head.replace("BYTES", "BYT\\u0045S").encode()
    with Prober(server) as prober:
        before = server.resident()
        reply = server.ask(
            "/v2/models/echo/infer", text + bytes(4 * count), **{HEADER: str(len(text))}
        )
    assert reply.status == 200, reply.body[:200]
    assert prober.slowest < 2
    assert server.resident() - before < 200 * MIB


@pytest.mark.parametrize(
    ("coding", "body", "status", "field"),
    [
        ("gzip", gzip.compress(bytes(64 * MIB)), 413, "GPFN_MAX_BODY_BYTES"),
        ("deflate", zlib.compress(bytes(64 * MIB)), 413, "GPFN_MAX_BODY_BYTES"),
        ("gzip", gzip.compress(b"") * 20_000, 400, "gzip members"),
        ("gzip", gzip.compress(v2())[:-9], 400, "body"),
        ("gzip", v2(), 400, "body"),
        ("deflate", b"\xff" * 99, 400, "body"),
        ("gzip", gzip.compress(deep(100_000)), 400, "body"),
        ("gzip", gzip.compress(gzip.compress(v2())), 400, "body"),
        ("gzip, gzip", gzip.compress(gzip.compress(v2())), 415, "content-encoding"),
        ("br", b"x", 415, "content-encoding"),
        ("\xff", b"x", 415, "content-encoding"),
    ],
)
@pytest.mark.parametrize("path", [V2, V1, GRAPHPIPE])
def test_compressed_bodies_that_are_bad(
    server: ModelServer, path: str, coding: str, body: bytes, status: int, field: str
) -> None:
    reply = server.ask(path, body, content_encoding=coding)
    if path == GRAPHPIPE:
        assert reply.status in (status, 415), reply
        assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    else:
        told = reply.error if path == V2 else document(reply)
        assert reply.status == status, reply
        assert path == V1 or field in told
    check_good(server)


def test_bombs_leave_the_memory_that_they_had(server: ModelServer) -> None:
    """Each of them fills half of what all bodies may have: none of it may stay."""
    bomb = gzip.compress(bytes(BODY + 1))
    for _ in range(20):
        assert server.ask(V2, bomb, content_encoding="gzip").status == 413
    before = server.resident()
    for _ in range(40):
        assert server.ask(V2, bomb, content_encoding="gzip").status == 413
    assert server.resident() - before < 2 * BODY


# V1


def v1(value: object, form: str = "instances", **members: object) -> bytes:
    return json.dumps({form: value, **members}).encode()


ROWS_V1: dict[str, tuple[bytes, int, str]] = {
    "both forms": (b'{"instances":[[1,2]],"inputs":[[1,2]]}', 400, "only one of"),
    "neither": (b"{}", 400, "Missing 'inputs' or 'instances'"),
    "a list": (b"[[1,2]]", 400, "Not an object"),
    "no rows": (v1([]), 400, "No values in 'instances'"),
    "rows that are an object": (v1({"x": [1, 2]}), 400, "list/array"),
    "a row that is short": (v1([[1, 2], [3]]), 400, "instances[1]"),
    "all rows short": (v1([[1], [3]]), 400, "instances"),
    "text": (v1([[1, "2"]]), 400, "instances[0][1]"),
    "null": (v1([[1, None]]), 400, "instances[0][1]"),
    "beyond float32": (v1([[1, 1e39]]), 400, "instances[0][1]"),
    "not exact in float32": (v1([[1, (1 << 53) + 1]]), 400, "instances[0][1]"),
    "10^400": (b'{"instances":[[1,1%b]]}' % (b"0" * 400), 400, "instances[0][1]"),
    "NaN": (b'{"instances":[[1,NaN]]}', 400, "--nan-words"),
    "unknown input": (v1([{"no": [1, 2]}]), 400, "instances[0]"),
    "an input more": (v1([{"x": [1, 2], "no": 1}]), 400, "instances[0].no"),
    "a member twice": (b'{"instances":[[1,2]],"instances":[[3,4]]}', 400, "twice"),
    "an input twice": (b'{"instances":[{"x":[1,2],"x":[3,4]}]}', 400, "twice"),
    "another signature": (v1([[1, 2]], signature_name="no"), 400, "signature"),
    "signature of a number": (v1([[1, 2]], signature_name=1), 400, "signature_name"),
    "bytes for numbers": (v1([{"b64": "AAAA"}]), 400, "instances"),
    "columns of another width": (v1([[1, 2, 3]], "inputs"), 400, "inputs"),
    "empty": (b"", 400, "JSON Parse error"),
    "not JSON": (b"hello", 400, "JSON Parse error"),
    "lists 100,000 deep": (b'{"instances":%b}' % deep(100_000), 400, "JSON Parse error"),
    "lists 500 deep": (b'{"instances":%b}' % deep(500), 413, "instances"),
    "objects 100,000 deep": (
        b'{"instances":%b}' % deep(100_000, b'{"a":', b"1}"), 400, "JSON Parse error",
    ),
    "two and a half million lists": (
        b'{"instances":[%b[]]}' % (b"[]," * 2_500_000), 413, "body",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS_V1)
def test_v1_says_what_is_wrong(server: ModelServer, name: str) -> None:
    body, status, told = ROWS_V1[name]
    reply = server.ask(V1, body)
    assert reply.status == status, reply
    assert told in document(reply)
    assert len(reply.body) < 3000
    check_good(server)


# GraphPipe


def message(*arrays: np.ndarray, **names: Any) -> bytes:
    return b"".join(encode_request(InferRequest(tensors=arrays, **names)))


X = np.array([[1, 2]], np.float32)
ROWS_GRAPHPIPE: dict[str, tuple[bytes, int, str]] = {
    "empty": (b"", 400, "request"),
    "zeros": (bytes(64), 400, "request"),
    "JSON": (v2(), 415, "content-type"),
    "another width": (message(np.ones((1, 3), np.float32)), 400, "x"),
    "not exact in float32": (message(np.array([[1, (1 << 24) + 1]])), 400, "x"),
    "two inputs": (message(X, X), 400, "infer_request.input_tensors"),
    "unknown input": (message(X, input_names=("no",)), 400, "no"),
    "unknown output": (message(X, output_names=("no",)), 400, "no"),
    "10,000 outputs": (
        message(X, output_names=tuple(map(str, range(10_000)))), 413, "infer_request.output_names",
    ),
    "100 inputs": (message(*[X] * 100), 413, "infer_request.input_tensors"),
    "strings": (message(np.array([[b"a", b"b"]], object)), 400, "x"),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS_GRAPHPIPE)
def test_graphpipe_says_what_is_wrong(server: ModelServer, name: str) -> None:
    body, status, told = ROWS_GRAPHPIPE[name]
    reply = server.ask(GRAPHPIPE, body)
    assert reply.status == status, reply
    assert told in reply.body.decode()
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    check_good(server)


def test_a_damaged_message_is_refused_or_what_it_says(server: ModelServer) -> None:
    """Cut at each length; and each of its longs as a size that is negative, or overflows."""
    good = message(X)
    bodies = [good[:size] for size in range(0, len(good), 3)]
    bodies += [
        good[:at] + struct.pack("<q", value) + good[at + 8 :]
        for at in range(0, len(good) - 8, 4)
        for value in (-1, 1 << 40, (1 << 63) - 1)
    ]
    for body in bodies:
        assert server.ask(GRAPHPIPE, body).status in (200, 400, 413, 415)
    check_good(server)


def test_names_of_megabytes_are_not_kept(server: ModelServer) -> None:
    def ask(number: int) -> int:
        names = (f"{number}" * (2 * MIB // len(f"{number}")),)
        return server.ask(GRAPHPIPE, message(X, output_names=names)).status

    assert {ask(number) for number in range(10, 20)} == {400}
    before = server.resident()
    assert {ask(number) for number in range(20, 60)} == {400}
    assert server.resident() - before < 8 * MIB


# names, paths, methods


NAMES = {
    "a%2Fb": 400, "..": 400, "%2e%2e": 400, "%2E.": 400, "a%00b": 400, "%ff": 400, "a%0Ab": 400,
    "a%0d%0ax-evil:%201": 400, "%E2%80%AE": 400, "a" * 300: 400, "%252F": 404, "%C3%BC": 404,
    "%": 404, "a%zz": 404, "both%20": 404, "BOTH": 404, "%2e%2e%2fboth": 400,
    "..%5c..%5cetc": 404,
}  # fmt: skip
PATHS = {
    "GET /v2/models/{}": "v2",
    "GET /v2/models/{}/versions/1/ready": "v2",
    "GET /v2/models/both/versions/{}": "v2",
    "GET /v2/models/{}/config": "v2",
    "GET /v2/models/{}/stats": "v2",
    "POST /v2/models/{}/infer": "v2",
    "POST /v2/models/both/versions/{}/infer": "v2",
    "POST /v2/repository/models/{}/load": "v2",
    "POST /v2/repository/models/{}/unload": "v2",
    "GET /v1/models/{}": "v1",
    "GET /v1/models/{}/metadata": "v1",
    "GET /v1/models/both/versions/{}": "v1",
    "GET /v1/models/both/labels/{}": "v1",
    "POST /v1/models/{}:predict": "v1",
    "POST /v1/models/both/versions/{}:predict": "v1",
    "POST /graphpipe/{}": "graphpipe",
}


@pytest.mark.parametrize("path", PATHS)
def test_names_that_can_be_none(server: ModelServer, path: str) -> None:
    method, _, pattern = path.partition(" ")
    bodies = {"v2": v2(), "v1": v1([[1, 2]]), "graphpipe": message(X)}
    body = (b"{}" if "/load" in path else bodies[PATHS[path]]) if method == "POST" else None
    if "/unload" in path:
        body = b"{}"
    for name, status in NAMES.items():
        reply = server.ask(pattern.format(name), body, method)
        assert reply.status == status, (name, reply)
        if PATHS[path] == "v2":
            assert reply.error
        elif PATHS[path] == "v1":
            assert document(reply)
        assert "x-evil" not in reply.headers
    check_good(server)


def head(start: str, *lines: str) -> bytes:
    return "\r\n".join([f"{start} HTTP/1.1", "Host: a", *lines, "", ""]).encode("latin-1")


POST = f"POST {V2}"
BROKEN: dict[str, tuple[bytes, int]] = {
    "unknown path": (head("GET /v2/nope"), 404),
    "a slash behind": (head("GET /v2/"), 404),
    "dots in a path": (head("GET /v2/../v2/models/both"), 404),
    "an absolute target": (head("GET http://a/v2/nope"), 404),
    "GET for POST": (head(f"GET {V2}"), 405),
    "POST for GET": (head("POST /v2", "Content-Length: 2") + b"{}", 405),
    "DELETE": (head("DELETE /v2/models/both"), 405),
    "OPTIONS": (head("OPTIONS /v2"), 405),
    "body over the limit": (head(POST, "Content-Length: 9000000000000000000"), 413),
    "chunk over the limit": (
        head(POST, "Transfer-Encoding: chunked") + b"FFFFFFFF\r\n" + bytes(10 * MIB), 413,
    ),
    "body over the limit that is sent": (head(POST, f"Content-Length: {BODY + 1}") + b"{", 413),
    "headers over the limit": (head(POST, *[f"x{n}: {'y' * 999}" for n in range(99)]), 431),
    "a header over the limit": (head(POST, "x: " + "y" * 100_000), 431),
    "a target over the limit": (head("GET /v2/models/" + "a" * 100_000), 431),
    "300 headers": (head(POST, *[f"x{n}: y" for n in range(300)]), 431),
    "a length of -1": (head(POST, "Content-Length: -1"), 400),
    "two lengths": (head(POST, "Content-Length: 1", "Content-Length: 2"), 400),
    "a length and chunks": (head(POST, "Content-Length: 1", "Transfer-Encoding: chunked"), 400),
    "a broken chunk": (head(POST, "Transfer-Encoding: chunked") + b"zz\r\n", 400),
    "another coding": (head(POST, "Transfer-Encoding: gzip, chunked"), 501),
    "NUL in the target": (b"GET /v2/models/a\0b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "no host": (b"GET /v2/models/both HTTP/1.1\r\n\r\n", 400),
    "two hosts": (head("GET /v2/models/both", "Host: b"), 400),
    "another expectation": (head(POST, "Expect: a miracle", "Content-Length: 1"), 417),
    "an unknown method": (head(f"BREW {V2}"), 501),
    "another version": (b"GET /v2/models/both HTTP/3.0\r\nHost: a\r\n\r\n", 505),
    "a name that is none": (head("GET /v2/models/%2e%2e"), 400),
    "a time that is none": (head(POST, "X-Timeout: soon", "Content-Length: 2") + b"{}", 400),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_every_error_of_v2_has_the_one_form(server: ModelServer, name: str) -> None:
    data, status = BROKEN[name]
    reply = server.send(data)
    assert reply.status == status, reply
    assert reply.error
    check_good(server)


@pytest.mark.parametrize("name", [name for name in BROKEN if BROKEN[name][1] > 405])
def test_so_has_every_error_of_v1(server: ModelServer, name: str) -> None:
    data, status = BROKEN[name]
    reply = server.send(data.replace(b"/v2", b"/v1", 1))
    assert reply.status in (status, 400), reply
    assert document(reply)


@pytest.mark.parametrize("text", ["soon", "-1", "0", "nan", "inf", "1e999", ""])
def test_a_time_that_is_none(server: ModelServer, text: str) -> None:
    for path, body in ((V2, v2()), (V1, v1([[1, 2]])), (GRAPHPIPE, message(X))):
        reply = server.ask(path, body, x_timeout=text)
        assert reply.status == 400, reply
        assert b"x-timeout" in reply.body


@pytest.mark.parametrize("verb", ["load", "unload"])
def test_large_bodies_where_none_is_needed(server: ModelServer, verb: str) -> None:
    for path in (f"/v2/repository/models/both/{verb}", "/v2/repository/index"):
        reply = server.ask(path, b"[" + b"[]," * 1_000_000 + b"[]]")
        assert reply.status == 413, reply
        assert "body" in reply.error
        reply = server.ask(path, deep(10_000))
        assert reply.status == 400, reply
        assert "body" in reply.error
    check_good(server)


def test_a_million_chunks_of_a_byte(server: ModelServer) -> None:
    line = head(POST, "Transfer-Encoding: chunked")
    server.send(line + b"1\r\n \r\n" * 1_000_000 + b"0\r\n\r\n")
    before = server.resident()
    reply = server.send(line + b"1\r\n \r\n" * 1_000_000 + b"0\r\n\r\n")
    assert reply.status == 400, reply
    assert "body" in reply.error
    assert server.resident() - before < 8 * MIB
    check_good(server)


def test_unknown_names_make_no_series_and_are_not_kept(server: ModelServer) -> None:
    def series() -> int:
        return len(server.ask("/metrics").body.splitlines())

    def ask(start: int) -> None:
        for number in range(start, start + 500):
            assert server.ask(f"/v2/models/m{number}/infer", v2()).status == 404
            assert server.ask(f"/v1/models/m{number}:predict", v1([[1]])).status == 404
            assert server.ask(f"/graphpipe/m{number}", message(X)).status == 404
            assert server.ask(f"/v2?{number}{'x' * 50_000}").status == 200

    before = series()
    ask(0)
    resident = server.resident()
    ask(500)
    assert series() == before
    assert server.resident() - resident < 8 * MIB


def test_what_json_cannot_hold_is_told(server: ModelServer) -> None:
    reply = server.infer("infinite", [[1, 2]])
    assert reply.status == 400
    assert "binary" in reply.error
    reply = server.ask("/v1/models/infinite:predict", v1([[1, 2]]))
    assert "y[0][0]" in document(reply)


def test_what_comes_too_slowly_is_told_in_json() -> None:
    def double(x: Any) -> Any:
        return 2 * x

    settings = ServerSettings(port=0, head_seconds=0.2, request_seconds=0.2, limits=Limits())
    with Server({"both": PythonModel(double)}, settings) as running:
        asked = ModelServer(None, running.address[1], Path())  # type: ignore[arg-type]
        reply = asked.send(f"POST {V2} HTTP/1.1\r\nHost:".encode())
        assert (reply.status, reply.error[:5]) == (408, "head:")
        reply = asked.send(head(POST, "Content-Length: 100") + b"{")
        assert (reply.status, reply.error[:5]) == (408, "body:")
