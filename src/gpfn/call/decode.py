"""From a transport's message to what the function works on, and the form to answer in.

From a payload to named arrays, whatever media type carries them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gpfn.call.payload import Payload
from gpfn.errors import InvalidEvent, InvalidTensor, TooLarge
from gpfn.limits import Limits
from gpfn.message import Message

TYPE_CHECKING = False
if TYPE_CHECKING:
    import numpy as np

    from gpfn.tensors.spec import TensorSpec

__all__ = ["GRAPHPIPE", "Received", "decode_arrays", "receive"]

_MARKS = (b"specversion", b"cloudEventsVersion")


Received = tuple[tuple[Payload, ...], str]
"""The payloads of a message and the form they came in.

The form is ``plain`` (no event), ``structured``, ``binary`` or ``batch``.
"""


def receive(message: Message, limits: Limits) -> Received:
    """Tell events from plain bodies.

    Raises InvalidEvent for an event that is broken, TooLarge for a body over the limit.
    """
    if len(message.body) > limits.body_bytes:
        raise TooLarge(
            f"{len(message.body)} bytes; at most {limits.body_bytes} (GPFN_MAX_BODY_BYTES)",
            field="body",
        )
    plain = Payload(message.body, message.content_type, headers=message.headers)
    if not _may_be_event(message, plain):
        return (plain,), "plain"
    from gpfn.events.modes import read

    events = read(message, limits)
    if events is None:
        return (plain,), "plain"
    payloads = tuple(Payload.from_event(event, message.headers) for event in events.events)
    return payloads, events.mode


def _may_be_event(message: Message, plain: Payload) -> bool:
    """Say whether it is worth loading the events package, which a plain call never pays for."""
    if message.content_type[:24].lower().startswith("application/cloudevents"):
        return True
    if any(name.startswith("ce-") for name, _ in message.headers):
        return True
    return plain.is_json and any(mark in plain.data for mark in _MARKS)


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
    from gpfn.tensors.codec import decode_bytes

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
    from gpfn.tensors.json_forms import decode_json, form_of

    if payload.event is None and not payload.view:
        raise InvalidTensor("empty; expected numbers as JSON", field="body")
    value = payload.json()
    payload.form = form_of(value, specs)
    return decode_json(value, specs, limits, path=payload.field)


def _from_graphpipe(
    payload: Payload, specs: Sequence[TensorSpec], limits: Limits
) -> dict[str, np.ndarray]:
    from gpfn.errors import InvalidMessage
    from gpfn.graphpipe.decode import decode_request
    from gpfn.graphpipe.messages import InferRequest
    from gpfn.tensors.cast import fit

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
