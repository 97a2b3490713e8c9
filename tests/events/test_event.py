"""The event as a value: what it is made of, that it stays so, and its reply."""

import copy
import os
import pickle

import orjson
import pytest

import gpfn.events
from gpfn.errors import InvalidEvent, UnsupportedMedia
from gpfn.events import Event, Message, read, write
from gpfn.events.event import new_id
from gpfn.timestamps import is_timestamp
from tests.events.asking import MINIMAL, one, structured

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def make(**changed: object) -> Event:
    """Return an event with all attributes, some of them changed."""
    whole = {
        "id": "1",
        "source": "/s",
        "type": "t",
        "subject": "about",
        "time": "2026-01-01T00:00:00.0+01:00",
        "datacontenttype": "Application/JSON; charset=UTF-8",
        "dataschema": "https://example.com/schema#part",
        "extensions": {"traceparent": TRACE, "count": 5, "sampled": True},
        "data": {"a": [1, 2.5, None]},
    }
    return Event(**{**whole, **changed})  # type: ignore[arg-type]


def test_attributes() -> None:
    event = make()
    assert (event.id, event.source, event.type, event.subject) == ("1", "/s", "t", "about")
    assert event.specversion == event.received_as == "1.0"
    assert event.time == "2026-01-01T00:00:00.0+01:00"
    assert event.datacontenttype == "Application/JSON; charset=UTF-8"
    assert event.dataschema == "https://example.com/schema#part"
    assert dict(event.extensions) == {"traceparent": TRACE, "count": 5, "sampled": True}
    assert event.attribute("count") == 5
    assert event.attribute("type") == "t"
    assert event.attribute("nothing") is None


def test_what_is_left_out_is_none() -> None:
    event = Event(type="t", source="/s")
    assert len(event.id) == 32
    assert event.subject is event.time is event.datacontenttype is event.dataschema is None
    assert event.extensions == {}
    assert event.data is event.buffer is None
    assert not event.has_data
    assert Event(type="t", source="/s").id != event.id


def test_it_is_frozen() -> None:
    event = make()
    for name in ("id", "source", "type", "time", "data", "extensions", "anything"):
        with pytest.raises(AttributeError):
            setattr(event, name, "x")
    with pytest.raises(TypeError):
        event.extensions["more"] = "x"  # type: ignore[index]
    given = {"ext": "x"}
    event = make(extensions=given)
    given["ext"] = "changed"
    assert event.extensions["ext"] == "x"
    envelope = event.envelope()
    envelope["id"] = "changed"
    assert event.id == "1"


def test_equality_hash_copy_and_pickle() -> None:
    event = make()
    assert event == make()
    assert hash(event) == hash(make())
    for changed in ({"id": "2"}, {"data": {"a": 1}}, {"data": None}, {"extensions": {}}):
        assert event != make(**changed)
    assert event != "event"
    assert copy.copy(event) == copy.deepcopy(event) == pickle.loads(pickle.dumps(event)) == event
    assert make(data=[1]) == make(data=b"[1]")  # the same octets
    assert make(data=[1]) != make(data=b"[ 1 ]")


def test_repr_hides_the_data() -> None:
    text = repr(make(data="secret"))
    assert "id='1'" in text
    assert "secret" not in text
    assert "<8 bytes>" in text
    assert "<no data>" in repr(make(data=None))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"id": ""}, "id: must not be empty"),
        ({"type": None}, "type: a required attribute is missing"),
        ({"source": "a b"}, "source: expected a URI reference"),
        ({"time": "today"}, "time: expected an RFC 3339 date and time"),
        ({"subject": "a\r\nx-evil: 1"}, "subject: the character U\\+000D is not allowed"),
        ({"datacontenttype": "a/b\r\nx: y"}, "datacontenttype: the character U\\+000D"),
        ({"extensions": {"id": "2"}}, "id: this name is not free"),
        ({"extensions": {"data": "2"}}, "data: this name is not free"),
        ({"extensions": {"Big": "2"}}, "'Big': an attribute's name"),
        ({"extensions": {"big": 1 << 40}}, "big: the integer"),
        ({"datacontenttype": "text/plain", "data": [1]}, "data: expected bytes or text"),
        ({"datacontenttype": "text/plain; charset=x", "data": "a"}, "data: the charset"),
        ({"datacontenttype": "text/plain; charset=ascii", "data": "é"}, "ascii"),
    ],
)
def test_a_program_that_makes_a_bad_event_gets_a_value_error(
    changed: dict[str, object], message: str
) -> None:
    """Not InvalidEvent: the caller of a function is not to blame for what the function makes."""
    with pytest.raises(ValueError, match=message):
        make(**changed)


def test_data_as_a_json_value() -> None:
    event = make(data={"a": [1, 2.5]}, datacontenttype=None)
    assert event.datacontenttype == "application/json"
    assert event.json() == {"a": [1, 2.5]}
    assert event.data == event.buffer == b'{"a":[1,2.5]}'
    assert event.has_data
    assert make(data="text", datacontenttype=None).data == b'"text"'


def test_json_is_parsed_once_when_it_came_structured() -> None:
    event = one(structured({**MINIMAL, "data": [1]}))
    assert event.json() is event.json()
    assert event.datacontenttype is None


def test_data_as_bytes_stay_what_they_are() -> None:
    for raw in (b"", b"\xff\0", bytearray(b"ab"), memoryview(b"xaby")[1:3]):
        event = make(data=raw, datacontenttype="application/octet-stream")
        assert event.data == bytes(raw)
        assert isinstance(event.data, bytes)
        assert event.has_data
    changing = bytearray(b"ab")
    event = make(data=changing, datacontenttype=None)
    changing[0] = 0
    assert event.data == b"ab"
    assert event.datacontenttype is None


def test_a_view_into_the_message_is_not_copied_until_bytes_are_asked_for() -> None:
    body = memoryview(bytearray(b"\0" * 100))
    headers = tuple((f"ce-{name}", value) for name, value in MINIMAL.items())
    event = one(Message(body, "application/octet-stream", headers))
    assert event.buffer is body
    assert event.data == bytes(100)


def test_text() -> None:
    assert make(data="é", datacontenttype="text/plain").data == "é".encode()
    assert make(data="é", datacontenttype="text/plain; charset=ISO-8859-1").data == b"\xe9"


def test_json_of_bytes() -> None:
    assert make(data=b" [1] ", datacontenttype="text/json").json() == [1]
    with pytest.raises(InvalidEvent, match=r"^data: not JSON: "):
        make(data=b"[1", datacontenttype="application/json").json()
    with pytest.raises(InvalidEvent, match=r"^data: not UTF-8: byte 0xff at offset 1"):
        make(data=b'"\xff"', datacontenttype="application/json").json()
    with pytest.raises(InvalidEvent, match=r"^data: the event has no data"):
        make(data=None).json()
    with pytest.raises(UnsupportedMedia, match="expected JSON, the data are text/csv"):
        make(data=b"1", datacontenttype="text/csv").json()
    with pytest.raises(UnsupportedMedia, match="of no media type"):
        make(data=b"1", datacontenttype=None).json()


def test_json_in_another_charset_is_refused() -> None:
    other = Event(
        type="t", source="/s", data=b"[1]", datacontenttype="application/json;charset=utf-16"
    )
    with pytest.raises(UnsupportedMedia, match="JSON is UTF-8"):
        other.json()
    same = Event(
        type="t", source="/s", data=b"[1]", datacontenttype="application/json;charset=UTF-8"
    )
    assert same.json() == [1]


def test_reply_defaults() -> None:
    request = make(extensions={"traceparent": TRACE, "tracestate": "a=b", "correlationid": "c",
                               "other": "x", "causationid": "older"})  # fmt: skip
    reply = request.reply([1])
    assert reply.type == "t.response"
    assert reply.source == "/gpfn"
    assert len(reply.id) == 32
    assert reply.id != request.id
    assert reply.subject == "about"
    assert reply.time is not None
    assert is_timestamp(reply.time)
    assert reply.datacontenttype == "application/json"
    assert reply.dataschema is None
    assert dict(reply.extensions) == {
        "traceparent": TRACE,
        "tracestate": "a=b",
        "correlationid": "c",
        "causationid": "1",  # what caused the reply is the request, not what caused that
    }
    assert reply.specversion == reply.received_as == "1.0"


def test_reply_carries_nothing_that_was_not_there() -> None:
    reply = Event(type="t", source="/s", id="7").reply()
    assert dict(reply.extensions) == {"causationid": "7"}
    assert reply.subject is None
    assert not reply.has_data
    assert reply.datacontenttype is None


def test_reply_as_it_is_told() -> None:
    reply = make().reply(
        b"\x01",
        datacontenttype="application/x-npy",
        type="other",
        source="https://me",
        id="mine",
        extensions={"shape": "1", "causationid": "else", "nonfinite": True},
    )
    assert (reply.type, reply.source, reply.id) == ("other", "https://me", "mine")
    assert (reply.data, reply.datacontenttype) == (b"\x01", "application/x-npy")
    assert reply.extensions["shape"] == "1"
    assert reply.extensions["causationid"] == "else"
    assert reply.extensions["nonfinite"] is True


@pytest.mark.parametrize(
    "told",
    [
        {"type": ""},
        {"source": "a b"},
        {"id": "a\nb"},
        {"datacontenttype": "a/b\r\nset-cookie: x"},
        {"extensions": {"ext": "a\r\nb"}},
        {"extensions": {"type": "x"}},
    ],
)
def test_a_reply_is_checked_every_time(told: dict[str, object]) -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match=r"^(type|source|id|datacontenttype|ext): "):
            make().reply(**told)  # type: ignore[arg-type]


def test_reply_to_an_older_event_is_1_0() -> None:
    request = one(structured({**MINIMAL, "specversion": "0.3"}))
    assert request.received_as == "0.3"
    message = write([request.reply({"a": 1})], "structured")
    assert orjson.loads(message.body)["specversion"] == "1.0"


def test_json_text_is_embedded_without_being_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"[[0.1], [2e0]]"
    reply = make().reply(text, datacontenttype="application/json", valid_json=True)

    def parsed(*args: object) -> object:
        raise AssertionError("the data were parsed")

    monkeypatch.setattr("gpfn.events.json_format._member", parsed)
    body = bytes(write([reply], "structured").body)
    assert text in body
    assert one(structured(body)).json() == [[0.1], [2.0]]
    assert text in write([reply, reply], "batch").body


def test_json_text_of_unknown_worth_is_checked_first() -> None:
    good = make().reply(b"[1 ]", datacontenttype="application/json")
    assert b'"data":[1 ]' in write([good], "structured").body
    bad = make().reply(b"[1", datacontenttype="application/json")
    message = write([bad], "structured")
    assert b'"data_base64":"WzE="' in message.body
    received = read(message)
    assert received is not None
    assert received.events[0].data == b"[1"


def test_valid_json_is_meant_for_json_only() -> None:
    reply = make().reply(b"\xff", datacontenttype="application/octet-stream", valid_json=True)
    assert b'"data_base64":"/w=="' in write([reply], "structured").body
    assert one(write([make().reply(b"1", valid_json=True)], "structured")).data == b"1"


def test_new_ids_differ() -> None:
    ids = {new_id() for _ in range(10_000)}
    assert len(ids) == 10_000
    assert all(len(text) == 32 and int(text, 16) >= 0 for text in ids)


def test_a_forked_process_makes_other_ids() -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, new_id().encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 64).decode() != new_id()
    os.close(reading)
    os.close(writing)


def test_the_package_shows_what_it_has() -> None:
    assert set(gpfn.events.__all__) <= set(dir(gpfn.events))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = gpfn.events.nothing
