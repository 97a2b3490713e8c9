"""Fetches a URL that a caller named, without letting the caller reach our own network.

A function that fetches URLs for strangers can be made to ask the cloud's metadata
service, a database or itself (server-side request forgery). So: http and https only, no
credentials, public addresses only. The address that was checked is the one that is
connected to, since a name may resolve differently a moment later, and the peer is checked
again after connecting. Every redirect is a new URL under the same rules. Size and time are
bounded. Proxies of the environment are not used: they would connect for us, to an address
that cannot be checked here.

Who runs it may name hosts of their own network that are fetched all the same. Such a host is
known by its spelling alone: ``2130706433`` and ``[::ffff:127.0.0.1]`` are no other words for an
allowed ``127.0.0.1``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urljoin, urlsplit

from gpfn.deadline import Deadline
from gpfn.errors import BackendError, CallerError, SetupError, TooLarge
from gpfn.http.address import Address, request_head
from gpfn.http.connection import Connection, connect
from gpfn.http.get import REDIRECTS
from gpfn.http.public import is_public
from gpfn.http.response import Closed, IncomingResponse
from gpfn.media import essence
from gpfn.scope import SCOPE

if TYPE_CHECKING:
    import ssl

__all__ = ["FetchPolicy", "Fetched", "UrlRefused", "fetch", "fetch_page", "parse_hosts"]

_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]{2,45}")
_NUMBER = re.compile(r"(?:.*\.)?(?:\d+|0x[0-9a-f]*)\.?", re.IGNORECASE)
"""What a resolver may read as an IPv4 address; only four decimal numbers are one here."""
_ENTRY = re.compile(
    r"(?:\[([0-9A-Fa-f.]*:[0-9A-Fa-f:.]*)\]|([A-Za-z0-9._-]{1,253}))(?::(\d{1,5}))?"
    r"|([0-9A-Fa-f:.]{2,45})"
)
_LONGEST = 8000
_NOT_KEPT = frozenset(("no-store", "no-cache", "private", "max-age=0"))


class UrlRefused(CallerError):
    """A URL that is not fetched, or that did not give what was asked for."""

    type = "url-refused"
    title = "URL refused"


@dataclass(frozen=True, slots=True)
class FetchPolicy:
    """What may be fetched; ``allowed`` decides on an address (public ones by default).

    ``hosts`` may be fetched wherever they are, as :func:`parse_hosts` gives them: one with a
    port on that port, one without on ``ports``.
    """

    max_bytes: int
    seconds: float = 5.0
    redirects: int = 3
    ports: tuple[int, ...] = (80, 443)
    allowed: Callable[[str], bool] = is_public
    hosts: tuple[str, ...] = ()


class Fetched(NamedTuple):
    """What a URL gave: its content, of what type the server says it is, where it was at last.

    ``media_type`` is in lower case, without parameters, empty when nothing was said. ``may_keep``
    says that the server allows the content to be kept for others.
    """

    content: bytes
    media_type: str
    url: str
    may_keep: bool


def fetch(url: str, policy: FetchPolicy, deadline: Deadline, *, field: str = "url") -> bytes:
    """Return the content of a URL, as :func:`fetch_page` does. Raises what that raises."""
    return fetch_page(url, policy, deadline, field=field).content


def fetch_page(url: str, policy: FetchPolicy, deadline: Deadline, *, field: str = "url") -> Fetched:
    """Return what a public http or https URL gives, as it is: no content coding is undone.

    It takes no longer than ``policy.seconds`` and the deadline.

    Raises:
        UrlRefused: With the reason; ``field`` is the caller's name for the URL.
        TooLarge: Over ``policy.max_bytes``.
    """
    limit = deadline.earlier(Deadline.after(policy.seconds))
    try:
        for _ in range(policy.redirects + 1):
            answer = _ask(url, policy, limit, field)
            if isinstance(answer, Fetched):
                return answer
            url = _joined(url, answer, field)
    except TimeoutError:
        raise UrlRefused("took too long", field=field) from None
    except TooLarge as error:
        raise TooLarge(error.detail, field=field) from None
    except (BackendError, Closed, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UrlRefused(f"cannot be fetched: {reason}", field=field) from None
    raise UrlRefused(f"more than {policy.redirects} redirects", field=field)


def parse_hosts(text: str, *, field: str) -> tuple[str, ...]:
    """Return the hosts in a list with commas, such as ``pictures.internal,[::1]:8080``.

    Each is a name, an IPv4 address of four decimal numbers or an IPv6 address, with ``:PORT``
    behind it or not. Raises SetupError for anything else.
    """
    return tuple(_allowed_host(entry, field) for entry in text.replace(",", " ").split())


def _allowed_host(entry: str, field: str) -> str:
    from ipaddress import ip_address

    found = _ENTRY.fullmatch(entry)
    host = found[1] or found[2] or found[4] if found else ""
    port = int(found[3]) if found and found[3] else None
    try:
        if ":" in host or _NUMBER.fullmatch(host):
            host = str(ip_address(host))
    except ValueError:
        host = ""
    if not host or port == 0 or (port or 0) >= 1 << 16:
        told = "expected hosts with commas, such as pictures.internal:8080"
        raise SetupError(f"{told}, got {entry[:80]!r}", field=field)
    return _authority(host.lower(), port)


def _authority(host: str, port: int | None) -> str:
    shown = f"[{host}]" if ":" in host else host
    return shown if port is None else f"{shown}:{port}"


def _ask(url: str, policy: FetchPolicy, limit: Deadline, field: str) -> Fetched | str:
    """Return what the URL gives, or where it redirects to."""
    address = _checked(url, policy, field)
    ours = {_authority(address.host, port) for port in (address.port, None)}
    judge = policy.allowed if ours.isdisjoint(policy.hosts) else None
    context = _context() if address.scheme == "https" else None
    connection = connect(address, None, context, limit, judge=judge)
    scope = SCOPE.get()
    try:
        if scope is not None:
            scope.watch(connection.abort)
        found = _answer(connection, url, address, policy, field)
    finally:
        if scope is not None:
            scope.forget(connection.abort)
        connection.close()
    if scope is not None and scope.cancelled:  # what was broken off may look like a whole answer
        raise TimeoutError
    return found


@cache
def _context() -> ssl.SSLContext:
    """Return what every server's certificate is checked with: reading it takes milliseconds."""
    import ssl

    return ssl.create_default_context()


def _answer(
    connection: Connection, url: str, address: Address, policy: FetchPolicy, field: str
) -> Fetched | str:
    headers = [("Accept", "*/*"), ("Accept-Encoding", "identity"), ("Connection", "close")]
    connection.send([request_head("GET", address, None, headers) + b"\r\n\r\n"])
    response = IncomingResponse(connection)
    location = response.headers.get("location")
    if response.status in REDIRECTS and location:
        return location
    if response.status != 200:
        raise UrlRefused(f"answered with status {response.status}", field=field)
    content = bytes(response.read(policy.max_bytes))
    told = response.headers.get("cache-control", "").lower().replace(" ", "").split(",")
    media_type = essence(response.headers.get("content-type", ""))
    return Fetched(content, media_type, url, _NOT_KEPT.isdisjoint(told))


def _joined(url: str, location: str, field: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise UrlRefused(f"redirects to what is not a URL: {error}", field=field) from None


def _checked(url: str, policy: FetchPolicy, field: str) -> Address:
    if len(url) > _LONGEST:
        raise UrlRefused(f"a URL has at most {_LONGEST} characters", field=field)
    if not url.isascii() or any(character <= " " or character == "\x7f" for character in url):
        raise UrlRefused("control characters, spaces and non-ASCII have to be escaped", field=field)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UrlRefused(f"not a URL: {error}", field=field) from None
    if parts.scheme not in _PORTS:
        raise UrlRefused("only http and https are fetched", field=field)
    if parts.username is not None or parts.password is not None:
        raise UrlRefused("credentials in a URL are not sent", field=field)
    if not host:
        raise UrlRefused("no host", field=field)
    if not _HOST.fullmatch(host):
        raise UrlRefused("its host is not a name and not an IP address", field=field)
    port = _PORTS[parts.scheme] if port is None else port
    if port not in policy.ports and _authority(host, port) not in policy.hosts:
        raise UrlRefused(f"port {port} is not fetched from", field=field)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Address(parts.scheme, host, port, target)
