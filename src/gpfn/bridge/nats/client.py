"""A connection to NATS: made within a time, refused in one line, never hanging.

nats-py does the protocol. It is asked for one connection at a time and not to connect again:
what it does then loses what waits to be written, and gives up for good after some errors.
:mod:`gpfn.bridge.nats.link` makes the next connection instead. Four things of it are mended here,
in a class derived from its client:

- headers are kept as the bytes that came. nats-py makes a dictionary of them, so that repeated
  ones are lost, and a message whose headers are no headers (anyone may publish one) ends the
  task that reads, with the connection still said to be up;
- nothing is sent to a server without TLS where TLS was asked for, no password above all;
- who uses the connection hears at once that it is gone, also when closing it hangs;
- what a server refuses in the middle of a connection is told by its text.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from gpfn.bridge.nats.settings import NatsSettings, tls_context
from gpfn.errors import (
    BackendError,
    BackendTimeout,
    CannotConnect,
    GpfnError,
    MissingExtra,
    SetupError,
)

if TYPE_CHECKING:
    from nats.aio.client import Client

__all__ = ["NatsConnection", "connect_nats", "leave", "raw_headers"]

_ONE_SERVER = 3.0
_PING_EVERY = 5
_PINGS_LOST = 2
_CLOSES_WITHIN = 1.0
_STATUS = b"NATS/1.0 "
_MENDED = ("_process_headers", "_connect_command", "_close")


class NatsConnection:
    """One connection. ``gone`` is done when it has ended, ``refused`` hears what was refused."""

    def __init__(self, refused: Callable[[str], None]) -> None:
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.refused = refused
        self.trouble: Exception | None = None
        self.client: Client = _client_class()()
        cast(Any, self.client).owner = self

    @property
    def is_clustered(self) -> bool:
        """Whether the server is one of several, as it said when it was connected to."""
        return bool(getattr(self.client, "_server_info", {}).get("cluster"))

    def ended(self) -> None:
        """The connection is no more."""
        if not self.gone.done():
            self.gone.set_result(None)

    async def told(self, error: Exception) -> None:
        """Take what nats-py has to say between calls."""
        import nats.errors

        self.trouble = error
        if "permissions violation" in str(error):
            self.refused(str(error))
        elif not isinstance(error, nats.errors.Error | OSError | asyncio.TimeoutError):
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a fault in what NATS calls", "exception": error}
            )


class _Raw(dict[str, str]):
    """The headers of a message: a status as nats-py asks for it, and all of them as bytes."""

    raw = b""


def _check_version(client: type[Client]) -> None:
    """Raise SetupError for a nats-py in which nothing would be mended here."""
    for name in _MENDED:
        if not hasattr(client, name):
            raise SetupError(f"this version of nats-py has no {name}, which is built upon")


@cache
def _client_class() -> type[Client]:
    try:
        from nats.aio.client import Client
        from nats.errors import SecureConnWantedError
    except ImportError:
        raise MissingExtra("nats-py", "nats") from None
    _check_version(Client)

    class _Connection(Client):
        owner: NatsConnection
        only_tls = False

        async def _process_headers(self, headers: bytes | None) -> dict[str, str] | None:
            if not headers:
                return None
            found = _Raw()
            found.raw = bytes(headers)
            if found.raw.startswith(_STATUS):
                line = found.raw[len(_STATUS) :].partition(b"\r\n")[0].decode("latin-1")
                found["Status"], found["Description"] = line[:3], line[4:]
            return found

        def _connect_command(self) -> bytes:
            if self.only_tls and not self._server_info.get("tls_required"):
                raise SecureConnWantedError
            return super()._connect_command()

        async def _close(self, status: int, do_cbs: bool = True) -> None:
            self.owner.ended()
            try:
                await super()._close(status, do_cbs)
            except OSError as error:  # it writes what it has, to a connection that is no more
                self.owner.trouble = error

    return _Connection


def raw_headers(headers: object) -> bytes:
    """Return the bytes of a message's headers; none without."""
    return headers.raw if isinstance(headers, _Raw) else b""


async def connect_nats(
    settings: NatsSettings, refused: Callable[[str], None], seconds: float = 8.0
) -> NatsConnection:
    """Return a connection. Raises SetupError, BackendError or MissingExtra within the time."""
    connection = NatsConnection(refused)
    context = tls_context(settings)
    cast(Any, connection.client).only_tls = context is not None
    try:
        async with asyncio.timeout(seconds):
            await connection.client.connect(**_options(settings, context, connection))
        _check(connection)
    except ImportError:
        await leave(connection)
        raise SetupError(
            "creds and nkey need the package nkeys beside nats-py", field=settings.field
        ) from None
    except Exception as error:  # noqa: BLE001 - whatever nats-py raises is told in one line
        found = _explained(error, connection, settings)
        await leave(connection)
        raise found from None
    except BaseException:
        await leave(connection)
        raise
    return connection


def _check(connection: NatsConnection) -> None:
    """Raise when the server has closed what nats-py takes for a connection."""
    if not connection.client.is_connected:
        raise ConnectionError("the connection was closed while it was made")


def _options(
    settings: NatsSettings, context: ssl.SSLContext | None, connection: NatsConnection
) -> dict[str, Any]:
    return {
        "servers": list(settings.servers),
        "error_cb": connection.told,
        "name": "gpfn bridge",
        "allow_reconnect": False,
        "max_reconnect_attempts": 1,
        "reconnect_time_wait": 0.1,
        "connect_timeout": _ONE_SERVER,
        "ping_interval": _PING_EVERY,
        "max_outstanding_pings": _PINGS_LOST,
        "tls": context,
        "tls_hostname": settings.tls_name or None,
        "user": settings.user or None,
        "password": settings.password or None,
        "token": settings.token or None,
        "user_credentials": settings.creds or None,
        "nkeys_seed": settings.nkey or None,
    }


def _explained(error: Exception, connection: NatsConnection, settings: NatsSettings) -> GpfnError:
    """Return what to tell of an error while connecting: whose fault, which server, one line."""
    from nats.errors import NoServersError, SecureConnWantedError

    where, field = settings.where, settings.field
    if isinstance(error, NoServersError) and connection.trouble is not None:
        error = connection.trouble
    text = str(error).removeprefix("nats: ").strip("'\" ") or type(error).__name__
    if isinstance(error, SecureConnWantedError):
        return SetupError(f"{where} offers no TLS, and TLS is asked for", field=field)
    if isinstance(error, ssl.SSLCertVerificationError):
        return SetupError(f"{where}: its certificate: {error.verify_message}", field=field)
    if isinstance(error, ssl.SSLError):
        return SetupError(f"{where}: TLS failed: {error.reason or text}", field=field)
    if "authorization" in text.lower() or "authentication" in text.lower():
        return SetupError(f"{where} refuses the credentials", field=field)
    if isinstance(error, asyncio.TimeoutError):
        return BackendTimeout(f"{where} does not answer as a NATS server does", field=field)
    if isinstance(error, ConnectionError) and _is_encrypted(connection.client):
        # What the server says of a certificate of ours comes, or not, before its end.
        return SetupError(
            f"{where} ends the connection: it may not take our certificate", field=field
        )
    if isinstance(error, OSError):
        return CannotConnect(f"{where}: {error.strerror or text}", field=field)
    return BackendError(f"{where}: {text}", field=field)


async def leave(connection: NatsConnection) -> None:
    """Close a connection, in a second at most: a server that is stopped takes no bytes any more."""
    connection.ended()
    try:
        async with asyncio.timeout(_CLOSES_WITHIN):
            await connection.client.close()
    except Exception as error:  # noqa: BLE001 - it is closed all the same
        connection.trouble = error
    finally:
        _abort(connection.client)


def _is_encrypted(client: Client) -> bool:
    streams = getattr(client, "_transport", None)
    first = getattr(streams, "_bare_io_writer", None)
    return getattr(streams, "_io_writer", first) is not first


def _abort(client: Client) -> None:
    """Free the socket, whatever state nats-py has left it in."""
    streams = getattr(client, "_transport", None)
    for name in ("_io_writer", "_bare_io_writer"):
        writer = getattr(streams, name, None)
        if writer is not None:
            writer.transport.abort()
