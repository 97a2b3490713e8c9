"""The seam between ``gpfn invoke`` and the platforms that it starts functions on."""

import base64
import json
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, cast

from gpfn.errors import SetupError
from gpfn.hosts.target import Target

__all__ = ["PLATFORMS", "Answer", "Platform", "Request", "start_platform"]


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent: the body, its media type, other headers, and how long to wait."""

    body: bytes = b""
    content_type: str = "text/plain"
    headers: tuple[tuple[str, str], ...] = ()
    timeout: float = 30.0
    as_trigger: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, as the platform's own client would see it; header names in lower case."""

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


class Platform(Protocol):
    """One function, running under one platform's contract."""

    def start(self) -> float:
        """Start it and wait until it can be called; returns the seconds that took."""

    def call(self, request: Request) -> Answer:
        """Call it once. Raises BackendError when no answer comes."""

    def stop(self) -> None:
        """End what start() began and remove what it left; calling it twice is harmless."""

    def log(self) -> str:
        """Return what the function has written so far."""

    def memory(self) -> int:
        """Return the resident bytes of the function's process; 0 when unknown."""


PLATFORMS = {
    "fn": "gpfn.hosts.fn:Fn",
    "fdk": "gpfn.hosts.fn:Fdk",
    "http": "gpfn.hosts.http:Http",
    "openwhisk": "gpfn.hosts.openwhisk:OpenWhisk",
    "call": "gpfn.hosts.http:InProcess",
}
"""Names for ``--platform``, and the classes; each is made from a Target and is a Platform."""


def start_platform(name: str, target: Target) -> Platform:
    """Return the platform ``name`` for a function; it is not started yet."""
    if name not in PLATFORMS:
        raise SetupError(f"unknown; known: {', '.join(PLATFORMS)}", field="platform")
    module, _, attribute = PLATFORMS[name].partition(":")
    return cast("Platform", getattr(import_module(module), attribute)(target))
