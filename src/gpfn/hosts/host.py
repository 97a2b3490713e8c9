"""The seam of a host: what starts one function on a platform, calls it and ends it.

``gpfn invoke``, ``coldstart``, ``doctor`` and ``certify`` stand on hosts. A
StartedFunction calls through one a number of times and keeps how long everything took.
"""

import base64
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, cast

from gpfn.hosts.log import readable, start_seconds
from gpfn.hosts.target import Target
from gpfn.platforms.table import find_platform, load_attribute
from gpfn.settings import LOG_FORMS, read_choice

__all__ = ["Host", "Invocation", "InvocationResult", "StartedFunction", "Timings", "make_host"]


@dataclass(frozen=True, slots=True)
class Invocation:
    """A call to be made: the body, its media type, other headers, and the seconds to wait.

    ``method`` and ``url`` are what the caller of an HTTP trigger asked for.
    """

    body: bytes = b""
    content_type: str = "text/plain"
    headers: tuple[tuple[str, str], ...] = ()
    timeout: float = 30.0
    as_trigger: bool = False
    method: str = "POST"
    url: str = "http://127.0.0.1:8080/t/app/trigger"


@dataclass(frozen=True, slots=True)
class InvocationResult:
    """What a call gave, as the platform's own client sees it; header names in lower case."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    call_id: str = ""

    @property
    def content_type(self) -> str:
        """The media type, empty when none was sent."""
        return next((value for name, value in self.headers if name == "content-type"), "")

    @property
    def failed(self) -> bool:
        """Whether it is an error: by its status, or by an error document."""
        return self.status >= 400 or self.content_type.startswith("application/problem+json")

    def shown(self) -> dict[str, object]:
        """Return it for ``--json``: a JSON body parsed, text as text, anything else base64."""
        return {
            "status": self.status,
            "call_id": self.call_id,
            "headers": [list(header) for header in self.headers],
            "body": _readable(self.body, self.content_type),
        }


def _readable(body: bytes, content_type: str) -> object:
    if "json" in content_type:
        try:
            return json.loads(body)
        except ValueError:
            return body.decode(errors="replace")  # it says JSON and is not: show what it is
    try:
        return body.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(body).decode()}


class Host(Protocol):
    """One function, running under one platform's contract."""

    def start(self) -> float:
        """Start it and wait until it can be called; returns the seconds that took."""

    def call(self, request: Invocation) -> InvocationResult:
        """Call it once. Raises BackendError when no result comes."""

    def stop(self) -> None:
        """End what start() began and remove what it left; calling it twice is harmless."""

    def log(self) -> str:
        """Return what the function has written so far."""

    def memory(self) -> int:
        """Return the resident bytes of the function's process; 0 when unknown."""


def make_host(platform: str, target: Target) -> Host:
    """Return what starts a function as a process of a platform; it is not started yet.

    Raises SetupError for a platform that the table does not have, or that has no host.
    """
    row = find_platform(platform, "host")
    return cast("Callable[[Target], Host]", load_attribute(row.host))(target)


@dataclass(slots=True)
class Timings:
    """How long the start and each call took, in seconds, and the bytes of memory after them.

    ``parts`` are the parts of the start, as the runner's log tells them.
    """

    start: float = 0.0
    calls: list[float] = field(default_factory=list)
    parts: dict[str, float] = field(default_factory=dict)
    memory: int = 0

    def rows(self) -> list[tuple[str, str]]:
        """Return the table's rows: a name, and a time or a size."""
        rows = [("start-up", _ms(self.start))]
        rows += [(f"  {name}", _ms(seconds)) for name, seconds in self.parts.items()]
        if self.calls:
            rows.append(("first call", _ms(self.calls[0])))
        if len(self.calls) > 1:
            later = self.calls[1:]
            rows.append((f"later calls, median of {len(later)}", _ms(statistics.median(later))))
        if self.memory:
            rows.append(("memory", f"{self.memory / 1e6:.1f} MB"))
        return rows

    def shown(self) -> dict[str, object]:
        """Return it for ``--json``, in seconds and bytes."""
        later = self.calls[1:]
        return {
            "start": self.start,
            **self.parts,
            "first_call": self.calls[0] if self.calls else None,
            "later_calls_median": statistics.median(later) if later else None,
            "calls": len(self.calls),
            "memory_bytes": self.memory,
        }


class StartedFunction:
    """A function on a platform, from start to stop; a context manager."""

    def __init__(self, platform: Host) -> None:
        self.host = platform
        self.timings = Timings()

    def __enter__(self) -> "StartedFunction":
        try:
            self.timings.start = self.host.start()
        except BaseException:
            self.host.stop()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.host.stop()

    def call(self, request: Invocation, repeat: int = 1) -> InvocationResult:
        """Call ``repeat`` times, at least once; returns the first failed answer, or the last."""
        for _ in range(max(1, repeat)):
            began = time.perf_counter()
            answer = self.host.call(request)
            self.timings.calls.append(time.perf_counter() - began)
            if answer.failed:
                break
        self.timings.memory = self.host.memory()
        self.timings.parts = start_seconds(self.host.log())
        return answer

    def log(self) -> str:
        """Return what the function wrote, its records in the form that GPFN_LOG names here.

        Raises SetupError when that is no form.
        """
        return readable(self.host.log(), read_choice("GPFN_LOG", LOG_FORMS[0], LOG_FORMS))


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms"
