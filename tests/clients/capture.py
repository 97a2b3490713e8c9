"""A server that keeps what clients send, to the byte, and answers as a test says."""

import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

__all__ = ["PREDICTED", "Capture", "Reply", "Request", "capturing", "free_port"]

PREDICTED = bytes.fromhex("0a0515e077873e")
"""Predictions as a real TFaaS sent them: one without a label, 0.264586."""


class Reply(NamedTuple):
    """An answer. ``how`` is "cut" (none at all), "short" (a byte too few), "hang" or "close"
    (answered, then closed without a word of it)."""

    status: int = 200
    body: bytes = PREDICTED
    headers: Mapping[str, str] = {}
    how: str = ""


class Request(NamedTuple):
    """A request as it came; the connection's number, and its certificate's subject with TLS."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes
    connection: int
    subject: str

    def header(self, name: str) -> str | None:
        """Return the value of a header."""
        return {each.lower(): value for each, value in self.headers}.get(name.lower())


class Capture(ThreadingHTTPServer):
    """Answers paths as ``replies`` says, and all others with `PREDICTED`."""

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, replies: Mapping[str, Reply], tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.replies = dict(replies)
        self.tls = tls
        self.seen: list[Request] = []
        self.ending = threading.Event()
        self._connections = iter(range(1_000_000))

    def url(self, path: str = "/proto", host: str = "localhost") -> str:
        """Return the URL of a path here."""
        return f"{'https' if self.tls else 'http'}://{host}:{self.server_port}{path}"

    @property
    def connections(self) -> int:
        """How many connections there were that sent a request."""
        return len({request.connection for request in self.seen})

    def get_request(self) -> tuple[Any, Any]:
        """Number a connection."""
        sock, _ = super().get_request()
        return sock, next(self._connections)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that leave."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Capture

    def setup(self) -> None:
        """Begin with TLS where there is some."""
        if self.server.tls:
            self.request = self.server.tls.wrap_socket(self.request, server_side=True)
        super().setup()

    def answer(self) -> None:
        """Keep the request; answer it as is said."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        request = Request(
            self.command, self.path, self.headers.items(), body, self._number, self._subject()
        )
        self.server.seen.append(request)
        reply = self.server.replies.get(self.path, Reply())
        if reply.how == "hang":
            self.server.ending.wait()
        self.close_connection = reply.how in ("cut", "hang", "short", "close")
        if reply.how not in ("cut", "hang"):
            self.wfile.write(_wire(reply))

    do_POST = do_GET = answer

    @property
    def _number(self) -> int:
        return self.client_address  # type: ignore[return-value]  # see Capture.get_request

    def _subject(self) -> str:
        if not isinstance(self.request, ssl.SSLSocket):
            return ""
        shown: Any = self.request.getpeercert() or {"subject": ()}
        return ",".join("=".join(pair) for part in shown["subject"] for pair in part)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _wire(reply: Reply) -> bytes:
    headers = {"Content-Length": str(len(reply.body)), **reply.headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    body = reply.body[: -1 if reply.how == "short" else None]
    return f"HTTP/1.1 {reply.status} Any\r\n{head}\r\n".encode() + body


@contextmanager
def capturing(
    replies: Mapping[str, Reply] = {},
    tls: ssl.SSLContext | None = None,
) -> Iterator[Capture]:
    """Run a server on a free port of loopback."""
    with Capture(replies, tls) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.ending.set()
            server.shutdown()
            thread.join()


def free_port() -> int:
    """Return a port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port
