"""Where a bridge says how it is: ``/metrics``, ``/health/live`` and ``/health/ready``.

Live says that the loop turns: it could not answer otherwise. Ready says that it has begun, that
its source answers, and that the queue took what was written last.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from gpfn.errors import GpfnError, SetupError
from gpfn.http.body import Budget
from gpfn.http.loop import LoopServer, LoopSettings, Response
from gpfn.http.loop.process import Endpoint, listen, url_of
from gpfn.limits import Limits
from gpfn.metrics import MEDIA_TYPE
from gpfn.settings import read_digits

if TYPE_CHECKING:
    from gpfn.bridge.engine import Bridge
    from gpfn.http.loop.exchange import Exchange, Headers
    from gpfn.log import Log

__all__ = ["Monitor"]

_BODY_BYTES = 64 << 10
_TEXT = (("content-type", "text/plain; charset=utf-8"),)
_METRICS = (("content-type", MEDIA_TYPE),)


class Monitor:
    """The HTTP side of a bridge that runs."""

    def __init__(self, bridge: Bridge, address: str, log: Log) -> None:
        """Raise SetupError when it cannot listen there."""
        self._bridge = bridge
        self._log = log
        self._socket = listen(_endpoint(address))
        limits = Limits(body_bytes=_BODY_BYTES)
        self._server = LoopServer(
            self._socket,
            self,
            log,
            limits=limits,
            settings=LoopSettings(connections=64, drain_seconds=1.0),
            budget=Budget(1 << 20),
            metrics=bridge.figures.metrics,
        )
        bridge.figures.watch(_gauges(bridge))

    async def __aenter__(self) -> Monitor:
        url = url_of(self._socket)
        self._task = asyncio.create_task(self._server.serve(lambda: self._log.listening(url)))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.stop()
        await self._task

    def handle(self, exchange: Exchange) -> None:
        """Answer a request."""
        exchange.answer(self._answer(exchange.request.method, exchange.request.target))

    def _answer(self, method: str, target: str) -> Response:
        if method not in ("GET", "HEAD"):
            return Response(405, (*_TEXT, ("allow", "GET, HEAD")), (b"only GET\n",))
        path = target.partition("?")[0]
        if path == "/metrics":
            return Response(200, _METRICS, (self._bridge.figures.metrics.text(),))
        if path == "/health/live":
            return Response(200, _TEXT, (b"live\n",))
        if path == "/health/ready":
            ready = self._bridge.ready
            return Response(
                200 if ready else 503, _TEXT, (b"ready\n" if ready else b"not ready\n",)
            )
        return Response(404, _TEXT, (b"/metrics, /health/live and /health/ready are here\n",))

    def early(self, method: str, target: str, headers: Headers) -> Response | None:
        """Every request is answered when it is there."""

    def receiver(self, method: str, target: str, headers: Headers) -> None:
        """No body is received piece by piece."""

    def vital(self, exchange: Exchange) -> Response | None:
        """Everything here is."""
        return self._answer(exchange.request.method, exchange.request.target)

    def refuse(self, error: GpfnError, headers: Headers, target: str) -> Response:  # noqa: ARG002
        """Answer a broken request."""
        return Response(error.status, _TEXT, (f"{error}\n".encode(),))


def _endpoint(address: str) -> Endpoint:
    host, _, port = address.rpartition(":")
    number = read_digits(port)
    if not host or number is None or number > 65535:
        raise SetupError("expected HOST:PORT", field="listen")
    return Endpoint(host.strip("[]"), number)


def _gauges(bridge: Bridge) -> dict[str, tuple[str, Callable[[], float]]]:
    """Return what is looked at when it is asked for."""
    intake, callers = bridge.intake, bridge.callers

    def oldest() -> float:
        written = intake.oldest()
        return max(time.time() - written / 1000, 0.0) if written >= 0 else 0.0

    return {
        "gpfn_bridge_in_flight": ("Calls under way.", lambda: sum(c.active for c in callers)),
        "gpfn_bridge_unfinished": ("Records that are not finished.", intake.counted),
        "gpfn_bridge_unfinished_bytes": ("Bytes of these.", lambda: intake.bytes),
        "gpfn_bridge_gap": ("Most records finished beyond one that is not.", intake.gap),
        "gpfn_bridge_oldest_age_seconds": ("Age of the oldest unfinished record.", oldest),
        "gpfn_bridge_waiting": (
            "Events that wait for their next call.",
            lambda: sum(c.lanes.waiting for c in callers),
        ),
        "gpfn_bridge_paused_partitions": ("Partitions held back.", lambda: len(intake.paused)),
        "gpfn_bridge_ready": ("1 when source and sink answer.", lambda: bridge.ready),
        "gpfn_bridge_circuits_open": (
            "Routes whose destination is left alone.",
            lambda: sum(c.circuit.is_open for c in callers),
        ),
    }
