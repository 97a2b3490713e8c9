"""Fetches a URL that a caller named, without letting the caller reach our own network.

A function that fetches URLs for strangers can be made to ask the cloud's metadata
service, a database or itself (server-side request forgery). So: http and https only, no
credentials, public addresses only. The address that was checked is the one that is
connected to, since a name may resolve differently a moment later, and the peer is checked
again after connecting. Every redirect is a new URL under the same rules. Size and time are
bounded. Proxies of the environment are not used: they would connect for us, to an address
that cannot be checked here.
"""

import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import SplitResult, urljoin, urlsplit

from gpfn.deadline import Deadline
from gpfn.errors import CallerError, TooLarge

__all__ = ["FetchPolicy", "UrlRefused", "fetch"]

_PIECE = 64 << 10
_REDIRECTS = frozenset([301, 302, 303, 307, 308])


class UrlRefused(CallerError):
    """A URL that is not fetched, or that did not give what was asked for."""

    type = "url-refused"
    title = "URL refused"


def _is_public(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        ip = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None) or ip
    nat64 = ipaddress.ip_network("64:ff9b::/96")
    return ip.is_global and not ip.is_multicast and not (ip.version == 6 and ip in nat64)


@dataclass(frozen=True, slots=True)
class FetchPolicy:
    """What may be fetched; ``allowed`` decides on an address (public ones by default)."""

    max_bytes: int
    seconds: float = 5.0
    redirects: int = 3
    ports: tuple[int, ...] = (80, 443)
    allowed: Callable[[str], bool] = _is_public


def fetch(url: str, policy: FetchPolicy, deadline: Deadline, *, field: str = "url") -> bytes:
    """Return the content of a public http or https URL.

    It takes no longer than ``policy.seconds`` and the deadline.

    Raises:
        UrlRefused: With the reason; ``field`` is the caller's name for the URL.
        TooLarge: Over ``policy.max_bytes``.
    """
    limit = deadline.earlier(Deadline.after(policy.seconds))
    for _ in range(policy.redirects + 1):
        try:
            answer = _ask(url, policy, limit, field)
        except (OSError, http.client.HTTPException) as error:
            if limit.expired() or isinstance(error, TimeoutError):
                raise UrlRefused("took too long", field=field) from None
            raise UrlRefused(
                f"cannot be fetched: {error or type(error).__name__}", field=field
            ) from None
        if isinstance(answer, bytes):
            return answer
        url = answer
    raise UrlRefused(f"more than {policy.redirects} redirects", field=field)


def _ask(url: str, policy: FetchPolicy, limit: Deadline, field: str) -> bytes | str:
    """Return the content, or the URL that a redirect names."""
    parts, port = _checked(url, policy, field)
    host = parts.hostname or ""
    connection = _CheckedPeer(host, port)
    sock = _connect(host, port, policy, limit, field)
    connection.sock = sock
    # a server that sends slowly would restart the socket's time-out with every byte
    watchdog = threading.Timer(_left(limit), _cut, [connection])
    watchdog.start()
    try:
        if parts.scheme == "https":
            connection.sock = secure = ssl.create_default_context().wrap_socket(
                sock, server_hostname=host, do_handshake_on_connect=False
            )
            secure.do_handshake()
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", path, headers={"Accept": "*/*", "Accept-Encoding": "identity"})
        reply = connection.getresponse()
        location = reply.getheader("location")
        if reply.status in _REDIRECTS and location:
            return urljoin(url, location)
        if reply.status != 200:
            raise UrlRefused(f"answered with status {reply.status}", field=field)
        return _content(reply, policy, limit, field)
    finally:
        watchdog.cancel()
        connection.close()


class _CheckedPeer(http.client.HTTPConnection):
    """Uses the socket that was checked, and never opens one itself."""

    auto_open = 0


def _checked(url: str, policy: FetchPolicy, field: str) -> tuple[SplitResult, int]:
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    except ValueError as error:
        raise UrlRefused(f"not a URL: {error}", field=field) from None
    if parts.scheme not in ("http", "https"):
        raise UrlRefused("only http and https are fetched", field=field)
    if parts.username is not None or parts.password is not None:
        raise UrlRefused("credentials in a URL are not sent", field=field)
    if not parts.hostname:
        raise UrlRefused("no host", field=field)
    if port not in policy.ports:
        raise UrlRefused(f"port {port} is not fetched from", field=field)
    if not url.isascii() or any(character <= " " for character in url):
        raise UrlRefused("control characters, spaces and non-ASCII have to be escaped", field=field)
    return parts, port


def _connect(
    host: str, port: int, policy: FetchPolicy, limit: Deadline, field: str
) -> socket.socket:
    addresses = _resolve(host, port, limit, field)
    refused = [address for _, address in addresses if not policy.allowed(address)]
    if refused:  # a private address among public ones is an attack
        raise UrlRefused(f"{host} is not a public address", field=field)
    family, address = addresses[0]
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(_left(limit))
        sock.connect((address, port))
    except BaseException:
        sock.close()
        raise
    if not policy.allowed(sock.getpeername()[0]):
        sock.close()
        raise UrlRefused(f"{host} is not a public address", field=field)
    return sock


def _resolve(
    host: str, port: int, limit: Deadline, field: str
) -> list[tuple[socket.AddressFamily, str]]:
    """Return the host's addresses; looking up has no time-out of its own, so a thread does it."""
    found: list[tuple[socket.AddressFamily, str]] = []
    failures: list[Exception] = []

    def look_up() -> None:
        try:
            for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
                found.append((family, str(address[0])))
        except (OSError, UnicodeError) as error:
            failures.append(error)

    thread = threading.Thread(target=look_up, name="gpfn-resolve", daemon=True)
    thread.start()
    thread.join(_left(limit))
    if thread.is_alive():
        raise TimeoutError
    if failures:
        raise UrlRefused(f"{host} is not known: {failures[0]}", field=field)
    return found


def _cut(connection: _CheckedPeer) -> None:
    try:
        # not the method of a TLS socket, which another thread is using
        socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)
    except (OSError, TypeError):
        return  # the request has ended before its time-out


def _content(
    reply: http.client.HTTPResponse, policy: FetchPolicy, limit: Deadline, field: str
) -> bytes:
    if (reply.length or 0) > policy.max_bytes:
        raise TooLarge(f"{reply.length} bytes; the limit is {policy.max_bytes}", field=field)
    pieces, received = [], 0
    while piece := reply.read1(_PIECE):
        received += len(piece)
        if received > policy.max_bytes:
            raise TooLarge(f"more than {policy.max_bytes} bytes", field=field)
        pieces.append(piece)
    _left(limit)
    if reply.length:
        raise UrlRefused("the connection broke before the end", field=field)
    return b"".join(pieces)


def _left(limit: Deadline) -> float:
    left = limit.remaining()
    if left <= 0:
        raise TimeoutError
    return left
