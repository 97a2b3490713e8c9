"""The contents of tensors as buffers: numbers where they lie in memory, strings copied."""

import struct
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from gpfn.errors import CallerError, InvalidTensor, TooLarge
from gpfn.graphpipe.reader import MAX_MESSAGE, inside
from gpfn.graphpipe.types import Type

__all__ = ["Buffer", "Spec", "contents", "utf8"]

Buffer = bytes | memoryview
"""One piece of an encoded message."""

Spec = tuple[int, tuple[int, ...], int]
"""A tensor as its description shows it: type number, shape, bytes of its contents."""

_NUMBERS = {
    np.dtype(kind.dtype).newbyteorder("<"): int(kind)
    for kind in Type
    if kind not in (Type.NULL, Type.STRING)
} | {np.dtype(bool): int(Type.UINT8)}

_Array = np.ndarray[Any, Any]


def contents(arrays: Sequence[_Array], field: str) -> tuple[tuple[Spec, ...], list[Buffer]]:
    """Return what each array is, and its bytes.

    An array of numbers is copied only when it is not contiguous or not little-endian.
    Raises InvalidTensor for what GraphPipe cannot carry and TooLarge above 2 GiB;
    ``field`` is the name of the vector of tensors.
    """
    specs: list[Spec] = []
    buffers: list[Buffer] = []
    for array in arrays:
        number = _NUMBERS.get(array.dtype, 0) if type(array) is np.ndarray else 0
        if number and array.flags.c_contiguous:
            size = array.nbytes
            buffers.append(array.data.cast("B") if size else b"")
        else:
            try:
                number, buffer = _converted(array)
            except CallerError as error:
                raise inside(f"{field}[{len(specs)}]", error) from None
            size = len(buffer)
            buffers.append(buffer)
        specs.append((number, array.shape, size))
    return tuple(specs), buffers


def _converted(array: _Array) -> tuple[int, Buffer]:
    """Return type and bytes of an array that cannot be sent as it lies in memory."""
    if not isinstance(array, np.ndarray | np.generic) or hasattr(array, "mask"):
        raise InvalidTensor(f"expected a NumPy array, got {type(array).__name__}")
    if array.dtype.kind in "OSTU":
        return int(Type.STRING), _strings(array)
    plain = array.dtype.newbyteorder("<")
    if plain not in _NUMBERS:
        raise InvalidTensor(f"GraphPipe has no type for {array.dtype}")
    if array.nbytes > MAX_MESSAGE:
        raise TooLarge(f"{array.nbytes} bytes; a GraphPipe message ends at {MAX_MESSAGE}")
    copy = np.asarray(array).astype(plain, order="C", copy=False)
    return _NUMBERS[plain], copy.data.cast("B") if copy.nbytes else b""


def _strings(array: _Array) -> bytes:
    """Return the vector of strings: count, offsets, then each with its length and NUL."""
    strings = _as_bytes(array.ravel().tolist())
    starts, end = [], 4 + 4 * len(strings)
    for string in strings:
        starts.append(end)
        end += (4 + len(string) + 4) & ~3  # length, bytes, NUL, padding to 4
    if end > MAX_MESSAGE:
        raise TooLarge(f"{end} bytes of strings; a GraphPipe message ends at {MAX_MESSAGE}")
    offsets = (start - 4 - 4 * index for index, start in enumerate(starts))
    pieces = [struct.pack(f"<{1 + len(strings)}I", len(strings), *offsets)]
    for string in strings:
        pieces += len(string).to_bytes(4, "little"), string, b"\0\0\0\0"[len(string) & 3 :]
    return b"".join(pieces)


def _as_bytes(values: Iterable[object]) -> list[bytes]:
    strings = []
    for index, value in enumerate(values):
        if isinstance(value, bytes):
            strings.append(value)
        elif isinstance(value, str):
            strings.append(utf8(value, f"[{index}]"))
        else:
            kind = type(value).__name__
            raise InvalidTensor(f"expected bytes or str, got {kind}", field=f"[{index}]")
    return strings


def utf8(text: str, field: str) -> bytes:
    """Return the text's bytes, or raise InvalidTensor: a lone surrogate has none."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidTensor(f"not UTF-8: {error.reason}", field=field) from None
