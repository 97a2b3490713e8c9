"""What graphpipe-go and its clients said to each other, as it was recorded."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpfn.graphpipe.decode import decode_metadata, decode_request, decode_response
from gpfn.graphpipe.encode import encode_metadata, encode_request, encode_response
from gpfn.graphpipe.messages import InferRequest, MetadataRequest, Type
from tests.graphpipe.oracle import Oracle
from tests.graphpipe.strategies import same_arrays


@pytest.fixture(scope="module")
def recorded(shared: Path) -> list[dict[str, Any]]:
    """All exchanges, with their bodies as bytes."""
    lines = (shared / "reference" / "wire" / "graphpipe-go.jsonl").read_text().splitlines()
    exchanges = [json.loads(line) for line in lines]
    for exchange in exchanges:
        for side in ("request", "response"):
            exchange[side] = base64.b64decode(exchange[side])
    return exchanges


def test_tensors_are_what_the_case_says(recorded: list[dict[str, Any]]) -> None:
    seen = set()
    for exchange in recorded:
        case = re.fullmatch(r"([a-z]+\d*)_([\dx]+)", exchange["case"])
        if case is None:
            continue
        dtype = "object" if case[1] == "string" else case[1]
        shape = tuple(map(int, case[2].split("x")))
        (sent,) = decode_request(exchange["request"]).tensors
        (answered,) = decode_response(exchange["response"]).tensors
        assert (sent.dtype.name, sent.shape) == (dtype, shape)
        assert same_arrays([sent], [answered])  # an echo server
        seen.add(dtype)
    assert len(seen) == 11


def test_every_message_is_read_and_written_again(
    recorded: list[dict[str, Any]], oracle: Oracle
) -> None:
    for exchange in recorded:
        if exchange["method"] != "POST":
            continue
        request = decode_request(exchange["request"])
        again = b"".join(encode_request(request))
        if isinstance(request, MetadataRequest):
            assert isinstance(decode_request(again), MetadataRequest)
            metadata = decode_metadata(exchange["response"])
            assert decode_metadata(b"".join(encode_metadata(metadata))) == metadata
            continue
        for read in (decode_request(again), oracle.request(exchange["request"])):
            assert read[1:] == request[1:]
            assert same_arrays(read.tensors, request.tensors)
        if exchange["status"] == 200:
            response = decode_response(exchange["response"])
            again = b"".join(encode_response(response))
            assert same_arrays(decode_response(again).tensors, response.tensors)


def test_names_and_config_of_several_inputs(recorded: list[dict[str, Any]]) -> None:
    (multi,) = (exchange for exchange in recorded if exchange["case"] == "multi")
    request = decode_request(multi["request"])
    assert request[1:] == (("x", "y"), ("z",), '{"k": 1}')
    assert [tensor.tolist() for tensor in request.tensors] == [[1.0, 2.0], [3.0, 4.0]]


def test_metadata_says_what_get_says(recorded: list[dict[str, Any]]) -> None:
    by_case = {exchange["case"]: exchange for exchange in recorded}
    document = json.loads(by_case["get"]["response"])
    metadata = decode_metadata(by_case["python-metadata"]["response"])
    assert metadata.name == document["Name"]
    assert metadata.description == document["Description"]
    for said, entry in zip(document["Inputs"], metadata.inputs, strict=True):
        assert entry.name == said["Name"]
        assert list(entry.shape) == said["Shape"]
        assert entry.type is Type(said["Type"])


def test_strings_without_a_nul_are_read(recorded: list[dict[str, Any]]) -> None:
    """As graphpipe-go writes them: two cases of the recording fail if a NUL is asked for."""
    (case,) = (exchange for exchange in recorded if exchange["case"] == "string_2x2")
    request = decode_request(case["request"])
    assert isinstance(request, InferRequest)
    assert request.tensors[0].tolist() == [[b"hello", "w\u00f6rld".encode()], [b"", b"graph\0pipe"]]
    assert np.all(request.tensors[0] == decode_response(case["response"]).tensors[0])
