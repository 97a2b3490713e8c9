"""A server that gives prepared replies one after the other, and keeps what it was asked.

The replies are those of recordings (``shared/reference/wire``), so that a client of ours meets
what real servers say, and what it sends can be held against what real clients sent.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Answer", "Asked", "Replayed", "exchanges", "replayed", "sent"]


class Answer(NamedTuple):
    """What the server says to one request."""

    status: int
    body: str = ""
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)


class Asked(NamedTuple):
    """A request as it came; names of headers in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def essence(self) -> tuple[str, str, object, str]:
        """What two clients that ask for the same have in common."""
        body: object = self.body.decode()
        media = self.headers.get("content-type", "") if self.body else ""
        if media == "application/json":
            body = json.loads(self.body)
        return self.method, self.path, body, media


class Replayed(NamedTuple):
    """The running server: its URL, and what it was asked so far."""

    url: str
    asked: list[Asked]


def exchanges(recording: Path, command: str) -> list[dict[str, Any]]:
    """Return the exchanges of a recorded command."""
    rows = map(json.loads, recording.read_text().splitlines())
    (found, *_) = [row["exchanges"] for row in rows if row["command"] == command]
    return list(found)


def sent(exchange: dict[str, Any]) -> Asked:
    """Return the request of an exchange."""
    request = exchange["request"]
    headers = {name.lower(): value for name, value in request["headers"]}
    return Asked(request["method"], request["path"], headers, request["body"].encode())


@contextmanager
def replayed(answers: Iterable[Answer | dict[str, Any]]) -> Iterator[Replayed]:
    """Serve answers, or those of exchanges, in their order; 500 when there are no more."""
    left = iter([_answer(answer) for answer in answers])
    asked: list[Asked] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _reply(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            names = {name.lower(): value for name, value in self.headers.items()}
            asked.append(Asked(self.command, self.path, names, body))
            answer = next(left, Answer(500, '{"message": "nobody prepared this request"}'))
            data = answer.body.replace("http://127.0.0.1:18081", url).encode()
            self.send_response(answer.status)
            for name, value in answer.headers:
                if name.lower() not in ("content-length", "date", "server"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_DELETE = _reply

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield Replayed(url, asked)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(answer: Answer | dict[str, Any]) -> Answer:
    if isinstance(answer, Answer):
        return answer
    response = answer["response"]
    headers = tuple((name, value) for name, value in response["headers"])
    return Answer(response["status"], response["body"], headers)
