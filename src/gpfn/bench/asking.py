"""What is sent: one request's bytes, by protocol, made once from the model's metadata.

A model's address says its protocol and its name:

    http://HOST[:PORT]/v2/models/NAME[/versions/VERSION]   v2, v2-json: Open Inference Protocol
    http://HOST[:PORT]/v1/models/NAME[/versions/VERSION]   v1: TensorFlow Serving's, KServe's JSON
    http://HOST[:PORT][/graphpipe/NAME]                    graphpipe
    grpc://HOST:PORT/NAME                                  grpc: the Open Inference Protocol's

A bare address may be asked by any of them: the first model of its index is taken then.
"""

from __future__ import annotations

import http.client
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

import numpy as np
import orjson

from gpfn.errors import BrokenReply, CallerError, CannotConnect, RefusedByModel, SetupError
from gpfn.graphpipe.encode import encode_request
from gpfn.graphpipe.messages import InferRequest
from gpfn.http.address import Address, parse_url, request_head
from gpfn.media import GRAPHPIPE, JSON, OCTETS
from gpfn.models.cache import zeros
from gpfn.models.graphpipe import GraphPipeModel
from gpfn.oip.body import JSON_SIZE
from gpfn.oip.documents import read_model_metadata
from gpfn.oip.request import encode_infer
from gpfn.tensors.codec import encode
from gpfn.tensors.dtypes import find_dtype
from gpfn.tensors.spec import TensorSpec

__all__ = [
    "PROTOCOLS",
    "AskedModel",
    "ask",
    "find_model",
    "first_answer",
    "input_specs",
    "request_bytes",
    "zero_inputs",
]

_Array = np.ndarray[Any, Any]
_Named = Mapping[str, _Array]

_SECONDS = 30.0
_OIP = re.compile(r"(.*)/(v[12])/models/([^/]+)(?:/versions/([^/]+))?/?")
_GRAPHPIPE = re.compile(r"(.*)/graphpipe/([^/]+)/?")
_TFS_DTYPES = {"DT_FLOAT": "float32", "DT_DOUBLE": "float64", "DT_HALF": "float16"}


class AskedModel(NamedTuple):
    """A served model: the server's address, its target being a prefix, and which model of it."""

    protocol: str
    server: Address
    name: str = ""
    version: str = ""

    @property
    def path(self) -> str:
        """Where the model is, below the server's address."""
        place = _PATHS[self.protocol].format(quote(self.name, safe="")) if self.name else ""
        return f"{place}/versions/{self.version}" if self.version else place


_PATHS = {
    "graphpipe": "graphpipe/{}",
    "v2": "v2/models/{}",
    "v2-json": "v2/models/{}",
    "v1": "v1/models/{}",
    "grpc": "v2/models/{}",
}
PROTOCOLS = tuple(_PATHS)
"""What a load may speak."""


def find_model(url: str, protocol: str = "") -> AskedModel:
    """Return which model a URL means, by the protocol that is named or that the URL shows.

    Raises SetupError for a URL that cannot be one, BackendError when its server has to be
    asked for a model's name and does not tell.
    """
    scheme, colon, rest = url.partition("://")
    if colon and scheme.lower() == "grpc":
        return _grpc_model(parse_url(f"http://{rest}"), protocol)
    address = parse_url(url)
    path = address.target.partition("?")[0]
    found = _OIP.fullmatch(path) or _GRAPHPIPE.fullmatch(path)
    if found is None:
        return _bare(address, protocol or "graphpipe")
    shown, name = (found[2], found[3]) if found.re is _OIP else ("graphpipe", found[2])
    version = (found[4] or "") if found.re is _OIP else ""
    if protocol and protocol.partition("-")[0] != shown:
        raise SetupError(f"{address.shown} is an address of {shown}, not of {protocol}")
    server = address._replace(target=found[1] or "/")
    return AskedModel(protocol or shown, server, unquote(name), version)


def _grpc_model(address: Address, protocol: str) -> AskedModel:
    name = unquote(address.target.partition("?")[0].strip("/"))
    if protocol not in ("", "grpc") or not name:
        raise SetupError("expected grpc://HOST:PORT/MODEL", field="url")
    return AskedModel("grpc", address._replace(target="/"), name)


def _bare(address: Address, protocol: str) -> AskedModel:
    if protocol == "graphpipe":
        return AskedModel(protocol, address)
    if protocol == "grpc":
        raise SetupError("expected grpc://HOST:PORT/MODEL", field="url")
    index = _document(ask(address, "POST", "v2/repository/index", b"{}"), address)
    for row in index if isinstance(index, list) else ():
        if isinstance(row, dict) and isinstance(row.get("name"), str):
            return AskedModel(protocol, address, row["name"])
    raise BrokenReply(f"{address.shown}: its index names no model; name one in the address")


def ask(address: Address, method: str, path: str, body: bytes = b"") -> bytes:
    """Return the body of a server's answer; ``path`` is below the address's own.

    Raises CannotConnect, or RefusedByModel when the answer is not 200.
    """
    more = [("Content-Length", str(len(body)))] if body else []
    head = request_head(method, _below(address, path), None, more)
    return _send_once(address, head + b"\r\n\r\n" + body)


def _send_once(address: Address, request: bytes) -> bytes:
    """Return the body of the answer to a whole request; raises as :func:`ask` does."""
    kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    connection = kind(address.host, address.port, timeout=_SECONDS)
    try:
        connection.connect()
        connection.sock.sendall(request)
        answer = http.client.HTTPResponse(
            connection.sock, method=request.split(b" ", 1)[0].decode()
        )
        answer.begin()
        content = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise CannotConnect(f"{address.shown}: {error or type(error).__name__}") from error
    finally:
        connection.close()
    if answer.status != 200:
        text = content[:500].decode(errors="replace")
        raise RefusedByModel(f"{address.shown}: {answer.status} {text}", code=answer.status)
    return content


def first_answer(model: AskedModel, request: bytes) -> None:
    """Ask once; raises what the server has against it, as :func:`ask` does."""
    if model.protocol == "grpc":
        from gpfn.bench.rpc import call_once

        call_once(model.server, "ModelInfer", request)
    else:
        _send_once(model.server, request)


def input_specs(model: AskedModel) -> Sequence[TensorSpec]:
    """Return what the model's metadata say of its inputs.

    Raises BackendError when the server has no metadata, or none that can be read.
    """
    if model.protocol == "graphpipe":
        remote = GraphPipeModel(_url(_below(model.server, model.path)))
        try:
            return remote.inputs
        finally:
            remote.close()
    if model.protocol == "grpc":
        from gpfn.bench.rpc import grpc_inputs

        return grpc_inputs(model.server, model.name, model.version)
    is_v1 = model.protocol == "v1"
    content = ask(model.server, "GET", f"{model.path}/metadata" if is_v1 else model.path)
    document = _document(content, model.server)
    try:
        return [*(_signature_inputs(document) if is_v1 else read_model_metadata(document).inputs)]
    except (CallerError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise BrokenReply(f"{model.server.shown}: metadata that cannot be read") from error


def _below(address: Address, path: str) -> Address:
    target = f"{address.target.rstrip('/')}/{path}" if path else address.target
    return address._replace(target=target)


def _document(content: bytes, address: Address) -> Any:
    try:
        return orjson.loads(content)
    except ValueError as error:
        raise BrokenReply(f"{address.shown}: its answer is not JSON") from error


def _url(address: Address) -> str:
    return f"{address.scheme}://{address.authority}{address.target}"


def _signature_inputs(document: Any) -> Iterator[TensorSpec]:
    signatures = document["metadata"]["signature_def"]["signature_def"]
    signature = signatures.get("serving_default") or next(iter(signatures.values()))
    for name, tensor in signature["inputs"].items():
        sizes = [int(row["size"]) for row in tensor["tensor_shape"].get("dim", ())]
        short = str(tensor["dtype"]).removeprefix("DT_")
        yield _spec(name, _TFS_DTYPES.get(tensor["dtype"], short.lower()), sizes)


def _spec(name: str, datatype: str, shape: Sequence[int]) -> TensorSpec:
    dtype = find_dtype(datatype)
    if dtype is None:
        raise ValueError(datatype)
    return TensorSpec(dtype.name, tuple(n if n >= 0 else None for n in shape), name)


def zero_inputs(specs: Sequence[TensorSpec]) -> dict[str, _Array]:
    """Return an array of zeros for each input, one row where the size is open."""
    return {spec.name: zeros(spec) for spec in specs}


def request_bytes(model: AskedModel, arrays: _Named) -> bytes:
    """Return a whole HTTP request for these arrays, head and body; the message for gRPC."""
    if model.protocol == "grpc":
        from gpfn.oip.grpc_messages import encode_grpc_infer

        return encode_grpc_infer(model.name, model.version, arrays)
    suffix, headers, body = _BODIES[model.protocol](arrays)
    address = _below(model.server, model.path + suffix)
    more = [*headers, ("Content-Length", str(len(body)))]
    return request_head("POST", address, None, more) + b"\r\n\r\n" + body


_Body = tuple[str, list[tuple[str, str]], bytes]


def _graphpipe_body(arrays: _Named) -> _Body:
    request = InferRequest(tensors=tuple(arrays.values()), input_names=tuple(arrays))
    return "", [("Content-Type", GRAPHPIPE)], b"".join(encode_request(request))


def _json_body(arrays: _Named) -> _Body:
    pieces, _ = encode_infer(arrays, binary=False)
    return "/infer", [("Content-Type", JSON)], b"".join(pieces)


def _binary_body(arrays: _Named) -> _Body:
    pieces, size = encode_infer(arrays)
    headers = [("Content-Type", OCTETS)]
    if size is not None:
        headers.append((JSON_SIZE, str(size)))
    return "/infer", headers, b"".join(pieces)


def _v1_body(arrays: _Named) -> _Body:
    return ":predict", [("Content-Type", JSON)], b'{"inputs":%s}' % encode(arrays).body


_BODIES: Mapping[str, Callable[[_Named], _Body]] = {
    "graphpipe": _graphpipe_body,
    "v2": _binary_body,
    "v2-json": _json_body,
    "v1": _v1_body,
}
