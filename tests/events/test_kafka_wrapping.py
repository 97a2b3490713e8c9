"""Records that are no events as events: what Knative's KafkaSource says of them."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpfn.errors import TooLarge
from gpfn.events import Event
from gpfn.events.kafka import read_record, wrapped, write_record
from gpfn.events.kafka_wrapping import TYPE
from gpfn.limits import Limits


def wrap(
    key: bytes | None = None, value: bytes | None = b"v", headers: Any = (), **more: Any
) -> Event:
    """Return the event of a record at a certain place."""
    return wrapped("readings", 3, 12345678901, key, value, headers, "/kafka/east", **more)


def test_what_it_says() -> None:
    """Names and values as a KafkaSource gives them; the source is its own resource there."""
    event = wrap(b"k", b'{"msg":"x"}', [("content-type", b"application/json")], time=1589748302700)
    assert event.envelope() == {
        "specversion": "1.0",
        "type": "dev.knative.kafka.event",
        "source": "/kafka/east#readings",
        "subject": "partition:3#12345678901",
        "id": "partition:3/offset:12345678901",
        "time": "2020-05-17T20:45:02.700Z",
        "datacontenttype": "application/json",
        "key": "k",
        "partitionkey": "k",
    }
    assert event.json() == {"msg": "x"}
    assert event.type == TYPE


def test_a_record_that_comes_again_is_the_same_event() -> None:
    assert wrap() == wrap()
    assert wrap().source != wrapped("other", 3, 12345678901, None, b"v", (), "/kafka/east").source


@pytest.mark.parametrize("topic", ["a.b-c_D", "a b", "ü", "#", "a>*", "%", "x/y.jsonl"])
def test_any_topic_makes_a_source(topic: str) -> None:
    event = wrapped(topic, 0, 0, None, None, (), "nats://h:4222")
    assert event.source.startswith("nats://h:4222#")


@pytest.mark.parametrize(
    ("key", "extensions"),
    [
        (None, {}),
        (b"", {"key": "", "partitionkey": ""}),
        ("é 7".encode(), {"key": "é 7", "partitionkey": "é 7"}),
        (b"AAE=", {"key": "AAE=", "partitionkey": "AAE="}),
        (b"\0\1", {"keybase64": "AAE="}),
        (b"\xff", {"keybase64": "/w=="}),
        (b"a\nb", {"keybase64": "YQpi"}),
    ],
)
def test_keys(key: bytes | None, extensions: dict[str, str]) -> None:
    assert wrap(key).extensions == extensions


def test_headers_whose_names_and_values_fit() -> None:
    event = wrap(
        headers=[
            ("X-Request_Id", b"1"),
            ("twice", b"1"),
            ("twice", b"2"),
            ("null", None),
            ("octets", b"\xff"),
            ("lines", b"a\nb"),
            ("é-_", b"1"),
            ("", b"1"),
            ("x" * 9999, b"long"),
            ("ce_time", b"now"),
        ]
    )
    assert event.extensions == {
        "kafkaheaderxrequestid": "1",
        "kafkaheadertwice": "2",
        "kafkaheader" + "x" * 100: "long",
        "kafkaheadercetime": "now",
    }


@pytest.mark.parametrize(
    ("headers", "media_type", "more"),
    [
        ([], "application/octet-stream", {}),
        ([("Content-Type", b"text/x; charset=utf-8")], "text/x; charset=utf-8", {}),
        ([("content-type", b"a/b"), ("content-type", b"c/d")], "c/d", {}),
        (
            [("content-type", b"json")],
            "application/octet-stream",
            {"kafkaheadercontenttype": "json"},
        ),
        ([("content-type", None)], "application/octet-stream", {}),
        ([("content-type", b"\xff")], "application/octet-stream", {}),
    ],
)
def test_the_media_type_is_what_is_said_and_else_bytes(
    headers: Any, media_type: str, more: dict[str, str]
) -> None:
    event = wrap(headers=headers)
    assert (event.datacontenttype, event.extensions) == (media_type, more)
    assert wrap(value=None, headers=headers).datacontenttype is None
    assert wrap(media_type="application/json").datacontenttype == "application/json"


def test_data_are_the_value() -> None:
    assert wrap(value=b"\0\xff").data == b"\0\xff"
    assert wrap(value=b"").data == b""
    assert not wrap(value=None).has_data, "a tombstone"


@pytest.mark.parametrize("time", [-1, -(1 << 63), (1 << 63) - 1, 253_402_300_800_000])
def test_a_time_that_nobody_knows_or_nobody_can_write_is_left_out(time: int) -> None:
    assert wrap(time=time).time is None
    assert wrap(time=253_402_300_799_999).time == "9999-12-31T23:59:59.999Z"


def test_limits() -> None:
    limits = Limits(body_bytes=10, headers=2, header_bytes=20)
    assert wrap(value=b"x" * 10, headers=[("a", b"1")] * 2, limits=limits)
    with pytest.raises(TooLarge, match="GPFN_MAX_BODY_BYTES"):
        wrap(value=b"x" * 11, limits=limits)
    with pytest.raises(TooLarge, match="GPFN_MAX_HEADERS"):
        wrap(headers=[("a", b"1")] * 3, limits=limits)
    with pytest.raises(TooLarge, match="GPFN_MAX_HEADER_BYTES"):
        wrap(headers=[("a", b"x" * 20)], limits=limits)
    with pytest.raises(TooLarge, match="GPFN_MAX_HEADER_BYTES"):
        wrap(key=b"x" * 21, limits=limits)
    with pytest.raises(TooLarge, match="GPFN_MAX_HEADERS"):
        wrap(headers=[(f"h{number}", b"") for number in range(1000)])


def test_what_the_deployer_states_is_checked() -> None:
    with pytest.raises(ValueError, match="source: expected a URI reference"):
        wrapped("t", 0, 0, None, None, (), "not a uri")
    with pytest.raises(ValueError, match="datacontenttype: expected a media type"):
        wrap(media_type="json")


BYTES = (
    st.none()
    | st.binary(max_size=20)
    | st.text(max_size=10).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
NAMES = st.text(max_size=10) | st.sampled_from(["content-type", "Content-Type", "traceparent"])


@settings(max_examples=500, deadline=None)
@given(BYTES, BYTES, st.lists(st.tuples(NAMES, BYTES), max_size=5), st.integers(-1, 1 << 62))
def test_any_record_can_be_wrapped_and_sent_on(
    key: bytes | None, value: bytes | None, headers: Any, time: int
) -> None:
    event = wrap(key, value, headers, time=time)
    for mode in ("binary", "structured", "protobuf"):
        again = read_record(*write_record(event, mode))  # type: ignore[arg-type]
        assert again is not None
        assert (again.data, again.extensions) == (event.data, event.extensions)
        assert (again.id, again.source) == (event.id, event.source)
        assert (again.time is None) == (event.time is None)
