"""Round trips against the official package, both of its APIs, both ways, over its own wire."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from cloudevents.core.bindings import http as core_http
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v03.event import CloudEvent as CoreEvent03
from cloudevents.core.v1.event import CloudEvent as CoreEvent
from cloudevents.v1.conversion import to_binary as v1_to_binary
from cloudevents.v1.conversion import to_structured as v1_to_structured
from cloudevents.v1.http import CloudEvent as V1Event
from cloudevents.v1.http import from_http as v1_from_http
from hypothesis import given, settings

from gpfn.errors import MissingExtra
from gpfn.events import Event, Message, from_sdk, to_sdk, write
from tests.events.asking import one
from tests.events.events import EVENTS

ATTRIBUTES: dict[str, Any] = {
    "id": "1",
    "source": "https://example.com/s",
    "type": "com.example.t",
    "subject": "über 100%",
    "datacontenttype": "application/json",
    "comexample": "x y",
}
OURS = Event(
    **{name: value for name, value in ATTRIBUTES.items() if name != "comexample"},
    time="2026-11-20T12:00:00.250Z",
    extensions={"comexample": "x y"},
    data={"a": [1, 2.5, None, "é"]},
)


def message(theirs: Any) -> Message:
    """Return what the core API wrote as a message of ours."""
    headers = {name.lower(): value for name, value in theirs.headers.items()}
    content_type = headers.pop("content-type", "")
    return Message(theirs.body, content_type, tuple(headers.items()))


def http_message(ours: Message) -> core_http.HTTPMessage:
    """Return our message as the core API reads it."""
    headers = dict(ours.headers) | {"content-type": ours.content_type}
    return core_http.HTTPMessage(headers, bytes(ours.body))


@pytest.mark.parametrize("mode", ["structured", "binary"])
def test_the_core_api_reads_what_we_write(mode: str) -> None:
    theirs = core_http.from_http_event(http_message(write([OURS], mode)))  # type: ignore[arg-type]
    assert theirs.get_id() == "1"
    assert theirs.get_subject() == "über 100%"
    assert theirs.get_time() == datetime(2026, 11, 20, 12, 0, 0, 250_000, UTC)
    assert theirs.get_extension("comexample") == "x y"
    assert theirs.get_data() == {"a": [1, 2.5, None, "é"]}
    assert from_sdk(theirs).json() == OURS.json()


@pytest.mark.parametrize("binary", [True, False])
def test_we_read_what_the_core_api_writes(binary: bool) -> None:
    theirs = CoreEvent({**ATTRIBUTES, "specversion": "1.0"}, {"a": [1, "é"]})
    wire = (core_http.to_binary if binary else core_http.to_structured)(theirs, JSONFormat())
    event = one(message(wire))
    assert event.subject == "über 100%"
    assert event.extensions == {"comexample": "x y"}
    assert event.json() == {"a": [1, "é"]}
    assert event.time is not None  # the SDK adds the present time
    assert event == from_sdk(theirs) or binary


@pytest.mark.parametrize("mode", ["structured", "binary"])
def test_the_v1_api_reads_what_we_write(mode: str) -> None:
    ours = write([OURS], mode)  # type: ignore[arg-type]
    headers = {**dict(ours.headers), "content-type": ours.content_type}
    theirs = v1_from_http(headers, bytes(ours.body))
    assert theirs["id"] == "1"
    assert theirs["time"] == "2026-11-20T12:00:00.250Z"
    assert theirs.data == {"a": [1, 2.5, None, "é"]}
    if mode == "structured":  # it does not decode percent-encoded headers
        assert from_sdk(theirs) == OURS


@pytest.mark.parametrize("writer", [v1_to_binary, v1_to_structured])
def test_we_read_what_the_v1_api_writes(writer: Any) -> None:
    plain = {**ATTRIBUTES, "subject": "plain", "comexample": "xy"}
    headers, body = writer(V1Event(plain, {"a": 1}))
    event = one(message(core_http.HTTPMessage(headers, body)))
    assert event.envelope().keys() >= plain.keys()
    assert event.json() == {"a": 1}


@settings(max_examples=200, deadline=None)
@given(EVENTS)
def test_any_event_through_the_core_api(event: Event) -> None:
    """A datetime cannot hold a leap second; rather than another time none is sent."""
    if event.time is not None and "60" in event.time:
        with pytest.raises(ValueError, match="time: a datetime cannot hold"):
            to_sdk(event)
        return
    assert from_sdk(to_sdk(event)) == event


@settings(max_examples=200, deadline=None)
@given(EVENTS)
def test_any_event_through_the_v1_api(event: Event) -> None:
    assert from_sdk(to_sdk(event, "v1")) == event


@settings(max_examples=200, deadline=None)
@given(EVENTS)
def test_any_event_through_the_core_apis_json(event: Event) -> None:
    if event.time is not None and "60" in event.time:
        return
    theirs: Any = to_sdk(event)
    again = one(message(core_http.to_structured(theirs, JSONFormat())))
    assert again.extensions == event.extensions
    if event.data is None or b"null" not in event.data:
        assert again.data == event.data


def test_kinds_of_sdk_objects() -> None:
    core = to_sdk(OURS)
    assert isinstance(core, CoreEvent)
    assert core.get_time() == datetime(2026, 11, 20, 12, 0, 0, 250_000, UTC)
    v1 = to_sdk(OURS, "v1")
    assert isinstance(v1, V1Event)
    assert v1["specversion"] == "1.0"
    for wrong in ({"id": "1"}, None, "event", Event):
        with pytest.raises(TypeError, match="expected an event of the cloudevents package"):
            from_sdk(wrong)


@pytest.mark.parametrize(
    ("data", "media_type", "octets"),
    [
        (None, None, None),
        (b"\xff", "image/png", b"\xff"),
        (bytearray(b"a"), None, b"a"),
        ("é", "text/plain", "é".encode()),
        ("text", "application/json", b'"text"'),
        ("text", None, b'"text"'),
        ([1, 2], "application/json", b"[1,2]"),
        (b"[1, 2]", "application/json", b"[1, 2]"),
    ],
)
def test_data_of_sdk_events(data: Any, media_type: str | None, octets: bytes | None) -> None:
    attributes = {"id": "1", "source": "/s", "type": "t", "specversion": "1.0"}
    if media_type:
        attributes["datacontenttype"] = media_type
    assert from_sdk(CoreEvent(dict(attributes), data)).data == octets
    assert from_sdk(V1Event(attributes, data)).data == octets


def test_times_of_sdk_events() -> None:
    zone = timezone(timedelta(hours=5, minutes=30))
    for moment, text in (
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05Z"),
        (datetime(2026, 1, 2, 3, 4, 5, 6, zone), "2026-01-02T03:04:05.000006+05:30"),
    ):
        theirs = CoreEvent({**ATTRIBUTES, "time": moment}, None)
        assert from_sdk(theirs).time == text


def test_an_sdk_event_of_0_3() -> None:
    theirs = CoreEvent03(
        {
            "specversion": "0.3",
            "id": "1",
            "source": "/s",
            "type": "t",
            "schemaurl": "https://example.com/x",
            "datacontentencoding": "base64",
            "datacontenttype": "image/png",
        },
        b"\xff",
    )
    event = from_sdk(theirs)
    assert event.received_as == "0.3"
    assert event.dataschema == "https://example.com/x"
    assert event.data == b"\xff"
    assert event.extensions == {}


@pytest.mark.parametrize(
    ("attributes", "data", "message"),
    [
        ({"source": "a b"}, None, "source: expected a URI reference"),
        ({"comexample": 1.5}, None, "comexample: expected a string"),
        ({"subject": "a\nb"}, None, "subject: the character U\\+000A"),
        ({"datacontenttype": "text/plain"}, {"a": 1}, "data: expected bytes or text"),
    ],
)
def test_what_the_sdk_lets_through_is_still_checked(
    attributes: dict[str, Any], data: Any, message: str
) -> None:
    theirs = V1Event({**ATTRIBUTES, **attributes}, data)
    with pytest.raises(ValueError, match=message):
        from_sdk(theirs)


def test_the_sdk_is_loaded_when_it_is_needed_and_missed_by_its_name() -> None:
    script = (
        "import sys; from gpfn.events import Event, read, to_sdk, write\n"
        "event = Event(type='t', source='/s', data=1)\n"
        "assert not any(name.startswith('cloudevents') for name in sys.modules)\n"
        "sys.modules['cloudevents'] = None\n"
        "from gpfn.errors import MissingExtra\n"
        "try: to_sdk(event)\n"
        "except MissingExtra as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "pip install 'gpfn[cloudevents]'" in done.stdout
    assert issubclass(MissingExtra, Exception)
