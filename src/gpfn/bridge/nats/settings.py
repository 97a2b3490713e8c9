"""What a bridge is told of NATS: where it is, who it is there, and how streams are treated.

The address is one or several URLs, ``nats://host:port`` or ``tls://host:port``, with commas in
between; name several servers of a cluster, for only these are connected to. A name and
password, or a token, may stand before the host. The settings are text, as a file's
``[source.settings]`` and ``[sink.settings]`` have them::

    user, password      who the bridge is; or
    token               what it shows instead; or
    creds, nkey         the file with a user's JWT and seed, the file with a seed alone
    ca, cert, key       files in PEM: who signed the server's certificate, and our own
    tls_name            the name in the server's certificate, where the URL has another one
    domain              the JetStream domain behind a leaf node
    ack_wait            how long a record is kept from others when its member is gone (10s)
    max_ack_pending     records that a group may have under way in a topic (2000)
    batch               records that are asked for at once (100)
    create              on: make a stream for each topic that has none
    max_bytes, max_age  what such a stream holds at most (1GiB), and how long (168h)
    replicas            copies of what is made (1)
    tries               the bucket that keeps the counts of failed calls (gpfn-tries), or none

Secrets are in no message and no repr.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from gpfn.errors import SetupError
from gpfn.settings import parse_duration, parse_size, parse_whole, read_switch

if TYPE_CHECKING:
    import ssl

__all__ = [
    "READING",
    "SETTINGS",
    "NatsSettings",
    "read_nats_settings",
    "setting_field",
    "tls_context",
]

_PORT = 4222
_WEEK = 7 * 86400.0
_DECADE = 10 * 365 * 86400.0
_TEXTS = ("user", "password", "token", "creds", "nkey", "ca", "cert", "key", "tls_name")
READING = ("ack_wait", "batch", "max_ack_pending", "tries")
"""The settings of who reads, which mean nothing to who writes."""
_FILES = ("creds", "nkey", "ca", "cert", "key")


class NatsSettings(NamedTuple):
    """The address and the settings, checked; times are in seconds.

    ``servers`` are URLs without names and passwords. ``side`` is the table of a bridge's file
    that they are from, if there is one.
    """

    servers: tuple[str, ...]
    side: str = ""
    user: str = ""
    password: str = ""
    token: str = ""
    creds: str = ""
    nkey: str = ""
    ca: str = ""
    cert: str = ""
    key: str = ""
    tls_name: str = ""
    domain: str = ""
    ack_wait: float = 10.0
    max_ack_pending: int = 2000
    batch: int = 100
    create: bool = False
    max_bytes: int = 1 << 30
    max_age: float = _WEEK
    replicas: int = 1
    tries: str = "gpfn-tries"

    def __repr__(self) -> str:
        return f"NatsSettings({self.where})"

    @property
    def field(self) -> str:
        """What the address is called in messages."""
        return _field(self.side, "nats")

    @property
    def where(self) -> str:
        """The servers as a message names them."""
        return ", ".join([server.partition("://")[2] for server in self.servers])

    @property
    def encrypted(self) -> bool:
        """Whether nothing may be sent in the clear."""
        wanted = self.ca or self.cert or self.tls_name
        return bool(wanted) or any(server.startswith("tls://") for server in self.servers)


SETTINGS = NatsSettings._fields[2:]
"""The names of all settings: all but the servers and the side."""


def read_nats_settings(address: str, settings: Mapping[str, str], side: str = "") -> NatsSettings:
    """Return what an address and settings say. Raises SetupError with the setting as its field."""
    known: dict[str, object] = {"side": side}
    for name, text in settings.items():
        place = setting_field(side, name)
        if name not in SETTINGS:
            raise SetupError("no setting of NATS has this name", field=place)
        known[name] = _value(name, str(text), place)
    field = _field(side, "nats")
    if not address.isprintable():  # urlsplit() passes over line ends
        raise SetupError("an address is not nats://host:port or tls://host:port", field=field)
    urls = [_url(text.strip(), field) for text in address.split(",") if text.strip()]
    if not urls:
        raise SetupError("no address: expected nats://host:port", field=field)
    known.update(_who(urls[0], known))
    read = NatsSettings(tuple([_plain(url) for url in urls]), **known)  # type: ignore[arg-type]
    _check(read)
    return read


def setting_field(side: str, name: str) -> str:
    """Return what a setting is called in messages."""
    return _field(side, f"settings.{name}")


def _field(side: str, name: str) -> str:
    return f"{side}.{name}" if side else name


def _value(name: str, text: str, field: str) -> object:
    if name in _TEXTS:
        return text
    if name in ("ack_wait", "max_age"):
        seconds = parse_duration(text, field=field, most=_DECADE)
        if not seconds:
            raise SetupError("expected more than 0 seconds", field=field)
        return seconds
    if name == "max_bytes":
        return parse_size(text, field=field)
    if name == "create":
        return read_switch(field, environ={field: text})
    if name in ("domain", "tries"):
        return "" if text == "none" else _token(text, field)
    return parse_whole(text, field=field, least=1, most=5 if name == "replicas" else 100_000)


def _token(text: str, field: str) -> str:
    """Check what becomes a part of subjects."""
    if not text or not text.isascii() or not text.replace("-", "_").isidentifier():
        raise SetupError("expected letters, digits, - and _", field=field)
    return text


def _url(text: str, field: str) -> SplitResult:
    wrong = SetupError("an address is not nats://host:port or tls://host:port", field=field)
    try:
        url = urlsplit(text if "://" in text else f"nats://{text}")
        port = url.port
    except ValueError:
        raise wrong from None
    if url.scheme not in ("nats", "tls") or not url.hostname or port == 0:
        raise wrong
    if url.path.strip("/") or url.query or url.fragment:
        raise wrong
    return url


def _plain(url: SplitResult) -> str:
    host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
    return f"{url.scheme}://{host}:{url.port or _PORT}"


def _who(url: SplitResult, known: Mapping[str, object]) -> dict[str, str]:
    """Return the credentials of a URL, where the settings have none."""
    if not url.username or any(known.get(name) for name in ("user", "token", "creds", "nkey")):
        return {}
    if url.password is None:
        return {"token": unquote(url.username)}
    return {"user": unquote(url.username), "password": unquote(url.password)}


def _check(settings: NatsSettings) -> None:
    for name in _FILES:
        path = getattr(settings, name)
        if path and not os.access(path, os.R_OK):
            raise SetupError("the file cannot be read", field=setting_field(settings.side, name))
    if settings.key and not settings.cert:
        raise SetupError("needs cert beside it", field=setting_field(settings.side, "key"))
    if bool(settings.user) != bool(settings.password):
        field = setting_field(settings.side, "user")
        raise SetupError("user and password need each other", field=field)


def tls_context(settings: NatsSettings) -> ssl.SSLContext | None:
    """Return how the server's certificate is checked; None where nothing asks for TLS.

    Raises SetupError with the file's setting for what is no certificate or key.
    """
    if not settings.encrypted:
        return None
    import ssl

    name = "ca"
    try:
        context = ssl.create_default_context(cafile=settings.ca or None)
        if settings.cert:
            name = "cert"
            context.load_cert_chain(settings.cert, settings.key or None, password=_no_password)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise SetupError(
            f"no certificate or key in PEM: {getattr(error, 'reason', None) or 'unreadable'}",
            field=setting_field(settings.side, name),
        ) from None
    return context


def _no_password() -> str:
    """Answer who would else ask at the terminal."""
    return ""
