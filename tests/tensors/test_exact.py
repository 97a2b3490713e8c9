"""Numbers, rows and masks that would be lost without a word: refused, by every way in."""

import io
import struct
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpfn.errors import GpfnError, InvalidMessage, InvalidTensor, TooLarge
from gpfn.graphpipe import InferRequest, decode_request, encode_request
from gpfn.limits import Limits
from gpfn.tensors import TensorSpec, cast_to, decode_bytes, decode_json, encode
from gpfn.tensors.cast import is_masked, plain_array
from gpfn.tensors.npy import decode_npy
from gpfn.tensors.raw import decode_raw
from tests.tensors.asking import LIMITS, refusal, spec

BOTH = pytest.mark.parametrize("dtype", ["int64", "uint64"])
ANY = (TensorSpec("float32", None, "x"),)


def decoded(text: bytes, dtype: str) -> list[object]:
    """Return the values that JSON text gives for one input ``x``."""
    found = decode_bytes(text, "application/json", [spec(dtype)], LIMITS)["x"]
    values: list[object] = found.tolist()
    return values


@BOTH
@pytest.mark.parametrize(
    "number",
    [
        *("9007199254740993.0", "9007199254740992.5", "9007199254740992.0", "9.007199254740993e15"),
        *("1e16", "4611686018427387905.0", "9007199254740993e0"),
    ],
)
def test_from_2_53_on_a_point_or_an_exponent_is_refused(number: str, dtype: str) -> None:
    flat = b'{"shape":[2],"data":[0,%s]}' % number.encode()
    double = b'{"shape":[2],"dtype":"FP64","data":[0,%s]}' % number.encode()
    stated = b'{"inputs":[{"name":"x","shape":[2],"datatype":"%s","data":[0,%s]}]}'
    names = (dtype.upper().encode(), b"FP64", b"FP32")
    for text, place in (
        (b"[0,%s]" % number.encode(), "data[1]"),
        (b"[[0],[%s]]" % number.encode(), "data[1][0]"),
        (b'{"x":[0,%s]}' % number.encode(), "data.x[1]"),
        (flat, "data.data[1]"),
        (double, "data.data[1]"),
        *((stated % (name, number.encode()), "data.inputs[0].data[1]") for name in names),
    ):
        error = refusal(lambda text=text: decoded(text, dtype))  # type: ignore[misc]
        assert error.startswith(f"{place}: ")
        assert "may be another number than was sent" in error


@BOTH
@pytest.mark.parametrize(
    ("text", "values"),
    [
        (b"[9007199254740993]", [9007199254740993]),
        (b"[9007199254740991.0, 2e3, -0.0]", [9007199254740991, 2000, 0]),
        (b'{"shape":[1],"dtype":"FP64","data":[9007199254740993]}', [9007199254740993]),
        (b'{"shape":[1],"dtype":"FP32","data":[16777217]}', [16777217]),
        (b"[9223372036854775807]", [2**63 - 1]),
    ],
)
def test_what_is_exact_arrives(text: bytes, values: list[int], dtype: str) -> None:
    assert decoded(text, dtype) == values


@settings(max_examples=400, deadline=None)
@given(
    st.integers(-(2**63), 2**64 - 1) | st.integers(2**53 - 3, 2**53 + 9),
    st.sampled_from(["{}", "{}.0", "{}e0", "{}.000E+0"]),
    st.sampled_from(["int64", "uint64", "int32", "uint8"]),
)
def test_a_whole_number_arrives_as_it_was_spelled_or_not_at_all(
    number: int, spelled: str, dtype: str
) -> None:
    try:
        found = decoded(b"[%s]" % spelled.format(number).encode(), dtype)
    except InvalidTensor as error:
        assert error.field == "data[0]"  # noqa: PT017
        return
    assert found == [number]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize("number", [b"1e400", b"-1e999", b"9" * 5000])
def test_a_number_without_a_value_is_named(number: bytes, dtype: str) -> None:
    for text, place in (
        (b"[[0,%s]]" % number, "data[0][1]"),
        (b'{"x":{"shape":[1],"data":[%s]}}' % number, "data.x.data[0]"),
    ):
        assert refusal(lambda text=text: decoded(text, dtype)).startswith(f"{place}: ")  # type: ignore[misc]


def test_a_long_number_is_the_nearest_double_or_out_of_range() -> None:
    assert decoded(b"[12345678901234567890123]", "float64") == [1.2345678901234568e22]
    assert decoded(b"[" + b"9" * 300 + b"]", "float64") == [1e300]
    error = refusal(lambda: decoded(b"[0," + b"9" * 400 + b"]", "float64"))
    assert error.startswith("data[1]: a whole number of 1329 bits is too large for float64")
    assert "out of range" in refusal(lambda: decoded(b"[18446744073709551616]", "uint64"))


def npy(*shape: int) -> bytes:
    """Return a .npy file of an array without values."""
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        out, {"descr": "<f4", "fortran_order": False, "shape": shape}
    )
    return out.getvalue()


def graphpipe(*shape: int) -> bytes:
    """Return a GraphPipe request with an array without values."""
    array = np.lib.stride_tricks.as_strided(np.zeros(0, np.float32), shape)
    return b"".join(encode_request(InferRequest((array,), ("x",))))


def listed(*shape: int) -> bytes:
    return orjson.dumps(list(shape))


WAYS: dict[str, Callable[..., Any]] = {
    "flat": lambda *s: decode_bytes(
        b'{"shape":%s,"data":[]}' % listed(*s), "application/json", ANY, LIMITS
    ),
    "named": lambda *s: decode_bytes(
        b'{"x":{"shape":%s,"data":[]}}' % listed(*s), "application/json", ANY, LIMITS
    ),
    "open-inference": lambda *s: decode_bytes(
        b'{"inputs":[{"name":"x","shape":%s,"datatype":"FP32","data":[]}]}' % listed(*s),
        "application/json",
        ANY,
        LIMITS,
    ),
    "raw": lambda *s: decode_raw(
        b"", ANY[0], LIMITS, attributes={"shape": ",".join(map(str, s)), "dtype": "float32"}
    ),
    "npy": lambda *s: decode_npy(npy(*s), ANY[0], LIMITS),
    "graphpipe": lambda *s: decode_request(graphpipe(*s)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", [(10_000_000, 0), (4097, 0), (3000, 2, 0), (5000, 0, 7)])
def test_rows_without_values_are_few(way: str, shape: tuple[int, ...]) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge, match="more than 4096 rows without a value"):
            WAYS[way](*shape)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 200_000


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", [(0, 224, 224, 3), (4096, 0), (2, 0), (0,), (0, 20, 1)])
def test_no_rows_and_some_rows_without_values_are_read(way: str, shape: tuple[int, ...]) -> None:
    found = WAYS[way](*shape)
    array = found["x"] if isinstance(found, dict) else found
    array = array.tensors[0] if isinstance(array, InferRequest) else array
    assert array.shape == shape


def test_nested_rows_without_values_are_few_too() -> None:
    assert decode_json([[]] * 4096, [spec("float32")], LIMITS)["x"].shape == (4096, 0)
    many: list[object] = [[[]] * 4097, [[[], []]] * 2049]
    for rows in many:
        with pytest.raises(TooLarge, match="rows without a value"):
            decode_json(rows, [spec("float32")], LIMITS)


def test_texts_are_counted_while_they_are_read() -> None:
    few = Limits(elements=3)
    empty = struct.pack("<I", 0)
    assert decode_raw(empty * 3, TensorSpec("string"), few, attributes={}).tolist() == [b""] * 3
    with pytest.raises(TooLarge, match="GPFN_MAX_ELEMENTS"):
        decode_raw(empty * 1000, TensorSpec("string"), few, attributes={})


def test_base64_is_bounded_before_it_is_decoded() -> None:
    few = Limits(string_bytes=6)
    text = [spec("string")]
    assert decode_json([{"b64": "AAAAAAAA"}], text, few)["x"].tolist() == [bytes(6)]
    for value in ({"b64": "A" * 16}, {"b64": "!" * 1000}):
        with pytest.raises(TooLarge, match="GPFN_MAX_STRING_BYTES"):
            decode_json([value], text, few)


@pytest.mark.parametrize("spelled", ["+/8=", "-_8=", "-_8", "+/8"])
def test_base64_of_either_alphabet(spelled: str) -> None:
    array = decode_json([{"b64": spelled}], [spec("string")], LIMITS)["x"]
    assert array.tolist() == [b"\xfb\xff"]


MASKED = np.ma.array([1.0, 2.0], mask=[False, True])


@pytest.mark.parametrize("array", [MASKED, np.ma.array([1, 2]), np.ma.masked])
def test_a_masked_array_is_refused(array: Any) -> None:
    assert is_masked(array)
    calls: list[Callable[[], object]] = [
        lambda: cast_to(array, TensorSpec("float64"), path="x"),
        lambda: plain_array(array, "x"),
        lambda: plain_array([array], "x"),
        lambda: plain_array((array,), "x"),
    ]
    for call in calls:
        with pytest.raises(InvalidTensor, match="a masked array") as caught:
            call()
        assert caught.value.field == "x"
    for media_type in ("application/json", "application/octet-stream", "application/x-npy"):
        for named in (False, True):
            with pytest.raises(GpfnError, match="a masked array"):
                encode({"x": array}, media_type, named=named)
    with pytest.raises((InvalidTensor, InvalidMessage)):
        encode_request(InferRequest((array,)))


def test_what_is_not_masked_is_taken_as_numpy_takes_it() -> None:
    assert plain_array([[1, 2]], "x").tolist() == [[1, 2]]
    array = np.ones(2)
    assert plain_array(array, "x") is array


def test_one_array_keeps_its_name_where_it_is_asked_for() -> None:
    arrays = {"y": np.ones((1, 2), np.float32)}
    assert encode(arrays, named=True).body == b'{"y":[[1.0,1.0]]}'
    assert encode(arrays, form="flat", named=True).body == (
        b'{"y":{"shape":[1,2],"data":[1.0,1.0]}}'
    )
    assert encode(arrays, "application/x-npy", named=True) == encode(arrays, "application/x-npy")
