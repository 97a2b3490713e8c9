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
