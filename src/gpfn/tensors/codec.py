"""Data bytes to arrays, as their media type says, and arrays to data bytes.

JSON is written in the form that the request had (json_forms.py).
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson

from gpfn.errors import BackendError, InvalidTensor, TooLarge, UnsupportedMedia
from gpfn.json_exact import UnreadableNumber, loads_loosely, path_of
from gpfn.limits import Limits
from gpfn.media import JSON, NPY, OCTETS, family
from gpfn.tensors.cast import MASKED, cast_to, dtype_name, is_masked, nonfinite_index
from gpfn.tensors.dtypes import DTYPE_TABLE, OPEN_INFERENCE_NAMES
from gpfn.tensors.json_forms import Form, decode_json
from gpfn.tensors.npy import decode_npy, encode_npy
from gpfn.tensors.raw import decode_raw, encode_raw
from gpfn.tensors.shapes import at, shown
from gpfn.tensors.spec import TensorSpec

__all__ = [
    "Encoded",
    "Nonfinite",
    "decode_bytes",
    "encode",
    "open_inference_outputs",
    "text_or_base64",
]

_Array = npt.NDArray[np.generic]

Nonfinite = Literal["null", "refuse"]
"""What becomes of NaN and infinity in JSON."""

_NONE: Mapping[str, str] = MappingProxyType({})
_SHORT = 2048
_N = ord("n")
_NUMPY = orjson.OPT_SERIALIZE_NUMPY


class Encoded(NamedTuple):
    """Data bytes with their media type.

    ``nonfinite`` says that JSON holds ``null`` where a value is NaN or infinite;
    ``attributes`` are the ``dtype`` and ``shape`` that bare bytes need beside them.
    """

    body: bytes
    media_type: str = JSON
    nonfinite: bool = False
    attributes: Mapping[str, str] = _NONE


# What a NamedTuple's own constructor does, without the Python function around it.
_encoded: Callable[..., Encoded] = tuple.__new__


def decode_bytes(
    data: bytes | memoryview,
    media_type: str,
    specs: Sequence[TensorSpec],
    limits: Limits,
    *,
    attributes: Mapping[str, str] = _NONE,
    path: str = "data",
) -> dict[str, _Array]:
    """Return the array for each spec's name from data of a media type.

    ``attributes`` may hold ``dtype`` and ``shape`` of an ``application/octet-stream``; a
    CloudEvent has them as extensions. Binary forms give read-only views of ``data``
    where no cast is needed. Raises UnsupportedMedia without a decoder for the media type,
    InvalidTensor with the path of what is wrong, TooLarge over a limit.
    """
    known = family(media_type)
    if known is None:
        raise _unsupported(media_type)
    if memoryview(data).nbytes > limits.body_bytes:
        detail = f"more than {limits.body_bytes} bytes; GPFN_MAX_BODY_BYTES sets this"
        raise TooLarge(detail, field=path)
    if known == JSON:
        return decode_json(_parsed(data, path), specs, limits, path=path)
    if len(specs) > 1:
        names = ", ".join(spec.name for spec in specs)
        raise UnsupportedMedia(f"{media_type} carries one tensor, this function takes {names}")
    spec = specs[0] if specs else None
    if known == NPY:
        array = decode_npy(data, spec, limits, path=path)
    else:
        array = decode_raw(data, spec, limits, attributes=attributes, path=path)
    return {spec.name if spec else "": array}


def _parsed(data: bytes | memoryview, path: str) -> object:
    if not memoryview(data).nbytes:
        raise InvalidTensor("empty", field=path)
    try:
        return loads_loosely(data)
    except UnreadableNumber as error:
        raise InvalidTensor(error.detail, field=path_of(path, error.steps)) from None
    except orjson.JSONDecodeError as error:
        raise InvalidTensor(f"not JSON: {error}", field=path) from None


def _unsupported(media_type: str) -> UnsupportedMedia:
    given = shown(media_type) if media_type else "data without a media type"
    known = ", ".join((JSON, OCTETS, NPY))
    return UnsupportedMedia(f"no decoder for {given}; known: {known}")


def encode(
    arrays: Mapping[str, _Array],
    media_type: str = JSON,
    *,
    form: Form = "nested",
    nonfinite: Nonfinite = "null",
    named: bool = False,
) -> Encoded:
    """Return the arrays as data of a media type.

    JSON takes the ``form`` that `gpfn.tensors.form_of` found in the request; more than
    one array in the ``nested`` or ``flat`` form becomes an object by name, and with
    ``named`` a single one does. JSON has neither NaN nor infinity: they become ``null``
    and ``nonfinite`` is set, or with ``nonfinite="refuse"`` BackendError says where. Binary
    forms carry them as they are. Raises UnsupportedMedia without an encoder for the media type.
    """
    if media_type == JSON and form == "nested" and not named:
        body = _nested(arrays)
        # orjson writes null for NaN and infinity: in a short text that is found soonest.
        # Numbers and booleans have no other n in their text.
        if body is not None and len(body) <= _SHORT and _N not in body:
            return _encoded(Encoded, (body, JSON, False, _NONE))
        return _json(arrays, JSON, form, nonfinite, body)
    if named and form == "nested":
        form = "named"
    known = family(media_type)
    if known == JSON:
        return _json(arrays, media_type, form, nonfinite, None, named=named)
    if known is None:
        raise UnsupportedMedia(f"no encoder for {shown(media_type)}")
    _check_dtypes(arrays)
    if len(arrays) != 1:
        raise UnsupportedMedia(
            f"{media_type} carries one tensor, this answer has {', '.join(arrays)}"
        )
    [array] = arrays.values()
    if known == NPY:
        return Encoded(encode_npy(array), media_type)
    body, attributes = encode_raw(array)
    return Encoded(body, OCTETS, attributes=attributes)


def open_inference_outputs(arrays: Mapping[str, _Array]) -> list[dict[str, object]]:
    """Return ``outputs`` of an Open Inference reply; orjson with its NumPy option writes them."""
    return [
        {
            "name": name,
            "shape": list(array.shape),
            "datatype": OPEN_INFERENCE_NAMES[dtype_name(array)],
            "data": _plain(array.reshape(-1)),
        }
        for name, array in arrays.items()
    ]


def _nested(arrays: Mapping[str, _Array]) -> bytes | None:
    """Return a single array as nested lists, if orjson takes it as it is: the usual case."""
    if len(arrays) != 1:
        return None
    [array] = arrays.values()
    try:
        return orjson.dumps(array, option=_NUMPY) if array.dtype.kind in "biuf" else None
    except TypeError:  # float16, scalars, foreign byte orders, not contiguous, masked
        return None


def _json(
    arrays: Mapping[str, _Array],
    media_type: str,
    form: Form,
    nonfinite: Nonfinite,
    body: bytes | None,
    *,
    named: bool = False,
) -> Encoded:
    if body is None:
        _check_dtypes(arrays)
        body = orjson.dumps(_shaped(arrays, form, named), option=_NUMPY)
    fault = _nonfinite(arrays)
    if fault and nonfinite == "refuse":
        raise fault
    return Encoded(body, media_type, fault is not None)


def _check_dtypes(arrays: Mapping[str, _Array]) -> None:
    """Raise BackendError for an array that is no tensor: complex numbers, times, objects."""
    for name, array in arrays.items():
        if is_masked(array):
            raise BackendError(MASKED, field=name)
        dtype = dtype_name(array)
        objects = array.ravel().tolist() if array.dtype.kind == "O" else ()
        if dtype not in DTYPE_TABLE or not {*map(type, objects)} <= {bytes, str}:
            raise BackendError(f"an array of {array.dtype} is no tensor", field=name)


def _shaped(arrays: Mapping[str, _Array], form: Form, named: bool) -> object:
    if form == "open-inference":
        return {"outputs": open_inference_outputs(arrays)}
    one = _flat if form == "flat" else _plain
    if named or form == "named" or len(arrays) != 1:
        return {name: one(array) for name, array in arrays.items()}
    [array] = arrays.values()
    return one(array)


def _flat(array: _Array) -> object:
    return {"shape": list(array.shape), "data": _plain(array.reshape(-1))}


def _plain(array: _Array) -> object:
    """Return the array as orjson takes it: native, contiguous; strings and scalars as lists."""
    if array.dtype.kind in "OSU":
        return text_or_base64(cast_to(array, TensorSpec("string"), path="data").tolist())
    if not array.ndim:
        return _scalar(array)
    if array.dtype == np.float16:
        return array.astype(np.float32, order="C")
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return array if array.flags.c_contiguous else np.ascontiguousarray(array)


def _scalar(array: _Array) -> object:
    value = array.astype(array.dtype.newbyteorder("="))
    if value.dtype == np.float16:
        value = value.astype(np.float32)
    return value[()]


def text_or_base64(value: object) -> object:
    """Return bytes as JSON text, or as ``{"b64": …}`` where they are not UTF-8; also in lists."""
    if isinstance(value, list):
        return [text_or_base64(item) for item in value]
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(value).decode()}


def _nonfinite(arrays: Mapping[str, _Array]) -> BackendError | None:
    """Return the error for the first value that is NaN or infinite."""
    for name, array in arrays.items():
        index = nonfinite_index(array) if array.dtype.kind == "f" else None
        if index is not None:
            detail = f"the result is {array[index]}, which JSON cannot hold"
            return BackendError(detail, field=at(name, index))
    return None
