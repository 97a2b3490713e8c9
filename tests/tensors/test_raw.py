"""Bare bytes: dtype and shape from attributes or the spec, views without a copy."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gpfn.errors import InvalidTensor, TooLarge
from gpfn.limits import Limits
from gpfn.tensors import TensorSpec
from gpfn.tensors.dtypes import DTYPE_TABLE
from gpfn.tensors.raw import decode_raw, encode_raw
from tests.tensors.asking import LIMITS, SERIES, refusal, spec


def decode(data: bytes, spec: TensorSpec | None, **attributes: str) -> np.ndarray:
    """Decode with the default limits."""
    return decode_raw(data, spec, LIMITS, attributes=attributes)


def test_the_spec_tells_what_the_bytes_are() -> None:
    array = np.arange(40, dtype="<f4").reshape(2, 20, 1)
    done = decode(array.tobytes(), SERIES)
    assert np.array_equal(done, array)
    assert decode(array.tobytes(), spec("float32")).shape == (40,)


def test_no_copy_is_made() -> None:
    data = bytes(80)
    array = decode(data, SERIES)
    assert np.shares_memory(array, np.frombuffer(data, np.uint8))
    assert not array.flags.writeable
    assert not decode_raw(memoryview(bytearray(80)), SERIES, LIMITS, attributes={}).flags.writeable


@pytest.mark.parametrize("shape", ["1,20,1", "[1, 20, 1]", " 1 , 20 , 1 "])
@pytest.mark.parametrize("dtype", ["float32", "FP32"])
def test_attributes_tell_it(shape: str, dtype: str) -> None:
    assert decode(bytes(80), SERIES, shape=shape, dtype=dtype).shape == (1, 20, 1)
    assert decode(bytes(80), None, shape=shape, dtype=dtype).dtype == np.float32


def test_a_stated_dtype_is_fitted_to_the_declared_one() -> None:
    ones = np.ones((1, 20, 1), "<i8")
    array = decode(ones.tobytes(), SERIES, dtype="int64", shape="1,20,1")
    assert array.dtype == np.float32
    half = np.full((1, 20, 1), 0.1)
    error = refusal(lambda: decode(half.tobytes(), SERIES, dtype="float64", shape="1,20,1"))
    assert error == "data[0][0][0]: 0.1 is not exact in float32 (was float64)"


@pytest.mark.parametrize(
    ("data", "attributes", "error"),
    [
        (bytes(79), {}, "data: expected a multiple of 4 bytes (float32), got 79"),
        (bytes(76), {}, "data: expected a multiple of 20 values, got 19"),
        (bytes(80), {"shape": "2,20,1"}, "data: shape (2, 20, 1) does not hold 20 numbers"),
        (bytes(80), {"shape": "20"}, "data: expected shape (any, 20, 1), got (20,)"),
        (bytes(80), {"shape": "1,-20,1"}, "shape: expected sizes such as 1,20,1, got '1,-20,1'"),
        (bytes(80), {"shape": "1,²,1"}, "shape: expected sizes such as 1,20,1, got '1,²,1'"),
        (bytes(80), {"shape": "1,,1"}, "shape: expected sizes such as 1,20,1, got '1,,1'"),
        (bytes(80), {"shape": "9" * 5000}, "shape: expected sizes such as 1,20,1, got '9999"),
        (bytes(80), {"dtype": "float31"}, "dtype: unknown dtype 'float31'; known: bool, uint8"),
        (bytes(20), {"dtype": "bool"}, "data: expected float32, got bool"),
    ],
)
def test_what_does_not_fit_is_refused(data: bytes, attributes: dict[str, str], error: str) -> None:
    assert refusal(lambda: decode(data, SERIES, **attributes)).startswith(error)


@pytest.mark.parametrize(
    ("shape", "count", "error"),
    [
        ((2, 2), 3, "data: expected 4 values, got 3"),
        ((None, None), 4, "data: state a shape: the data does not tell it"),
        ((None, 0), 4, "data: expected 0 values, got 4"),
    ],
)
def test_a_shape_that_cannot_be_worked_out(
    shape: tuple[int | None, ...], count: int, error: str
) -> None:
    assert refusal(lambda: decode(bytes(count), spec("int8", *shape))) == error


def test_nothing_declares_the_dtype() -> None:
    assert refusal(lambda: decode(b"1", None)) == "dtype: state a dtype: nothing declares it"


def test_booleans_are_zero_or_one() -> None:
    assert decode(b"\x00\x01", spec("bool")).tolist() == [False, True]
    assert refusal(lambda: decode(b"\x00\x02", spec("bool"))) == "data[1]: expected 0 or 1, got 2"


def test_strings_have_their_length_before_them() -> None:
    data = b"\x01\0\0\0a\x00\0\0\0\x02\0\0\0\xff\x00"
    assert decode(data, spec("string")).tolist() == [b"a", b"", b"\xff\x00"]
    for cut in (data[:-1], data + b"\x01", data + b"\xff\xff\xff\xff"):
        assert "goes past the end" in refusal(lambda cut=cut: decode(cut, spec("string")))


def test_limits_hold() -> None:
    for limits, data, dtype in (
        (Limits(elements=3), bytes(4), "int8"),
        (Limits(elements=3), bytes(16), "string"),
        (Limits(string_bytes=3), b"\x04\0\0\0abcd", "string"),
        (Limits(string_bytes=3, elements=1), bytes(8), "string"),
    ):
        refusal(
            lambda d=data, t=dtype, m=limits: decode_raw(d, spec(t), m, attributes={}), TooLarge
        )
    for shape in ("1," * 17, "99999999999", "0,99999999999,99999999999"):
        refusal(lambda s=shape: decode(bytes(80), SERIES, shape=s), TooLarge)


def test_no_bytes_are_no_values() -> None:
    assert decode(b"", spec("float32")).shape == (0,)
    assert decode(b"", SERIES, shape="0,20,1").shape == (0, 20, 1)


@pytest.mark.parametrize("name", sorted(DTYPE_TABLE))
def test_what_is_encoded_is_decoded_again(name: str) -> None:
    array = np.array([[1, 0], [0, 1]]).astype(str if name == "string" else name)
    for layout in (array, array.T, np.asfortranarray(array), array[::-1]):
        body, attributes = encode_raw(layout)
        again = decode_raw(body, None, LIMITS, attributes=attributes)
        assert attributes == {"dtype": name, "shape": "2,2"}
        assert again.astype(layout.dtype).tolist() == layout.tolist()


def test_foreign_byte_orders_go_out_little_endian() -> None:
    body, _ = encode_raw(np.array([1.5], ">f4"))
    assert body == struct.pack("<f", 1.5)


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=40),
    st.sampled_from([*DTYPE_TABLE, "FP32"]),
    st.text("0123,[] -", max_size=8),
)
def test_any_bytes_give_an_array_or_an_error(data: bytes, dtype: str, shape: str) -> None:
    try:
        array = decode(data, None, dtype=dtype, shape=shape)
    except (InvalidTensor, TooLarge):
        return
    assert array.size <= len(data)


@settings(max_examples=100, deadline=None)
@given(arrays.arrays(st.sampled_from(["<f8", ">i2", "<f2", "?"]), arrays.array_shapes(min_dims=0)))
def test_values_survive_bit_by_bit(array: np.ndarray) -> None:
    body, attributes = encode_raw(array)
    again = decode_raw(body, None, LIMITS, attributes=attributes)
    assert again.shape == array.shape
    assert again.tobytes() == array.astype(array.dtype.newbyteorder("<")).tobytes()
