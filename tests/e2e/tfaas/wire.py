"""Bytes to a server and back, over a connection of their own."""

import http.client
import socket
from collections.abc import Sequence
from typing import NamedTuple

from tests.e2e.tfaas.recordings import Answer, Exchange

__all__ = ["Wire", "request_head"]

_SECONDS = 120


class Wire(NamedTuple):
    """A server's address. Each request is sent as it was recorded, but for its Host."""

    host: str
    port: int

    def ask(self, exchange: Exchange, path: str = "") -> Answer | None:
        """Send a recorded request on a new connection; None when it is cut without a byte."""
        (answer,) = self.ask_all([exchange], [path or exchange.path])
        return answer

    def ask_all(self, exchanges: Sequence[Exchange], paths: Sequence[str]) -> list[Answer | None]:
        """Send requests on one connection, each when the one before it has been answered."""
        with socket.create_connection((self.host, self.port), _SECONDS) as connection:
            asked = zip(exchanges, paths, strict=True)
            return [self._ask(connection, exchange, path) for exchange, path in asked]

    def send(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        """Make a request that nobody has recorded; underscores of names are dashes."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection(self.host, self.port, timeout=_SECONDS)
        try:
            connection.request(method, path, body, named)
            return _answer(connection.getresponse())
        finally:
            connection.close()

    def _ask(self, connection: socket.socket, exchange: Exchange, path: str) -> Answer | None:
        connection.sendall(request_head(exchange, f"{self.host}:{self.port}", path))
        names = {name.lower(): value for name, value in exchange.headers}
        if "expect" in names:
            _expect_continue(connection)
        connection.sendall(exchange.body)
        response = http.client.HTTPResponse(connection, method=exchange.method)
        try:
            response.begin()
        except http.client.RemoteDisconnected:
            return None
        answer = _answer(response)
        if names.get("connection") == "close":
            assert connection.recv(1) == b"", "the client has asked for an end"
        return answer


def request_head(exchange: Exchange, host: str, path: str = "") -> bytes:
    """Return the head of a recorded request, with all its headers in their order."""
    lines = [f"{exchange.method} {path or exchange.path} HTTP/1.1"]
    lines += [f"{n}: {host if n == 'Host' else value}" for n, value in exchange.headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _expect_continue(connection: socket.socket) -> None:
    told = b""
    while not told.endswith(b"\r\n\r\n"):
        piece = connection.recv(1)
        assert piece, told
        told += piece
    assert told.startswith(b"HTTP/1.1 100 "), told


def _answer(response: http.client.HTTPResponse) -> Answer:
    body = response.read()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, body)
