"""From a transport's message to what the function works on, and the form to answer in."""

from gpfn.errors import TooLarge
from gpfn.events.message import Message
from gpfn.function.payload import Payload
from gpfn.limits import Limits

__all__ = ["Received", "receive"]

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
    from gpfn.events import read

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
