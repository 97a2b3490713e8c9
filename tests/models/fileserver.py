"""A real HTTP server on the loopback interface that can be told to misbehave."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["FileServer", "Request", "Rule", "file_server"]


@dataclass
class Rule:
    """How one path is answered; the defaults make a well-behaved file."""

    body: bytes = b""
    status: int = 200
    etag: str = '"v1"'
    ranges: bool = True
    location: str = ""
    encoding: str = ""
    content_range: str = ""
    with_length: bool = True
    breaks_after: list[int] = field(default_factory=list)
    """For each answer in turn, after how many body bytes the connection is closed."""
    statuses: list[int] = field(default_factory=list)
    """For each answer in turn, a status other than ``status``."""
    pause: float = 0.0
    """Seconds between pieces of a hundred bytes."""
    silence: float = 0.0
    """Seconds before the first byte of the answer."""


@dataclass(frozen=True)
class Request:
    """What was asked."""

    path: str
    headers: dict[str, str]


class FileServer:
    """Paths with their rules, and the requests that have come."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.rules: dict[str, Rule] = {}
        self.requests: list[Request] = []

    def put(self, path: str, body: bytes = b"", **rule: object) -> str:
        """Answer ``path`` as told and return its URL."""
        self.rules[path] = Rule(body, **rule)  # type: ignore[arg-type]
        return self.url + path


@contextmanager
def file_server() -> Iterator[FileServer]:
    """Serve until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.files = FileServer(server.server_address[1])  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.files  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        files: FileServer = self.server.files  # type: ignore[attr-defined]
        files.requests.append(Request(self.path, {k.lower(): v for k, v in self.headers.items()}))
        rule = files.rules.get(self.path.split("?")[0], Rule(b"nothing here", 404))
        time.sleep(rule.silence)
        start = self._start(rule)
        status = rule.statuses.pop(0) if rule.statuses else rule.status
        body = rule.body[start:]
        if start >= len(rule.body) > 0:
            status, body = 416, b""
        elif start and status == 200:
            status = 206
        self._head(rule, status, start, len(body))
        self._body(rule, body)

    def _start(self, rule: Rule) -> int:
        wanted = self.headers.get("Range", "")
        if not rule.ranges or not wanted.startswith("bytes="):
            return 0
        if self.headers.get("If-Range") != rule.etag:
            return 0
        return int(wanted[len("bytes=") :].rstrip("-"))

    def _head(self, rule: Rule, status: int, start: int, length: int) -> None:
        self.send_response(status)
        if rule.etag:
            self.send_header("ETag", rule.etag)
        if rule.location:
            self.send_header("Location", rule.location)
        if rule.encoding:
            self.send_header("Content-Encoding", rule.encoding)
        if status == 206:
            told = f"bytes {start}-{len(rule.body) - 1}/{len(rule.body)}"
            self.send_header("Content-Range", rule.content_range or told)
        if rule.with_length:
            self.send_header("Content-Length", str(length))
        else:
            self.send_header("Connection", "close")
        self.end_headers()

    def _body(self, rule: Rule, body: bytes) -> None:
        if rule.breaks_after:
            body = body[: rule.breaks_after.pop(0)]
            self.close_connection = True
        step = 100 if rule.pause else len(body) or 1
        for at in range(0, len(body), step):
            try:
                self.wfile.write(body[at : at + step])
            except OSError:  # the client has had enough
                self.close_connection = True
                return
            time.sleep(rule.pause)
