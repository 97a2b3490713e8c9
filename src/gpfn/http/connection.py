"""A connection to a server: how it is made, and that every wait on it ends at the deadline.

A socket's own time-out is for one wait; a server that sends a byte now and then could
prolong a call without end. So the time that is left is set before each wait. Making one
goes from the name to addresses, to a socket, through a proxy's tunnel, to TLS.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from gpfn.deadline import Deadline
from gpfn.errors import CannotConnect
from gpfn.http.address import Address
from gpfn.http.writer import send

if TYPE_CHECKING:
    import ssl

__all__ = ["Connection", "connect", "tls_reason"]

_NO_LINGER = struct.pack("ii", 1, 0)
_PIECE = 1 << 16
_LONGEST = 24 * 3600.0
"""Seconds in one wait: a deadline may be infinite, a socket's time-out may not."""
_PLAIN = ("WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG")
"""How OpenSSL calls plain HTTP where it looked for the version and the length of a record."""


class Connection:
    """A connected socket, plain or encrypted, and the deadline of what it is used for."""

    __slots__ = ("_process", "_socket", "_tls", "deadline")

    def __init__(self, sock: socket.socket, deadline: Deadline, *, tls: bool = False) -> None:
        self._socket = sock
        self._tls = tls
        self._process = os.getpid()
        self.deadline = deadline

    def send(self, buffers: Sequence[bytes | memoryview]) -> None:
        """Send all buffers from where they are.

        Raises TimeoutError at the deadline, or another OSError.
        """
        if self._tls and sum(map(len, buffers)) < _PIECE:
            buffers = [b"".join(buffers)]  # one record instead of several
        send(self, buffers)

    def sendall(self, data: bytes | memoryview, /) -> None:
        """Send one buffer; a socket's time-out is for all of it."""
        self._arm()
        self._socket.sendall(data)

    def sendmsg(self, buffers: Sequence[bytes | memoryview], /) -> int:
        """Send some of the buffers and return how many bytes, as a socket does."""
        self._arm()
        if self._tls:
            return self._socket.send(buffers[0])
        return self._socket.sendmsg(buffers)

    def fileno(self) -> int:
        """Return what an event loop watches."""
        return self._socket.fileno()

    def peek(self) -> bytes:
        """Return what has come, and leave it there; for one that is not encrypted."""
        try:
            return self._socket.recv(_PIECE, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except OSError:  # nothing has, or it is broken: who reads it finds out
            return b""

    def receive(self) -> bytes:
        """Return what has come; nothing when the other side has closed.

        Raises TimeoutError at the deadline, or another OSError.
        """
        self._arm()
        return self._socket.recv(_PIECE)

    def receive_into(self, space: memoryview) -> int:
        """Receive into ``space`` and return how many bytes; 0 when the other side has closed.

        Raises TimeoutError at the deadline, or another OSError.
        """
        self._arm()
        return self._socket.recv_into(space)

    def _arm(self) -> None:
        seconds = self.deadline.at - time.monotonic()
        if seconds <= 0:
            raise TimeoutError
        self._socket.settimeout(min(seconds, _LONGEST))

    def usable(self) -> bool:
        """Say whether a kept connection may be used again.

        It may not when the other side has closed it or has sent something unasked, or when
        this process was forked from the one that made it.
        """
        if self._process != os.getpid():
            return False
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return not poll.poll(0)

    def abort(self) -> None:
        """Break it off, from whichever thread: who waits for an answer on it finds it ended."""
        with suppress(OSError):  # it may be gone already
            # of the socket below: TLS's own would send what comes next in the clear
            socket.socket.shutdown(self._socket, socket.SHUT_RD)

    def reset(self) -> None:
        """Close it so that the other side learns that nobody waits for an answer any more.

        A usual close looks to it like the end of what a client has to say.
        """
        with suppress(OSError):  # it may be gone already
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self._socket.close()

    def close(self) -> None:
        """Close it; calling it twice is harmless."""
        self._socket.close()


_MOST_HEAD = 1 << 14
_Found = list[tuple[int, int, int, str, tuple[str | int, ...]]]


def connect(
    address: Address,
    proxy: Address | None,
    context: ssl.SSLContext | None,
    deadline: Deadline,
    *,
    judge: Callable[[str], bool] | None = None,
) -> Connection:
    """Return a connection to ``address``, through ``proxy`` if there is one.

    ``judge`` says of an IP address whether it may be connected to. It is asked of every
    address that the host's name has, before any is tried, and of the peer afterwards: one
    refusal is enough.

    Raises CannotConnect, ConnectionRefusedError when nobody listens (so that trying again
    is safe), or TimeoutError at the deadline.
    """
    nearest = proxy or address
    sock = _dial(nearest.host, nearest.port, deadline, judge)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if address.scheme == "http":
            return Connection(sock, deadline)
        if proxy is not None:
            _tunnel(Connection(sock, deadline), address, proxy)
        return Connection(_encrypted(sock, address.host, context, deadline), deadline, tls=True)
    except BaseException:
        sock.close()
        raise


def _dial(
    host: str, port: int, deadline: Deadline, judge: Callable[[str], bool] | None
) -> socket.socket:
    """Return a socket connected to the first of the host's addresses that answers."""
    found = _resolve(host, port, deadline)
    _check(judge, host, [str(where[0]) for *_, where in found])
    failure: OSError = OSError("the name has no address")
    for index, (family, kind, protocol, _, where) in enumerate(found):
        remaining = deadline.remaining()
        if remaining <= 0:
            raise TimeoutError
        sock = socket.socket(family, kind, protocol)
        try:
            # one address that never answers must not use up the time of the others
            sock.settimeout(min(remaining / (len(found) - index), 3600))
            sock.connect(where)
            _check(judge, host, [sock.getpeername()[0]])
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    if isinstance(failure, TimeoutError | ConnectionRefusedError):
        raise failure
    raise CannotConnect(failure.strerror or str(failure)) from failure


def _check(judge: Callable[[str], bool] | None, host: str, addresses: Sequence[str]) -> None:
    if judge is not None and not all(map(judge, addresses)):
        raise CannotConnect(f"{host} is not a public address")


def _resolve(host: str, port: int, deadline: Deadline) -> _Found:
    """Return the addresses of a host; looking up a name has no time-out of its own."""
    try:
        return _look_up(host, port, socket.AI_NUMERICHOST)
    except socket.gaierror:
        return _resolve_name(host, port, deadline)
    except UnicodeError:  # what no name may look like: a label of 64 letters, or of none
        raise CannotConnect(f"{host[:80]!r} is not the name of a host") from None


def _resolve_name(host: str, port: int, deadline: Deadline) -> _Found:
    from threading import Thread

    answer: list[_Found | OSError] = []

    def ask() -> None:
        try:
            answer.append(_look_up(host, port, 0))
        except OSError as error:
            answer.append(error)

    thread = Thread(target=ask, name="look up a host", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:  # no more threads
        raise CannotConnect(f"{host}: {error}") from error
    thread.join(min(deadline.remaining(), 3600))
    if not answer:
        raise TimeoutError
    if isinstance(answer[0], OSError):
        raise CannotConnect(f"{host}: {answer[0].strerror}") from answer[0]
    return answer[0]


def _look_up(host: str, port: int, flags: int) -> _Found:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)  # type: ignore[return-value]


def _tunnel(connection: Connection, address: Address, proxy: Address) -> None:
    """Ask the proxy for a tunnel to ``address``."""
    host = f"[{address.host}]" if ":" in address.host else address.host
    lines = [f"CONNECT {host}:{address.port} HTTP/1.1", f"Host: {host}:{address.port}"]
    if proxy.authorization:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    connection.send(["\r\n".join([*lines, "", ""]).encode("latin-1")])
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = connection.receive()
        head += piece
        if not piece or len(head) > _MOST_HEAD or b"\r\n\r\n" in head[:-4]:
            raise CannotConnect(f"the proxy {proxy.shown} gave no tunnel")
    version, _, status = head.split(b"\r\n", 1)[0].decode("latin-1").partition(" ")
    if not version.startswith("HTTP/1.") or not status.startswith("2"):
        raise CannotConnect(f"the proxy {proxy.shown} gave no tunnel: {status[:100]!r}")


def _encrypted(
    sock: socket.socket, host: str, context: ssl.SSLContext | None, deadline: Deadline
) -> ssl.SSLSocket:
    import ssl

    if context is None:
        context = ssl.create_default_context()
    remaining = deadline.remaining()
    if remaining <= 0:
        raise TimeoutError
    sock.settimeout(min(remaining, 3600))
    try:
        return context.wrap_socket(sock, server_hostname=host)
    except TimeoutError:
        raise
    except ssl.SSLCertVerificationError as error:
        raise CannotConnect(f"TLS: {error.verify_message}") from error
    except (OSError, ValueError) as error:  # ValueError: a host that TLS cannot name
        raise CannotConnect(f"TLS: {tls_reason(error)}") from error


def tls_reason(error: OSError | ValueError) -> str:
    """Say why TLS failed, and where it is another address that is meant."""
    if getattr(error, "reason", "") in _PLAIN:
        return "the server speaks none; with http:// instead of https:// it may answer"
    return getattr(error, "strerror", None) or type(error).__name__
