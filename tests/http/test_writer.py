"""Replies: nothing a header holds can break out of it, and all bytes are sent."""

import importlib
import socket
import threading
from collections.abc import Sequence
from http import HTTPStatus

import numpy as np
import pytest

from gpfn.errors import GpfnError
from gpfn.http import response_head, send
from gpfn.http.writer import REASONS
from tests.sources import modules


def test_a_head() -> None:
    head = response_head(200, [("X-A", "1"), ("X-A", "2")], 5, close=False)
    assert head == b"HTTP/1.1 200 OK\r\nX-A: 1\r\nX-A: 2\r\ncontent-length: 5\r\n\r\n"


def test_a_closing_head() -> None:
    assert response_head(504, (), 0, close=True) == (
        b"HTTP/1.1 504 Gateway Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    )


@pytest.mark.parametrize("status", [100, 204])
def test_a_reply_without_a_body_has_no_length(status: int) -> None:
    assert b"content-length" not in response_head(status, (), 0, close=False)


def test_an_unnamed_status_is_sent_all_the_same() -> None:
    assert response_head(299, (), 0, close=False).startswith(b"HTTP/1.1 299 \r\n")


@pytest.mark.parametrize("bad", ["a\r\nX: 1", "a\nX: 1", "a\rb", "a\0b"])
def test_no_header_value_breaks_out(bad: str) -> None:
    with pytest.raises(ValueError, match="line break or NUL"):
        response_head(200, [("x", bad)], 0, close=False)


@pytest.mark.parametrize("bad", ["", "a b", "a:", "a\r\nb", "\xe9", "a\0"])
def test_no_header_name_breaks_out(bad: str) -> None:
    with pytest.raises(ValueError, match="not a header name"):
        response_head(200, [(bad, "x")], 0, close=False)


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding", "Connection"])
def test_framing_is_the_servers(name: str) -> None:
    with pytest.raises(ValueError, match="is set by the server"):
        response_head(200, [(name, "x")], 0, close=False)


def test_what_latin_1_cannot_say_is_refused() -> None:
    with pytest.raises(ValueError, match="Latin-1"):
        response_head(200, [("x", "€")], 0, close=False)


def received(buffers: Sequence[bytes | memoryview]) -> bytes:
    """Send ``buffers`` through a socket with small buffers and return what arrives."""
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    parts: list[bytes] = []

    def drain() -> None:
        while part := theirs.recv(5000):
            parts.append(part)

    thread = threading.Thread(target=drain)
    thread.start()
    ours.settimeout(20)  # makes the kernel take what it can and no more
    send(ours, buffers)
    ours.close()
    thread.join()
    theirs.close()
    return b"".join(parts)


def test_partial_sends_are_completed() -> None:
    array = np.arange(300_000, dtype=np.float64).reshape(300, 1000)
    buffers = [b"head", memoryview(array), b"", memoryview(np.empty((0, 3))), b"tail"]
    assert received(buffers) == b"head" + array.tobytes() + b"tail"


def test_more_buffers_than_one_call_takes() -> None:
    assert received([b"%04d" % i for i in range(3000)]) == b"".join(
        b"%04d" % i for i in range(3000)
    )


def test_nothing_to_send() -> None:
    assert received([]) == b""
    assert received([b"", b""]) == b""


def test_every_status_of_an_error_is_named_and_so_counted() -> None:
    for module in modules():
        if module.startswith("gpfn.serving.repository"):
            importlib.import_module(module)
    kinds = [GpfnError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    assert len(kinds) > 20
    assert [kind for kind in kinds if kind.status not in REASONS] == []


def test_every_status_that_is_registered_has_its_reason() -> None:
    """A web action answers with whichever it likes."""
    teapot = {HTTPStatus.IM_A_TEAPOT}
    assert {*REASONS} == {*HTTPStatus} - teapot
    renamed = {status for status in {*HTTPStatus} - teapot if REASONS[status] != status.phrase}
    assert renamed <= {413, 414, 416, 422}, "as RFC 9110 has them"
