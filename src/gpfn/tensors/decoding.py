"""Data bytes to arrays, as their media type says."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import orjson

from gpfn.errors import InvalidTensor, TooLarge, UnsupportedMedia
from gpfn.limits import Limits
from gpfn.tensors.jsonforms import decode_json
from gpfn.tensors.media import JSON, NPY, OCTETS, family
from gpfn.tensors.npy import decode_npy
from gpfn.tensors.octets import decode_octets
from gpfn.tensors.places import shown
from gpfn.tensors.spec import TensorSpec

__all__ = ["decode_bytes"]

_Array = npt.NDArray[np.generic]

_NONE: Mapping[str, str] = MappingProxyType({})


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
    kind = family(media_type)
    if kind is None:
        raise _unsupported(media_type)
    if memoryview(data).nbytes > limits.body_bytes:
        detail = f"more than {limits.body_bytes} bytes; GPFN_MAX_BODY_BYTES sets this"
        raise TooLarge(detail, field=path)
    if kind == JSON:
        return decode_json(_parsed(data, path), specs, limits, path=path)
    if len(specs) > 1:
        names = ", ".join(spec.name for spec in specs)
        raise UnsupportedMedia(f"{media_type} carries one tensor, this function takes {names}")
    spec = specs[0] if specs else None
    if kind == NPY:
        array = decode_npy(data, spec, limits, path=path)
    else:
        array = decode_octets(data, spec, limits, attributes=attributes, path=path)
    return {spec.name if spec else "": array}


def _parsed(data: bytes | memoryview, path: str) -> object:
    if not memoryview(data).nbytes:
        raise InvalidTensor("empty", field=path)
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise InvalidTensor(f"not JSON: {error}", field=path) from None


def _unsupported(media_type: str) -> UnsupportedMedia:
    given = shown(media_type) if media_type else "data without a media type"
    known = ", ".join((JSON, OCTETS, NPY))
    return UnsupportedMedia(f"no decoder for {given}; known: {known}")
