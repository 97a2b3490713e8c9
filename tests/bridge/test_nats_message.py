"""Records as NATS messages: as the binding has them, and nothing lost whatever is in them."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gpfn.bridge.nats.message import HeaderLines, message_of, record_of, size_of
from gpfn.bridge.record import Header, Outgoing
from gpfn.errors import InvalidEvent
from gpfn.events.kafka import read_record

ID = "gpfn-0-1"
EVENT: tuple[Header, ...] = (
    ("ce_specversion", b"1.0"),
    ("ce_id", "Euro € 😀".encode()),
    ("ce_source", b"/s"),
    ("ce_type", b't "quoted" 100%'),
    ("content-type", b"application/json"),
)


def wire(lines: list[tuple[str, str]]) -> bytes:
    """Return headers as they are sent, by what nats-py does with names and values."""
    told = [f"{name.strip()}: {' '.join(text.strip().splitlines())}" for name, text in lines]
    return "\r\n".join(["NATS/1.0", *told, "", ""]).encode()


def there_and_back(outgoing: Outgoing) -> Outgoing:
    lines, payload = message_of(outgoing, ID)
    record = record_of("t", 5, wire(lines), payload)
    return Outgoing(record.topic, record.key, record.value, record.headers)


def test_a_binary_event_is_as_the_binding_has_it() -> None:
    lines, payload = message_of(Outgoing("t", None, b"{}", EVENT), ID)
    assert payload == b"{}"
    assert lines == [
        ("Nats-Msg-Id", ID),
        ("ce-specversion", "1.0"),
        ("ce-id", "Euro%20%E2%82%AC%20%F0%9F%98%80"),
        ("ce-source", "/s"),
        ("ce-type", "t%20%22quoted%22%20100%25"),
        ("ce-datacontenttype", "application/json"),
    ]


def test_a_binary_event_of_somebody_else_is_read() -> None:
    raw = (
        b'NATS/1.0\r\nCE-SpecVersion: 1.0\r\nce-id:1\r\nCe-Source: "/s"\r\nce-type: %74\r\n'
        b'ce-subject: "a \\%e2%82%ac"\r\nce-datacontenttype: text/plain\r\n'
        b"Content-Type: x/y\r\n\r\n"
    )
    record = record_of("t", 1, raw, b"data")
    event = read_record(record.value, record.headers)
    assert event is not None
    assert (event.source, event.type, event.subject) == ("/s", "t", "a €")
    assert event.datacontenttype == "text/plain"
    assert bytes(event.buffer or b"") == b"data"


def test_what_is_no_utf8_is_an_event_that_is_refused() -> None:
    raw = b"NATS/1.0\r\nce-specversion: 1.0\r\nce-id: %C0%A0\r\nce-source: s\r\nce-type: t\r\n\r\n"
    record = record_of("t", 1, raw, b"")
    assert ("ce_id", b"\xc0\xa0") in record.headers
    with pytest.raises(InvalidEvent):
        read_record(record.value, record.headers)


def test_the_mode_is_told_by_the_content_type_alone() -> None:
    structured = (("content-type", b"Application/CloudEvents+json"), ("ce_id", b"1"))
    lines, _ = message_of(Outgoing("t", None, b"{}", (*structured, EVENT[0])), ID)
    assert ("content-type", "Application/CloudEvents+json") in lines
    assert "ce-datacontenttype" not in dict(lines)
    plain = Outgoing("t", None, b"x", (("content-type", b"text/plain"),))
    assert message_of(plain, ID)[0][1:] == [("content-type", "text/plain")]
    assert there_and_back(plain) == plain


@pytest.mark.parametrize(
    "name",
    ["Nats-Rollup", "nats-expected-stream", "NATS-Msg-Id", "Gpfn-Key", "gpfn-header", "ce-id"],
)
def test_a_header_of_a_record_never_orders_the_server_about(name: str) -> None:
    outgoing = Outgoing("t", b"k", b"v", ((name, b"all"),))
    lines, _ = message_of(outgoing, ID)
    assert [line[0] for line in lines] == ["Nats-Msg-Id", "Gpfn-Key", "Gpfn-Header"]
    assert there_and_back(outgoing) == outgoing


def test_headers_of_other_producers_stay() -> None:
    raw = b"NATS/1.0\r\nNats-Msg-Id: theirs\r\na: 1\r\na: 2\r\nA: 3\r\nb:\r\n\r\n"
    record = record_of("t", 1, raw, b"v")
    expected = (("Nats-Msg-Id", b"theirs"), ("a", b"1"), ("a", b"2"), ("A", b"3"), ("b", b""))
    assert record.headers == expected
    assert there_and_back(Outgoing("t", None, b"v", expected)).headers == expected


@pytest.mark.parametrize(
    "raw",
    [
        b"NATS/1.0",
        b"NATS/1.0\r\n\r\n",
        b"garbage\r\n\r\n",
        b"NATS/1.0 404 No Messages\r\n\r\n",
        b"\xff" * 64,
        b"NATS/1.0\r\n: x\r\nno colon\r\n folded\r\n\r\n",
    ],
)
def test_headers_that_are_none_are_none(raw: bytes) -> None:
    assert record_of("t", 1, raw, b"v").headers == ()


@pytest.mark.parametrize("text", [b"!", b"YQ==,!", b"YQ==,YQ==,YQ==", b"a b"])
def test_a_header_of_ours_without_sense_is_a_header(text: bytes) -> None:
    record = record_of("t", 1, b"NATS/1.0\r\nGpfn-Header: " + text + b"\r\n\r\n", b"v")
    assert record.headers == (("Gpfn-Header", text),)
    record = record_of("t", 1, b"NATS/1.0\r\nGpfn-Key: !\r\nGpfn-Null: value\r\n\r\n", b"v")
    assert (record.key, record.value) == (None, b"v")
    assert record.headers == (("Gpfn-Key", b"!"), ("Gpfn-Null", b"value"))


ODD_NAMES = (
    *("content-type", "ce_id", "ce_specversion", "ce_datacontenttype", "ce_A", "ce_", "x", ""),
    *("Gpfn-Null", "Nats-X", "ce-id", "a b", "a:b", "é", "x\r\ny", "Status"),
)
ODD_VALUES = (
    *(b"application/cloudevents+json", b"text/plain", b"1.0", b"", b" x ", b"\xff", b'"q"'),
    *(b"%", b"%41", b"a\r\nb", "\u00a0".encode(), b"\x00", "é".encode()),
)
NAMES = st.one_of(
    st.sampled_from(ODD_NAMES),
    st.text(max_size=12),
)
VALUES = st.one_of(
    st.none(),
    st.sampled_from(ODD_VALUES),
    st.binary(max_size=30),
    st.text(max_size=12).map(str.encode),
)


@given(
    st.one_of(st.none(), st.binary(max_size=40)),
    st.one_of(st.none(), st.binary(max_size=40)),
    st.lists(st.tuples(NAMES, VALUES), max_size=8).map(tuple),
)
@example(b"", None, (("", b"x"), ("", None), ("x", None)))
@example(None, b"", (*EVENT, ("content-type", b"text/plain"), ("Content-Type", b"a/b")))
def test_every_record_comes_back_as_it_was(
    key: bytes | None, value: bytes | None, headers: tuple[Header, ...]
) -> None:
    lower = tuple([("content-type" if n.lower() == "content-type" else n, v) for n, v in headers])
    outgoing = Outgoing("t", key, value, lower)
    assert there_and_back(outgoing) == outgoing
    lines, payload = message_of(outgoing, ID)
    assert size_of(lines, payload) == len(wire(lines)) + len(payload)
    assert HeaderLines(lines).items() == lines
    assert not [name for name, _ in lines[1:] if name.lower().startswith("nats-")]


@given(st.binary(max_size=200), st.binary(max_size=20))
def test_nothing_in_headers_raises(raw: bytes, payload: bytes) -> None:
    for given_raw in (raw, b"NATS/1.0\r\n" + raw):
        record = record_of("t", 1, given_raw, payload)
        assert record.value in (payload, None)
        outgoing = Outgoing("t", record.key, record.value, record.headers)
        assert there_and_back(outgoing) == outgoing
