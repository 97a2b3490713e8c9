"""A loop server as a process: where it listens, its event loop, and its signals.

SIGTERM and SIGINT end it in order, SIGHUP reads the TLS certificate again.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gpfn.errors import SetupError

if TYPE_CHECKING:
    import ssl

    from gpfn.http.loop.server import LoopServer
    from gpfn.log import Log

__all__ = [
    "Endpoint",
    "Tls",
    "handlers_kept",
    "is_loopback",
    "listen",
    "on_signals",
    "remove_socket",
    "run_loop",
    "tls_of",
    "url_of",
]


class Endpoint(NamedTuple):
    """Where a server listens: a host and port, or a unix socket's path; with TLS if it has files.

    A port of 0 takes a free one.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    path: str = ""
    certificate: str = ""
    key: str = ""


class Tls:
    """The TLS side of a server: its certificate may be exchanged while it runs."""

    def __init__(self, certificate: str, key: str) -> None:
        """Raise SetupError when the files are none of these."""
        self._files = (certificate, key or None)
        self._context = self._load()

    def context(self) -> ssl.SSLContext:
        """Return what the next connection is to be made with."""
        return self._context

    def reload(self, log: Log) -> None:
        """Read the files again; when they are wrong, the old ones stay."""
        try:
            self._context = self._load()
        except SetupError as error:
            log.warning(f"the certificate stays as it was: {error}")
        else:
            log.info("the certificate was read again")

    def _load(self) -> ssl.SSLContext:
        import ssl

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(*self._files)
        except (OSError, ssl.SSLError) as error:
            text = error.strerror or type(error).__name__
            raise SetupError(f"cannot be used: {text}", field="--tls-cert, --tls-key") from None
        return context


def tls_of(endpoint: Endpoint) -> Tls | None:
    """Return the endpoint's TLS, None without; raises SetupError."""
    if endpoint.key and not endpoint.certificate:
        raise SetupError("is missing; --tls-key has no use without it", field="--tls-cert")
    return Tls(endpoint.certificate, endpoint.key) if endpoint.certificate else None


def listen(endpoint: Endpoint) -> socket.socket:
    """Return a socket that has the address, and does not listen yet; raises SetupError."""
    if endpoint.path:
        return _unix_socket(endpoint.path)
    family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((endpoint.host, endpoint.port))
    except (OSError, OverflowError) as error:
        sock.close()
        text = getattr(error, "strerror", None) or error
        where = f"{endpoint.host}:{endpoint.port}"
        raise SetupError(f"cannot listen on {where}: {text}") from None
    return sock


def _unix_socket(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if _is_abandoned(path):
            os.unlink(path)
        sock.bind(path)
    except OSError as error:
        sock.close()
        raise SetupError(f"cannot listen on {path}: {error.strerror or error}") from None
    return sock


def _is_abandoned(path: str) -> bool:
    """Say whether there is a socket that nobody listens on: its process was killed."""
    with suppress(FileNotFoundError):  # the path is free
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                return True
    return False


def url_of(sock: socket.socket, *, secure: bool = False) -> str:
    """Return the address as a client writes it."""
    if sock.family == socket.AF_UNIX:
        return f"unix:{sock.getsockname()}"
    host, port = sock.getsockname()[:2]
    return f"http{'s' if secure else ''}://{f'[{host}]' if ':' in host else host}:{port}"


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches a server that listens on ``host``."""
    import ipaddress

    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def run_loop(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine on uvloop where it is installed, otherwise on asyncio's own loop."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(main())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Leave the handlers of signals as they were."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    handlers = [signal.getsignal(number) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, handlers, strict=True):
            signal.signal(number, handler)


def on_signals(
    server: LoopServer, tls: Tls | None, log: Log, on_hangup: Callable[[], object] | None = None
) -> None:
    """Let signals end the server that the running loop serves, and SIGHUP renew what it can.

    That is its TLS, and what ``on_hangup`` does.
    """

    def renew() -> None:
        if tls is not None:
            tls.reload(log)
        if on_hangup is not None:
            on_hangup()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    if tls is not None or on_hangup is not None:
        loop.add_signal_handler(signal.SIGHUP, renew)


def remove_socket(endpoint: Endpoint) -> None:
    """Remove a unix socket's file once nobody listens on it."""
    if endpoint.path:
        with suppress(OSError):  # somebody has removed it
            Path(endpoint.path).unlink()
