"""Encoding: the arrays' own memory, aligned, every offset forward."""

import struct
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from gpfn.errors import InvalidTensor, TooLarge
from gpfn.graphpipe import encode
from gpfn.graphpipe.decode import decode_request, decode_response
from gpfn.graphpipe.encode import encode_metadata, encode_request, encode_response
from gpfn.graphpipe.messages import (
    Error,
    InferRequest,
    InferResponse,
    IOMetadata,
    MetadataRequest,
    MetadataResponse,
)
from tests.graphpipe.oracle import Oracle
from tests.graphpipe.strategies import NUMBERS


@contextmanager
def allocated(limit: int) -> Iterator[None]:
    """Fail when more than ``limit`` bytes are allocated at one time inside."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < limit, f"{peak} bytes were allocated"


def read_back(*arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    request = decode_request(b"".join(encode_request(InferRequest(arrays))))
    assert isinstance(request, InferRequest)
    return request.tensors


def test_the_buffers_are_the_arrays_own_memory() -> None:
    arrays = tuple(np.ones((3, 5), name) for name in NUMBERS)
    for message in (encode_request(InferRequest(arrays)), encode_response(InferResponse(arrays))):
        views = [np.frombuffer(part, np.uint8) for part in message if isinstance(part, memoryview)]
        assert len(views) == len(arrays)
        assert all(np.shares_memory(a, v) for a, v in zip(arrays, views, strict=True))


def test_77_megabytes_are_encoded_without_a_copy() -> None:
    image = np.ones((128, 224, 224, 3), np.float32)
    request = InferRequest((image,), ("image",), ("class",))
    with allocated(20_000):
        parts = encode_request(request)
    assert sum(map(len, parts)) > 77_000_000
    assert np.shares_memory(np.frombuffer(parts[-1], np.uint8), image)


def test_data_begins_at_multiples_of_64_and_offsets_point_forward(oracle: Oracle) -> None:
    arrays = tuple(np.arange(size, dtype=np.int8) for size in (1, 63, 64, 65, 200))
    message = b"".join(encode_request(InferRequest(arrays, tuple("abcde"), ("y",), "config")))
    whole = np.frombuffer(message, np.uint8)
    for tensor in _tensors(oracle, message):
        begin = tensor.DataAsNumpy().ctypes.data - whole.ctypes.data
        assert begin % 64 == 0
        assert struct.unpack_from("<I", message, begin - 4) == (tensor.DataLength(),)
        assert begin > tensor._tab.Pos


def _tensors(oracle: Oracle, message: bytes) -> list:
    request = oracle.code["Request"].Request.GetRootAs(message)
    inner = oracle.code["InferRequest"].InferRequest()
    inner.Init(request.Req().Bytes, request.Req().Pos)
    return [inner.InputTensors(i) for i in range(inner.InputTensorsLength())]


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda x: x[:, ::2], id="every second column"),
        pytest.param(lambda x: x.T, id="transposed"),
        pytest.param(lambda x: x[::-1], id="reversed"),
        pytest.param(lambda x: np.broadcast_to(x[:1], x.shape), id="broadcast"),
        pytest.param(lambda x: x.astype(">f8"), id="big-endian"),
        pytest.param(lambda x: x.astype(">f8")[:, ::3], id="big-endian and strided"),
    ],
)
def test_what_cannot_be_sent_as_it_lies_costs_exactly_one_copy(make: object) -> None:
    array = make(np.arange(1_000_000, dtype=np.float64).reshape(1000, 1000))
    with allocated(int(1.1 * array.nbytes)):
        message = encode_request(InferRequest((array,)))
    request = decode_request(b"".join(message), limits=_MORE)
    assert request.tensors[0].dtype == np.float64
    assert np.array_equal(request.tensors[0], array)


_MORE = decode_request.__defaults__[0]._replace(body_bytes=1 << 30)


def test_other_arrays_arrive_as_their_plain_kind(tmp_path) -> None:
    np.save(tmp_path / "x.npy", np.arange(6).reshape(2, 3))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    frozen = np.arange(3.0)
    frozen.flags.writeable = False
    sent = (mapped, frozen, np.array([True, False]), np.float16(2.5), np.array(7, np.int8))
    got = read_back(*sent)
    assert [a.tolist() for a in got] == [a.tolist() for a in sent]
    assert [a.dtype.name for a in got] == ["int64", "float64", "uint8", "float16", "int8"]
    assert np.shares_memory(mapped, np.frombuffer(encode_request(InferRequest((mapped,)))[1]))


@pytest.mark.parametrize(
    "array",
    [
        np.array([[b"a\0b", b""], [b"\xff", b"d"]], object),
        np.array([["a", "\u00e9\u20ac"]], object),
        np.array([b"abc", b"d"]),
        np.array(["\u00e9", "x"]),
        np.array([], object),
        np.array(b"one", object),
    ],
    ids=["bytes", "str", "S", "U", "none", "rank 0"],
)
def test_strings_arrive_as_bytes(array: np.ndarray) -> None:
    (got,) = read_back(array)
    as_bytes = [s.encode() if isinstance(s, str) else s for s in array.ravel().tolist()]
    assert got.dtype == object
    assert got.shape == array.shape
    assert got.ravel().tolist() == as_bytes


def test_strings_between_numbers_keep_the_numbers_aligned() -> None:
    words, numbers = np.array([b"abcde"], object), np.arange(4, dtype=np.float64)
    message = b"".join(encode_response(InferResponse((numbers, words, numbers, words))))
    got = decode_response(message).tensors
    assert [a.tolist() for a in got] == [a.tolist() for a in (numbers, words, numbers, words)]
    assert message.index(numbers.tobytes()) % 64 == 0
    assert message.rindex(numbers.tobytes()) % 64 == 0


@pytest.mark.parametrize(
    ("array", "field", "what"),
    [
        (np.zeros(2, complex), "input_tensors[1]", "GraphPipe has no type for complex128"),
        (np.zeros(2, "M8[s]"), "input_tensors[1]", "no type for datetime64"),
        (np.zeros(2, "i4,f8"), "input_tensors[1]", "no type for"),
        (np.array([b"x", 3], object), "input_tensors[1][1]", "bytes or str, got int"),
        (np.array(["\ud800"], object), "input_tensors[1][0]", "not UTF-8"),
        ([1.0, 2.0], "input_tensors[1]", "expected a NumPy array, got list"),
        (np.ma.masked_array([1], [True]), "input_tensors[1]", "got MaskedArray"),
    ],
)
def test_what_graphpipe_cannot_carry_is_refused(array: object, field: str, what: str) -> None:
    with pytest.raises(InvalidTensor, match=what) as caught:
        encode_request(InferRequest((np.zeros(1), array)))
    assert caught.value.field == field


def test_names_must_be_as_many_as_tensors() -> None:
    with pytest.raises(InvalidTensor, match="1 for 2 tensors") as caught:
        encode_request(InferRequest((np.zeros(1), np.zeros(1)), ("x",)))
    assert caught.value.field == "input_names"
    for field in ("config", "output_names[0]"):
        extra = {"config": "\udfff"} if field == "config" else {"output_names": ("\udfff",)}
        with pytest.raises(InvalidTensor, match="not UTF-8") as caught:
            encode_request(InferRequest((np.zeros(1),), **extra))
        assert caught.value.field == field


def test_over_two_gigabytes_is_refused_before_anything_is_copied() -> None:
    huge = np.broadcast_to(np.uint8(1), 2**31)
    lazy = np.empty(3 * 2**29, np.uint8)
    with allocated(1_000_000):
        for arrays in ((huge,), (lazy, lazy), (lazy, lazy, lazy)):
            with pytest.raises(TooLarge, match="ends at 2147483647"):
                encode_request(InferRequest(arrays))


def test_fields_that_are_empty_are_left_out() -> None:
    bare = b"".join(encode_request(InferRequest((np.zeros(1, np.int8),))))
    full = b"".join(encode_request(InferRequest((np.zeros(1, np.int8),), ("x",), ("y",), "c")))
    assert len(bare) == 129
    assert len(full) > len(bare)
    assert decode_request(bare)[1:] == ((), (), "")


def test_a_description_is_made_once_for_messages_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.arange(20, dtype=np.float32).reshape(1, 20, 1)
    for remembered, send in (
        (encode._requests, lambda a: encode_request(InferRequest((a,), ("remember",)))),
        (encode._responses, lambda a: encode_response(InferResponse((a,)))),
    ):
        first = b"".join(send(array))
        with monkeypatch.context() as patch:
            patch.setattr(remembered, "_describe", None)  # would fail if it were called
            assert b"".join(send(array)) == first
            assert b"".join(send(array + 1)) != first
            with pytest.raises(TypeError):
                send(array.astype(np.float64))


def test_what_is_remembered_is_bounded() -> None:
    for size in range(3000):
        encode_request(InferRequest((np.zeros(size, np.uint8),), config="x" * (size % 2 * 9000)))
    known = encode._requests._known
    assert len(known) <= 128
    assert all(sum(map(len, pieces)) <= 4096 for pieces in known.values())


def test_metadata_and_errors_reach_the_oracle(oracle: Oracle) -> None:
    metadata = MetadataResponse("m", "1", "s", "d", (IOMetadata("x", "", (-1, 3)),))
    assert oracle.metadata(b"".join(encode_metadata(metadata))) == metadata
    failed = InferResponse(errors=(Error(-1, "no"), Error(2**62, "\u00e9")))
    assert oracle.response(b"".join(encode_response(failed))) == failed
    assert encode_request(MetadataRequest()) == encode_request(MetadataRequest())
    with pytest.raises(InvalidTensor) as caught:
        encode_metadata(metadata._replace(inputs=(IOMetadata("\udfff"),)))
    assert caught.value.field == "inputs[0].name"
