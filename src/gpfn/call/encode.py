"""From a result's bytes to the message that goes back.

They go out as they are, or in an event of the form in which the request came. What went wrong
becomes an error document.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from gpfn.call.result import ResultBody
from gpfn.errors import GpfnError, Overloaded, error_document
from gpfn.media import EVENT, PROBLEM
from gpfn.message import Message
from gpfn.settings import read_switch

if TYPE_CHECKING:
    from gpfn.events.event import Event

__all__ = [
    "Stamp",
    "asks_for_event",
    "error_event",
    "error_message",
    "error_reply",
    "event_message",
    "status_of",
    "to_event",
    "to_message",
]


# What a NamedTuple's own constructor does, without the Python function around it.
_message: Callable[..., Message] = tuple.__new__
_body: Callable[..., "ResultBody"] = tuple.__new__


class ResultBody(NamedTuple):
    """Bytes ready for an event's data or a plain reply.

    ``attributes`` describe them (``dtype``, ``shape``, ``nonfinite``) and travel as
    extensions of an event or as headers; ``data`` is None when there is nothing to say.
    ``valid_json`` tells that they need not be checked when they are embedded.
    """

    data: bytes | None
    media_type: str = ""
    attributes: Mapping[str, str | bool] = {}
    valid_json: bool = False


def encode_result(
    result: object, asked: Payload, *, nonfinite: str, output: str
) -> "ResultBody | Event | Message":
    """Return the reply's body for what a function returned.

    Arrays go back in the media type they came in; anything else by its own type. An
    Event or a Message is what the function wants to answer with, and is kept.
    """
    if result is None:
        return ResultBody(None)
    if isinstance(result, bytes | bytearray | memoryview):
        return ResultBody(bytes(result), OCTETS)
    if isinstance(result, str):
        return ResultBody(result.encode(), TEXT_UTF8)
    if isinstance(result, Payload):
        is_json = result.is_parsed and is_json_type(result.media_type)
        return _body(ResultBody, (result.data, result.media_type, result.attributes, is_json))
    if isinstance(result, Message) or is_event(result):
        return result  # type: ignore[return-value] # is_event is no type guard: Event is not loaded
    arrays = as_arrays(result, output)
    if arrays is not None:
        return _encode_arrays(arrays, asked, nonfinite)
    return _encode_json(result, nonfinite)


def is_event(value: object) -> bool:
    """Say whether ``value`` is an Event, without loading the events package to ask."""
    module = sys.modules.get("gpfn.events.event")
    return module is not None and isinstance(value, module.Event)


def is_arrays(value: object) -> bool:
    """Say whether ``value`` is a mapping of arrays by name."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not (value.__class__ is dict or isinstance(value, Mapping)):
        return False
    kinds = (numpy.ndarray, numpy.generic)
    for item in value.values():
        if not isinstance(item, kinds):
            return False
    return bool(value)


def as_arrays(result: object, output: str) -> "dict[str, np.ndarray] | None":
    """Return ``result`` as named arrays when it is one array or a mapping of arrays."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return None
    if isinstance(result, numpy.ndarray | numpy.generic):
        return {output: numpy.asarray(result)}
    if not is_arrays(result):
        return None
    return {str(name): numpy.asarray(value) for name, value in result.items()}  # type: ignore[attr-defined]


def _encode_arrays(arrays: "dict[str, np.ndarray]", asked: Payload, nonfinite: str) -> ResultBody:
    if asked.media_type != JSON and asked.base_type == GRAPHPIPE:
        return ResultBody(_graphpipe(arrays, asked.outputs), GRAPHPIPE)
    from gpfn.tensors.codec import encode

    kind = JSON if asked.media_type == JSON else family(asked.base_type)
    media_type = JSON if kind in (JSON, None) else asked.base_type
    done = encode(arrays, media_type, form=asked.form, nonfinite=nonfinite)  # type: ignore[arg-type]
    attributes: dict[str, str | bool] = dict(done.attributes)
    if done.nonfinite:
        attributes["nonfinite"] = True
    return _body(ResultBody, (done.body, done.media_type, attributes, media_type == JSON))


def _graphpipe(arrays: "dict[str, np.ndarray]", outputs: tuple[str, ...]) -> bytes:
    from gpfn.graphpipe.encode import encode_response
    from gpfn.graphpipe.messages import InferResponse
    from gpfn.tensors.spec import find_name

    found = [find_name(name, arrays) for name in outputs]
    for index, known in enumerate(found):
        if known is None:
            field = f"infer_request.output_names[{index}]"
            raise InvalidMessage(f"no such output; there are {', '.join(arrays)}", field=field)
    names = [name for name in found if name is not None] or list(arrays)
    return b"".join(encode_response(InferResponse(tuple(arrays[name] for name in names))))


def _encode_json(value: object, nonfinite: str) -> ResultBody:
    import orjson

    try:
        data = orjson.dumps(value, default=_plain, option=orjson.OPT_SERIALIZE_NUMPY)
    except orjson.JSONEncodeError as error:
        kind = type(value).__name__
        detail = f"the function returned a {kind} that is not JSON: {error}"
        raise GpfnError(detail, field=_place_of(value, _is_bytes)) from None
    place = _place_of(value, _is_nonfinite) if b"null" in data else None
    if place is None:
        return ResultBody(data, JSON, valid_json=True)
    if nonfinite == "refuse":
        raise BackendError("the result is not finite, which JSON cannot hold", field=place)
    return ResultBody(data, JSON, {"nonfinite": True}, valid_json=True)


def _plain(value: object) -> object:
    """Give orjson what it can write instead of an array it cannot: strided, of other order, text.

    Strings in arrays are bytes; they are written as in tensors of strings.
    """
    if not hasattr(value, "tolist"):
        raise TypeError(f"{type(value).__name__} is not JSON")
    if getattr(value, "dtype", None) is not None and value.dtype.kind in "OS":  # type: ignore[attr-defined]
        from gpfn.tensors.codec import text_or_base64

        return text_or_base64(value.tolist())
    return value.tolist()


def _is_nonfinite(value: object) -> bool:
    return isinstance(value, float) and value - value != 0  # only of NaN and infinities


def _is_bytes(value: object) -> bool:
    return isinstance(value, bytes | bytearray | memoryview)


def _place_of(value: object, wrong: Callable[[object], bool], place: str = "result") -> str | None:
    """Return the path of the first value that is ``wrong``."""
    if wrong(value):
        return place
    if hasattr(value, "tolist"):
        return _place_of(value.tolist(), wrong, place)
    if isinstance(value, Mapping):
        items = [(f"{place}.{name}", item) for name, item in value.items()]
    elif isinstance(value, list | tuple):
        items = [(f"{place}[{index}]", item) for index, item in enumerate(value)]
    else:
        return None
    found = (_place_of(item, wrong, where) for where, item in items)
    return next((where for where in found if where is not None), None)


Stamp = tuple[str | None, str | None]
"""The type and source of the events a function answers with; None is the events' default."""


def to_event(request: "Event", body: "ResultBody | Event", stamp: Stamp) -> "Event":
    """Return the event that answers ``request`` with ``body``."""
    if not isinstance(body, ResultBody):
        return body
    return request.reply(
        body.data,
        datacontenttype=body.media_type or None,
        type=stamp[0],
        source=stamp[1],
        extensions=body.attributes,
        valid_json=body.valid_json,
    )


def to_message(
    body: "ResultBody | Event | Message", request: "Event | None", form: str, stamp: Stamp
) -> Message:
    """Return the message of a reply: to an event an event in its form, to a plain body a body.

    A Message is what the function wants to answer with, and goes out as it is. An Event that
    answers a plain body goes out structured.
    """
    if isinstance(body, Message):
        return body
    if request is not None:
        return event_message((to_event(request, body, stamp),), form)
    if not isinstance(body, ResultBody):
        return event_message([body], "structured")
    if not body.attributes:
        return _message(Message, (body.data or b"", body.media_type, ()))
    headers = tuple([(f"gpfn-{name}", _text(value)) for name, value in body.attributes.items()])
    return Message(body.data or b"", body.media_type, headers)


def event_message(events: "Sequence[Event]", form: str) -> Message:
    """Return the message that carries ``events`` in ``form``."""
    if form == "structured":
        from gpfn.events.json_format import write_event

        return _message(Message, (write_event(events[0]), EVENT, ()))
    from gpfn.events.modes import write

    return write(events, form)  # type: ignore[arg-type] # the form is what read() gave


def error_message(error: BaseException) -> Message:
    """Return the error document as a message."""
    headers = (("retry-after", str(error.retry_after)),) if isinstance(error, Overloaded) else ()
    return Message(_document(error), PROBLEM, headers)


def asks_for_event(headers: Sequence[tuple[str, str]]) -> bool:
    """Say whether an event that fails is to be answered by an event: Prefer, or the setting."""
    for name, value in headers:
        if name == "prefer":  # RFC 7240, section 2
            preferences = [part.partition(";")[0].strip().lower() for part in value.split(",")]
            if "error=event" in preferences or 'error="event"' in preferences:
                return True
    return read_switch("GPFN_ERROR_EVENTS")


def error_reply(request: "Event", error: BaseException, form: str, stamp: Stamp) -> Message:
    """Return the message with the event that tells the failure of ``request``."""
    message = event_message([error_event(request, error, stamp)], form)
    return message._replace(headers=(*message.headers, *error_message(error).headers))


def error_event(request: "Event", error: BaseException, stamp: Stamp) -> "Event":
    """Return the event that tells the failure of ``request``."""
    return request.reply(
        _document(error),
        datacontenttype=PROBLEM,
        type=f"{request.type}.error",
        source=stamp[1],
        valid_json=True,
    )


def status_of(error: BaseException) -> int:
    """Return the HTTP status that fits."""
    return error.status if isinstance(error, GpfnError) else 500


def _text(value: str | bool) -> str:
    return value if isinstance(value, str) else str(value).lower()


def _document(error: BaseException) -> bytes:
    import orjson

    return orjson.dumps(error_document(error))
