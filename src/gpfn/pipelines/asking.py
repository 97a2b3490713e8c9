"""What a stage's server says of itself: whether it is ready, what it serves, what it has done.

These are small questions to a server that is near: they wait for a second at most.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from glob import iglob
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import orjson

from gpfn.errors import BackendError, InvalidRequest
from gpfn.http.address import parse_url
from gpfn.http.site import Site
from gpfn.oip.documents import read_model_metadata
from gpfn.tensors.spec import TensorSpec

__all__ = [
    "Meter",
    "ServedStage",
    "StageFigures",
    "find_holder",
    "find_served",
    "is_listening",
    "is_ready",
    "read_figures",
]

_SECONDS = 1.0
_OK = 200
_SHOWN = 8
_LISTENS = "0A"
"""The state of a socket in the system's tables that waits for connections."""
_WINDOW_SECONDS = 5.0
_SAMPLE = re.compile(
    r"^(?P<name>gpfn_inference_(?:requests_total|failures_total|duration_seconds_(?:sum|count))"
    r"|process_resident_memory_bytes)(?:\{[^}]*\})? (?P<number>\S+)$",
    re.MULTILINE,
)


class StageFigures(NamedTuple):
    """What a server has counted since it began: calls, those that failed, seconds; and memory."""

    calls: int = 0
    failed: int = 0
    seconds: float = 0.0
    rss: int = 0


def is_listening(url: str) -> bool:
    """Say whether anybody listens there."""
    address = parse_url(url)
    try:
        with socket.create_connection((address.host, address.port), _SECONDS) as found:
            return bool(found.getsockname() != found.getpeername())  # it may have met itself
    except OSError:
        return False


def is_ready(url: str) -> bool:
    """Say whether a model server is there that will answer."""
    if not is_listening(url):  # that costs nothing, where the client would try a second time
        return False
    try:
        return _site(url).ask("GET", "/control/is_ready").status == _OK
    except BackendError:
        return False


class ServedStage(NamedTuple):
    """What a server tells of itself, and of one of its models; empty where it tells nothing.

    The first of the ``models`` is the one that is meant where none is named. ``platform`` is
    what computes, ``pipeline`` when the model's outputs go on to another server.
    """

    models: tuple[str, ...] = ()
    platform: str = ""
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()


def find_served(url: str, name: str) -> ServedStage:
    """Return what a server tells of its model of that name, or else of its first."""
    site = _site(url)
    try:
        told = _document(site, "/").get("models")
        models = tuple(map(str, told)) if isinstance(told, list) else ()
        named = name if name in models else (models or (name,))[0]
        model = _document(site, f"/v2/models/{quote(named, safe='')}")
        tensors = read_model_metadata(model)
        return ServedStage(models, str(model.get("platform", "")), tensors.inputs, tensors.outputs)
    except (BackendError, InvalidRequest):
        return ServedStage()
    finally:
        site.close()


def find_holder(url: str) -> str:
    """Say who listens there, for people: what is served, and by which process of this machine."""
    models = find_served(url, "").models if is_ready(url) else ()
    parts = [f"a server of {', '.join(models[:_SHOWN])}"] if models else []
    pid = _listener(parse_url(url).port)
    if pid:
        parts.append(f"process {pid}{_command(pid)}")
    return ", ".join(parts) or "somebody"


def _command(pid: int) -> str:
    try:
        return f" ({Path(f'/proc/{pid}/comm').read_text().strip()})"
    except OSError:
        return ""


def _listener(port: int) -> int:
    """Return the process that listens at a port, 0 where the system does not tell us."""
    wanted = {f"socket:[{inode}]" for inode in _inodes(port)}
    for path in iglob("/proc/[0-9]*/fd/*") if wanted else ():
        with suppress(OSError):  # it is closed, or its process has ended or is not ours
            if os.readlink(path) in wanted:
                return int(path.split("/")[2])
    return 0


def _inodes(port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        with suppress(OSError):  # a system without them
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                _, here, _, state, *_, inode = line.split()[:10]
                if state == _LISTENS and int(here.rpartition(":")[2], 16) == port:
                    yield inode


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
        self._before = StageFigures()
        self._last = StageFigures()
        self._seen = deque([(time.monotonic(), 0, 0.0)])

    def look(self) -> StageFigures | None:
        """Return its figures; None when it does not tell them."""
        try:
            reply = self._site.ask("GET", "/metrics")
        except BackendError:
            return None
        if reply.status != _OK:
            return None
        now, last, before = read_figures(bytes(reply.body).decode()), self._last, self._before
        if now.calls < last.calls:  # it has begun at zero
            self._before = before = StageFigures(
                before.calls + last.calls,
                before.failed + last.failed,
                before.seconds + last.seconds,
            )
        self._last = now
        whole = StageFigures(
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

    def _note(self, figures: StageFigures) -> None:
        now = time.monotonic()
        well = figures.calls - figures.failed  # nobody adds up the seconds of those that failed
        self._seen.append((now, well, figures.seconds))
        while len(self._seen) > 2 and self._seen[1][0] < now - _WINDOW_SECONDS:
            self._seen.popleft()


def read_figures(text: str) -> StageFigures:
    """Return the figures in a text for Prometheus, summed over all models."""
    sums: dict[str, float] = {}
    for found in _SAMPLE.finditer(text):
        name = found["name"].removeprefix("gpfn_inference_")
        sums[name] = sums.get(name, 0.0) + float(found["number"])
    well, failed = sums.get("requests_total", 0.0), sums.get("failures_total", 0.0)
    return StageFigures(
        int(well + failed),
        int(failed),
        sums.get("duration_seconds_sum", 0.0),
        int(sums.get("process_resident_memory_bytes", 0.0)),
    )
