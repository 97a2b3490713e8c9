"""PyPI's graphpipe 1.0.4 reads what we write, and we read what it writes."""

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpfn.graphpipe.decode import decode_request, decode_response
from gpfn.graphpipe.encode import encode_metadata, encode_request, encode_response
from gpfn.graphpipe.messages import (
    InferRequest,
    InferResponse,
    IOMetadata,
    MetadataRequest,
    MetadataResponse,
    Type,
)
from tests.graphpipe.strategies import arrays, same_arrays

SCRIPT = Path(__file__).with_name("peer_codec.py")
SOME = settings(max_examples=300, deadline=None)


class Codec:
    """The peer's codec, in a process of its own."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def __call__(self, do: str, **question: Any) -> Any:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps({"do": do, **question}) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, f"the peer failed at {do}"
        return json.loads(answer)

    def read(self, what: str, body: bytes) -> Any:
        return self(f"read_{what}", body=base64.b64encode(body).decode())

    def write(self, what: str, **message: Any) -> bytes:
        return base64.b64decode(self(f"write_{what}", **message)["body"])


@pytest.fixture(scope="module")
def codec(peer: Path) -> Iterator[Codec]:
    """The peer, running."""
    with subprocess.Popen(
        [peer, SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Codec(process)
        assert process.stdin
        process.stdin.close()


def carried(array: np.ndarray) -> bool:
    """Say whether the peer can hold the array: not rank 0, not empty; text without last NUL.

    Its flatbuffers has no empty vectors as arrays, and NumPy's ``S`` drops a NUL at the end.
    """
    if array.ndim == 0 or array.size == 0:
        return False
    return array.dtype != object or not any(v.endswith(b"\0") for v in array.ravel())


@st.composite
def requests(draw: st.DrawFn) -> InferRequest:
    """Requests that the peer can hold."""
    tensors = tuple(draw(st.lists(arrays().filter(carried), min_size=1, max_size=3)))
    names = draw(st.just(()) | st.tuples(*[st.text(max_size=9)] * len(tensors)))
    outputs = draw(st.lists(st.text(max_size=9), max_size=2))
    return InferRequest(tensors, names, tuple(outputs), draw(st.text(max_size=9)))


def documents(message: InferRequest | InferResponse) -> list[dict[str, Any]]:
    """Return the tensors as the peer's process has them."""
    return [
        {
            "dtype": "string" if array.dtype == object else array.dtype.name,
            "shape": list(array.shape),
            "data": [base64.b64encode(value).decode() for value in array.ravel()]
            if array.dtype == object
            else base64.b64encode(array.tobytes()).decode(),
        }
        for array in message.tensors
    ]


@SOME
@given(message=requests())
def test_requests_both_ways(message: InferRequest, codec: Codec) -> None:
    rest = {
        "input_names": list(message.input_names),
        "output_names": list(message.output_names),
        "config": message.config,
    }
    read = codec.read("request", b"".join(encode_request(message)))
    assert read == {"tensors": documents(message), **rest}
    ours = decode_request(codec.write("request", tensors=documents(message), **rest))
    assert isinstance(ours, InferRequest)
    assert ours[1:] == message[1:]
    assert same_arrays(ours.tensors, message.tensors)


@SOME
@given(message=requests().map(lambda request: InferResponse(request.tensors)))
def test_responses_both_ways(message: InferResponse, codec: Codec) -> None:
    read = codec.read("response", b"".join(encode_response(message)))
    assert read == {"tensors": documents(message), "errors": []}
    ours = decode_response(codec.write("response", tensors=documents(message)))
    assert ours.errors == ()
    assert same_arrays(ours.tensors, message.tensors)


def test_metadata_both_ways(codec: Codec) -> None:
    assert isinstance(decode_request(codec.write("metadata")), MetadataRequest)
    metadata = MetadataResponse("m", inputs=(IOMetadata("x", "", (-1, 20, 1), Type.FLOAT32),))
    read = codec.read("metadata", b"".join(encode_metadata(metadata)))
    assert read == {"name": "m", "inputs": [["x", [-1, 20, 1], 10]]}
