"""Property tests: our codec against flatc's code, both ways, for every message."""

from hypothesis import given, settings

from gpfn.graphpipe.decode import decode_metadata, decode_request, decode_response
from gpfn.graphpipe.encode import encode_metadata, encode_request, encode_response
from gpfn.graphpipe.messages import (
    InferRequest,
    InferResponse,
    MetadataRequest,
    MetadataResponse,
)
from tests.graphpipe.oracle import Oracle
from tests.graphpipe.strategies import (
    infer_requests,
    infer_responses,
    metadata_responses,
    same_arrays,
)

MANY = settings(max_examples=1000, deadline=None)


def same(left: InferRequest | InferResponse, right: InferRequest | InferResponse) -> bool:
    """Compare messages whose arrays cannot be compared with ==."""
    return left[1:] == right[1:] and same_arrays(left.tensors, right.tensors)


@MANY
@given(message=infer_requests())
def test_flatc_reads_our_requests_and_we_read_its(message: InferRequest, oracle: Oracle) -> None:
    ours = b"".join(encode_request(message))
    for read in (oracle.request(ours), decode_request(ours), decode_request(oracle.write(message))):
        assert isinstance(read, InferRequest)
        assert same(read, message)


@MANY
@given(message=infer_responses())
def test_flatc_reads_our_responses_and_we_read_its(message: InferResponse, oracle: Oracle) -> None:
    ours = b"".join(encode_response(message))
    assert same(oracle.response(ours), message)
    assert same(decode_response(ours), message)
    assert same(decode_response(oracle.write(message)), message)


@MANY
@given(message=metadata_responses())
def test_flatc_reads_our_metadata_and_we_read_its(
    message: MetadataResponse, oracle: Oracle
) -> None:
    ours = b"".join(encode_metadata(message))
    assert oracle.metadata(ours) == message
    assert decode_metadata(ours) == message
    assert decode_metadata(oracle.write(message)) == message


def test_flatc_reads_our_metadata_request_and_we_read_its(oracle: Oracle) -> None:
    ours = b"".join(encode_request(MetadataRequest()))
    assert isinstance(oracle.request(ours), MetadataRequest)
    assert isinstance(decode_request(ours), MetadataRequest)
    assert isinstance(decode_request(oracle.write(MetadataRequest())), MetadataRequest)
