"""A server by its URL, and requests below it: with a token, certificates, and large bodies.

What is small goes over `gpfn.http.client`, whose connections are kept. What is not goes piece
by piece over a connection of its own: a file that is sent is never in memory as a whole, nor is
one that comes. There the time that counts is the one without progress.

Every failure names the server, and nothing of the URL's user and password.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gpfn.deadline import NEVER, Deadline
from gpfn.errors import (
    BackendError,
    BackendTimeout,
    BrokenReply,
    CannotConnect,
    SetupError,
    TooLarge,
)
from gpfn.http.address import parse_url, proxy_for, request_head
from gpfn.http.client import HttpClient
from gpfn.http.connection import Connection, connect
from gpfn.http.response import Closed, HttpResponse, IncomingResponse, read_response
from gpfn.http.writer import check_header
from gpfn.traceparent import parent_line

if TYPE_CHECKING:
    import ssl

__all__ = ["Site", "tls_context"]

_MOST_BODY = 64 << 20
_IDENTITY = (("Accept-Encoding", "identity"),)


class Site:
    """A server and the path that its own paths stand behind; threads may share it.

    Args:
        url: Up to the paths: ``https://host/base`` for ``/base/models``.
        token: Sent as ``Authorization: Bearer``, if there is one.
        headers: More of them, for every request.
        context: For https; the system's certificates when there is none.
        timeout: Seconds for a small request, its answer included.
        connect_timeout: Seconds for connecting.
        stall: Seconds without any progress, for what is large.
        limit: Most bytes of an answer that is read as a whole.
        environ: Where the proxy is looked up.

    Raises:
        SetupError: For a URL, a proxy or a token that cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str = "",
        headers: Sequence[tuple[str, str]] = (),
        context: ssl.SSLContext | None = None,
        timeout: float = 60.0,
        connect_timeout: float = 5.0,
        stall: float = 60.0,
        limit: int = _MOST_BODY,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        address = parse_url(url)
        path, mark, _ = address.target.partition("?")
        if mark:
            raise SetupError("has a query, and paths are to be put behind it", field="url")
        self._address = address._replace(target=path)
        self._prefix = path.rstrip("/")
        self._proxy = proxy_for(address, environ)
        self._headers = (*_IDENTITY, *headers, *_authorised(token))
        self._context = context
        self._timeout, self._connect_timeout, self._stall = timeout, connect_timeout, stall
        self._limit = limit
        self._http = HttpClient(
            self._address,
            proxy=self._proxy,
            headers=self._headers,
            connect_timeout=connect_timeout,
            limit=limit,
            context=context,
        )

    @property
    def shown(self) -> str:
        """The URL for people."""
        return self._address.shown

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Sequence[tuple[str, str]] = (),
        *,
        deadline: Deadline = NEVER,
    ) -> HttpResponse:
        """Send a small request and return the answer, whatever its status.

        ``path`` begins with a slash, and is encoded by the caller. Raises CannotConnect,
        BackendTimeout, BrokenReply.
        """
        until = deadline.earlier(Deadline.after(self._timeout))
        more = (*headers, ("Content-Length", "0")) if body == b"" else headers
        head = self._http.head(method, self._prefix + path, more)
        return self._http.send(head, [body] if body else [], until)

    def send(
        self,
        method: str,
        path: str,
        pieces: Iterable[bytes | memoryview],
        length: int,
        headers: Sequence[tuple[str, str]] = (),
    ) -> HttpResponse:
        """Send a body of ``length`` bytes piece by piece and return the answer.

        A server that answers before all of it has come is listened to: it refuses. Raises as
        :meth:`ask` does, and what ``pieces`` raises.
        """
        framed = (*headers, ("Content-Length", str(length)))
        connection = self._begun(method, path, framed)
        try:
            for piece in pieces:
                if not self._sent(connection, piece):
                    break
            with self._told():
                connection.deadline = Deadline.after(self._timeout)
                return read_response(connection, self._limit)
        finally:
            connection.close()

    def receive(self, path: str, size: int, write: Callable[[bytes], object]) -> HttpResponse:
        """Ask for what is large, and give a body of at most ``size`` bytes to ``write``.

        That is done when the status is 200; of any other answer the body is in what is
        returned. Raises as :meth:`ask` does, and what ``write`` raises.
        """
        connection = self._begun("GET", path, ())
        try:
            with self._told():
                response = IncomingResponse(connection)
                told = response.status, response.reason, response.headers
                if response.status != 200:
                    return HttpResponse(*told, response.read(self._limit), reusable=False)
                coming = response.pieces(size)
            while piece := self._next(connection, coming):
                write(piece)
            return HttpResponse(*told, b"", reusable=False)
        finally:
            connection.close()

    def close(self) -> None:
        """Close the connections; a later request opens a new one."""
        self._http.close()

    def _begun(self, method: str, path: str, headers: Sequence[tuple[str, str]]) -> Connection:
        """Return a connection on which the head of a request has been sent."""
        every = (*self._headers, *headers, ("Connection", "close"))
        address = self._address._replace(target=self._prefix + path)
        head = request_head(method, address, self._proxy, every) + parent_line() + b"\r\n\r\n"
        with self._told():
            until = Deadline.after(self._connect_timeout)
            connection = connect(self._address, self._proxy, self._context, until)
            connection.deadline = Deadline.after(self._stall)
            try:
                connection.send([head])
            except BaseException:
                connection.close()
                raise
            return connection

    def _sent(self, connection: Connection, piece: bytes | memoryview) -> bool:
        """Send a piece; false when the server takes no more, and has perhaps said why."""
        if self._address.scheme == "http" and not connection.usable():
            return False
        with self._told():
            connection.deadline = Deadline.after(self._stall)
            try:
                connection.send([piece])
            except ConnectionError:
                return False
            return True

    def _next(self, connection: Connection, coming: Iterator[bytes]) -> bytes:
        with self._told():
            connection.deadline = Deadline.after(self._stall)
            return next(coming, b"")

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Make of what breaks a connection the errors that there are for it."""
        shown = self.shown
        try:
            yield
        except TimeoutError:
            raise BackendTimeout(f"{shown}: no progress within {self._stall:g} s") from None
        except ConnectionRefusedError as error:
            raise CannotConnect(f"{shown}: connection refused: nothing listens there") from error
        except BackendError as error:
            raise type(error)(f"{shown}: {error.detail}") from error.__cause__
        except TooLarge as error:
            raise BrokenReply(f"{shown}: {error.detail}") from error.__cause__
        except Closed as error:
            raise BrokenReply(f"{shown}: it closed the connection without a reply") from error
        except OSError as error:
            detail = error.strerror or type(error).__name__
            raise BrokenReply(f"{shown}: the connection broke: {detail}") from error


def _authorised(token: str) -> tuple[tuple[str, str], ...]:
    if not token:
        return ()
    value = f"Bearer {token}"
    try:
        check_header("Authorization", value)
        value.encode("ascii")
    except ValueError:
        raise SetupError("a token is a word in ASCII", field="token") from None
    return (("Authorization", value),)


def tls_context(*, key: str = "", certificate: str = "", folder: str = "") -> ssl.SSLContext:
    """Return how to talk TLS: with a client's certificate, with authorities of a folder.

    ``folder`` is one as OpenSSL hashes it; ``key`` and ``certificate`` are files, of which one
    may hold both. Raises SetupError for what cannot be read.
    """
    import ssl

    try:
        context = ssl.create_default_context(capath=folder or None)
    except OSError as error:
        raise SetupError(f"cannot be read: {error.strerror}", field="capath") from None
    if key or certificate:
        try:
            context.load_cert_chain(certificate or key, key or None)
        except OSError as error:  # ssl.SSLError is one
            told = error.strerror or str(error)
            raise SetupError(f"no certificate with its key: {told}", field="cert") from None
    return context
