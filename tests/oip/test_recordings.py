"""What Triton, KServe, MLServer and their clients said to each other over REST, as recorded."""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from gpfn.errors import CallerError
from gpfn.http.inflate import inflate
from gpfn.limits import Limits
from gpfn.oip.body import is_raw
from gpfn.oip.documents import error_text, read_model_metadata
from gpfn.oip.reply import decode_reply, encode_reply
from gpfn.oip.request import InferCall, decode_infer, decode_raw_infer, encode_infer
from gpfn.tensors.spec import TensorSpec
from tests.oip.strategies import same

LIMITS = Limits(body_bytes=64 << 20)


class Exchange(NamedTuple):
    case: str
    method: str
    path: str
    json_size: str | None
    body: bytes
    status: int
    reply_size: str | None
    reply: bytes


def _bytes(body: Any) -> bytes:
    if isinstance(body, dict):
        return base64.b64decode(body["base64"])
    return str(body or "").encode()


def _exchange(case: str, recorded: dict[str, Any]) -> Exchange:
    request, response = recorded["request"], recorded["response"] or {"status": 0, "headers": []}
    found = []
    for side in (request, response):
        headers = {name.lower(): value for name, value in side["headers"]}
        body: Any = _bytes(side.get("body"))
        if "content-encoding" in headers:
            body = bytes(inflate(body, headers["content-encoding"], 1 << 24))
        found.append((headers.get("inference-header-content-length"), body))
    (json_size, body), (reply_size, reply) = found
    path = request["path"].partition("?")[0]
    return Exchange(
        case, request["method"], path, json_size, body, response["status"], reply_size, reply
    )


@pytest.fixture(scope="module")
def recorded(shared: Path) -> list[Exchange]:
    """All exchanges over HTTP, with their bodies inflated."""
    lines = (shared / "reference" / "wire" / "oip.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    return [
        _exchange(f"{record['client']}: {record['case']}", exchange)
        for record in records
        for exchange in record.get("exchanges", ())
        if "…" not in str(exchange)  # a body of 2 MB that was not recorded whole
    ]


SIZE = "Inference-Header-Content-Length"
AS_TRITON = {
    "infer, too few data": "inputs[0].data",
    "infer, too many data": "inputs[0].data",
    "infer, floats for INT32": "inputs[0].data[15]",
    "infer, strings for INT32": "inputs[0].data[15]",
    "infer, BOOL as 0/1": "inputs[0].data[0]",
    "infer, UINT8 out of range": "inputs[0].data[0]",
    "infer, shape missing": "inputs[0].shape",
    "infer, datatype missing": "inputs[0].datatype",
    "infer, datatype unknown": "inputs[0].datatype",
    "infer, data missing": "inputs[0].data",
    "infer, inputs missing": "inputs",
    "infer, not JSON": "body",
    "infer, negative shape": "inputs[0].shape[0]",
    "infer, id is a number": "id",
    "infer, Inference-Header-Content-Length too long": SIZE,
    "infer, Inference-Header-Content-Length is text": SIZE,
    "infer, binary_data_size larger than the body": SIZE,
    "KServe server, v2 infer, inputs missing": "inputs",
    "MLServer, infer, inputs missing": "inputs",
}
"""Requests that the servers refuse and so do we, each with the field that our error names."""

OTHERWISE = {
    "infer, FP32 integers and exponents": "inputs[0].data[2]",  # 1e39 is Triton's infinity
    "infer, FP32 NaN literal": "body",
    "infer, no body": "body",  # Triton takes it for a raw request of no values
    "system shared memory": "inputs[0].parameters.shared_memory_region",
}
"""Requests that Triton answers and we refuse."""


def _infers(recorded: list[Exchange]) -> Iterator[Exchange]:
    for exchange in recorded:
        if exchange.path.endswith("/infer") and exchange.method == "POST":
            yield exchange


def test_every_request_is_read_or_refused_by_the_field_that_is_wrong(
    recorded: list[Exchange],
) -> None:
    refused = {}
    for exchange in _infers(recorded):
        if is_raw(exchange.json_size):
            continue
        try:
            decode_infer(exchange.body, exchange.json_size, LIMITS)
        except CallerError as error:
            case = exchange.case.partition(": ")[2]
            refused[case] = error.field
            assert (exchange.status == 200) == (case in OTHERWISE)
    assert refused == AS_TRITON | OTHERWISE


def test_what_is_read_is_written_again(recorded: list[Exchange]) -> None:
    calls = 0
    for _, call in _answered(recorded):
        finite = all(np.isfinite(x).all() for x in call.inputs.values() if x.dtype.kind == "f")
        for binary in (True, False) if finite else (True,):
            pieces, size = encode_infer(
                call.inputs,
                datatypes=call.datatypes,
                outputs=call.outputs,
                identity=call.id,
                parameters=call.parameters,
                binary=binary,
            )
            again = decode_infer(b"".join(pieces), _text(size), LIMITS)
            assert (again.id, again.outputs) == (call.id, call.outputs)
            assert again.parameters.items() >= call.parameters.items()
            _check(again.inputs, call.inputs)
            calls += 1
    assert calls > 400


def test_replies_are_written_as_triton_writes_them(recorded: list[Exchange]) -> None:
    """The JSON of our reply is the one of theirs, and so are the bytes behind it."""
    alike = 0
    for exchange, call in _answered(recorded):
        reply = decode_reply(exchange.reply, exchange.reply_size, LIMITS)
        asked = call._replace(outputs=tuple(o._replace(classification=0) for o in call.outputs))
        names = reply.model, reply.version
        pieces, size = encode_reply(*names, reply.outputs, asked, nan_words=True)
        body = b"".join(pieces)
        if exchange.case.startswith("tritonclient.http 2.73.0: infer"):
            assert _parted(body, size) == _parted(exchange.reply, exchange.reply_size)
            alike += 1
        _check(decode_reply(body, _text(size), LIMITS).outputs, reply.outputs)
    assert alike > 30


def _answered(recorded: list[Exchange]) -> Iterator[tuple[Exchange, InferCall]]:
    for exchange in _infers(recorded):
        case = exchange.case.partition(": ")[2]
        bad_reply = "not UTF-8, JSON output" in case  # which is no JSON
        if exchange.status == 200 and not (
            case in OTHERWISE or bad_reply or is_raw(exchange.json_size)
        ):
            yield exchange, decode_infer(exchange.body, exchange.json_size, LIMITS)


def _text(size: int | None) -> str | None:
    return None if size is None else str(size)


def _parted(body: bytes, size: int | str | None) -> tuple[str, bytes]:
    end = len(body) if size is None else int(size)
    return json.dumps(json.loads(body[:end])), body[end:]


def _check(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert list(ours) == list(theirs)
    assert all(same(ours[name], array) for name, array in theirs.items())


def test_a_raw_request_is_the_one_input(recorded: list[Exchange]) -> None:
    (raw,) = (exchange for exchange in _infers(recorded) if is_raw(exchange.json_size))
    call = decode_raw_infer(raw.body, TensorSpec("float32", (None,), "IN"), LIMITS, batched=False)
    assert call.inputs["IN"].tolist() == [1, 2, 3, 4]
    pieces, size = encode_reply("id_fp32", "1", {"OUT": call.inputs["IN"]}, call)
    assert _parted(b"".join(pieces), size) == _parted(raw.reply, raw.reply_size)


def test_classes_are_told_as_triton_tells_them(recorded: list[Exchange]) -> None:
    asked = 0
    for exchange, call in _answered(recorded):
        if not any(output.classification for output in call.outputs):
            continue
        powers = np.exp(call.inputs["x"][:, :3])
        scores = {"probs": powers / powers.sum(axis=1, keepdims=True)}
        pieces, size = encode_reply("classify", "1", scores, call, labels=("red", "green", "blue"))
        ours, theirs = _parted(b"".join(pieces), size), _parted(exchange.reply, exchange.reply_size)
        assert ours == theirs
        asked += 1
    assert asked >= 3


def test_metadata_and_errors_are_read(recorded: list[Exchange]) -> None:
    read = told = 0
    for exchange in recorded:
        if re.fullmatch(r"/v2/models/[^/]+(/versions/[^/]+)?", exchange.path):
            if exchange.status == 200:
                served = read_model_metadata(json.loads(exchange.reply))
                assert all(spec.dtype and spec.shape for spec in served.inputs)
                read += bool(served.inputs and served.outputs)
            elif exchange.method == "GET":
                told += bool(error_text(exchange.reply))
    assert read > 20
    assert told >= 3


def test_what_fastapi_says_is_told(recorded: list[Exchange]) -> None:
    texts = {error_text(exchange.reply) for exchange in recorded if exchange.status == 422}
    assert "body.inputs: Field required" in texts
    assert "body.0: JSON decode error" in texts
    assert "bad" in texts
