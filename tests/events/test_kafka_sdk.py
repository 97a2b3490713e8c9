"""Records to and from the official package, and where its Kafka binding is wrong.

Each fault is shown on the package itself, beside what is right: when one is mended there, its
test fails, and the row in docs/events.md goes.
"""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from cloudevents.core.bindings import kafka
from cloudevents.core.bindings.kafka import KafkaMessage
from cloudevents.core.exceptions import CloudEventValidationError
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import assume, given, settings

from gpfn.events import Event, from_sdk, to_sdk
from gpfn.events.kafka import key_of, read_record, write_record
from tests.events.asking import MINIMAL
from tests.events.events import EVENTS

FORMAT = JSONFormat()
HEADERS = {f"ce_{name}": value.encode() for name, value in MINIMAL.items()}
STRUCTURED = {"content-type": b"application/cloudevents+json"}
WHOLE = json.dumps({**MINIMAL, "data": {"a": 1}}).encode()


def theirs(value: bytes | None, headers: Any, key: Any = None) -> CloudEvent:
    """Return what the package reads of a record."""
    message = KafkaMessage(dict(headers), key, value)  # type: ignore[arg-type] # null is what it is
    event = kafka.from_kafka(message, FORMAT)
    assert isinstance(event, CloudEvent)
    return event


def ours(message: KafkaMessage) -> Event:
    """Return what we read of a record that the package has written."""
    event = read_record(message.value, list(message.headers.items()))
    assert event is not None
    return event


def in_both(event: Event) -> bool:
    """Say whether the package can hold the event: its times are datetimes."""
    return event.time is None or "60" not in event.time


@settings(max_examples=200, deadline=None)
@given(EVENTS)
def test_the_package_reads_what_we_write(event: Event) -> None:
    assume(in_both(event))
    for mode in ("binary", "structured"):
        value, headers = write_record(event, mode)  # type: ignore[arg-type]
        read = theirs(b"" if value is None else value, headers)
        assert (read.get_id(), read.get_type()) == (event.id, event.type)
        assert (read.get_source(), read.get_subject()) == (event.source, event.subject)
        for name, given_ in event.extensions.items():
            told = (
                given_ if mode == "structured" or isinstance(given_, str) else str(given_).lower()
            )
            assert read.get_extension(name) == told
        if event.time is not None:
            assert read.get_time() == datetime.fromisoformat(event.time.upper())


@settings(max_examples=200, deadline=None)
@given(EVENTS)
def test_we_read_what_the_package_writes(event: Event) -> None:
    assume(in_both(event))
    made: Any = to_sdk(event)
    again = ours(kafka.to_structured(made, FORMAT))
    assert again.extensions == event.extensions
    assert (again.id, again.type, again.subject) == (event.id, event.type, event.subject)
    binary = ours(kafka.to_binary(made, FORMAT))
    assert (binary.id, binary.type, binary.subject) == (event.id, event.type, event.subject)
    assert binary.datacontenttype == event.datacontenttype
    if event.datacontenttype is not None and "json" in event.datacontenttype:
        if isinstance(event.json(), dict):  # fault 9
            assert binary.json() == event.json()
    elif event.has_data:
        assert binary.data == event.data


@pytest.mark.parametrize("key", [None, "k", b"k", "é"])
def test_keys_of_the_package(key: Any) -> None:
    """What it takes for a key is what ``partitionkey`` is, as bytes or as text."""
    extensions = {} if key is None else {"partitionkey": key if isinstance(key, str) else "k"}
    event = Event(id="1", source="/s", type="t", extensions=extensions, data=1)
    message = kafka.to_binary(to_sdk(event), FORMAT)  # type: ignore[arg-type]
    written = message.key.encode() if isinstance(message.key, str) else message.key
    assert written == key_of(event)


# Where it is wrong: the numbers are those of the table in docs/events.md.


def test_1_headers_beside_a_structured_message_make_it_binary_there() -> None:
    """Section 3: the media type decides; section 3.3.3: the headers may be there as well."""
    headers = {**STRUCTURED, **HEADERS}
    read = theirs(WHOLE, headers)
    assert read.get_data() != {"a": 1}
    assert b"specversion" in json.dumps(read.get_data()).encode(), "the envelope became the data"
    event = read_record(WHOLE, list(headers.items()))
    assert event is not None
    assert event.json() == {"a": 1}


def test_2_a_time_is_invented_there() -> None:
    before = datetime.now(UTC)
    read = theirs(b"", HEADERS)
    assert read.get_time() is not None
    assert read.get_time() >= before  # type: ignore[operator]
    event = read_record(b"", list(HEADERS.items()))
    assert event is not None
    assert event.time is None


def test_3_the_key_becomes_an_attribute_there() -> None:
    """Section 3.1: a key mapper must not modify the event."""
    assert theirs(b"", HEADERS, b"k").get_extension("partitionkey") == "k"
    assert theirs(WHOLE, STRUCTURED, b"k").get_extension("partitionkey") == "k"
    stated = {**HEADERS, "ce_partitionkey": b"stated"}
    assert theirs(b"", stated, b"k").get_extension("partitionkey") == "k", "even over another"


@pytest.mark.parametrize(
    ("value", "headers", "key", "error"),
    [
        (b"", HEADERS, b"\xff", UnicodeDecodeError),
        (b"", {**HEADERS, "ce_x": None}, None, AttributeError),
        (b"", {**HEADERS, "other": b"\xff"}, None, UnicodeDecodeError),
        (b"no event", {}, None, json.JSONDecodeError),
        (b"[1]", {}, None, Exception),
        (None, {}, None, Exception),
    ],
    ids=range(6),
)
def test_4_records_that_are_fine_or_no_events_raise_what_python_raises_there(
    value: bytes | None, headers: Any, key: Any, error: type[Exception]
) -> None:
    """Not one class of its own: who does not catch everything stops at such a record."""
    with pytest.raises(error) as caught:
        theirs(value, headers, key)
    assert not isinstance(caught.value, CloudEventValidationError)
    if not any(given is None for given in headers.values()):
        event = read_record(value, list(headers.items()))
        assert (event is None) == (not headers)


def test_5_bytes_become_text_and_broken_json_becomes_a_string_there() -> None:
    octets = {**HEADERS, "content-type": b"application/octet-stream"}
    assert theirs(b"plain", octets).get_data() == "plain", "its type is what its bytes look like"
    assert theirs(b"\xff", octets).get_data() == b"\xff"
    broken = {**HEADERS, "content-type": b"application/json"}
    assert theirs(b"{broken", broken).get_data() == "{broken"
    event = read_record(b"{broken", list(broken.items()))
    assert event is not None
    assert event.data == b"{broken"
    with pytest.raises(Exception, match="data: not JSON"):
        event.json()


def test_6_headers_that_come_twice_are_one_there() -> None:
    message = KafkaMessage(dict([*HEADERS.items(), ("ce_id", b"2")]), None, b"")
    assert message.headers["ce_id"] == b"2", "the dict has kept the last without a word"
    assert kafka.from_kafka(message, FORMAT).get_id() == "2"
    with pytest.raises(Exception, match="id: the header occurs twice"):
        read_record(b"", [*HEADERS.items(), ("ce_id", b"2")])


def test_7_booleans_are_written_as_python_writes_them_there() -> None:
    """CloudEvents, "Type System": the canonical form of a Boolean is ``true`` or ``false``."""
    event = CloudEvent({**MINIMAL, "flag": True}, None)
    assert kafka.to_binary(event, FORMAT).headers["ce_flag"] == b"True"
    assert dict(write_record(from_sdk(event), "binary")[1])["ce_flag"] == b"true"


def test_8_no_data_are_written_as_data_there() -> None:
    """Section 3.2.2: without data the record has no value, which makes it a tombstone."""
    event = CloudEvent({**MINIMAL}, None)
    assert kafka.to_binary(event, FORMAT).value == b""
    assert write_record(from_sdk(event), "binary")[0] is None


@pytest.mark.parametrize(
    ("data", "written"),
    [([1, None], b"[1, None]"), (["a"], b"['a']"), (True, b"True"), ("a", b"a")],
)
def test_9_json_that_is_no_object_is_written_as_python_shows_it_there(
    data: Any, written: bytes
) -> None:
    event = CloudEvent({**MINIMAL, "datacontenttype": "application/json"}, data)
    assert kafka.to_binary(event, FORMAT).value == written
    assert json.loads(write_record(from_sdk(event), "binary")[0] or b"") == data


def test_10_json_in_structured_mode_without_its_media_type_is_not_told_apart_there() -> None:
    """Section 3: without a media type of CloudEvents a record is binary, and this one no event."""
    assert theirs(WHOLE, {"content-type": b"application/json"}).get_id() == "1"
    assert read_record(WHOLE, [("content-type", b"application/json")]) is None
