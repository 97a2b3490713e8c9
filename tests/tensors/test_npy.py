"""``.npy`` files: NumPy's own writer is the oracle; pickles and odd headers are refused."""

import contextlib
import io
import struct
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gpfn.errors import InvalidTensor, TooLarge
from gpfn.limits import Limits
from gpfn.tensors.dtypes import DTYPE_TABLE
from gpfn.tensors.npy import decode_npy, encode_npy
from tests.tensors.asking import LIMITS, SERIES, refusal, spec

DTYPES = ["?", "u1", "i1", "<u2", ">i2", "<u4", ">i4", "<u8", ">i8", "<f2", ">f4", "<f8"]


def saved(array: Any, version: tuple[int, int] | None = None) -> bytes:
    """Return what NumPy itself writes."""
    out = io.BytesIO()
    np.lib.format.write_array(out, np.asanyarray(array), version=version)
    return out.getvalue()


def headed(header: str, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    """Return a file with this header, right or wrong."""
    text = header.encode("latin-1")
    width = "<H" if version == b"\x01\x00" else "<I"
    return b"\x93NUMPY" + version + struct.pack(width, len(text)) + text + data


@settings(max_examples=200, deadline=None)
@given(
    arrays.arrays(
        st.sampled_from(DTYPES),
        arrays.array_shapes(min_dims=0, min_side=0),
    ),
    st.sampled_from([(1, 0), (2, 0), (3, 0)]),
    st.booleans(),
)
def test_what_numpy_writes_is_read(
    array: np.ndarray, version: tuple[int, int], fortran: bool
) -> None:
    array = np.asfortranarray(array) if fortran else array
    again = decode_npy(saved(array, version), None, LIMITS)
    assert again.shape == array.shape
    assert again.dtype == array.dtype
    assert again.tobytes() == array.tobytes()


@pytest.mark.parametrize("name", sorted(DTYPE_TABLE))
def test_what_we_write_numpy_reads(name: str) -> None:
    array = np.array([[1, 0, 1]]).astype(str if name == "string" else name)
    again = np.load(io.BytesIO(encode_npy(array)), allow_pickle=False)
    assert again.tolist() == array.tolist()
    assert decode_npy(encode_npy(array), spec(name, 1, 3), LIMITS).shape == (1, 3)


def test_a_view_not_a_copy() -> None:
    data = saved(np.zeros((1, 20, 1), np.float32))
    array = decode_npy(data, SERIES, LIMITS)
    assert np.shares_memory(array, np.frombuffer(data, np.uint8))
    assert not array.flags.writeable
    assert not decode_npy(memoryview(bytearray(data)), SERIES, LIMITS).flags.writeable


def test_it_is_fitted_to_the_spec() -> None:
    assert decode_npy(saved(np.ones((1, 20, 1))), SERIES, LIMITS).dtype == np.float32
    error = refusal(lambda: decode_npy(saved(np.ones(20)), SERIES, LIMITS))
    assert error == "data: expected shape (any, 20, 1), got (20,)"
    error = refusal(lambda: decode_npy(saved(np.full((1, 20, 1), 0.1)), SERIES, LIMITS))
    assert error == "data[0][0][0]: 0.1 is not exact in float32 (was float64)"


def test_strings_come_as_bytes_objects() -> None:
    for array in (np.array(["a", "ü"]), np.array(["a", "ü"], ">U7")):
        assert decode_npy(saved(array), None, LIMITS).tolist() == [b"a", "ü".encode()]
    assert decode_npy(saved(np.array([b"\xff"])), spec("string"), LIMITS).tolist() == [b"\xff"]


def test_strings_that_npy_cannot_hold_are_not_cut() -> None:
    assert decode_npy(encode_npy(np.array([b"a", b""], object)), None, LIMITS).tolist() == [
        b"a",
        b"",
    ]
    error = refusal(lambda: encode_npy(np.array([b"a\x00"], object)))
    assert error == "data: a string ends in a zero byte, which .npy cannot hold"


class Trap:
    """Unpickling this would be seen."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise SystemExit('a pickle was loaded')",))


def test_pickles_are_never_loaded() -> None:
    out = io.BytesIO()
    np.save(out, np.array([Trap()], object), allow_pickle=True)
    error = refusal(lambda: decode_npy(out.getvalue(), None, LIMITS))
    assert error == "data: object arrays hold pickles, which are never loaded"


ITEM = "'descr': '<f4', 'fortran_order': False, 'shape': (1,)"


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", "data: not a .npy file: its first bytes are others"),
        (b"PK\x03\x04", "data: not a .npy file"),
        (b"\x93NUMPY", "data: not a .npy file: its first bytes are others"),
        (headed("{}", version=b"\x04\x00"), "data: unknown .npy version [4, 0]"),
        (b"\x93NUMPY\x01\x00", "data: the .npy header is cut short"),
        (b"\x93NUMPY\x01\x00\x10\x00{", "data: the .npy header is cut short"),
        (headed(" " * 10_001), "data: the .npy header is longer than 10000 bytes"),
        (headed("{" + ITEM + "}", b"\0" * 3), "data: expected 4 bytes for shape (1,), got 3"),
        (headed("{" + ITEM + "}", b"\0" * 5), "data: expected 4 bytes for shape (1,), got 5"),
        (headed("{" + ITEM.replace("<f4", "<c8") + "}"), "data: the dtype '<c8' is not supported"),
        (headed("{" + ITEM.replace("<f4", "<M8") + "}"), "data: the dtype '<M8' is not supported"),
        (headed("{" + ITEM.replace("<f4", "<f3") + "}"), "data: the .npy header is not understood"),
        (headed("{" + ITEM.replace("<f4", "<f16") + "}"), "data: the dtype '<f16' is not supp"),
        (headed("{" + ITEM.replace("<f4", "|S0") + "}"), "data: the dtype '|S0' is not supported"),
        (headed("{" + ITEM.replace("<f4", "|V8") + "}"), "data: the dtype '|V8' is not supported"),
        (headed("{" + ITEM.replace("(1,)", "(-1,)") + "}"), "data: the .npy header is not under"),
        (headed("{" + ITEM.replace("(1,)", "(1,,)") + "}"), "data: the .npy header is not under"),
        (headed("{" + ITEM.replace("(1,)", "(1 2)") + "}"), "data: the .npy header is not under"),
        (headed("{" + ITEM.replace("(1,)", "(True,)") + "}"), "data: the .npy shape is not under"),
        (headed("{" + ITEM.replace("(1,)", "1") + "}"), "data: the .npy header is not understood"),
        (headed("{" + ITEM.replace("False", "0") + "}"), "data: the .npy header is not understood"),
        (headed("{" + ITEM + ", 'x': 1}"), "data: the .npy header is not understood"),
        (headed("{" + ITEM.replace("<f4", "f4,i4") + "}"), "data: the dtype '|V8' is not supp"),
        (headed("{" + ITEM.replace("<f4", "(2,2)f4") + "}"), "data: the dtype '|V16' is not supp"),
        (headed("{" + ITEM.replace("'<f4'", "('<f4', (2,))") + "}"), "data: the dtype '|V8' is"),
        (headed("{" + ITEM.replace("<f4", "|O") + "}"), "data: object arrays hold pickles"),
        (headed("{" + ITEM.replace("<f4", "O,f4") + "}"), "data: object arrays hold pickles"),
        (headed("{'descr': [('a', '<f4')]}"), "data: the .npy header is not understood"),
        (headed("__import__('os').system('true')"), "data: the .npy header is not understood"),
        (headed("{" + ITEM[:34] + "}"), "data: the .npy header is not understood"),
        (headed("{" + "'shape': (1,), " * 3 + "}"), "data: the .npy header is not understood"),
        (headed("(" * 9_000), "data: the .npy header is not understood"),
        (headed("{" + ITEM.replace("<f4", "|b1") + "}", b"\x02"), "data: a boolean is neither"),
        (headed("{" + ITEM.replace("<f4", "<U1") + "}", b"\xff" * 4), "data: a character is bey"),
    ],
)
def test_a_file_that_is_wrong(data: bytes, error: str) -> None:
    assert refusal(lambda: decode_npy(data, None, LIMITS)).startswith(error)


@pytest.mark.parametrize("header", [" " * 9_900, "{" + " " * 9_900, "{" + ITEM + "," + " " * 9_900])
def test_a_header_of_blanks_takes_no_time(header: str) -> None:
    assert "not understood" in refusal(lambda: decode_npy(headed(header), None, LIMITS))


@pytest.mark.parametrize("end", ["\n  ", "\r\n\r\n   ", "\n", " L\n", "\n\n}"])
def test_no_header_makes_numpy_warn(end: str) -> None:
    with warnings.catch_warnings(record=True) as told, contextlib.suppress(InvalidTensor):
        warnings.simplefilter("always")
        decode_npy(headed("{" + ITEM + "}" + end, bytes(4)), None, LIMITS)
    assert not told


def test_other_writers_spacing_and_order_are_read() -> None:
    header = "{ 'shape':(2L,1) ,'fortran_order' : False,'descr':'|u1'}\n"
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # L ends a number in Python 2, of which NumPy warns
        assert decode_npy(headed(header, b"\x01\x02"), None, LIMITS).tolist() == [[1], [2]]


HOSTILE = [
    "(" * 10_000,
    "{" * 10_000,
    "{" + ITEM.replace("(1,)", "(" * 4000 + ")" * 4000) + "}",
    "{" + ITEM.replace("'<f4'", "[" * 4000 + "]" * 4000) + "}",
    "{" + ITEM.replace("'<f4'", "(" * 90 + "'<f4'" + ",)" * 90) + "}",
    "{" + ITEM.replace("(1,)", "-" * 9_000 + "1") + "}",
    "{" + ITEM.replace("(1,)", "1|" * 4_500 + "1") + "}",
    "{" + ITEM.replace("(1,)", "1<" * 4_500 + "1") + "}",
    "{" + ITEM.replace("(1,)", "x" + "()" * 4_500) + "}",
    "{" + ITEM.replace("(1,)", "x" + ".x" * 4_500) + "}",
    "{" + ITEM.replace("(1,)", "not " * 2_400 + "1") + "}",
    "{" + ITEM.replace("(1,)", "lambda:" * 1_400 + "1") + "}",
    "{" + ITEM.replace("(1,)", "1 if 1 else " * 800 + "1") + "}",
    "{" + ITEM.replace("(1,)", "(" + "9" * 9_000 + ",)") + "}",
    "{" + ITEM.replace("<f4", "f4," * 3_000) + "}",
    "{" + ITEM.replace("<f4", "S" + "9" * 9_000) + "}",
    "{" + ITEM.replace("<f4", "<é4") + "}",
    "{" + ITEM.replace("'<f4'", "'" * 9_000) + "}",
    "{" + ITEM.replace("'<f4'", "1L " * 3_000) + "}",
    "{" + ITEM + "}\x00",
    "{" + ITEM + "}\\",
]


# The same, as long as is let through to Python's parser.
HOSTILE += [
    "(" * 1_990,
    "{" * 1_990,
    "{" + ITEM.replace("(1,)", "(" * 900 + ")" * 900) + "}",
    "{" + ITEM.replace("(1,)", "1|" * 900 + "1") + "}",
    "{" + ITEM.replace("(1,)", "1<" * 900 + "1") + "}",
    "{" + ITEM.replace("(1,)", "x" + "()" * 900) + "}",
    "{" + ITEM.replace("(1,)", "not " * 450 + "1") + "}",
    "{" + ITEM.replace("(1,)", "lambda:" * 250 + "1") + "}",
    "{" + ITEM.replace("(1,)", "1 if 1 else " * 150 + "1") + "}",
    "{" + ITEM.replace("(1,)", "(" + "9" * 1_900 + ",)") + "}",
    "{" + ITEM.replace("<f4", "f4," * 600) + "}",
    "{" + ITEM.replace("<f4", "S" + "9" * 1_900) + "}",
    "{" + ITEM.replace("'<f4'", "'" * 1_900) + "}",
    "{" + ITEM.replace("'<f4'", "1L " * 600) + "}",
]


@pytest.mark.parametrize("header", HOSTILE)
@pytest.mark.parametrize("version", [b"\x01\x00", b"\x02\x00", b"\x03\x00"])
def test_a_hostile_header_is_refused_at_little_cost(header: str, version: bytes) -> None:
    data = headed(header, b"\0" * 4, version)
    started = time.process_time()
    refusal(lambda: decode_npy(data, None, LIMITS), (InvalidTensor, TooLarge))
    assert time.process_time() - started < 0.2


def test_a_hostile_header_is_refused_in_a_thread() -> None:
    def refused() -> int:
        return sum(
            bool(
                refusal(lambda h=h: decode_npy(headed(h), None, LIMITS), (InvalidTensor, TooLarge))
            )
            for h in HOSTILE
        )

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(refused).result() == len(HOSTILE)


def test_limits_hold() -> None:
    ones = saved(np.ones((2, 2)))
    refusal(lambda: decode_npy(ones, None, Limits(elements=3)), TooLarge)
    refusal(lambda: decode_npy(ones, None, Limits(rank=1)), TooLarge)
    refusal(lambda: decode_npy(saved(np.array(["abc"])), None, Limits(string_bytes=11)), TooLarge)
    for shape in ("(9999999999999999999,)", "(0,99999999999,99999999999)"):
        data = headed("{" + ITEM.replace("(1,)", shape) + "}")
        refusal(lambda d=data: decode_npy(d, None, LIMITS), TooLarge)


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_a_changed_byte_gives_an_array_or_an_error(data: st.DataObject) -> None:
    whole = bytearray(saved(data.draw(st.sampled_from(SAMPLES))))
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        array = decode_npy(bytes(whole[: data.draw(st.integers(0, len(whole)))]), None, LIMITS)
    except (InvalidTensor, TooLarge):
        return
    assert array.nbytes <= 8 * len(whole)


SAMPLES = [np.ones((2, 3), "<f4"), np.array(["ab", "c"]), np.array([True]), np.array([b"xyz"])]
