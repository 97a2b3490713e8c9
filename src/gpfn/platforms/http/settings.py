"""The settings of a function over HTTP."""

import os
from collections.abc import Mapping
from typing import NamedTuple

from gpfn.http.loop.server import LoopSettings
from gpfn.limits import Limits
from gpfn.settings import read_duration, read_size, read_whole

__all__ = ["HttpSettings", "loop_settings"]

_INFLIGHT_BYTES = 256 << 20


class HttpSettings(NamedTuple):
    """How many calls run at once and how long each may take; times are in seconds.

    :meth:`from_env` reads them from ``GPFN_THREADS``, ``GPFN_QUEUE``, ``GPFN_REQUEST_TIMEOUT``
    and ``GPFN_START_WINDOW``.

    ``threads`` run handlers that are not async; 0 asks for four more than there are
    processors. ``queue`` more calls may wait; one beyond is answered 503.
    ``request_timeout`` is for a call, from when its body is there; 0 for none.
    """

    threads: int = 0
    queue: int = 512
    request_timeout: float = 30.0
    start_window: float = 4.0

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> "HttpSettings":
        """Return the settings with what the environment overrides; raises SetupError."""
        return cls(
            threads=read_whole("GPFN_THREADS", 0, environ=environ),
            queue=read_whole("GPFN_QUEUE", 512, environ=environ),
            request_timeout=read_duration("GPFN_REQUEST_TIMEOUT", 30.0, environ=environ),
            start_window=read_duration("GPFN_START_WINDOW", 4.0, environ=environ),
        )

    @property
    def most_threads(self) -> int:
        """The number of threads."""
        from gpfn.models.threads import available_cpus

        return self.threads or available_cpus() + 4


def loop_settings(limits: Limits, environ: Mapping[str, str] = os.environ) -> LoopSettings:
    """Return a loop server's bounds, as GPFN_MAX_… and GPFN_…_TIMEOUT override them.

    One body of the largest size is always let in. Raises SetupError.
    """
    usual = LoopSettings()
    inflight = max(_INFLIGHT_BYTES, 2 * limits.body_bytes)
    return usual._replace(
        connections=read_whole("GPFN_MAX_CONNECTIONS", usual.connections, least=1, environ=environ),
        body_bytes=max(
            limits.body_bytes, read_size("GPFN_MAX_INFLIGHT_BYTES", inflight, environ=environ)
        ),
        head_seconds=read_duration("GPFN_HEAD_TIMEOUT", usual.head_seconds, environ=environ),
        body_seconds=read_duration("GPFN_BODY_TIMEOUT", usual.body_seconds, environ=environ),
        idle_seconds=read_duration("GPFN_IDLE_TIMEOUT", usual.idle_seconds, environ=environ),
    )
