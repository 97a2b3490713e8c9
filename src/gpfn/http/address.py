"""The address of a server, parsed from its URL, the proxy to reach it by, and how it is asked.

A URL may hold a user and a password, and its query a token. None of them is shown
anywhere: messages, logs and ``repr`` have :attr:`Address.shown` or :func:`shown_url`.
"""

from binascii import b2a_base64
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import SplitResult, quote, unquote_to_bytes, urlsplit

from gpfn.errors import SetupError

__all__ = ["Address", "parse_url", "proxy_for", "request_head", "shown_url"]

_PORTS = {"http": 80, "https": 443}
_TARGET_SAFE = "/?%:@!$&'()*+,;=-._~[]"


class Address(NamedTuple):
    """An http or https URL; ``host`` has no brackets, ``target`` is what follows it."""

    scheme: str
    host: str
    port: int
    target: str = "/"
    authorization: str = ""
    """The value for an Authorization header, from the URL's user and password."""

    @property
    def authority(self) -> str:
        """Host and port as in a Host header, without the port when it is the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def shown(self) -> str:
        """The URL for people: without user, password and query."""
        path, _, query = self.target.partition("?")
        return f"{self.scheme}://{self.authority}{path.rstrip('/')}{'?…' if query else ''}"

    def __repr__(self) -> str:
        return f"Address({self.shown})"


def parse_url(url: str, *, field: str = "url") -> Address:
    """Parse an http or https URL.

    Raises SetupError, whose text shows nothing of the URL: it may hold a password.
    """
    if any(character <= " " or character == "\x7f" for character in url):
        raise SetupError("a URL has no spaces and no control characters", field=field)
    try:
        url.encode()  # bytes of an argument or a variable that are no UTF-8 come as surrogates
    except UnicodeEncodeError:
        raise SetupError("a URL is text in UTF-8", field=field) from None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        host = host if host.isascii() else host.encode("idna").decode()
    except ValueError as error:
        raise SetupError(f"not a URL: {_reason(error)}", field=field) from None
    if parts.scheme not in _PORTS or not host:
        raise SetupError("expected http://HOST or https://HOST", field=field)
    target = quote(parts.path or "/", safe=_TARGET_SAFE)
    if parts.query:
        target += "?" + quote(parts.query, safe=_TARGET_SAFE)
    if port == 0:
        raise SetupError("port 0 cannot be connected to", field=field)
    return Address(parts.scheme, host, port or _PORTS[parts.scheme], target, _authorization(parts))


def shown_url(url: str) -> str:
    """Return a URL of any scheme for people: without user, password and query."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        return f"a URL that cannot be read ({_reason(error)} is wrong)"
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}{'?…' if parts.query else ''}"


def _reason(error: ValueError) -> str:
    """Say which part is wrong, without its text."""
    return "its port" if "ort" in str(error) else "its host"


def _authorization(parts: SplitResult) -> str:
    if parts.username is None and parts.password is None:
        return ""
    user, password = (unquote_to_bytes(part or "") for part in (parts.username, parts.password))
    return "Basic " + b2a_base64(user + b":" + password, newline=False).decode()


def request_head(
    method: str, address: Address, proxy: Address | None, headers: Sequence[tuple[str, str]]
) -> bytes:
    """Return the request line and the header lines, without the end of the last one.

    User and password of the address and of the proxy go along, the address's unless there
    is an Authorization among ``headers``, which the caller has checked.
    """
    target = address.target
    lines = [f"Host: {address.authority}"]
    if proxy is not None and address.scheme == "http":
        target = f"http://{address.authority}{target}"
        if proxy.authorization:
            lines.append(f"Proxy-Authorization: {proxy.authorization}")
    if address.authorization and not any(name.lower() == "authorization" for name, _ in headers):
        lines.append(f"Authorization: {address.authorization}")
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([f"{method} {target} HTTP/1.1", *lines]).encode("latin-1")


def proxy_for(address: Address, environ: Mapping[str, str]) -> Address | None:
    """Return the proxy that the environment names for ``address``, or None.

    The variables are those of curl and requests: ``http_proxy``, ``https_proxy``,
    ``all_proxy`` and ``no_proxy``, in lower case before upper case. As in Go, this machine
    itself is never reached through a proxy.

    Raises SetupError for a proxy that is not reached by http.
    """
    name = f"{address.scheme}_proxy"
    url = _setting(environ, name) or _setting(environ, "all_proxy")
    if not url or _is_local(address.host) or _excepted(address, _setting(environ, "no_proxy")):
        return None
    proxy = parse_url(url if "://" in url else f"http://{url}", field=name)
    if proxy.scheme != "http":
        raise SetupError("only http:// proxies are supported", field=name)
    return proxy


def _setting(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name)
    if value is None and not (name == "http_proxy" and "REQUEST_METHOD" in environ):
        value = environ.get(name.upper())  # under CGI, HTTP_PROXY is a header of the caller
    return (value or "").strip()


def _is_local(host: str) -> bool:
    from ipaddress import ip_address

    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _excepted(address: Address, no_proxy: str) -> bool:
    for entry in no_proxy.replace(",", " ").lower().split():
        name, _, port = entry.rpartition(":") if entry.count(":") == 1 else (entry, "", "")
        if port and port != str(address.port):
            continue
        if name == "*" or _covers(name, address.host):
            return True
    return False


def _covers(name: str, host: str) -> bool:
    """Say whether a host, domain, address or network of no_proxy covers ``host``."""
    from ipaddress import ip_address, ip_network

    try:
        return ip_address(host) in ip_network(name.strip("[]"), strict=False)
    except ValueError:
        domain = name.removeprefix("*").removeprefix(".")
        return bool(domain) and (host == domain or host.endswith(f".{domain}"))
