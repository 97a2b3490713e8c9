"""How these tests put events into messages and errors into words."""

import json
from typing import Any

import pytest

from gpfn.errors import GpfnError, InvalidEvent
from gpfn.events import Event, Message, read

__all__ = ["MINIMAL", "STRUCTURED", "one", "refused", "structured"]

STRUCTURED = "application/cloudevents+json"
MINIMAL = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}


def structured(document: Any, content_type: str = STRUCTURED) -> Message:
    """Return the message with this JSON value (or these bytes) as its body."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Message(body, content_type)


def one(message: Message) -> Event:
    """Return the only event of a message."""
    received = read(message)
    assert received is not None, "not taken for an event"
    (event,) = received.events
    return event


def refused(message: Message, kind: type[GpfnError] = InvalidEvent) -> GpfnError:
    """Return the error that a message is refused with."""
    with pytest.raises(kind) as caught:
        read(message)
    assert caught.value.status in (400, 413, 415)
    return caught.value
