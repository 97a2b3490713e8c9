"""From a result to the message that goes back, in the form the request came in."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpfn.errors import GpfnError, Overloaded, error_document
from gpfn.events.message import Message
from gpfn.function.encode import Body

if TYPE_CHECKING:
    from gpfn.events import Event

__all__ = [
    "PROBLEM",
    "Stamp",
    "error_event",
    "error_message",
    "event_message",
    "status_of",
    "to_event",
    "to_message",
]

PROBLEM = "application/problem+json"
"""The media type of an error document (RFC 9457)."""


Stamp = tuple[str | None, str | None]
"""The type and source of the events a function answers with; None is the events' default."""


def to_event(request: "Event", body: "Body | Event", stamp: Stamp) -> "Event":
    """Return the event that answers ``request`` with ``body``."""
    if not isinstance(body, Body):
        return body
    return request.reply(
        body.data,
        datacontenttype=body.media_type or None,
        type=stamp[0],
        source=stamp[1],
        extensions=body.attributes,
        valid_json=body.valid_json,
    )


def to_message(body: "Body | Event") -> Message:
    """Return the message of a reply to a plain body; an Event goes out structured."""
    if not isinstance(body, Body):
        return event_message([body], "structured")
    headers = tuple((f"gpfn-{name}", _text(value)) for name, value in body.attributes.items())
    return Message(body.data or b"", body.media_type, headers)


def event_message(events: "Sequence[Event]", form: str) -> Message:
    """Return the message that carries ``events`` in ``form``."""
    from gpfn.events import write

    return write(events, form)  # type: ignore[arg-type] # the form is what read() gave


def error_message(error: BaseException) -> Message:
    """Return the error document as a message."""
    headers = (("retry-after", str(error.retry_after)),) if isinstance(error, Overloaded) else ()
    return Message(_document(error), PROBLEM, headers)


def error_event(request: "Event", error: BaseException, stamp: Stamp) -> "Event":
    """Return the event that stands in a batch where ``request`` failed."""
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
