"""How a GraphPipe server listens and what it lets through."""

import os
from dataclasses import dataclass, field

from gpfn.limits import Limits

__all__ = ["SERVER_BODY_BYTES", "SERVER_ELEMENTS", "ServerSettings"]

SERVER_BODY_BYTES = 512 << 20
SERVER_ELEMENTS = 128 << 20
"""A model server's defaults where they are larger than a function's."""


def _cores() -> int:
    return len(os.sched_getaffinity(0))


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Times are in seconds.

    ``workers`` inferences run at once and ``queue`` more may wait; a request beyond
    that is answered 503. ``request_seconds`` is all the time a client has to send one
    request, however it drips.
    """

    host: str = "127.0.0.1"
    port: int = 9000
    workers: int = field(default_factory=_cores)
    queue: int = 64
    connections: int = 256
    idle_seconds: float = 75.0
    request_seconds: float = 60.0
    drain_seconds: float = 30.0
    allow_shutdown: bool = False
    verbose: bool = False
    limits: Limits = field(
        default_factory=lambda: Limits.from_env(
            body_bytes=SERVER_BODY_BYTES, elements=SERVER_ELEMENTS
        )
    )
