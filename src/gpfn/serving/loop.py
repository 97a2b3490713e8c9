"""The model server's socket and its event loop around a service."""

from __future__ import annotations

import asyncio
import socket
from contextlib import nullcontext
from typing import TYPE_CHECKING

from gpfn.errors import SetupError
from gpfn.http.loop.process import (
    Endpoint,
    handlers_kept,
    is_loopback,
    listen,
    on_signals,
    remove_socket,
    run_loop,
    tls_of,
    url_of,
)
from gpfn.http.loop.server import LoopServer
from gpfn.settings import read_digits

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpfn.serving.grpc import GrpcServer
    from gpfn.serving.service import Service
    from gpfn.serving.settings import ServerSettings

__all__ = ["ServingLoop"]


class ServingLoop:
    """Where the server listens, and the loop that answers there.

    It listens from construction on, so that a taken port is told at once and a port of
    0 can be asked for in :attr:`address`. Raises SetupError.
    """

    def __init__(self, settings: ServerSettings) -> None:
        endpoint = settings.endpoint
        if settings.allow_shutdown and not (endpoint.path or is_loopback(endpoint.host)):
            raise SetupError(f"shutdown is only for a loopback address, not {endpoint.host}")
        self._settings = settings
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = False
        self.grpc_port = 0
        if settings.grpc:
            _check_free(settings.grpc)
        self._tls = tls_of(endpoint)
        self._socket = listen(endpoint)
        self._socket.listen(socket.SOMAXCONN)

    @property
    def address(self) -> tuple[str, int]:
        """The host and port it listens on."""
        host, port = self._socket.getsockname()[:2]
        return host, port

    @property
    def url(self) -> str:
        """The address as a client writes it."""
        return url_of(self._socket, secure=self._tls is not None)

    def serve(
        self,
        service: Service,
        began: Callable[[], object] = lambda: None,
        *,
        signals: bool = False,
    ) -> None:
        """Serve until :meth:`stop`, then let running requests finish.

        ``began`` is called on the loop. With ``signals``, which only the main thread may have,
        SIGTERM and SIGINT stop it and SIGHUP reads its certificate again.
        """
        with handlers_kept() if signals else nullcontext():
            run_loop(lambda: self._serve(service, began, signals=signals))

    def stop(self) -> None:
        """Make :meth:`serve` return; from any thread."""
        self._stopped = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._server.stop)

    def stop_listening(self) -> None:
        """Close the socket in this process, in which others serve what it was opened for."""
        self._socket.close()

    def close(self) -> None:
        """Close the socket, for a server that never serves or that others serve as well."""
        self._socket.close()
        remove_socket(self._settings.endpoint)

    async def _serve(self, service: Service, began: Callable[[], object], *, signals: bool) -> None:
        settings = self._settings
        server = self._server = LoopServer(
            self._socket,
            service,
            service.log,
            limits=settings.limits,
            settings=settings.loop(),
            budget=service.budget,
            metrics=service.metrics,
            tls=None if self._tls is None else self._tls.context,
        )
        if not settings.unix:
            service.gate.listens_at(self.address[1])
        service.client_count = lambda: server.connections
        service.alive = lambda: not server.stopping
        if settings.allow_shutdown:
            service.shutdown = server.stop
        if signals:
            on_signals(server, self._tls, service.log, service.on_hangup)
        self._loop = asyncio.get_running_loop()
        if self._stopped:
            server.stop()
        service.begin()
        grpc = await self._start_grpc(service)
        began()
        service.keeper.start()
        try:
            await asyncio.gather(server.serve(), _end_with(server, grpc, settings.drain_seconds))
        finally:
            self._loop = None
            service.keeper.isolation.end()
            await service.keeper.stop()
            service.end()

    async def _start_grpc(self, service: Service) -> GrpcServer | None:
        """Answer gRPC as well, where that was asked for; raises SetupError."""
        settings = self._settings
        if not settings.grpc:
            return None
        from gpfn.serving.grpc import GrpcServer

        server = GrpcServer(
            service,
            settings.grpc,
            allowed=service.gate.lets_in,
            certificate=settings.certificate,
            key=settings.key,
        )
        self.grpc_port = await server.start()
        service.log.info(f"gRPC on {settings.grpc.rpartition(':')[0]}:{self.grpc_port}")
        return server


def _check_free(address: str) -> None:
    """Raise SetupError when a port is taken.

    Processes of a server share the one of gRPC, and would share it with another server's.
    """
    host, _, port = address.rpartition(":")
    number = read_digits(port)
    if number and not address.startswith("unix:"):
        listen(Endpoint(host.strip("[]"), number)).close()


async def _end_with(server: LoopServer, grpc: GrpcServer | None, seconds: float) -> None:
    """Let gRPC end when HTTP begins to, each answering what it has."""
    await server.stopped.wait()
    if grpc is not None:
        await grpc.stop(seconds)
