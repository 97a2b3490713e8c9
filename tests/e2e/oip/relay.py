"""A port that hands everything on to another one and keeps what went through.

Nothing is changed but the Host of requests: it names the other port, as without the relay.
"""

import http.client
import io
import socket
import threading
import zlib
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["Answer", "Asked", "Exchange", "Relay", "plain"]

Headers = list[tuple[str, str]]


class Asked(NamedTuple):
    """A request; header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Answer(NamedTuple):
    """A response; header names are in lower case, the body is as it came."""

    status: int
    headers: dict[str, str]
    body: bytes


class Exchange(NamedTuple):
    """A request with its response; None when the connection ended before."""

    asked: Asked
    answer: Answer | None


class Relay:
    """Listens on a free ``port`` of loopback; `taken` returns the exchanges since last time."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._flows: list[tuple[bytearray, bytearray]] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def taken(self) -> list[Exchange]:
        """Return what has gone through; forget it and end the connections' records."""
        flows, self._flows = self._flows, []
        return [each for up, down in flows for each in _exchanges(bytes(up), bytes(down))]

    def close(self) -> None:
        """Listen no more."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:  # closed
                return
            far = socket.create_connection(("127.0.0.1", self._target))
            up, down = bytearray(), bytearray()
            self._flows.append((up, down))
            host = f":{self.port}\r\n".encode(), f":{self._target}\r\n".encode()
            for way in ((near, far, up, host), (far, near, down, None)):
                way[1].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=_pass_on, args=way, daemon=True).start()


def plain(body: bytes, encoding: str) -> bytes:
    """Return a body without its Content-Encoding."""
    if encoding in ("gzip", "deflate"):
        return zlib.decompress(body, 47)
    assert encoding in ("", "identity"), encoding
    return body


def _pass_on(
    source: socket.socket, sink: socket.socket, kept: bytearray, host: tuple[bytes, bytes] | None
) -> None:
    try:
        while piece := source.recv(65536):
            kept += piece
            if host is not None:
                piece = piece.replace(*host, 1)
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)
    except OSError:  # one of the two has gone
        sink.close()


class _Bytes(io.BytesIO):
    """What http.client takes for a socket: it closes the file, and does not end the bytes."""

    def makefile(self, *_: object) -> "_Bytes":
        return self

    def close(self) -> None:
        """Stay open for the next response."""


def _exchanges(up: bytes, down: bytes) -> Iterator[Exchange]:
    answers = _Bytes(down)
    for asked in _requests(up):
        yield Exchange(asked, _answer(answers, asked.method))


def _requests(up: bytes) -> Iterator[Asked]:
    while up:
        head, _, rest = up.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ")
        headers = {
            name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)
        }
        assert "transfer-encoding" not in headers, "no client here sends chunks"
        size = int(headers.get("content-length", 0))
        yield Asked(method, path, headers, rest[:size])
        up = rest[size:]


def _answer(answers: _Bytes, method: str) -> Answer | None:
    if answers.tell() == len(answers.getvalue()):
        return None
    response = http.client.HTTPResponse(answers, method=method)  # type: ignore[arg-type]
    response.begin()
    body = response.read()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, body)
