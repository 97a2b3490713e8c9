"""NumPy's ``.npy`` format, read without pickle and without evaluating the header.

Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html.
The header is a Python dictionary literal; it is matched against a pattern here, so that
nothing in it can be deep, long or of another type. Object arrays (which are pickles),
structured dtypes, complex numbers and times are refused.
"""

import io
import math
import re
import sys

import numpy as np
import numpy.typing as npt

from gpfn.errors import InvalidTensor
from gpfn.limits import Limits
from gpfn.tensors.cast import fit
from gpfn.tensors.shapes import bounded_shape, over_limit, shape_text, shown
from gpfn.tensors.spec import TensorSpec

__all__ = ["decode_npy", "encode_npy"]

_Array = npt.NDArray[np.generic]

_MAGIC = b"\x93NUMPY"
_HEADER_BYTES = 10_000  # as NumPy's own reader allows

_HEADER = re.compile(
    r"\s*+\{\s*+(?:'(?:descr|fortran_order|shape)'\s*+:\s*+"
    r"(?:'[^'\\]{1,20}'|True|False|\([\d\s,L]*+\))\s*+(?:,\s*+)?+){3}\}\s*+"
)
_PARTS = tuple(
    re.compile(rf"'{key}'\s*+:\s*+{value}")
    for key, value in (
        ("descr", r"'([^']*+)'"),
        ("fortran_order", "(True|False)"),
        ("shape", r"\(([^)]*+)\)"),
    )
)
_DTYPE = re.compile(r"[<>|=](?:[biuf]\d{1,2}|[SU]\d{1,9})")


def decode_npy(
    data: bytes | memoryview, spec: TensorSpec | None, limits: Limits, *, path: str = "data"
) -> _Array:
    """Return the array in ``data``: a read-only view where no cast is needed.

    Raises InvalidTensor when it is not a ``.npy`` file of numbers, booleans or strings,
    is cut short, or does not fit the spec; TooLarge over a limit.
    """
    view = memoryview(data).cast("B")
    header, start = _header(view, path)
    dtype, fortran, shape = _described(header, limits, path)
    body = view[start:]
    wanted = math.prod(shape) * dtype.itemsize
    if len(body) != wanted:
        detail = f"expected {wanted} bytes for shape {shape_text(shape)}, got {len(body)}"
        raise InvalidTensor(detail, field=path)
    array: _Array = np.frombuffer(body, dtype).reshape(shape, order="F" if fortran else "C")
    array.flags.writeable = False
    _check_contents(array, limits, path)
    if spec is None:
        return fit(array, TensorSpec("string"), path=path) if dtype.kind in "SU" else array
    return fit(array, spec, path=path)


def encode_npy(array: _Array) -> bytes:
    """Return ``array`` as ``.npy``, strings as NumPy's fixed-width bytes."""
    if array.dtype.kind == "O":
        array = _fixed_width(array)
    out = io.BytesIO()
    np.lib.format.write_array(out, array, allow_pickle=False)
    return out.getvalue()


def _header(view: memoryview, path: str) -> tuple[str, int]:
    """Return the header's text and where the data starts."""
    if bytes(view[:6]) != _MAGIC:
        raise InvalidTensor("not a .npy file: its first bytes are others", field=path)
    version = bytes(view[6:8])
    width = {b"\x01\x00": 2, b"\x02\x00": 4, b"\x03\x00": 4}.get(version)
    if width is None:
        raise InvalidTensor(f"unknown .npy version {list(version)}", field=path)
    length = int.from_bytes(view[8 : 8 + width], "little")
    start = 8 + width
    if length > _HEADER_BYTES:
        raise InvalidTensor(f"the .npy header is longer than {_HEADER_BYTES} bytes", field=path)
    text = bytes(view[start : start + length])
    if len(text) != length or len(view) < start:
        raise InvalidTensor("the .npy header is cut short", field=path)
    return text.decode("latin-1"), start + length


def _described(
    header: str, limits: Limits, path: str
) -> tuple["np.dtype[np.generic]", bool, tuple[int, ...]]:
    found = [part.search(header) for part in _PARTS] if _HEADER.fullmatch(header) else []
    parts = [match[1] for match in found if match]
    if len(parts) != 3:
        raise InvalidTensor(f"the .npy header is not understood: {shown(header)}", field=path)
    descr, fortran, shape = parts
    return _dtype(descr, path), fortran == "True", _shape(shape, limits, path)


def _dtype(descr: str, path: str) -> "np.dtype[np.generic]":
    if descr == "|O":
        raise InvalidTensor("object arrays hold pickles, which are never loaded", field=path)
    try:
        dtype = np.dtype(descr) if _DTYPE.fullmatch(descr) else None
    except TypeError:  # such as <f3
        dtype = None
    if dtype is None or dtype.itemsize == 0 or dtype.name == "float128":
        raise InvalidTensor(f"the dtype {shown(descr)} is not supported", field=path)
    return dtype


def _shape(text: str, limits: Limits, path: str) -> tuple[int, ...]:
    sizes = [size.strip().rstrip("L") for size in text.split(",")]
    if sizes[-1] == "":
        sizes.pop()
    if not all(size.isascii() and size.isdigit() and len(size) < 20 for size in sizes):
        raise InvalidTensor(f"the .npy shape is not understood: {shown(text)}", field=path)
    return bounded_shape([int(size) for size in sizes], limits, path=path)


def _check_contents(array: _Array, limits: Limits, path: str) -> None:
    """Refuse what NumPy takes from a buffer unseen, and falls over later."""
    kind = array.dtype.kind
    if kind in "SU" and array.nbytes > limits.string_bytes:
        raise over_limit("string_bytes", limits, path)
    if kind == "b" and array.size and array.view(np.uint8).max() > 1:
        raise InvalidTensor("a boolean is neither 0 nor 1", field=path)
    if kind == "U" and array.size:
        points = np.ascontiguousarray(array).view(array.dtype.byteorder.replace("|", "=") + "u4")
        if points.max() > sys.maxunicode:
            raise InvalidTensor("a character is beyond Unicode", field=path)


def _fixed_width(array: _Array) -> "npt.NDArray[np.bytes_]":
    """Return strings as an ``S`` array, which cannot hold a zero byte at a string's end."""
    texts = fit(array, TensorSpec("string"), path="data")
    fixed = texts.astype(np.bytes_)
    if fixed.astype(object).ravel().tolist() != texts.ravel().tolist():
        raise InvalidTensor("a string ends in a zero byte, which .npy cannot hold", field="data")
    return fixed
