"""A server in a thread that answers as a list says, whatever it is asked."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gpfn.http.address import Address

__all__ = ["CLOSE", "ok", "replying"]

CLOSE = b""
"""In place of a reply: the connection is closed."""


def ok(body: bytes, head: bytes = b"") -> bytes:
    """Return a reply with a body."""
    return b"HTTP/1.1 200 OK\r\n%scontent-length: %d\r\n\r\n%s" % (head, len(body), body)


@contextmanager
def replying(answer: Callable[[int], bytes | list[bytes]]) -> Iterator[Address]:
    """Answer the requests of all connections by their number; pieces are sent apart."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        port = listening.getsockname()[1]
        number, lock = iter(range(1 << 60)), threading.Lock()

        def serve(sock: socket.socket) -> None:
            with sock:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while sock.recv(1 << 16):
                    with lock:
                        reply = answer(next(number))
                    for piece in [reply] if isinstance(reply, bytes) else reply:
                        if not piece:
                            return
                        sock.sendall(piece)

        def accept() -> None:
            while True:
                try:
                    sock, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=_quietly, args=(serve, sock), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield Address("http", "127.0.0.1", port)
        finally:
            listening.shutdown(socket.SHUT_RDWR)


def _quietly(serve: Callable[[socket.socket], None], sock: socket.socket) -> None:
    try:
        serve(sock)
    except OSError:
        return  # the load has ended
