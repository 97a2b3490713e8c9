"""Addresses of models, what their metadata say, and the bytes that are sent."""

import json

import numpy as np
import orjson
import pytest

from gpfn.bench.asking import (
    PROTOCOLS,
    AskedModel,
    ask,
    find_model,
    input_specs,
    request_bytes,
    zero_inputs,
)
from gpfn.errors import BrokenReply, CannotConnect, RefusedByModel, SetupError
from gpfn.graphpipe.decode import decode_request
from gpfn.graphpipe.messages import InferRequest
from gpfn.http.address import Address
from gpfn.limits import Limits
from gpfn.tensors.spec import TensorSpec
from tests.bench.servers import ok, replying

SERVER = Address("http", "host", 9000)
SPECS = [TensorSpec("float32", (None, 2), "x"), TensorSpec("string", (1,), "s")]


@pytest.mark.parametrize(
    ("url", "protocol", "found"),
    [
        ("http://host:9000", "", ("graphpipe", "", "")),
        ("http://host:9000/graphpipe/a%20b", "", ("graphpipe", "a b", "")),
        ("http://host:9000/v2/models/dnn", "", ("v2", "dnn", "")),
        ("http://host:9000/v2/models/dnn/versions/3/", "v2-json", ("v2-json", "dnn", "3")),
        ("http://host:9000/v1/models/dnn", "v1", ("v1", "dnn", "")),
        ("grpc://host:9000/dnn", "", ("grpc", "dnn", "")),
        ("grpc://host:9000//[:1/dnn", "", ("grpc", "[:1/dnn", "")),
    ],
)
def test_an_address_says_protocol_and_model(
    url: str, protocol: str, found: tuple[str, str, str]
) -> None:
    model = find_model(url, protocol)
    assert (model.protocol, model.name, model.version) == found
    assert model.server == SERVER


@pytest.mark.parametrize(
    ("url", "protocol"),
    [
        ("http://host/v2/models/dnn", "v1"),
        ("http://host/v1/models/dnn", "graphpipe"),
        ("http://host", "grpc"),
        ("grpc://host:1", ""),
        ("grpc://host:1/dnn", "v2"),
        ("ftp://host", ""),
        ("http://", ""),
    ],
)
def test_an_address_that_is_none(url: str, protocol: str) -> None:
    with pytest.raises(SetupError):
        find_model(url, protocol)


def test_a_prefix_stays() -> None:
    for url in ("http://host:9000/at/all?k=1", "http://host:9000//[:1"):
        request = request_bytes(find_model(url), {"x": np.zeros(1)})
        assert request.split()[1].decode() == url.removeprefix("http://host:9000")
    model = find_model("http://host:9000/some/prefix/v2/models/a", "v2-json")
    assert request_bytes(model, {"x": np.zeros(1)}).startswith(
        b"POST /some/prefix/v2/models/a/infer HTTP/1.1\r\nHost: host:9000\r\n"
    )


def test_a_bare_address_has_the_first_model_of_its_index() -> None:
    with replying(lambda _: ok(b'[{"name": "one", "version": "1"}, {"name": "two"}]')) as address:
        assert find_model(address.shown, "v2").name == "one"
    for content in (b"[]", b"{}", b"[1]", b'[{"name": 1}]', b"no"):
        replies = replying(lambda _, content=content: ok(content))  # type: ignore[misc]
        with replies as address, pytest.raises(BrokenReply):
            find_model(address.shown, "v1")


def parts(request: bytes) -> tuple[str, dict[str, str], bytes]:
    head, _, body = request.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ") for line in lines)
    assert headers["content-length"] == str(len(body))
    return first, headers, body


@pytest.mark.parametrize("protocol", [name for name in PROTOCOLS if name != "grpc"])
def test_the_bytes_of_a_request(protocol: str) -> None:
    model = AskedModel(protocol, SERVER, "m/1")
    arrays = {
        "x": np.array([[1.5, -2]], ">f4"),
        "s": np.array([b"a\0", "ü".encode()], object),
    }
    first, headers, body = parts(request_bytes(model, arrays))
    described = [
        {"name": "x", "shape": [1, 2], "datatype": "FP32"},
        {"name": "s", "shape": [2], "datatype": "BYTES"},
    ]
    if protocol == "graphpipe":
        assert first == "POST /graphpipe/m%2F1 HTTP/1.1"
        request = decode_request(body, Limits())
        assert isinstance(request, InferRequest)
        assert request.input_names == ("x", "s")
        assert request.tensors[0].tolist() == [[1.5, -2]]
    elif protocol == "v2":
        assert first == "POST /v2/models/m%2F1/infer HTTP/1.1"
        size = int(headers["inference-header-content-length"])
        document = json.loads(body[:size])
        assert document["parameters"] == {"binary_data_output": True}
        sizes = [tensor.pop("parameters")["binary_data_size"] for tensor in document["inputs"]]
        assert document["inputs"] == described
        assert sizes == [8, 12]
        assert body[size:] == (
            np.array([1.5, -2], "<f4").tobytes() + b"\2\0\0\0a\0" + b"\2\0\0\0\xc3\xbc"
        )
    elif protocol == "v2-json":
        data = [[1.5, -2.0], ["a\0", "ü"]]
        expected = [tensor | {"data": row} for tensor, row in zip(described, data, strict=True)]
        assert json.loads(body) == {"inputs": expected}
    else:
        assert first == "POST /v1/models/m%2F1:predict HTTP/1.1"
        assert json.loads(body) == {"inputs": {"x": [[1.5, -2.0]], "s": ["a\0", "ü"]}}


def test_one_input_of_v1_has_no_name() -> None:
    model = AskedModel("v1", SERVER, "m", "7")
    first, _, body = parts(request_bytes(model, {"x": np.zeros((1, 2), np.float32)}))
    assert first == "POST /v1/models/m/versions/7:predict HTTP/1.1"
    assert json.loads(body) == {"inputs": [[0.0, 0.0]]}


OIP = {
    "name": "m",
    "inputs": [
        {"name": "x", "datatype": "FP32", "shape": [-1, 2]},
        {"name": "s", "datatype": "BYTES", "shape": [1]},
    ],
}
TFS = {
    "metadata": {
        "signature_def": {
            "signature_def": {
                "serving_default": {
                    "inputs": {
                        "x": {
                            "dtype": "DT_FLOAT",
                            "tensor_shape": {"dim": [{"size": "-1"}, {"size": "2"}]},
                        },
                        "s": {"dtype": "DT_STRING", "tensor_shape": {"dim": [{"size": "1"}]}},
                    }
                }
            }
        }
    }
}


@pytest.mark.parametrize(("protocol", "document"), [("v2", OIP), ("v2-json", OIP), ("v1", TFS)])
def test_metadata_become_specs(protocol: str, document: object) -> None:
    with replying(lambda _: ok(orjson.dumps(document))) as address:
        assert input_specs(AskedModel(protocol, address, "m")) == SPECS


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b'{"inputs": 1, "metadata": {}}'])
@pytest.mark.parametrize("protocol", ["v2", "v1"])
def test_metadata_that_cannot_be_read(protocol: str, content: bytes) -> None:
    with replying(lambda _: ok(content)) as address, pytest.raises(BrokenReply):
        input_specs(AskedModel(protocol, address, "m"))


def test_zeros_have_one_row_where_it_is_open() -> None:
    arrays = zero_inputs(SPECS)
    assert arrays["x"].tolist() == [[0, 0]]
    assert arrays["s"].tolist() == [b""]


def test_what_a_server_says_against_it_is_told() -> None:
    refusal = b"HTTP/1.1 404 No\r\ncontent-length: 7\r\n\r\nno such"
    refused = pytest.raises(RefusedByModel, match="404 no such")
    with replying(lambda _: refusal) as address, refused as caught:
        ask(address, "GET", "v2/models/m")
    assert caught.value.code == 404
    with pytest.raises(CannotConnect):
        ask(address, "GET", "")
