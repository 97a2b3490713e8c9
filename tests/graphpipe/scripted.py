"""Servers that do exactly what a test says, on real sockets."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import numpy as np

from gpfn.graphpipe.decode import decode_request
from gpfn.graphpipe.encode import encode_response
from gpfn.graphpipe.messages import InferRequest, InferResponse

__all__ = [
    "ARRAY",
    "ECHO",
    "Script",
    "Seen",
    "echo",
    "http",
    "read_request",
    "scripted",
]

Script = Callable[[socket.socket, "Seen"], None]
ARRAY = np.arange(20, dtype=np.float32).reshape(1, 20, 1)


@dataclass
class Seen:
    """What a scripted server has seen, and where it is."""

    port: int
    connections: int = 0
    requests: list[tuple[bytes, bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def header(self, name: str, request: int = -1) -> str | None:
        """Return a header of a request."""
        for line in self.requests[request][0].decode("latin-1").split("\r\n")[1:]:
            key, _, value = line.partition(":")
            if key.lower() == name:
                return value.strip()
        return None


@contextmanager
def scripted(script: Script) -> Iterator[Seen]:
    """Serve ``script`` on a free port; each connection gets a thread."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        seen = Seen(listener.getsockname()[1])
        threads: list[threading.Thread] = []
        open_sockets: list[socket.socket] = []

        def talk(sock: socket.socket) -> None:
            with sock, suppress(OSError, EOFError):
                script(sock, seen)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    sock, _ = listener.accept()
                    seen.connections += 1
                    open_sockets.append(sock)
                    threads.append(threading.Thread(target=talk, args=(sock,), daemon=True))
                    threads[-1].start()

        acceptor = threading.Thread(target=accept, daemon=True)
        acceptor.start()
        try:
            yield seen
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for sock in open_sockets:
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
            for thread in (acceptor, *threads):
                thread.join(5)


def read_request(sock: socket.socket, seen: Seen | None = None) -> bytes:
    """Read one request and return its body; raises EOFError at the end of the connection."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(65536)
        if not piece:
            raise EOFError
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    parts = [body]
    missing = length - len(body)
    while missing > 0:
        piece = sock.recv(min(missing, 1 << 20))
        if not piece:
            raise EOFError
        parts.append(piece)
        missing -= len(piece)
    body = b"".join(parts)
    if seen is not None:
        seen.requests.append((head, body))
    return body


def http(body: bytes, *headers: str, status: str = "200 OK", version: str = "1.1") -> bytes:
    """Return a reply with a Content-Length, unless the headers frame it."""
    framed = any(h.lower().startswith(("content-length", "transfer-encoding")) for h in headers)
    lines = [f"HTTP/{version} {status}", *headers]
    if not framed:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def echo(body: bytes) -> bytes:
    """Return the message that answers a request with its own tensors."""
    request = decode_request(body)
    assert isinstance(request, InferRequest)
    return b"".join(encode_response(InferResponse(request.tensors)))


def ECHO(sock: socket.socket, seen: Seen) -> None:
    """Answer every request on the connection with its own tensors."""
    while True:
        sock.sendall(http(echo(read_request(sock, seen))))
