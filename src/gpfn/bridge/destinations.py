"""What a route calls: an HTTP function, one in this process, or the one that the event names.

Each takes a message and tells a callback what was answered, so that as many calls as a route
may have under way cost no thread and no task of the event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from gpfn.bridge.activations import ACTIONS, Activations
from gpfn.bridge.answers import Answer
from gpfn.errors import CallerError, GpfnError, InvalidEvent, SetupError
from gpfn.events.modes import write
from gpfn.http.address import Address, parse_url, request_head, shown_url
from gpfn.http.loop.client import LoopClient
from gpfn.http.response import HttpResponse
from gpfn.media import EVENT_FAMILY
from gpfn.message import Message
from gpfn.traceparent import traceparent

if TYPE_CHECKING:
    from gpfn.events.event import Event

__all__ = ["CHOSEN", "Allowed", "Destination", "Done", "open_destination"]

Done = Callable[[Answer], None]

CHOSEN = "destination"
"""What a route calls where the event's own ``destination`` says it."""

_REPLY_BYTES = 6 << 20
_ACTION_QUERY = "blocking=true&result=true"
_MOST_CHOSEN = 256


class Destination(Protocol):
    """What is called."""

    shown: str
    """What people and dead letters are told of it: without user, password and query."""

    def call(self, message: Message, event: Event, seconds: float, done: Done) -> None:
        """Call it; ``done`` is called once, in the loop's thread, perhaps at once."""

    def close(self) -> None:
        """Let go of it; who is under way is told."""


def open_destination(
    call: str,
    *,
    headers: Sequence[tuple[str, str]] = (),
    allow: Sequence[str] = (),
    config: Mapping[str, str] = MappingProxyType({}),
    in_flight: int = 64,
    limit: int = _REPLY_BYTES,
) -> Destination:
    """Return what a route's ``call`` stands for; ``config`` is for a function in this process.

    Raises SetupError with the field ``call``: no URL, no such function, or it cannot be loaded.
    """
    if call == CHOSEN:
        return _Chosen(allow, headers, in_flight, limit)
    if call.startswith(("http://", "https://")):
        return _Http(call, headers, in_flight, limit)
    if "://" in call:
        raise SetupError(f"{shown_url(call)}: expected http:// or https://", field="call")
    from gpfn.bridge.in_process import InProcess  # which loads functions and models

    return InProcess(call, config)


class _Http:
    """A function behind HTTP: a trigger of Fn, an action of OpenWhisk, any other."""

    def __init__(
        self, url: str, headers: Sequence[tuple[str, str]], in_flight: int, limit: int
    ) -> None:
        address = _asked(parse_url(url, field="call"))
        self.shown = address.shown
        self._action = ACTIONS in address.target
        # an action's parameters are a JSON object, and Fn's invoke passes no headers on
        self._structured = self._action or address.target.startswith("/invoke/")
        self._head = request_head("POST", address, None, headers)
        self._client = LoopClient(address, connections=in_flight, limit=limit)
        self._activations: Activations | None = None
        if self._action and "blocking=true" in address.target.partition("?")[2].split("&"):
            self._activations = Activations(self._client, address, headers)

    def call(self, message: Message, event: Event, seconds: float, done: Done) -> None:
        if self._structured and not message.content_type.startswith(EVENT_FAMILY):
            message = write((event,), "structured")
        body, content_type, headers = message
        kind = "application/json" if self._action else content_type
        lines = [f"Content-Type: {kind}"] if kind else []
        lines += [f"{name}: {value}" for name, value in headers]
        parent = event.attribute("traceparent")
        if parent is not None and (valid := traceparent([("traceparent", str(parent))])):
            lines.append(f"traceparent: {valid}")
        text = "".join(lines)
        if not text.isascii() or not text.isprintable():  # it would end the head where it likes
            done(InvalidEvent("a header of the request would not be printable ASCII"))
            return
        head = b"\r\n".join((self._head, *[line.encode("ascii") for line in lines]))
        activations = self._activations
        if activations is None:
            self._client.send(head, body, seconds, lambda came: done(_answer(came)))
            return
        late_at = monotonic() + seconds
        self._client.send(
            head, body, seconds, lambda came: activations.answered(_answer(came), late_at, done)
        )

    def close(self) -> None:
        if self._activations is not None:
            self._activations.close()
        self._client.close()


def _asked(address: Address) -> Address:
    """Return an action's address so that it waits for the action and answers its result."""
    path, _, query = address.target.partition("?")
    if ACTIONS not in path or "blocking=" in query:
        return address
    return address._replace(target=f"{path}?{query + '&' if query else ''}{_ACTION_QUERY}")


def _answer(came: HttpResponse | GpfnError) -> Answer:
    if isinstance(came, GpfnError):
        return came
    headers = came.headers
    message = Message(came.body, headers.get("content-type", ""), tuple(headers.items()))
    return came.status, message


class Allowed:
    """The list of what events may choose."""

    def __init__(self, allow: Sequence[str]) -> None:
        """Raise SetupError with the field ``allow`` when there is nothing on it, or no URL."""
        if not allow:
            raise SetupError("without a list nothing may be called", field="allow")
        self._allowed = [_allowed(text) for text in allow]

    def url_of(self, event: Event) -> str:
        """Return what an event chooses. Raises InvalidEvent when that may not be called."""
        url = event.attribute(CHOSEN)
        if not isinstance(url, str):
            raise InvalidEvent("the event names none", field=CHOSEN)
        try:
            address = parse_url(url, field=CHOSEN)
        except SetupError as error:
            raise InvalidEvent(error.detail, field=CHOSEN) from None
        if not any(_is_below(address, allowed) for allowed in self._allowed):
            raise InvalidEvent(f"{address.shown} is not on the list of allow", field=CHOSEN)
        return url


class _Chosen:
    """Whatever the event's ``destination`` names, if it is on the list of what may be called."""

    shown = CHOSEN

    def __init__(
        self,
        allow: Sequence[str],
        headers: Sequence[tuple[str, str]],
        in_flight: int,
        limit: int,
    ) -> None:
        self._allowed = Allowed(allow)
        self._rest = (headers, in_flight, limit)
        self._known: dict[str, _Http] = {}

    def call(self, message: Message, event: Event, seconds: float, done: Done) -> None:
        try:
            destination = self._find(event)
        except CallerError as error:
            done(error)
        else:
            destination.call(message, event, seconds, done)

    def _find(self, event: Event) -> _Http:
        url = event.attribute(CHOSEN)
        known = self._known.get(url) if isinstance(url, str) else None
        if known is not None:
            return known
        url = self._allowed.url_of(event)
        if len(self._known) >= _MOST_CHOSEN:
            self._known.pop(next(iter(self._known))).close()
        made = self._known[url] = _Http(url, *self._rest)
        return made

    def close(self) -> None:
        for destination in self._known.values():
            destination.close()


def _allowed(text: str) -> Address:
    address = parse_url(text.removesuffix("*"), field="allow")
    return address._replace(target=address.target if text.endswith("*") else f"{address.target}\n")


def _is_below(address: Address, allowed: Address) -> bool:
    """Say whether an address is the allowed one, or below it where that ended in a star.

    Host and port are compared whole: a prefix of a host's name is another host. A path that
    goes up again, or hides how, is below nothing.
    """
    if address[:3] != allowed[:3] or address.authorization:
        return False
    path = address.target.lower()
    if "/.." in path or "/./" in path or "%2e" in path or "%2f" in path or "%5c" in path:
        return False
    return f"{address.target}\n".startswith(allowed.target)
