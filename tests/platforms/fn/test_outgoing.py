"""What a reply becomes on the socket: the table of docs/errors.md, and headers."""

import pytest

from gpfn import __version__
from gpfn.call.contract import Reply
from gpfn.errors import (
    BackendTimeout,
    CannotConnect,
    DeadlineExceeded,
    GpfnError,
    InvalidTensor,
    Overloaded,
    TooLarge,
)
from gpfn.message import Message
from gpfn.platforms.fn.wire import reply_headers, socket_status

FAILED = {
    InvalidTensor("x"): (400, 200),
    TooLarge("x"): (413, 200),
    DeadlineExceeded("x"): (504, 504),
    CannotConnect("x"): (502, 502),
    BackendTimeout("x"): (504, 504),
    Overloaded("x"): (503, 502),
    GpfnError("x"): (500, 502),
    KeyError("x"): (500, 502),
}


@pytest.mark.parametrize("error", FAILED, ids=lambda error: type(error).__name__)
def test_blame_decides_the_status_on_the_socket(error: Exception) -> None:
    status, by_invoke = FAILED[error]
    reply = Reply(Message(b"{}", "application/problem+json"), status, error=error)
    assert socket_status(reply, by_trigger=False) == by_invoke
    assert socket_status(reply, by_trigger=True) == 200
    headers = dict(reply_headers(reply, by_trigger=True))
    assert headers["Fn-Http-Status"] == str(status)
    assert headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(("status", "sent"), [(200, 200), (201, 200), (404, 200), (500, 200)])
def test_a_status_that_the_function_chose(status: int, sent: int) -> None:
    assert socket_status(Reply(Message(b""), status), by_trigger=False) == sent
    assert socket_status(Reply(Message(b""), 502), by_trigger=False) == 502
    assert socket_status(Reply(Message(b""), 504), by_trigger=False) == 504


MIXED = (
    ("Set-Cookie", "a=1"),
    ("Set-Cookie", "b=2"),
    ("Fn-Call-Id", "01X"),
    ("Connection", "close"),
    ("Content-Length", "9"),
    ("Transfer-Encoding", "chunked"),
    ("Fn-Fdk-Version", "fdk-python/0.1.110"),
    ("fn-fdk-runtime", "python/3.11.7 final"),
    ("content-type", "c/d"),
)


def test_by_invoke_headers_go_out_as_they_are() -> None:
    headers = reply_headers(Reply(Message(b"", "a/b", MIXED)), by_trigger=False)
    assert headers[0] == ("Fn-Fdk-Version", f"gpfn/{__version__}"), "said once"
    assert headers[1:] == [("Content-Type", "a/b"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]
    assert headers[0][0] == "Fn-Fdk-Version"


def test_a_type_that_stands_among_the_headers_only() -> None:
    reply = Reply(Message(b"", "", (("Content-type", "a/b"),)))
    for by_trigger in (False, True):
        headers = reply_headers(reply, by_trigger=by_trigger)
        assert [line for line in headers if "ype" in line[0]] == [("Content-Type", "a/b")]


def test_by_trigger_every_header_but_the_type_is_wrapped_once() -> None:
    given = (*MIXED, ("Fn-Http-H-Location", "/x"), ("fn-http-status", "302"))
    headers = reply_headers(Reply(Message(b"", "a/b", given)), by_trigger=True)
    assert headers[1:] == [
        ("Content-Type", "a/b"),
        ("Fn-Http-Status", "302"),
        ("Fn-Http-H-Set-Cookie", "a=1"),
        ("Fn-Http-H-Set-Cookie", "b=2"),
        ("Fn-Http-H-Location", "/x"),
    ]


@pytest.mark.parametrize("absurd", ["", "99", "1000", "abc", "600", "-20"])
def test_a_status_at_which_the_agent_would_panic_is_not_sent(absurd: str) -> None:
    reply = Reply(Message(b"", "", (("fn-http-status", absurd),)), 201)
    assert ("Fn-Http-Status", "201") in reply_headers(reply, by_trigger=True)
