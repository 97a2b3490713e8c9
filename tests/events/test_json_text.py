"""Members that occur twice, told from a count of colons; json.loads is the oracle."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpfn.errors import InvalidEvent
from gpfn.events import json_format, json_text, read
from tests.events.asking import MINIMAL, one, refused, structured

HEAD = b'{"specversion":"1.0","id":"1","source":"/s","type":"t"'


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (HEAD + b',"id":"2"}', "id"),
        (HEAD + b',"id":"1"}', "id"),
        (HEAD + b',"\\u0069d":"2"}', "id"),
        (HEAD + b',"\\u0069\\u0064" : null}', "id"),
        (HEAD + b',"ext":1,"ext":"\\u003a"}', "ext"),
        (HEAD + b',"ext":1,"ext":2}', "ext"),
        (HEAD + b',"a":1,"b":2,"c":3,"c":3}', "c"),
        (HEAD + b',"ext":true,"ext":"text"}', "ext"),
        (HEAD + b',"ext":"text","ext":null}', "ext"),
        (HEAD + b',"data_base64":null,"data_base64":null}', "data_base64"),
        (HEAD + b',"a":null,"b":null,"data":5,"data":6}', "data"),
        (b'{"x":"\\u003a",' + HEAD[1:] + b',"x":1}', "x"),
        (HEAD + b',"data":1,"data":2}', "data"),
        (HEAD + b',"data":{"a":{"b":[1]}},"data":[[[0]]]}', "data"),
        (HEAD + b',"data_base64":"AA==","data_base64":"AA=="}', "data_base64"),
        (HEAD + b',"specversion":"1.0"}', "specversion"),
        (b'{"data":{"id":"x","id":"y"},' + HEAD[1:] + b',"type"\n:"u"}', "type"),
        (HEAD + b',"a\\nb":1,"a\\nb":1}', "'a\\nb'"),
        (HEAD.replace(b"1.0", b"0.3") + b',"id":"2"}', "id"),
        (b'{"cloudEventsVersion":"0.1","eventID":"1","eventID":"2"}', "eventID"),
    ],
)
def test_duplicates_are_refused(text: bytes, field: str) -> None:
    error = refused(structured(text))
    assert error.field == field
    assert error.detail == "the member occurs twice"


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":1,"a":2}',
        b'{"a":{"id":1},"id":2,"type":3}',
        b'[{"id":1,"id":2}]',
        b'"id: \\" \\\\u003a \\u003a : {"',
        b'["\\\\", ":", "a\\"b"]',
    ],
)
def test_members_of_the_data_are_nobodys_business(data: bytes) -> None:
    assert one(structured(HEAD + b',"data":' + data + b"}")).json() == json.loads(data)


def test_the_place_in_a_batch_is_named() -> None:
    text = b"[" + HEAD + b"}," + HEAD + b',"data":{"id":1}},' + HEAD + b',"id":"2"}]'
    error = refused(structured(text, "application/cloudevents-batch+json"))
    assert error.field == "[2].id"


def test_deeply_nested_data_are_scanned_instead() -> None:
    deep = b"[" * 400 + b'{"a":1}' + b"]" * 400
    assert one(structured(HEAD + b',"data":' + deep + b"}")).has_data
    assert refused(structured(HEAD + b',"data":' + deep + b',"id":"2"}')).field == "id"


def test_usual_events_are_not_scanned(monkeypatch: pytest.MonkeyPatch) -> None:
    def scanned(text: bytes, *, level: int = 1) -> None:
        raise AssertionError("the slow way was taken")

    monkeypatch.setattr(json_text, "scan", scanned)
    for data in ([[[0.5]] * 20], {"shape": [1], "data": [0]}, "a: b", {"a": {"b": "c:d"}}, None):
        document = {**MINIMAL, "time": "2026-01-01T00:00:00Z", "ext": 5, "none": None, "data": data}
        assert one(structured(document)).json() == data
        assert one(structured(json.dumps(document, indent=2).encode())).json() == data
        batch = structured(json.dumps([document]).encode(), "application/cloudevents-batch+json")
        assert one(batch).json() == data


def test_numbers_are_not_even_written_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def written(text: bytes, kept: list[object], **_: int) -> None:
        raise AssertionError("the event was written again")

    monkeypatch.setattr(json_format, "refuse_duplicates", written)
    for windows in (1, 500):  # short and long texts are counted in different ways
        document = {**MINIMAL, "subject": "é", "data": [[[0.5]] * 20] * windows}
        text = json.dumps(document, ensure_ascii=False, indent=1).encode()
        assert one(structured(text)).has_data
        batch = b"[" + text + b"]"
        assert one(structured(batch, "application/cloudevents-batch+json")).has_data


NAMES = st.sampled_from(["id", "a", ":", '"', "\\", "é", "\\u003a", "data", ""])
VALUES = st.recursive(
    st.none() | st.integers(-5, 5) | st.text(':"\\{}[]a\n', max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.lists(st.tuples(NAMES, inner), max_size=3).map(tuple)
    ),
    max_leaves=8,
)
OBJECTS = st.lists(st.tuples(NAMES, VALUES), max_size=5)


def written(value: Any, *, escape: bool) -> str:
    """Write JSON by hand: a tuple of pairs is an object, whose names may be repeated."""
    if isinstance(value, tuple):
        pairs = [f"{written(k, escape=escape)} : {written(v, escape=escape)}" for k, v in value]
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(written(item, escape=escape) for item in value) + "]"
    if isinstance(value, str) and escape:
        return '"' + "".join(f"\\u{ord(letter):04x}" for letter in value) + '"'
    return json.dumps(value)


@settings(max_examples=400, deadline=None)
@given(OBJECTS, st.booleans())
def test_the_scan_finds_what_the_oracle_finds(pairs: list[Any], escape: bool) -> None:
    text = written(tuple(pairs), escape=escape).encode()
    names = [name for name, _ in pairs]
    try:
        json_text.scan(text)
        assert len(names) == len(set(names))
    except InvalidEvent:
        assert len(names) > len(set(names))


def lost_members(text: bytes) -> list[int]:
    """Return how many members each object of a JSON text loses when it is parsed."""
    lost = []

    def watch(members: list[tuple[str, Any]]) -> dict[str, Any]:
        lost.append(len(members) - len(dict(members)))
        return dict(members)

    json.loads(text, object_pairs_hook=watch)
    return lost


@settings(max_examples=400, deadline=None)
@given(OBJECTS, st.booleans())
def test_colons_that_add_up_mean_that_nothing_was_lost(pairs: list[Any], escape: bool) -> None:
    """The property that the second way stands on; the other direction is the scan's."""
    text = written(tuple(pairs), escape=escape).encode()
    if json_text.colons(text) == orjson.dumps(orjson.loads(text)).count(b":"):
        assert not any(lost_members(text))


ATTRIBUTES = st.lists(
    st.tuples(
        st.sampled_from(["id", "a", "b", "c", "data", "data_base64", "subject"]),
        st.none() | st.integers(0, 3) | st.booleans() | st.sampled_from(["QQ==", "x", ':"', "\\"]),
    ),
    max_size=5,
)


@settings(max_examples=600, deadline=None)
@given(ATTRIBUTES, st.booleans())
def test_no_event_with_a_member_twice_is_accepted(pairs: list[Any], escape: bool) -> None:
    """The whole of the ways together, against the oracle."""
    text = written((*MINIMAL.items(), *pairs), escape=escape).encode()
    try:
        read(structured(text))
    except InvalidEvent:
        return
    assert not any(lost_members(text))


@settings(max_examples=600, deadline=None)
@given(st.lists(ATTRIBUTES, min_size=1, max_size=3), st.booleans())
def test_no_batch_with_a_member_twice_is_accepted(events: list[Any], escape: bool) -> None:
    """One event has no quotes to spare that could stand for what another has lost."""
    pairs = [(*MINIMAL.items(), *event) for event in events]
    text = written(pairs, escape=escape).encode()
    try:
        read(structured(text, "application/cloudevents-batch+json"))
    except InvalidEvent:
        return
    assert not any(lost_members(text))
