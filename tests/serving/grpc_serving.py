"""A gRPC server on a free port, around models of a few lines, for the tests beside it."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import grpc

from gpfn.errors import ModelUnreadable
from gpfn.http.loop.process import run_loop
from gpfn.log import Log
from gpfn.oip.grpc_schema import RPCS, SERVICE, message_class
from gpfn.serving.grpc import GrpcServer
from gpfn.serving.opener import Opener, Target
from gpfn.serving.server import assemble
from gpfn.serving.service import Service
from gpfn.serving.settings import ServerSettings
from gpfn.serving.statistics import new_metrics
from gpfn.serving.wanted import ModelSource, Wanted

__all__ = ["RunningGrpc", "running_grpc"]

SETTINGS = ServerSettings(port=0, threads=2, queue=64, request_seconds=5, idle_seconds=30)


class RunningGrpc:
    """The server, its loop, and a channel to it."""

    def __init__(self, port: int, server: GrpcServer, service: Service, loop: Any) -> None:
        self.port = port
        self.server = server
        self.service = service
        self.loop = loop
        self.fails: set[str] = set()
        self.address = f"127.0.0.1:{port}"
        self.channel = grpc.insecure_channel(
            self.address,
            options=[
                ("grpc.max_receive_message_length", -1),
                ("grpc.max_send_message_length", -1),
                ("grpc.use_local_subchannel_pool", 1),
            ],
        )

    def rpc(self, name: str) -> Any:
        """Return a callable of bytes to bytes, or of an iterator of them."""
        kind = "stream_stream" if name in RPCS and RPCS[name].stream else "unary_unary"
        return getattr(self.channel, kind)(f"/{SERVICE}/{name}")

    def ask(self, name: str, /, **fields: Any) -> Any:
        """Return the reply's message to a call with these fields."""
        request = message_class(RPCS[name].request)(**fields)
        reply = self.rpc(name)(request.SerializeToString(), timeout=20)
        return message_class(RPCS[name].response).FromString(reply)

    def refused(self, name: str, data: bytes, **options: Any) -> tuple[str, str]:
        """Return the status and the details of a call that fails."""
        try:
            self.rpc(name)(data, **{"timeout": 20} | options)
        except grpc.RpcError as error:
            return error.code().name, error.details()
        raise AssertionError("it did not fail")

    def on_loop(self, work: Callable[[], Any]) -> Any:
        """Return what ``work`` returns on the server's loop."""

        async def run() -> Any:
            return work()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(20)


@contextmanager
def running_grpc(
    models: Mapping[str, Target] | Mapping[str, Mapping[str, Target]],
    settings: ServerSettings = SETTINGS,
    *,
    labels: Mapping[str, tuple[str, ...]] | None = None,
    serving: Mapping[str, Any] | None = None,
    **options: Any,
) -> Iterator[RunningGrpc]:
    """Serve while the block runs; a model may be several by version."""
    targets: dict[str, Target] = {}
    sources = []
    for name, given in models.items():
        versions = given if isinstance(given, Mapping) else {"1": given}
        for version, target in versions.items():
            key = f"{name}@{version}"
            targets[key] = target
            source = ModelSource(name, version, "", key, labels=(labels or {}).get(name, ()))
            kinds = (serving or {}).get(name)
            sources.append(source._replace(serving=kinds) if kinds else source)
    log = Log("serve")
    opener = _ByVersion(targets)
    wanted = Wanted()
    wanted.replace(sources)
    service = assemble(wanted, opener, settings, log, new_metrics())
    ready, stop = threading.Event(), asyncio.Event()
    found: list[Any] = []

    async def serve() -> None:
        server = GrpcServer(service, "127.0.0.1:0", **options)
        service.keeper.on_ready = ready.set
        service.keeper.start()
        port = await server.start()
        found.extend([port, server, service, asyncio.get_running_loop()])
        await stop.wait()
        await server.stop(5)
        await service.keeper.stop()

    thread = threading.Thread(target=run_loop, args=(serve,))
    thread.start()
    assert ready.wait(30)
    while len(found) < 4:
        ready.wait(0.01)
    running = RunningGrpc(*found)
    running.fails = opener.fails
    try:
        yield running
    finally:
        running.channel.close()
        running.loop.call_soon_threadsafe(stop.set)
        thread.join(30)
        assert not thread.is_alive()


class _ByVersion(Opener):
    def __init__(self, targets: Mapping[str, Target]) -> None:
        super().__init__(targets)
        self.fails: set[str] = set()

    def open(self, source: ModelSource) -> Any:
        if source.name in self.fails:
            raise ModelUnreadable("damaged")
        return self._targets[source.stamp]
