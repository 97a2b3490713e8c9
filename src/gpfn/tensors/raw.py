"""A tensor as its bare bytes: little-endian, in row-major order.

Strings stand one after another, each behind its length in four bytes, as the Open
Inference Protocol's raw form has them.
"""

import math
import struct
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from gpfn.errors import InvalidTensor
from gpfn.limits import Limits
from gpfn.tensors.cast import cast_to, dtype_name
from gpfn.tensors.dtypes import DTYPE_TABLE, Dtype, find_dtype
from gpfn.tensors.shapes import (
    complete_shape,
    counted,
    over_limit,
    shape_from_text,
    shape_text,
    shown,
)
from gpfn.tensors.spec import TensorSpec

__all__ = ["decode_raw", "encode_raw"]

_Array = npt.NDArray[np.generic]


def decode_raw(
    data: bytes | memoryview,
    spec: TensorSpec | None,
    limits: Limits,
    *,
    attributes: Mapping[str, str],
    path: str = "data",
) -> _Array:
    """Return a read-only array over ``data``, without a copy where no cast is needed.

    ``dtype`` and ``shape`` in ``attributes`` say what the bytes are; where they are
    absent the spec says it. Raises InvalidTensor when the bytes are too few, too many
    or do not fit the spec, TooLarge over a limit.
    """
    dtype = _stated_dtype(attributes.get("dtype"), spec)
    flat = _flat(data, dtype, limits, path)
    if len(flat) > limits.elements:
        raise over_limit("elements", limits, path)
    stated = attributes.get("shape")
    if stated is not None:
        shape = shape_from_text(stated, limits, path="shape")
    else:
        shape = complete_shape(spec, len(flat), path=path) if spec is not None else (len(flat),)
    if math.prod(shape) != len(flat):
        count = counted(len(flat), dtype.noun)
        raise InvalidTensor(f"shape {shape_text(shape)} does not hold {count}", field=path)
    array = flat.reshape(shape)
    return array if spec is None else cast_to(array, spec, path=path)


def encode_raw(array: _Array) -> tuple[bytes, dict[str, str]]:
    """Return the bytes of ``array`` with the attributes ``dtype`` and ``shape``."""
    name = dtype_name(array)
    attributes = {"dtype": name, "shape": ",".join(map(str, array.shape))}
    if name == "string":
        texts = cast_to(array, TensorSpec("string"), path="data").ravel().tolist()
        return b"".join(struct.pack("<I", len(text)) + text for text in texts), attributes
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes(), attributes


def _stated_dtype(stated: str | None, spec: TensorSpec | None) -> Dtype:
    if stated is None:
        if spec is None:
            raise InvalidTensor("state a dtype: nothing declares it", field="dtype")
        return DTYPE_TABLE[spec.dtype]
    dtype = find_dtype(stated)
    if dtype is None:
        known = ", ".join(DTYPE_TABLE)
        raise InvalidTensor(f"unknown dtype {shown(stated)}; known: {known}", field="dtype")
    return dtype


def _flat(data: bytes | memoryview, dtype: Dtype, limits: Limits, path: str) -> _Array:
    if dtype.name == "string":
        return _strings(memoryview(data).cast("B"), limits, path)
    size = dtype.numpy.itemsize
    length = memoryview(data).nbytes
    if length % size:
        raise InvalidTensor(
            f"expected a multiple of {size} bytes ({dtype.name}), got {length}", field=path
        )
    raw = np.frombuffer(data, np.uint8)
    if dtype.name == "bool" and raw.size and raw.max() > 1:
        index = int(np.argmax(raw > 1))
        raise InvalidTensor(f"expected 0 or 1, got {raw[index]}", field=f"{path}[{index}]")
    flat: _Array = raw.view(dtype.numpy.newbyteorder("<"))
    flat.flags.writeable = False
    return flat


def _strings(data: memoryview, limits: Limits, path: str) -> _Array:
    texts: list[bytes] = []
    start, end = 0, len(data)
    if end > limits.string_bytes + 4 * limits.elements:
        raise over_limit("string_bytes", limits, path)
    while start < end:
        if len(texts) >= limits.elements:
            raise over_limit("elements", limits, path)
        head = data[start : start + 4]
        length = int.from_bytes(head, "little")
        if len(head) < 4 or length > end - start - 4:
            raise InvalidTensor(
                f"the string goes past the end, at byte {start}", field=f"{path}[{len(texts)}]"
            )
        texts.append(bytes(data[start + 4 : start + 4 + length]))
        start += 4 + length
    if sum(map(len, texts)) > limits.string_bytes:
        raise over_limit("string_bytes", limits, path)
    flat = np.empty(len(texts), object)
    flat[:] = texts
    flat.flags.writeable = False
    return flat
