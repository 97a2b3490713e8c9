"""From what a platform hands over to what a function works on.

A message is told apart first: a CloudEvent in one of its modes, or a plain body. Then its
data become what the function takes, mostly named arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache

from gpfn.call.payload import Payload
from gpfn.errors import InvalidEvent, InvalidTensor, TooLarge, UnsupportedMedia
from gpfn.media import (
    EVENT,
    EVENT_BATCH,
    EVENT_FAMILY,
    GRAPHPIPE,
    JSON,
    TEXT_JSON,
    UNTYPED,
    essence,
)
from gpfn.message import Message, has_escaped_letter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    import numpy as np

    from gpfn.call.contract import Contract
    from gpfn.limits import Limits
    from gpfn.tensors.spec import TensorSpec

__all__ = [
    "BATCHES",
    "Parsed",
    "Received",
    "decode_arrays",
    "decode_subject",
    "json_bytes",
    "receive",
]

_MARKS = (b"specversion", b"cloudEventsVersion")
_SNIFFED = frozenset([JSON, TEXT_JSON, *UNTYPED])
"""What a body says of itself that may be an event all the same."""
_FOREIGN = frozenset([b"\xfe", b"\xff", b"\0"])
"""How JSON begins in another encoding than UTF-8, unless its second byte is zero."""
_MODES = (JSON, EVENT, EVENT_BATCH)

BATCHES = frozenset(["batch", "protobuf-batch"])
"""The forms of :data:`Received` that hold any number of events."""
Received = tuple[tuple[Payload, ...], str]
"""The payloads of a request and the form they came in: ``plain``, which is no event, or a mode
of :mod:`gpfn.events.modes`."""


class Parsed:
    """A request that its platform has parsed from JSON already; it is not written back to bytes.

    An object with ``specversion`` is an event, a list of such objects a batch; anything else
    is a plain JSON body, or an event's data where headers hold the event. Duplicate members
    cannot be told any more.
    """

    __slots__ = ("headers", "mixed", "value")

    def __init__(
        self, value: object, headers: tuple[tuple[str, str], ...] = (), *, mixed: bool = False
    ) -> None:
        """Take a JSON value, which is not changed, and the transport's headers.

        ``mixed``: its object may hold members that nobody sent; they are set aside, not refused.
        """
        self.value = value
        self.headers = headers
        self.mixed = mixed


def receive(request: Message | Parsed, limits: Limits, takes: str = "payload") -> Received:
    """Tell events from plain bodies; a function that takes messages wants neither.

    Raises InvalidEvent for an event that is broken, TooLarge for a body over the limit,
    UnsupportedMedia for a body that is compressed still.
    """
    if isinstance(request, Parsed):
        return _receive_parsed(request, limits, takes)
    body, content_type, headers = request
    if takes == "message":
        return (Payload(body, content_type, headers=headers),), "plain"
    if len(body) > limits.body_bytes:
        told = f"{len(body)} bytes; at most {limits.body_bytes} (GPFN_MAX_BODY_BYTES)"
        raise TooLarge(told, field="body")
    if headers:
        _check_coding(headers)
    if _may_be_event(body, content_type, headers):
        from gpfn.events.modes import read

        found = read(request, limits)
        if found is not None:
            events, mode = found
            return tuple([Payload.from_event(event, headers) for event in events]), mode
    return (Payload(body, content_type, headers=headers),), "plain"


def _check_coding(headers: tuple[tuple[str, str], ...]) -> None:
    """Refuse a body that no platform has decoded: what it is would be guessed wrong."""
    for name, value in headers:
        if name == "content-encoding" and value.strip().lower() != "identity":
            raise UnsupportedMedia("send the body without it", field="content-encoding")


def _receive_parsed(request: Parsed, limits: Limits, takes: str) -> Received:
    value: Any = request.value
    headers = request.headers
    is_batch = value.__class__ is list and _holds_events(value)
    is_event = value.__class__ is dict and _is_event(value)
    if takes == "message":
        media_type = _MODES[is_event - is_batch]
        return (Payload(json_bytes(value), media_type, headers=headers),), "plain"
    if headers and _has_event(headers):
        found = receive(Message(json_bytes(value), JSON, headers), limits, takes)
        found[0][0].mixed = request.mixed
        return found
    if is_event:
        from gpfn.events.json_format import read_value

        return (Payload.from_event(read_value(dict(value)), headers),), "structured"
    if is_batch:
        from gpfn.events.json_format import read_values

        events = read_values([dict(item) for item in value], limits.batch)
        return tuple([Payload.from_event(event, headers) for event in events]), "batch"
    payload = Payload.from_json(value, headers=headers)
    payload.mixed = request.mixed
    return (payload,), "plain"


def _has_event(headers: tuple[tuple[str, str], ...]) -> bool:
    return any([name[:3] == "ce-" for name, _ in headers])  # noqa: C419 - twice as fast


def _is_event(value: Any) -> bool:
    return "specversion" in value or "cloudEventsVersion" in value


def _holds_events(values: Any) -> bool:
    return bool(values) and all(type(item) is dict and _is_event(item) for item in values)


def json_bytes(value: object) -> bytes:
    """Return a parsed value as JSON text, also one that only Python's own reader lets through."""
    from gpfn.json_exact import dumps

    try:
        return dumps(value)
    except TypeError:  # half a character
        import json

        return json.dumps(value).encode()


def _may_be_event(
    body: bytes | memoryview, content_type: str, headers: tuple[tuple[str, str], ...]
) -> bool:
    """Say whether it is worth loading the events package, which a plain call never pays for."""
    if content_type not in _SNIFFED:
        base = essence(content_type)
        if base.startswith(EVENT_FAMILY):
            return True
        sniffed = base in _SNIFFED or base.endswith("+json")
    else:
        sniffed = True
    if _has_event(headers):
        return True
    if not sniffed:
        return False
    data = body if isinstance(body, bytes) else bytes(body)
    if _MARKS[0] in data or _MARKS[1] in data:
        return True
    # a name may be spelled with escapes, and all of it in UTF-16 or UTF-32
    return has_escaped_letter(data) or data[:1] in _FOREIGN or data[1:2] == b"\0"


def decode_subject(contract: Contract, payload: Payload) -> object:
    """Return what the function is given: arrays by name, the event, the payload, a message."""
    takes = contract.takes
    if takes == "arrays":
        try:
            return decode_arrays(payload, contract.specs, contract.limits)
        except InvalidTensor:
            if not contract.hints:
                raise
        from gpfn.tensors.spec import any_shape

        return decode_arrays(payload, any_shape(contract.specs), contract.limits)
    if takes == "payload":
        return payload
    if contract.rows is not None:
        from gpfn.call.rows import decode_rows

        return decode_rows(payload, contract.rows, contract.limits)
    if takes == "message":
        return Message(payload.view, payload.media_type, payload.headers)  # type: ignore[arg-type]
    if payload.event is None:
        raise InvalidEvent("missing; this function takes CloudEvents", field="specversion")
    return payload.event


def decode_arrays(
    payload: Payload, specs: Sequence[TensorSpec], limits: Limits
) -> dict[str, np.ndarray]:
    """Return an array for each of ``specs``, in their order, of their dtypes and shapes.

    Raises InvalidTensor with the path of what does not fit, UnsupportedMedia,
    InvalidMessage for a broken GraphPipe message, TooLarge.
    """
    if payload.event is not None and not payload.has_data:
        raise InvalidEvent("missing; this function takes numbers", field="data")
    if payload.media_type == JSON or payload.is_json:
        return _from_json(payload, specs, limits)
    if payload.base_type == GRAPHPIPE:
        return _from_graphpipe(payload, specs, limits)
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
    if payload.event is None and payload.is_empty:
        raise InvalidTensor("empty; expected numbers as JSON", field="body")
    value = payload.json(exact=False)
    path = "body" if payload.event is None else "data"
    if value.__class__ is list and len(specs) == 1:  # the nested form, as nearly always
        return {specs[0].name: _nested_decoder()(value, specs[0], limits, path=path)}
    from gpfn.tensors.json_forms import asked_of, decode_json, form_of, without_others

    if payload.mixed:
        value = without_others(value, specs)
    payload.form = form_of(value, specs)
    if payload.form == "open-inference":
        payload.request_id, payload.outputs = asked_of(value, limits, path=path)  # type: ignore[arg-type] # an object
    return decode_json(value, specs, limits, path=path)


@cache
def _nested_decoder() -> Callable[..., np.ndarray]:
    from gpfn.tensors.nested import decode_nested

    return decode_nested  # kept: an import statement costs a microsecond each time it is passed


def _from_graphpipe(
    payload: Payload, specs: Sequence[TensorSpec], limits: Limits
) -> dict[str, np.ndarray]:
    from gpfn.errors import InvalidMessage
    from gpfn.graphpipe.decode import decode_request
    from gpfn.graphpipe.messages import InferRequest
    from gpfn.tensors.cast import cast_to
    from gpfn.tensors.spec import find_name

    request = decode_request(_buffer(payload), limits)
    if not isinstance(request, InferRequest):
        raise InvalidMessage("expected an InferRequest", field="request")
    payload.outputs = tuple(request.output_names)
    known = [spec.name for spec in specs]
    names = request.input_names or tuple(known)
    found = [find_name(name, known) for name in names]
    if not len(request.tensors) == len(names) == len(known) or {*found} != {*known}:
        wanted = ", ".join(known)
        raise InvalidMessage(f"expected the inputs {wanted}", field="infer_request.input_names")
    at = {name: index for index, name in enumerate(found)}
    field = "infer_request.input_tensors"
    return {
        spec.name: cast_to(request.tensors[at[spec.name]], spec, path=f"{field}[{at[spec.name]}]")
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
