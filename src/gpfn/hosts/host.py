"""The seam of a host: what starts one function on a platform, calls it and ends it.

``gpfn invoke``, ``coldstart``, ``doctor`` and ``certify`` stand on hosts.
"""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

from gpfn.hosts.target import Target
from gpfn.platforms.table import find_platform, load_attribute

__all__ = ["Host", "Invocation", "InvocationResult", "make_host"]


@dataclass(frozen=True, slots=True)
class Invocation:
    """A call to be made: the body, its media type, other headers, and the seconds to wait."""

    body: bytes = b""
    content_type: str = "text/plain"
    headers: tuple[tuple[str, str], ...] = ()
    timeout: float = 30.0
    as_trigger: bool = False


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
        """Whether it is an error: by its status, or an error document where statuses are lost."""
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
