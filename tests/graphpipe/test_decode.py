"""Decoding: views after checks, and the path of every fault."""

import tracemalloc
from typing import Any

import numpy as np
import pytest

from gpfn.errors import CallerError, InvalidMessage, TooLarge
from gpfn.graphpipe.decode import decode_metadata, decode_request, decode_response
from gpfn.graphpipe.encode import encode_metadata, encode_request, encode_response
from gpfn.graphpipe.messages import (
    Error,
    InferRequest,
    InferResponse,
    IOMetadata,
    MetadataRequest,
    MetadataResponse,
    Type,
)
from gpfn.graphpipe.writer import Writer
from gpfn.limits import Limits
from tests.graphpipe.oracle import Oracle

DATA = np.arange(12, dtype=np.uint8)


def request_with(oracle: Oracle, **fields: object) -> bytes:
    """Return a request whose second tensor of three has these fields instead."""
    good = {"type": 10, "shape": [3], "data": DATA, "stringVal": None}
    tensors = [oracle.new("Tensor", **good) for _ in range(3)]
    tensors[1] = oracle.new("Tensor", **{**good, **fields})
    inner = oracle.new("InferRequest", config="", inputTensors=tensors)
    return oracle.pack(oracle.new("Request", reqType=1, req=inner))


@pytest.mark.parametrize(
    ("fields", "where", "what"),
    [
        ({"shape": [-3]}, "shape[0]", "-3 of"),
        ({"shape": [-1, -3]}, "shape[0]", "-1 of"),
        ({"shape": [3, -1]}, "shape[1]", "-1 of"),
        ({"shape": [2**62, 4]}, "shape[0]", "is not a valid size"),
        ({"shape": [2**32, 2**32]}, "shape[0]", "is not a valid size"),
        ({"shape": [3, 2**62]}, "shape[1]", "is not a valid size"),
        ({"shape": [0, 2**62], "data": None}, "shape[1]", "is not a valid size"),
        ({"shape": [65536, 65536]}, "shape[1]", "is not a valid size"),
        ({"shape": [4]}, "data", "12 bytes; 4 of float32 take 16"),
        ({"shape": []}, "data", "12 bytes; 1 of float32 take 4"),
        ({"shape": [2, 3]}, "data", "12 bytes; 6 of float32 take 24"),
        ({"shape": [0]}, "data", "12 bytes; 0 of float32 take 0"),
        ({"data": None}, "data", "0 bytes; 3 of float32 take 12"),
        ({"data": DATA[:11]}, "data", "11 bytes; 3 of float32 take 12"),
        ({"type": 0}, "type", "unknown element type 0"),
        ({"type": 13}, "type", "unknown element type 13"),
        ({"type": 255}, "type", "unknown element type 255"),
        ({"stringVal": ["x"]}, "string_val", "strings in a tensor of numbers"),
        ({"type": 12, "stringVal": ["x"] * 3}, "data", "numbers in a tensor of strings"),
        ({"type": 12, "data": None}, "string_val", "0 strings for 3 elements"),
        ({"type": 12, "data": None, "stringVal": ["x"]}, "string_val", "1 strings for 3"),
        ({"type": 12, "data": None, "shape": [-1, -1]}, "shape[0]", "-1 of"),
        ({"type": 12, "data": None, "shape": [2**40]}, "shape[0]", "is not a valid size"),
    ],
)
def test_a_wrong_tensor_is_named_with_its_path(
    oracle: Oracle, fields: dict[str, Any], where: str, what: str
) -> None:
    with pytest.raises(InvalidMessage, match=what) as caught:
        decode_request(request_with(oracle, **fields))
    assert caught.value.field == f"infer_request.input_tensors[1].{where}"


@pytest.mark.parametrize(
    ("limit", "fields", "where"),
    [
        ({"rank": 2}, {"shape": [1, 3, 1]}, "infer_request.input_tensors[1].shape"),
        ({"rank": 99}, {"shape": [1] * 33}, "infer_request.input_tensors[1].shape"),
        ({"tensors": 2}, {}, "infer_request.input_tensors"),
        ({"elements": 5}, {}, "infer_request.input_tensors[1]"),
        (
            {"string_bytes": 5},
            {"type": 12, "data": None, "stringVal": ["abc", "de", "f"]},
            "infer_request.input_tensors[1].string_val[2]",
        ),
        (
            {"elements": 3},
            {"type": 12, "data": None, "shape": [4], "stringVal": ["a"] * 4},
            "infer_request.input_tensors[1].string_val",
        ),
        ({"body_bytes": 200}, {}, None),
    ],
)
def test_over_a_limit_is_too_large(
    oracle: Oracle, limit: dict[str, int], fields: dict[str, Any], where: str | None
) -> None:
    name = next(iter(limit))
    with pytest.raises(TooLarge, match=f"GPFN_MAX_{name.upper()}") as caught:
        decode_request(request_with(oracle, **fields), Limits(**limit))
    assert caught.value.field == where


def test_names_are_checked(oracle: Oracle) -> None:
    tensor = oracle.new("Tensor", type=10, shape=[3], data=DATA)
    for fields, where in (
        ({"inputNames": [b"\xff"], "inputTensors": [tensor]}, "input_names[0]"),
        ({"inputNames": ["x"], "inputTensors": [tensor, tensor]}, "input_names"),
        ({"outputNames": ["x", b"\xc3"], "inputTensors": [tensor]}, "output_names[1]"),
        ({"config": b"\x80"}, "config"),
    ):
        inner = oracle.new("InferRequest", **{"config": "", **fields})
        with pytest.raises(InvalidMessage, match=r"not UTF-8|1 names for 2 tensors") as caught:
            decode_request(oracle.pack(oracle.new("Request", reqType=1, req=inner)))
        assert caught.value.field == f"infer_request.{where}"
    inner = oracle.new("InferRequest", config="", outputNames=["x"] * 65)
    with pytest.raises(TooLarge, match="65 elements; the limit is 64"):
        decode_request(oracle.pack(oracle.new("Request", reqType=1, req=inner)))


def test_names_beyond_the_tensors_are_set_aside(oracle: Oracle) -> None:
    """As graphpipe-batcher sends them."""
    tensor = oracle.new("Tensor", type=10, shape=[3], data=DATA)
    for names, tensors in ((["x", "x"], 1), (["x", "y", "x", "y"], 2), (["x"], 0)):
        inner = oracle.new("InferRequest", inputNames=names, inputTensors=[tensor] * tensors)
        found = decode_request(oracle.pack(oracle.new("Request", reqType=1, req=inner)))
        assert isinstance(found, InferRequest)
        assert found.input_names == tuple(names[:tensors])


def test_the_kind_of_request_is_checked(oracle: Oracle) -> None:
    inner = oracle.new("MetadataRequest")
    for number in (0, 3, 255):
        message = oracle.pack(oracle.new("Request", reqType=number, req=inner))
        with pytest.raises(InvalidMessage, match=f"unknown request type {number}") as caught:
            decode_request(message)
        assert caught.value.field == "request.req_type"
    with pytest.raises(InvalidMessage) as caught:
        decode_request(oracle.pack(oracle.new("Request", reqType=1, req=None)))
    assert caught.value.field == "request.req"


def test_metadata_is_checked(oracle: Oracle) -> None:
    entry = {"name": "x", "description": "", "shape": [-1, 3], "type": 10}
    for fields, where in (
        ({"shape": [-2]}, "shape[0]"),
        ({"shape": [1, -(2**63)]}, "shape[1]"),
        ({"type": 13}, "type"),
        ({"name": b"\xff"}, "name"),
    ):
        bad = oracle.new("IOMetadata", **{**entry, **fields})
        good = oracle.new("IOMetadata", **entry)
        message = oracle.pack(oracle.new("MetadataResponse", name="m", outputs=[good, bad]))
        with pytest.raises(InvalidMessage) as caught:
            decode_metadata(message)
        assert caught.value.field == f"metadata_response.outputs[1].{where}"


def test_a_metadata_of_thousands_of_tensors_is_read() -> None:
    entries = tuple(IOMetadata(f"op{i}:0", "", (-1, i), Type.FLOAT32) for i in range(3000))
    metadata = MetadataResponse("graph", "1", "graphpipe-tf", "", entries, entries)
    assert decode_metadata(b"".join(encode_metadata(metadata))) == metadata


@pytest.mark.parametrize("decode", [decode_request, decode_response, decode_metadata])
@pytest.mark.parametrize("body", [b"", b"\0", b"\0" * 4, b"\0" * 64, b"\xff" * 64, b"{}", b"hello"])
def test_garbage_is_an_invalid_message(decode: Any, body: bytes) -> None:
    with pytest.raises(InvalidMessage) as caught:
        decode(body)
    assert caught.value.field.split(".")[0] in ("request", "infer_response", "metadata_response")


def test_tensors_are_read_only_views_into_the_body() -> None:
    sent = np.arange(24, dtype=np.float64).reshape(2, 3, 4)
    body = b"".join(encode_request(InferRequest((sent, sent[0]))))
    for given in (body, bytearray(body), memoryview(body), memoryview(bytearray(body))):
        for _ in range(4):  # the later ones are known messages
            tensors = decode_request(given).tensors
            assert [t.tolist() for t in tensors] == [sent.tolist(), sent[0].tolist()]
            for tensor in tensors:
                assert np.shares_memory(tensor, np.frombuffer(given, np.uint8))
                assert not tensor.flags.writeable
                with pytest.raises(ValueError, match="read-only"):
                    tensor[...] = 0
                with pytest.raises(ValueError, match="WRITEABLE"):
                    tensor.flags.writeable = True


def test_a_bytearray_cannot_be_resized_under_its_views() -> None:
    for _ in range(4):
        body = bytearray(b"".join(encode_request(InferRequest((np.ones(3),)))))
        (tensor,) = decode_request(body).tensors
        with pytest.raises(BufferError):
            body.clear()
        del tensor
        body.clear()


def test_views_are_aligned_when_the_body_is() -> None:
    body = b"".join(encode_response(InferResponse((np.ones(3), np.ones(5, np.float32)))))
    space = np.empty(len(body) + 64, np.uint8)
    begin = -space.ctypes.data % 64
    space[begin : begin + len(body)] = np.frombuffer(body, np.uint8)
    for tensor in decode_response(space.data[begin : begin + len(body)]).tensors:
        assert tensor.ctypes.data % 64 == 0


def test_strings_are_read_only_too() -> None:
    body = b"".join(encode_response(InferResponse((np.array([b"a", b"b"], object),))))
    (tensor,) = decode_response(body).tensors
    with pytest.raises(ValueError, match="read-only"):
        tensor[0] = b"c"


def test_fields_left_out_have_their_defaults(oracle: Oracle) -> None:
    inner = oracle.new("InferRequest")
    inner.config = None
    assert decode_request(oracle.pack(oracle.new("Request", reqType=1, req=inner))) == (
        InferRequest(())
    )
    assert decode_response(oracle.pack(oracle.new("InferResponse"))) == InferResponse()
    errors = oracle.new("InferResponse", errors=[oracle.new("Error")])
    assert decode_response(oracle.pack(errors)) == InferResponse(errors=(Error(),))
    inputs = oracle.new("MetadataResponse", inputs=[oracle.new("IOMetadata")])
    assert decode_metadata(oracle.pack(inputs)) == MetadataResponse(inputs=(IOMetadata(),))
    empty = oracle.new("Tensor", type=12, shape=[0])
    assert decode_response(oracle.pack(oracle.new("InferResponse", outputTensors=[empty]))).tensors[
        0
    ].shape == (0,)


def test_fields_of_a_later_schema_are_passed_over() -> None:
    writer = Writer()
    kind, request, later, larger = writer.table(0, 1, 4, 4, 8)
    writer.byte(kind, 2)
    writer.table(request, 4)
    writer.string(later, b"new")
    writer.long(larger, -1)
    assert isinstance(decode_request(bytes(writer.out)), MetadataRequest)


def peak_of(decode: Any, body: bytes, limits: Limits) -> int:
    """Return the most memory that decoding took; the message must be refused."""
    tracemalloc.start()
    try:
        with pytest.raises(CallerError):
            decode(body, limits)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


WIDE = Limits(*[2**31] * len(Limits._fields))


def all_to_the_first(writer: Writer, offsets: range) -> None:
    """Let all offsets lead to what the first one leads to."""
    target = offsets[0] + int.from_bytes(writer.out[offsets[0] : offsets[0] + 4], "little")
    for offset in offsets:
        writer.point(offset, target)


def test_many_offsets_to_one_string_take_no_memory_out_of_proportion() -> None:
    writer = Writer()
    kind, request = writer.table(0, 1, 4)
    writer.byte(kind, 1)
    (tensors,) = writer.table(request, 0, 0, 4)[2:]
    number, shape, _, strings = writer.table(writer.offsets(tensors, 1)[0], 1, 4, 0, 4)
    writer.byte(number, Type.STRING)
    writer.longs(shape, (20_000,))
    offsets = writer.offsets(strings, 20_000)
    writer.string(offsets[0], b"x" * 80_000)  # 160 kB in all, 1.6 GB if copied out
    all_to_the_first(writer, offsets)
    body = bytes(writer.out)
    with pytest.raises(InvalidMessage, match="share their bytes too often") as caught:
        decode_request(body, WIDE)
    assert caught.value.field.startswith("infer_request.input_tensors[0].string_val[")
    assert peak_of(decode_request, body, WIDE) < 20 * len(body)
    assert peak_of(decode_request, body, Limits()) < 6_000_000


def test_many_offsets_to_one_table_take_no_memory_out_of_proportion() -> None:
    writer = Writer()
    *_, inputs = writer.table(0, 0, 0, 0, 0, 4)
    offsets = writer.offsets(inputs, 50_000)
    names = writer.table(offsets[0], 4, 4)
    all_to_the_first(writer, offsets)
    for place in names:
        writer.string(place, b"y" * 1000)
    body = bytes(writer.out)
    with pytest.raises(InvalidMessage, match="cannot be in a message of"):
        decode_metadata(body, WIDE)
    assert peak_of(decode_metadata, body, WIDE) < len(body)
    padded = body + bytes(4 * 50_000)  # long enough for as many tables
    assert peak_of(decode_metadata, padded, WIDE) < 30 * len(padded)


def test_many_offsets_to_one_tensor_are_refused() -> None:
    writer = Writer()
    (tensors,) = writer.table(0, 4)
    offsets = writer.offsets(tensors, 1000)
    kind, shape, data = writer.table(offsets[0], 1, 4, 4)
    all_to_the_first(writer, offsets)
    writer.byte(kind, Type.INT8)
    writer.longs(shape, (5000,))
    writer.string(data, bytes(5000))
    with pytest.raises(InvalidMessage, match="tensors share their bytes") as caught:
        decode_response(bytes(writer.out), WIDE)
    assert caught.value.field == "infer_response.output_tensors[1]"
