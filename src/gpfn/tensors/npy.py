"""NumPy's ``.npy`` format, read without pickle.

Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html.
The header is a Python dictionary literal. NumPy reads it, with ``ast.literal_eval``;
before that its length and its characters are bounded here, so that nothing in it can be
deep. Object arrays (which are pickles), structured dtypes, complex numbers and times are
refused.
"""

import ast
import io
import math
import sys
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy_format

from gpfn.errors import InvalidTensor
from gpfn.limits import Limits
from gpfn.tensors.cast import cast_to
from gpfn.tensors.shapes import bounded_shape, over_limit, shape_text, shown
from gpfn.tensors.spec import TensorSpec

__all__ = ["decode_npy", "encode_npy"]

_Array = npt.NDArray[np.generic]

_HEADER_BYTES = 10_000  # as NumPy's own reader allows
_READERS = {
    (1, 0): (2, npy_format.read_array_header_1_0),
    (2, 0): (4, npy_format.read_array_header_2_0),
    # 3.0 is 2.0 in UTF-8, for names of structured dtypes; all others are ASCII.
    (3, 0): (4, npy_format.read_array_header_2_0),
}
"""By version: the bytes of the header's length, and NumPy's reader of what follows."""

_CHARACTERS = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_{}()':,<>=| \t\r\n"
)
"""All that the header of a plain array is made of: no brackets, signs, dots or escapes."""

_LITERAL_BYTES = 2_000
"""Without the blanks at its end; 64 sizes of 20 digits take less."""


def decode_npy(
    data: bytes | memoryview, spec: TensorSpec | None, limits: Limits, *, path: str = "data"
) -> _Array:
    """Return the array in ``data``: a read-only view where no cast is needed.

    Raises InvalidTensor when it is not a ``.npy`` file of numbers, booleans or strings,
    is cut short, or does not fit the spec; TooLarge over a limit.
    """
    view = memoryview(data).cast("B")
    header, start = _header(view, path)
    _check_header(header, limits, path)
    dtype, shape = header.dtype, header.shape
    body = view[start:]
    wanted = math.prod(shape) * dtype.itemsize
    if len(body) != wanted:
        detail = f"expected {wanted} bytes for shape {shape_text(shape)}, got {len(body)}"
        raise InvalidTensor(detail, field=path)
    array: _Array = np.frombuffer(body, dtype).reshape(shape, order="F" if header.fortran else "C")
    array.flags.writeable = False
    _check_contents(array, limits, path)
    if spec is None:
        return cast_to(array, TensorSpec("string"), path=path) if dtype.kind in "SU" else array
    return cast_to(array, spec, path=path)


def encode_npy(array: _Array) -> bytes:
    """Return ``array`` as ``.npy``, strings as NumPy's fixed-width bytes."""
    if array.dtype.kind == "O":
        array = _fixed_width(array)
    out = io.BytesIO()
    npy_format.write_array(out, array, allow_pickle=False)
    return out.getvalue()


class _Header(NamedTuple):
    """What a file says of its array."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: "np.dtype[np.generic]"


def _header(view: memoryview, path: str) -> tuple[_Header, int]:
    """Return the header as NumPy reads it, and where the data start."""
    try:
        version = npy_format.read_magic(io.BytesIO(view[:8]))
    except ValueError:
        raise InvalidTensor("not a .npy file: its first bytes are others", field=path) from None
    if version not in _READERS:
        raise InvalidTensor(f"unknown .npy version {list(version)}", field=path)
    width, _ = _READERS[version]
    length = int.from_bytes(view[8 : 8 + width], "little")
    start = 8 + width + length
    if length > _HEADER_BYTES:
        raise InvalidTensor(f"the .npy header is longer than {_HEADER_BYTES} bytes", field=path)
    if len(view) < start:
        raise InvalidTensor("the .npy header is cut short", field=path)
    text = bytes(view[8:start])
    try:
        return _parsed(version, text), start
    except Exception:  # noqa: BLE001 - hostile text raises whatever the Python parser has
        detail = f"the .npy header is not understood: {shown(text[width:].decode('latin-1'))}"
        raise InvalidTensor(detail, field=path) from None


@lru_cache(maxsize=64)
def _parsed(version: tuple[int, int], text: bytes) -> _Header:
    """Return what a header says, kept: callers repeat theirs, and reading one takes 40 µs."""
    width, read = _READERS[version]
    if not _CHARACTERS.issuperset(text[width:]) or len(text.strip()) > _LITERAL_BYTES:
        raise ValueError("no plain array has such a header")
    literal = text[width:].replace(b"L", b" ").strip()  # L ends a number in Python 2
    ast.literal_eval(literal.decode("latin-1"))  # else NumPy mends it, with a warning on stderr
    text = text[:width] + literal.ljust(len(text) - width)
    return _Header(*read(io.BytesIO(text), max_header_size=_HEADER_BYTES))


def _check_header(header: _Header, limits: Limits, path: str) -> None:
    """Refuse shapes and dtypes that are no tensor's, and shapes over a limit."""
    dtype, shape = header.dtype, header.shape
    if dtype.hasobject:
        raise InvalidTensor("object arrays hold pickles, which are never loaded", field=path)
    if dtype.kind not in "biufSU" or dtype.itemsize == 0 or dtype.name == "float128":
        raise InvalidTensor(f"the dtype {shown(dtype.str)} is not supported", field=path)
    if not all(type(size) is int and size >= 0 for size in shape):
        raise InvalidTensor(f"the .npy shape is not understood: {shown(shape)}", field=path)
    bounded_shape(shape, limits, path=path)


def _check_contents(array: _Array, limits: Limits, path: str) -> None:
    """Refuse what NumPy takes from a buffer unseen, and falls over later."""
    letter = array.dtype.kind
    if letter in "SU" and array.nbytes > limits.string_bytes:
        raise over_limit("string_bytes", limits, path)
    if letter == "b" and array.size and array.view(np.uint8).max() > 1:
        raise InvalidTensor("a boolean is neither 0 nor 1", field=path)
    if letter == "U" and array.size:
        points = np.ascontiguousarray(array).view(array.dtype.byteorder.replace("|", "=") + "u4")
        if points.max() > sys.maxunicode:
            raise InvalidTensor("a character is beyond Unicode", field=path)


def _fixed_width(array: _Array) -> "npt.NDArray[np.bytes_]":
    """Return strings as an ``S`` array, which cannot hold a zero byte at a string's end."""
    texts = cast_to(array, TensorSpec("string"), path="data")
    fixed = texts.astype(np.bytes_)
    if fixed.astype(object).ravel().tolist() != texts.ravel().tolist():
        raise InvalidTensor("a string ends in a zero byte, which .npy cannot hold", field="data")
    return fixed
