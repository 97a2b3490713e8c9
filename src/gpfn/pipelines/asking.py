"""What a stage's server says of itself: whether it is ready, what it has done, where it goes on.

These are small questions to a server that is near: they wait for a second at most.
"""

from __future__ import annotations

import re
import socket
import time
from collections import deque
from typing import Any, NamedTuple
from urllib.parse import quote

import orjson

from gpfn.errors import BackendError
from gpfn.http.address import parse_url
from gpfn.http.site import Site

__all__ = ["Figures", "Meter", "find_platform", "is_listening", "is_ready", "read_figures"]

_SECONDS = 1.0
_OK = 200
_WINDOW_SECONDS = 5.0
_SAMPLE = re.compile(
    r"^(?P<name>gpfn_inference_(?:requests_total|failures_total|duration_seconds_(?:sum|count))"
    r"|process_resident_memory_bytes)(?:\{[^}]*\})? (?P<number>\S+)$",
    re.MULTILINE,
)


class Figures(NamedTuple):
    """What a server has counted since it began: calls, those that failed, seconds; and memory."""

    calls: int = 0
    failed: int = 0
    seconds: float = 0.0
    rss: int = 0


def is_listening(url: str) -> bool:
    """Say whether anybody listens there."""
    address = parse_url(url)
    try:
        socket.create_connection((address.host, address.port), _SECONDS).close()
    except OSError:
        return False
    return True


def is_ready(url: str) -> bool:
    """Say whether a model server is there that will answer."""
    if not is_listening(url):  # that costs nothing, where the client would try a second time
        return False
    try:
        return _site(url).ask("GET", "/control/is_ready").status == _OK
    except BackendError:
        return False


def find_platform(url: str, name: str) -> str:
    """Return what computes behind a server's model of that name, or else behind its first.

    It is ``pipeline`` when the model's outputs go on to another server, and "" when the server
    does not tell.
    """
    site = _site(url)
    try:
        models = _document(site, "/").get("models")
        models = models if isinstance(models, list) and models else [name]
        named = name if name in models else models[0]
        return str(_document(site, f"/v2/models/{quote(str(named), safe='')}").get("platform", ""))
    except BackendError:
        return ""
    finally:
        site.close()


def _document(site: Site, path: str) -> dict[str, Any]:
    reply = site.ask("GET", path)
    try:
        found = orjson.loads(reply.body) if reply.status == _OK else {}
    except orjson.JSONDecodeError:
        found = {}
    return found if isinstance(found, dict) else {}


def _site(url: str) -> Site:
    address = parse_url(url)
    origin = f"{address.scheme}://{address.authority}"
    return Site(origin, timeout=_SECONDS, connect_timeout=_SECONDS)


class Meter:
    """Asks a stage for its figures again and again, over a connection that is kept.

    The stage has not begun yet; what it counted before it was started again counts on.
    """

    def __init__(self, url: str) -> None:
        self._site = _site(url)
        self._before = Figures()
        self._last = Figures()
        self._seen = deque([(time.monotonic(), 0, 0.0)])

    def look(self) -> Figures | None:
        """Return its figures; None when it does not tell them."""
        try:
            reply = self._site.ask("GET", "/metrics")
        except BackendError:
            return None
        if reply.status != _OK:
            return None
        now, last, before = read_figures(bytes(reply.body).decode()), self._last, self._before
        if now.calls < last.calls:  # it has begun at zero
            self._before = before = Figures(
                before.calls + last.calls,
                before.failed + last.failed,
                before.seconds + last.seconds,
            )
        self._last = now
        whole = Figures(
            before.calls + now.calls,
            before.failed + now.failed,
            before.seconds + now.seconds,
            now.rss,
        )
        self._note(whole)
        return whole

    def milliseconds(self) -> float | None:
        """Return the mean time of the calls of the last seconds; None when there were none."""
        (_, calls, seconds), (_, calls_now, seconds_now) = self._seen[0], self._seen[-1]
        more = calls_now - calls
        return (seconds_now - seconds) / more * 1e3 if more > 0 else None

    def close(self) -> None:
        """Close the connection."""
        self._site.close()

    def _note(self, figures: Figures) -> None:
        now = time.monotonic()
        well = figures.calls - figures.failed  # nobody adds up the seconds of those that failed
        self._seen.append((now, well, figures.seconds))
        while len(self._seen) > 2 and self._seen[1][0] < now - _WINDOW_SECONDS:
            self._seen.popleft()


def read_figures(text: str) -> Figures:
    """Return the figures in a text for Prometheus, summed over all models."""
    sums: dict[str, float] = {}
    for found in _SAMPLE.finditer(text):
        name = found["name"].removeprefix("gpfn_inference_")
        sums[name] = sums.get(name, 0.0) + float(found["number"])
    well, failed = sums.get("requests_total", 0.0), sums.get("failures_total", 0.0)
    return Figures(
        int(well + failed),
        int(failed),
        sums.get("duration_seconds_sum", 0.0),
        int(sums.get("process_resident_memory_bytes", 0.0)),
    )
