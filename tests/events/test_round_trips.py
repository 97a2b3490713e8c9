"""Any event comes back from every mode as it went, and any bytes are an event, none, or refused."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpfn.errors import CallerError
from gpfn.events import Event, Message, read, write
from gpfn.events.http_binary import encode_value
from tests.events.asking import one
from tests.events.events import EVENTS


@settings(max_examples=300, deadline=None)
@given(EVENTS)
def test_structured(event: Event) -> None:
    again = one(write([event], "structured"))
    assert again == event
    assert again.datacontenttype == event.datacontenttype


@settings(max_examples=300, deadline=None)
@given(EVENTS)
def test_structured_is_recognised_without_its_media_type(event: Event) -> None:
    assert one(write([event], "structured")._replace(content_type="text/plain")) == event


@settings(max_examples=300, deadline=None)
@given(EVENTS)
def test_binary(event: Event) -> None:
    """Headers have no types: extensions come back as their canonical strings."""
    again = one(write([event], "binary"))
    assert again.data == event.data
    texts = {n: v if isinstance(v, str) else encode_value(v) for n, v in event.extensions.items()}
    assert again.extensions == texts
    core = [name for name in event.envelope() if name not in event.extensions]
    for name in core:
        assert again.attribute(name) == event.attribute(name)


@settings(max_examples=100, deadline=None)
@given(st.lists(EVENTS, max_size=4))
def test_batch(events: Sequence[Event]) -> None:
    received = read(write(events, "batch"))
    assert received is not None
    assert list(received.events) == events


@settings(max_examples=300, deadline=None)
@given(EVENTS)
def test_protobuf(event: Event) -> None:
    """A time comes back as the same instant in UTC."""
    again = one(write([event], "protobuf"))
    assert (again.data, again.extensions) == (event.data, event.extensions)
    assert write([again], "protobuf") == write([event], "protobuf")


@settings(max_examples=200, deadline=None)
@given(EVENTS, st.sampled_from(["structured", "binary", "protobuf"]))
def test_the_reply_to_any_event_can_be_read(event: Event, mode: str) -> None:
    reply = event.reply({"a": [1]})
    again = one(write([reply], mode))  # type: ignore[arg-type]
    assert again.type == f"{event.type}.response"
    assert again.subject == event.subject
    assert again.extensions["causationid"] == event.id
    assert again.json() == {"a": [1]}


CONTENT_TYPES = st.sampled_from(
    ["", "text/plain", "x"]
    + [f"application/cloudevents{each}" for each in ("+json", "-batch+json", "+protobuf")]
    + ["application/cloudevents-batch+protobuf"]
)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["ce-specversion", "ce-id", "ce-source", "ce-type", "ce-time", "ce-x-a"]),
        st.text(st.characters(max_codepoint=255), max_size=10) | st.just("1.0") | st.just("0.3"),
    ),
    max_size=6,
)


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=60), CONTENT_TYPES, HEADERS)
def test_any_message_is_an_event_or_none_or_refused(
    body: bytes, content_type: str, headers: list[tuple[str, str]]
) -> None:
    try:
        read(Message(body, content_type, tuple(headers)))
    except CallerError as error:
        assert len(str(error)) < 400  # noqa: PT017
        assert str(error).isprintable()  # noqa: PT017


@settings(max_examples=500, deadline=None)
@given(EVENTS, st.data())
def test_any_damage_to_an_event_is_harmless(event: Event, draw: st.DataObject) -> None:
    body = bytearray(write([event], "structured").body)
    for _ in range(draw.draw(st.integers(1, 3))):
        place = draw.draw(st.integers(0, len(body) - 1))
        body[place : place + draw.draw(st.integers(0, 2))] = draw.draw(st.binary(max_size=2))
    try:
        read(Message(bytes(body), "application/cloudevents+json"))
    except CallerError as error:
        assert error.field  # noqa: PT017


@pytest.mark.parametrize("cut", range(0, 120, 7))
def test_any_part_of_an_event_is_refused(cut: int) -> None:
    whole = write([Event(type="t", source="/s", id="1", data=[1.5] * 20)], "structured")
    with pytest.raises(CallerError):
        read(Message(whole.body[:cut], "application/cloudevents+json"))
