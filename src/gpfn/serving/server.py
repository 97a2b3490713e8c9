"""The model server's socket: accept connections, count them, and drain at the end."""

from __future__ import annotations

import ipaddress
import selectors
import socket
import threading
import time
from contextlib import suppress

from gpfn.deadline import Deadline
from gpfn.errors import Overloaded, SetupError
from gpfn.http.writer import response_head
from gpfn.serving.connection import ServedConnection
from gpfn.serving.service import ServerSettings, Service, failure

__all__ = ["Server"]

_BACKLOG = 512
_WAKE_BYTES = 4096


class Server:
    """A listening socket and a thread for each connection.

    It listens from construction on, so that a taken port is told at once and a port of
    0 can be asked for in :attr:`address`.
    """

    def __init__(self, service: Service, settings: ServerSettings) -> None:
        self._service = service
        self._settings = settings
        self._connections: dict[ServedConnection, threading.Thread] = {}
        self._lock = threading.Lock()
        self._socket = _listen(settings)
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)
        self._wake_writer.setblocking(False)
        service.client_count = lambda: len(self._connections)
        if settings.allow_shutdown:
            service.shutdown = self.stop

    @property
    def address(self) -> tuple[str, int]:
        """The host and port it listens on."""
        host, port = self._socket.getsockname()[:2]
        return host, port

    @property
    def url(self) -> str:
        """The address as a client writes it."""
        host, port = self.address
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    @property
    def wakeup_fd(self) -> int:
        """For ``signal.set_wakeup_fd``; open until :meth:`close`.

        Without it a signal that comes just before the wait for connections is not
        handled before the next one comes, because Python runs handlers between
        instructions only.
        """
        return self._wake_writer.fileno()

    def serve(self) -> None:
        """Accept until :meth:`stop`, then let running requests finish."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            selector.register(self._wake_reader, selectors.EVENT_READ)
            while self._service.alive:
                for key, _ in selector.select():
                    if key.fileobj is self._socket:
                        self._accept()
                    else:
                        self._wake_reader.recv(_WAKE_BYTES)
        self._drain()

    def stop(self) -> None:
        """Make :meth:`serve` return; may be called from a signal handler or a thread."""
        self._service.alive = False
        with suppress(OSError):  # the pipe is full, so the wait ends anyway; or it is closed
            self._wake_writer.send(b"x")

    def close(self) -> None:
        """Close what :meth:`stop` writes to; nobody may call it after that."""
        self._wake_reader.close()
        self._wake_writer.close()

    def _accept(self) -> None:
        try:
            sock, _ = self._socket.accept()
        except BlockingIOError:
            return  # the client left between the poll and the accept
        except OSError as error:
            self._service.log.error(f"cannot accept: {error}")  # noqa: TRY400 - not logging's
            time.sleep(0.1)  # no file descriptors left: wait until some connections have ended
            return
        if len(self._connections) >= self._settings.connections:
            _turn_away(sock)
            return
        self._start(sock)

    def _start(self, sock: socket.socket) -> None:
        sock.setblocking(True)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = ServedConnection(sock, self._service, self._settings)
        thread = threading.Thread(target=self._run, args=(connection,), daemon=True)
        with self._lock:
            self._connections[connection] = thread
        thread.start()

    def _run(self, connection: ServedConnection) -> None:
        try:
            connection.serve()
        except Exception as error:  # noqa: BLE001 - logged; the other connections go on
            self._service.log.failure(error)
        finally:
            with self._lock:
                del self._connections[connection]

    def _drain(self) -> None:
        self._socket.close()
        deadline = Deadline.after(self._settings.drain_seconds)
        with self._lock:
            running = list(self._connections.items())
        for connection, _ in running:
            connection.drain()
        for _, thread in running:
            thread.join(deadline.remaining())
        left = sum(thread.is_alive() for _, thread in running)
        if left:
            self._service.log.warning(f"{left} requests were still running after the drain time")


def _listen(settings: ServerSettings) -> socket.socket:
    if settings.allow_shutdown and not _is_loopback(settings.host):
        raise SetupError(f"shutdown is only for a loopback address, not {settings.host}")
    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        listening = socket.create_server(
            (settings.host, settings.port), family=family, backlog=_BACKLOG
        )
    except OSError as error:
        raise SetupError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}"
        ) from None
    listening.setblocking(False)
    return listening


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _turn_away(sock: socket.socket) -> None:
    response = failure(Overloaded("too many connections"), None)
    headers = (("content-type", response.content_type), *response.headers)
    body = b"".join(response.buffers)
    with sock, suppress(OSError):  # it may have left by itself
        sock.settimeout(0.1)
        sock.sendall(response_head(response.status, headers, len(body), close=True) + body)
