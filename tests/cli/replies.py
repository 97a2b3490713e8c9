"""A server that answers what it is told to, and keeps what it was asked."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, NamedTuple

__all__ = ["Asked", "Scripted", "form_parts", "scripted"]


class Asked(NamedTuple):
    """A request; the names of its headers are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Scripted(NamedTuple):
    """Where it listens, and what it was asked so far."""

    url: str
    asked: list[Asked]


@contextmanager
def scripted(replies: Sequence[tuple[int, bytes]]) -> Iterator[Scripted]:
    """Answer with these, one after the other; a status of 0 closes the connection."""
    asked: list[Asked] = []
    left = list(replies)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked.append(Asked(self.command, self.path, headers, body))
            status, reply = left.pop(0)
            if status:
                self.send_response(status)
                self.send_header("content-length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

        do_POST = do_DELETE = do_PUT = do_GET

        def log_message(self, *_: Any) -> None:
            """Be quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Scripted(f"http://127.0.0.1:{server.server_port}", asked)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def form_parts(asked: Asked) -> dict[str, tuple[str, bytes]]:
    """Return the parts of a form by their names: the head below that, and the content."""
    boundary = asked.headers["content-type"].partition("boundary=")[2].encode()
    begin, *parts, end = asked.body.split(b"--" + boundary)
    assert (begin, end) == (b"", b"--\r\n")
    found = {}
    for part in parts:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name, _, more = head.decode().partition('name="')[2].partition('"')
        assert content.endswith(b"\r\n")
        found[name] = more, content[:-2]
    return found
