"""Events told from plain bodies."""

import subprocess
import sys

import pytest

from gpfn.call.decode import receive
from gpfn.errors import InvalidEvent, TooLarge, UnsupportedMedia
from gpfn.limits import Limits
from gpfn.message import Message

EVENT = b'{"specversion":"1.0","id":"1","type":"t","source":"/s","data":[1]}'
PROTOBUF = b'\n\0011\x12\2/s\x1a\0031.0"\1t'
_BATCH = "application/cloudevents-batch+protobuf"
HEADERS = (("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-type", "t"), ("ce-source", "/s"))


@pytest.mark.parametrize(
    ("message", "form"),
    [
        (Message(EVENT, "application/cloudevents+json"), "structured"),
        (Message(EVENT, "text/plain"), "structured"),
        (Message(memoryview(EVENT), "application/json"), "structured"),
        (Message(b"[" + EVENT + b"]", "application/cloudevents-batch+json"), "batch"),
        (Message(b"[1]", "application/json", HEADERS), "binary"),
        (Message(b"[1]", "application/json"), "plain"),
        (Message(b"", ""), "plain"),
        (Message(EVENT, "image/png"), "plain"),
        (Message(PROTOBUF, "application/cloudevents+protobuf"), "protobuf"),
        (Message(b"\n%c" % len(PROTOBUF) + PROTOBUF, _BATCH), "protobuf-batch"),
    ],
)
def test_form(message: Message, form: str) -> None:
    received = receive(message, Limits())
    assert received[1] == form
    assert (received[0][0].event is None) == (form == "plain")


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "br", "gzip, identity", ""])
def test_a_body_that_is_compressed_still_is_refused(coding: str) -> None:
    for headers in ((("content-encoding", coding),), (*HEADERS, ("content-encoding", coding))):
        message = Message(b"[1]", "application/json", headers)
        with pytest.raises(UnsupportedMedia) as raised:
            receive(message, Limits())
        assert (raised.value.field, raised.value.status) == ("content-encoding", 415)
        [payload], _ = receive(message, Limits(), "message")
        assert payload.header("content-encoding") == coding, "who takes messages decodes them"


def test_a_body_that_says_it_is_not_compressed() -> None:
    message = Message(b"[1]", "application/json", (("content-encoding", " Identity "),))
    assert receive(message, Limits())[0][0].json() == [1]


def test_a_broken_event_is_refused() -> None:
    with pytest.raises(InvalidEvent) as raised:
        receive(Message(b'{"specversion":"1.0","id":""}', "text/plain"), Limits())
    assert raised.value.field


def test_a_body_over_the_limit_is_refused_and_the_setting_named() -> None:
    with pytest.raises(TooLarge, match="GPFN_MAX_BODY_BYTES"):
        receive(Message(b"12345", "text/plain"), Limits(body_bytes=4))


def test_a_plain_body_does_not_load_the_events_package() -> None:
    code = """if True:
        import sys
        from gpfn.message import Message
        from gpfn.call.decode import receive
        from gpfn.limits import Limits
        receive(Message(b"hello", "text/plain"), Limits())
        assert "gpfn.events.event" not in sys.modules
        receive(Message(b'{"specversion":"1.0","id":"1","type":"t","source":"/"}'), Limits())
        assert "gpfn.events.event" in sys.modules
    """
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/json", "text/json"])
def test_no_event_is_taken_for_a_plain_body(content_type: str) -> None:
    escaped = EVENT.replace(b"spec", b"\\u0073pec")
    for body in (b"\xef\xbb\xbf" + EVENT, escaped, b"\xef\xbb\xbf[" + escaped + b"]"):
        assert receive(Message(body, content_type), Limits())[1] != "plain"
    for text in (EVENT, escaped, b"[" + EVENT + b"]"):
        for name in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"):
            body = text.decode().encode(name)
            with pytest.raises(InvalidEvent, match=f"this is {name[:6].upper()}, not UTF-8"):
                receive(Message(body, content_type), Limits())
            with pytest.raises(InvalidEvent):
                receive(Message(body, "application/cloudevents+json"), Limits())


@pytest.mark.parametrize("body", [b"\0\0\0", b"\xff\xfe", b"\xfe\xffab", b'{"a":"\\u00e9\\u0041"}'])
def test_other_bytes_stay_a_plain_body(body: bytes) -> None:
    assert receive(Message(body, "text/plain"), Limits())[1] == "plain"
