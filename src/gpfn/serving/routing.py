"""From a method and a target to what answers it; each target is looked at once.

A protocol has a table of routes, whose patterns have names in braces: ``/v2/models/{model}``.
A name is one part of the path, percent-decoded, and is refused when it holds what no model's
name does; ``{path*}`` at the end is all parts from there on, and ``{raw*}`` those as they came,
for a protocol with rules of its own. Paths may also come with a base before them, as a proxy
leaves them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import unquote_to_bytes

from gpfn.errors import GpfnError, InvalidRequest

if TYPE_CHECKING:
    from gpfn.http.loop.exchange import Headers, Response
    from gpfn.http.loop.incoming import BodyReceiver

__all__ = ["Answering", "HttpProtocol", "Route", "Routed", "Router", "WrongMethod", "not_found"]

Answering = Callable[..., "Response | None"]
"""Called with the exchange, its body, and the names of the path."""

_MOST = 1024  # targets that are remembered
_LONGEST_TARGET = 512
_LONGEST_NAME = 255
_RESTS = ("{path*}", "{raw*}")


class WrongMethod(InvalidRequest):
    """The path is there, but not for this method; ``allowed`` are those that it has."""

    def __init__(self, detail: str, allowed: Sequence[str]) -> None:
        super().__init__(detail, status=405)
        self.allowed = allowed


def not_found(path: str, allowed: Sequence[str]) -> GpfnError:
    """Return what is wrong with a path that has no route, or only for other methods."""
    if not allowed:
        return InvalidRequest(f"no such path: {path:.99}", status=404)
    methods = sorted({*allowed, *(("HEAD",) if "GET" in allowed else ())})
    return WrongMethod(f"use {' or '.join(methods)} for {path:.99}", methods)


class Route(NamedTuple):
    """What answers ``method`` on paths of a ``pattern``.

    ``scope`` is what a caller has to be allowed: predict, write or admin; nothing for all. A
    ``vital`` route is answered in a full house. A ``body`` is waited for. With ``receive`` it goes
    to what that returns for a request's headers, as it comes, or nothing for a body in memory; it
    raises what forbids the request. ``early`` is called with a request's method, target and headers
    before its body is there, and raises what refuses it already then.
    """

    method: str
    pattern: str
    answer: Answering
    scope: str = "predict"
    vital: bool = False
    body: bool = False
    receive: Callable[[Headers], BodyReceiver | None] | None = None
    early: Callable[[str, str, Headers], None] | None = None


class HttpProtocol(Protocol):
    """A protocol that clients speak over HTTP."""

    @property
    def routes(self) -> Sequence[Route]:
        """What it answers."""

    @property
    def prefixes(self) -> Sequence[str]:
        """What its paths begin with: what is wrong with such a request is told in its way."""

    def failure(self, error: BaseException, accept: str | None) -> Response:
        """Return the answer to a request that failed."""

    def unknown(self, method: str, path: str, allowed: Sequence[str]) -> GpfnError:
        """Return what is wrong with a path that has no route, or only for other methods."""


class Routed(NamedTuple):
    """What answers a request."""

    protocol: HttpProtocol
    route: Route
    names: Mapping[str, str]


class Router:
    """Finds routes; a protocol that stands first is asked first."""

    def __init__(
        self,
        protocols: Sequence[HttpProtocol],
        base: str = "",
        decode: Callable[[str, str], str] | None = None,
    ) -> None:
        """``decode`` returns a part of a path as the name that a pattern gives it, and refuses it.

        Without it every name is UTF-8, is printable, and has no slash.
        """
        self._protocols = protocols
        self._base = base
        self._decode = decode or _decoded
        self._known: dict[tuple[str, str], Routed] = {}
        self._patterns = [
            (protocol, route, route.pattern.split("/")[1:])
            for protocol in protocols
            for route in protocol.routes
        ]

    def find(self, method: str, target: str) -> Routed:
        """Return what answers; raises what its protocol says of an unknown path."""
        found = self._known.get((method, target))
        if found is None:
            found = self._search(method, self._path(target))
            if len(target) <= _LONGEST_TARGET:
                if len(self._known) >= _MOST:
                    self._known.clear()
                self._known[method, target] = found
        return found

    def protocol_of(self, target: str) -> HttpProtocol:
        """Return the protocol in whose words a request for a target is refused."""
        path = self._path(target)
        for protocol in self._protocols:
            if any(path == prefix or path.startswith(f"{prefix}/") for prefix in protocol.prefixes):
                return protocol
        return self._protocols[-1]

    def _path(self, target: str) -> str:
        path = target.partition("?")[0]
        based = self._base and (path == self._base or path.startswith(f"{self._base}/"))
        return path[len(self._base) :] or "/" if based else path

    def _search(self, method: str, path: str) -> Routed:
        parts = path.split("/")[1:]
        allowed: list[str] = []
        for protocol, route, pattern in self._patterns:
            names = _match(pattern, parts)
            if names is None:
                continue
            if route.method == method or (method == "HEAD" and route.method == "GET"):
                decoded = {k.rstrip("*"): self._decode(v, k) for k, v in names.items()}
                return Routed(protocol, route, decoded)
            allowed.append(route.method)
        raise self.protocol_of(path).unknown(method, path, allowed)


def _match(pattern: Sequence[str], parts: Sequence[str]) -> dict[str, str] | None:
    names: dict[str, Any] = {}
    if pattern[-1] in _RESTS and len(parts) >= len(pattern):
        names[pattern[-1][1:-1]] = "/".join(parts[len(pattern) - 1 :])
        pattern, parts = pattern[:-1], parts[: len(pattern) - 1]
    if len(pattern) != len(parts):
        return None
    for want, part in zip(pattern, parts, strict=True):
        if want[:1] == "{":
            name, _, verb = want[1:].partition("}")
            if verb and part[-len(verb) :].lower() != verb:
                return None
            names[name] = part.removesuffix(part[-len(verb) :]) if verb else part
            if not names[name]:
                return None
        elif want != part:
            return None
    return names


def _decoded(part: str, name: str) -> str:
    """Return a part of a path as text, or each part of several."""
    if name == "raw*":
        return part
    if name.endswith("*"):
        return "/".join(map(_decoded_part, part.split("/")))
    return _decoded_part(part)


def _decoded_part(part: str) -> str:
    """Return a part of a path as text; raises InvalidRequest for what can name nothing."""
    try:
        name = unquote_to_bytes(part).decode()
    except UnicodeDecodeError:
        raise InvalidRequest("a name in the path is not UTF-8", field="path") from None
    if "/" in name or name in (".", "..") or not name.isprintable() or len(name) > _LONGEST_NAME:
        raise InvalidRequest(f"{name:.99} can be no name", field="path")
    return name
