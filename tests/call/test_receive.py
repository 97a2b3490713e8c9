"""Events told from plain bodies."""

import subprocess
import sys

import pytest

from gpfn.call.decode import receive
from gpfn.errors import InvalidEvent, TooLarge, UnsupportedMedia
from gpfn.limits import Limits
from gpfn.message import Message

EVENT = b'{"specversion":"1.0","id":"1","type":"t","source":"/s","data":[1]}'
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
