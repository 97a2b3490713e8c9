"""Where a model server listens, and its bounds."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from gpfn.http.loop.process import Endpoint
from gpfn.http.loop.server import LoopSettings
from gpfn.limits import Limits
from gpfn.serving.repository.settings import RepositorySettings
from gpfn.settings import read_size, read_whole

__all__ = [
    "LOOPBACK",
    "SERVER_BODY_BYTES",
    "SERVER_ELEMENTS",
    "SERVER_STRING_BYTES",
    "ServerSettings",
]

LOOPBACK = ("localhost", "127.0.0.0/8", "::1")
"""The hosts of next stages that callers may name, unless others are listed."""

SERVER_BODY_BYTES = 512 << 20
SERVER_ELEMENTS = 128 << 20
SERVER_STRING_BYTES = 64 << 20
"""A model server's defaults where they are larger than a function's."""


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _limits() -> Limits:
    return Limits.from_env(
        body_bytes=SERVER_BODY_BYTES, elements=SERVER_ELEMENTS, string_bytes=SERVER_STRING_BYTES
    )


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where a model server listens, and its bounds; times are in seconds.

    ``processes`` share the address. In each of them ``threads`` inferences that take over a
    millisecond run at once for each model and ``queue`` more may wait; a request beyond that is
    answered 503. ``request_seconds`` is the time for a body to come, and again for the answer.
    ``max_batch`` is the most rows that are computed together, whatever the model says;
    ``unload_first`` closes the old version before the new one is opened. With ``nan_words``
    JSON may have the words NaN, Infinity and -Infinity, both ways. ``tokens`` is a file that
    says who may what, ``names`` are hosts that the server is called by. ``models_dir`` is a
    folder of models, looked at every ``poll`` seconds. ``grpc`` is where gRPC is answered:
    HOST:PORT or unix:PATH. When it is ``supervised``, or several processes, a process whose
    loop has not turned for ``stall_seconds`` is replaced, as is one that a model has ended. A
    model that is not open after ``open_seconds`` is given up, and the next one is opened.
    ``otlp`` is where spans of requests are sent: http://HOST:4318/v1/traces, with extra otel.
    ``repository`` says where one lies whose models are served as well. What the model gives goes
    on to ``next_url``, if there is one, and in the name of callers to a GraphPipe server at one of
    ``next_hosts`` (HOST, HOST:PORT, NETWORK). A model that waits for other machines has ``waiting``
    inferences at once instead of ``threads``.
    """

    host: str = "127.0.0.1"
    port: int = 9000
    unix: str = ""
    certificate: str = ""
    key: str = ""
    processes: int = 1
    threads: int = field(default_factory=_cores)
    queue: int = 512
    connections: int = field(default_factory=lambda: read_whole("GPFN_MAX_CONNECTIONS", 4096))
    head_seconds: float = 10.0
    idle_seconds: float = 75.0
    request_seconds: float = 60.0
    drain_seconds: float = 30.0
    allow_shutdown: bool = False
    verbose: bool = False
    max_batch: int | None = None
    unload_first: bool = False
    nan_words: bool = False
    tokens: str = ""
    names: tuple[str, ...] = ()
    models_dir: str = ""
    poll: float = 2.0
    grpc: str = ""
    supervised: bool = False
    stall_seconds: float = 1.0
    open_seconds: float = 300.0
    otlp: str = ""
    repository: RepositorySettings | None = None
    next_url: str = ""
    next_hosts: tuple[str, ...] = LOOPBACK
    waiting: int = 64
    limits: Limits = field(default_factory=_limits)

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens."""
        return Endpoint(self.host, self.port, self.unix, self.certificate, self.key)

    def loop(self, environ: Mapping[str, str] = os.environ) -> LoopSettings:
        """Return the loop server's bounds; raises SetupError."""
        most = self.limits.body_bytes
        return LoopSettings(
            connections=self.connections,
            head_seconds=self.head_seconds,
            body_seconds=self.request_seconds,
            idle_seconds=self.idle_seconds,
            write_seconds=self.request_seconds,
            drain_seconds=self.drain_seconds,
            body_bytes=max(most, read_size("GPFN_MAX_INFLIGHT_BYTES", 2 * most, environ=environ)),
        )
