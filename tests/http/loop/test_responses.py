"""Answers on the wire: how many writes, and what is copied."""

from typing import Any

import pytest

from gpfn.http.loop import Response
from gpfn.http.loop.responses import ResponseWriter


class Transport:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes | memoryview] = []

    def write(self, data: bytes | memoryview) -> None:
        self.written.append(data)


def written(response: Response, **options: Any) -> list[bytes | memoryview]:
    transport: Any = Transport()
    ResponseWriter().write(
        transport, response, "id-1", **{"connection": "", "body": True, **options}
    )
    found: list[bytes | memoryview] = transport.written
    return found


def test_head_and_body_of_a_small_answer_are_one_write() -> None:
    (data,) = written(Response(200, (("content-type", "a/b"),), (b"one", memoryview(b"two"))))
    head, _, body = bytes(data).partition(b"\r\n\r\n")
    assert body == b"onetwo"
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 200 OK"
    assert b"content-type: a/b" in lines
    assert b"content-length: 6" in lines
    assert b"x-request-id: id-1" in lines
    assert any(line.startswith(b"date: ") and line.endswith(b" GMT") for line in lines)
    assert not any(line.startswith(b"connection:") for line in lines)


def test_the_pieces_of_a_large_answer_are_not_copied() -> None:
    large = bytearray(1 << 20)
    head, first, second = written(Response(200, (), (b"x", memoryview(large))))
    assert b"content-length: 1048577\r\n" in bytes(head)
    assert first == b"x"
    assert isinstance(second, memoryview)
    assert second.obj is large


@pytest.mark.parametrize(("status", "length"), [(204, False), (304, True)])
def test_no_body_where_there_may_be_none(status: int, length: bool) -> None:
    (data,) = written(Response(status, (), (b"body",)))
    assert bytes(data).endswith(b"\r\n\r\n")
    assert (b"content-length: 4" in bytes(data)) == length


def test_the_last_answer_says_so_and_a_head_alone_has_the_length() -> None:
    (data,) = written(Response(200, (), (b"body",)), connection="close", body=False)
    assert b"\r\nconnection: close\r\n" in bytes(data)
    assert b"content-length: 4\r\n" in bytes(data)
    assert bytes(data).endswith(b"\r\n\r\n")


@pytest.mark.parametrize("header", [("a b", "c"), ("x", "1\r\n2"), ("content-length", "9")])
def test_what_is_no_header_is_refused_before_anything_is_written(header: tuple[str, str]) -> None:
    transport: Any = Transport()
    with pytest.raises(ValueError, match=r"header|set by the server"):
        ResponseWriter().write(transport, Response(200, (header,), ()), "i", "", body=True)
    assert transport.written == []


def test_heads_that_differ_are_not_all_kept() -> None:
    writer, transport = ResponseWriter(), Transport()
    for number in range(2000):
        response = Response(200, (("x-number", str(number)),), ())
        writer.write(transport, response, "i", "", body=True)  # type: ignore[arg-type]
    assert len(writer._begins) <= 256
    long = Response(200, (("x-long", "y" * 5000),), ())
    writer.write(transport, long, "i", "", body=True)  # type: ignore[arg-type]
    assert all(len(begin) < 5000 for begin in writer._begins.values())
