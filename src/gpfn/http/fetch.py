"""Fetches a URL that a caller named, without letting the caller reach our own network.

A function that fetches URLs for strangers can be made to ask the cloud's metadata
service, a database or itself (server-side request forgery). So: http and https only, no
credentials, public addresses only. The address that was checked is the one that is
connected to, since a name may resolve differently a moment later, and the peer is checked
again after connecting. Every redirect is a new URL under the same rules. Size and time are
bounded. Proxies of the environment are not used: they would connect for us, to an address
that cannot be checked here.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from gpfn.deadline import Deadline
from gpfn.errors import BackendError, CallerError, TooLarge
from gpfn.http.address import Address, request_head
from gpfn.http.connection import Connection, connect
from gpfn.http.get import REDIRECTS
from gpfn.http.public import is_public
from gpfn.http.response import Closed, IncomingResponse

__all__ = ["FetchPolicy", "UrlRefused", "fetch"]

_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]{2,45}")
_LONGEST = 8000


class UrlRefused(CallerError):
    """A URL that is not fetched, or that did not give what was asked for."""

    type = "url-refused"
    title = "URL refused"


@dataclass(frozen=True, slots=True)
class FetchPolicy:
    """What may be fetched; ``allowed`` decides on an address (public ones by default)."""

    max_bytes: int
    seconds: float = 5.0
    redirects: int = 3
    ports: tuple[int, ...] = (80, 443)
    allowed: Callable[[str], bool] = is_public


def fetch(url: str, policy: FetchPolicy, deadline: Deadline, *, field: str = "url") -> bytes:
    """Return the content of a public http or https URL.

    It takes no longer than ``policy.seconds`` and the deadline.

    Raises:
        UrlRefused: With the reason; ``field`` is the caller's name for the URL.
        TooLarge: Over ``policy.max_bytes``.
    """
    limit = deadline.earlier(Deadline.after(policy.seconds))
    try:
        for _ in range(policy.redirects + 1):
            answer = _ask(_checked(url, policy, field), policy, limit, field)
            if isinstance(answer, bytes):
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


def _ask(address: Address, policy: FetchPolicy, limit: Deadline, field: str) -> bytes | str:
    """Return the content, or where a redirect leads."""
    connection = connect(address, None, None, limit, judge=policy.allowed)
    try:
        return _answer(connection, address, policy, field)
    finally:
        connection.close()


def _answer(
    connection: Connection, address: Address, policy: FetchPolicy, field: str
) -> bytes | str:
    headers = [("Accept", "*/*"), ("Accept-Encoding", "identity"), ("Connection", "close")]
    connection.send([request_head("GET", address, None, headers) + b"\r\n\r\n"])
    response = IncomingResponse(connection)
    location = response.headers.get("location")
    if response.status in REDIRECTS and location:
        return location
    if response.status != 200:
        raise UrlRefused(f"answered with status {response.status}", field=field)
    return bytes(response.read(policy.max_bytes))


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
    if port not in policy.ports:
        raise UrlRefused(f"port {port} is not fetched from", field=field)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Address(parts.scheme, host, port, target)
