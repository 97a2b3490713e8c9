"""From a payload to named arrays, whatever media type carries them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gpfn.errors import InvalidEvent, InvalidTensor
from gpfn.function.payload import Payload
from gpfn.limits import Limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    import numpy as np

    from gpfn.tensors.spec import TensorSpec

__all__ = ["GRAPHPIPE", "decode_arrays"]

GRAPHPIPE = "application/vnd.graphpipe"
"""The media type of a GraphPipe message as an event's data or a body."""


def decode_arrays(
    payload: Payload, specs: Sequence[TensorSpec], limits: Limits
) -> dict[str, np.ndarray]:
    """Return an array for each of ``specs``, in their order.

    Raises InvalidTensor with the path of what does not fit, UnsupportedMedia,
    InvalidMessage for a broken GraphPipe message, TooLarge.
    """
    if payload.event is not None and not payload.event.has_data:
        raise InvalidEvent("missing; this function takes numbers", field="data")
    if payload.base_type == GRAPHPIPE:
        return _from_graphpipe(payload, specs, limits)
    if payload.is_json:
        return _from_json(payload, specs, limits)
    from gpfn.tensors import decode_bytes

    return decode_bytes(
        _buffer(payload),
        payload.media_type,
        specs,
        limits,
        attributes=_attributes(payload),
        path=payload.field,
    )


def _from_json(
    payload: Payload, specs: Sequence[TensorSpec], limits: Limits
) -> dict[str, np.ndarray]:
    from gpfn.tensors import decode_json, form_of

    if payload.event is None and not payload.view:
        raise InvalidTensor("empty; expected numbers as JSON", field="body")
    value = payload.json()
    payload.form = form_of(value, specs)
    return decode_json(value, specs, limits, path=payload.field)


def _from_graphpipe(
    payload: Payload, specs: Sequence[TensorSpec], limits: Limits
) -> dict[str, np.ndarray]:
    from gpfn.errors import InvalidMessage
    from gpfn.graphpipe import InferRequest, decode_request
    from gpfn.tensors import fit

    request = decode_request(_buffer(payload), limits)
    if not isinstance(request, InferRequest):
        raise InvalidMessage("expected an InferRequest", field="request")
    payload.outputs = tuple(request.output_names)
    names = request.input_names or tuple(spec.name for spec in specs)
    given = dict(zip(names, request.tensors, strict=False))
    if len(request.tensors) != len(specs) or set(given) != {spec.name for spec in specs}:
        wanted = ", ".join(spec.name for spec in specs)
        raise InvalidMessage(f"expected the inputs {wanted}", field="infer_request.input_names")
    place = {name: index for index, name in enumerate(names)}
    return {
        spec.name: fit(
            given[spec.name], spec, path=f"infer_request.input_tensors[{place[spec.name]}]"
        )
        for spec in specs
    }


def _buffer(payload: Payload) -> bytes | memoryview:
    view = payload.view
    return bytes(view) if isinstance(view, bytearray) else view


def _attributes(payload: Payload) -> Mapping[str, str]:
    """Return what describes raw data: an event's extensions, or a plain body's headers."""
    if payload.event is None:
        return {name[5:]: value for name, value in payload.headers if name.startswith("gpfn-")}
    return {name: str(value) for name, value in payload.event.extensions.items()}
