"""A gRPC server of the Open Inference Protocol, on the running event loop."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpfn.errors import MissingExtra, SetupError
from gpfn.oip.grpc_schema import ABSENT, RPCS, SERVICE
from gpfn.serving.grpc.calls import Allowed, GrpcCalls, refusal
from gpfn.serving.grpc.stream import InferStreams

if TYPE_CHECKING:
    from gpfn.serving.service import Service

__all__ = ["GrpcServer"]

_ENVELOPE = 1 << 20
"""Bytes that a message may have beside what a body over HTTP may."""


class GrpcServer:
    """Answers by gRPC for a service; all methods are for the loop that the service is on.

    Args:
        service: Whose models answer. Of its settings limits and times count; ``connections``
            bounds connections and, again, calls at once, of which half may be streams.
        address: ``HOST:PORT``, with an IPv6 address in brackets, or ``unix:PATH``. A port of 0
            is a free one. Several processes share one that is not 0.
        allowed: Asked before each call but those of health; all is allowed without it.
        certificate: A file, for TLS; when it changes, new connections have the new one.
        key: Its key's file, when that is another one.
    """

    def __init__(
        self,
        service: Service,
        address: str,
        *,
        allowed: Allowed | None = None,
        certificate: str = "",
        key: str = "",
    ) -> None:
        settings = self._settings = service.settings
        self._address = address
        self._files = (certificate, key or certificate)
        kind = GrpcCalls
        if settings.otlp:
            from gpfn.serving.grpc.traced import TracedCalls

            kind = TracedCalls
        self._calls = kind(service, allowed)
        self._streams = InferStreams(self._calls, max(1, settings.connections // 2))
        self._server: Any = None

    @property
    def in_flight(self) -> int:
        """How many inferences somebody waits for."""
        return self._calls.in_flight

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return self._streams.open

    async def start(self) -> int:
        """Listen and answer from now on; returns the port, 1 for a unix socket.

        Raises SetupError when the address or the certificate cannot be used, MissingExtra
        where grpcio is not installed.
        """
        try:
            import grpc.aio
        except ImportError as error:
            raise MissingExtra("grpcio", "grpc") from error
        settings = self._settings
        if settings.processes > 1 and self._address.endswith(":0"):
            told = "several processes share a port, so it cannot be any free one"
            raise SetupError(told, field="--grpc")
        calls = settings.connections
        server = grpc.aio.server(options=self._options(), maximum_concurrent_rpcs=calls)
        server.add_generic_rpc_handlers([_handlers(self._calls, self._streams)])
        try:
            port = self._listen(server, grpc)
        except RuntimeError as error:
            told = f"cannot listen on {self._address}: it is taken, or no address of this machine"
            raise SetupError(told, field="--grpc") from error
        await server.start()
        self._server = server
        return int(port)

    async def stop(self, seconds: float) -> None:
        """Take no more calls, and end when those that run are answered or the time is up."""
        self._calls.stopping = True
        self._streams.stop()
        if self._server is not None:
            await self._server.stop(seconds)

    def _listen(self, server: Any, grpc: Any) -> int:
        if not self._files[0]:
            return int(server.add_insecure_port(self._address))
        return int(server.add_secure_port(self._address, _credentials(grpc, *self._files)))

    def _options(self) -> list[tuple[str, int]]:
        """Return the bounds of the library that speaks HTTP/2."""
        settings = self._settings
        return [
            ("grpc.max_receive_message_length", settings.limits.body_bytes + _ENVELOPE),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_metadata_size", settings.limits.header_bytes),
            ("grpc.max_allowed_incoming_connections", settings.connections),
            ("grpc.max_concurrent_streams", min(settings.connections, 1024)),
            ("grpc.server_handshake_timeout_ms", round(settings.head_seconds * 1000)),
            ("grpc.max_connection_idle_ms", round(settings.idle_seconds * 1000)),
            # who has vanished is found out, and a stream of theirs ended
            ("grpc.keepalive_time_ms", round(settings.idle_seconds * 1000)),
            ("grpc.keepalive_timeout_ms", round(settings.head_seconds * 1000)),
            ("grpc.so_reuseport", int(settings.processes > 1)),
        ]


def _credentials(grpc: Any, certificate: str, key: str) -> Any:
    """Return TLS with a certificate's files, which are read again when they have changed."""
    seen: list[int] = []

    def renewed() -> Any:
        stamps = [os.stat(path).st_mtime_ns for path in (certificate, key)]
        if stamps == seen:
            return None
        pair = (Path(key).read_bytes(), Path(certificate).read_bytes())
        seen[:] = stamps
        return grpc.ssl_server_certificate_configuration([pair])

    def at_handshake() -> Any:
        try:
            return renewed()
        except OSError:  # they are being exchanged: the old ones stay
            return None

    try:
        first = renewed()
    except OSError as error:
        told = f"cannot be used: {error.strerror}"
        raise SetupError(told, field="--tls-cert, --tls-key") from None
    return grpc.dynamic_ssl_server_credentials(first, at_handshake)


def _handlers(calls: GrpcCalls, streams: InferStreams) -> Any:
    """Return what grpcio looks a call's handler up in; messages come and go as bytes."""
    import grpc

    table = {
        f"/{SERVICE}/{name}": grpc.stream_stream_rpc_method_handler(streams.handle)
        if rpc.stream
        else grpc.unary_unary_rpc_method_handler(calls.handler(name))
        for name, rpc in RPCS.items()
    } | {
        f"/{SERVICE}/{name}": grpc.unary_unary_rpc_method_handler(refusal(name)) for name in ABSENT
    }

    class Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]
        def service(self, call: Any) -> Any:
            return table.get(call.method)

    return Handlers()
