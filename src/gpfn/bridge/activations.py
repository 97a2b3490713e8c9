"""The result of an OpenWhisk action that takes longer than its platform waits for one.

A blocking call is answered after a minute at the latest: with 202 and the activation's id, while
the action goes on. Its record is there when it has ended, and holds the result; whoever asks
before is answered 404. It is asked for until the call's own time is up, and handed on as the
platform would have answered it in time.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from gpfn.bridge.answers import Answer
from gpfn.bridge.retrying import is_retried
from gpfn.errors import BackendError, BackendTimeout, BrokenReply, CannotConnect, TooLarge
from gpfn.http.address import Address, request_head
from gpfn.json_exact import dumps, loads
from gpfn.message import Message

if TYPE_CHECKING:
    from gpfn.http.loop.client import LoopClient
    from gpfn.http.response import HttpResponse

__all__ = ["ACTIONS", "Activations"]

ACTIONS = "/actions/"
"""What stands before an action's name in the path of its address."""

_NAMESPACES = "/namespaces/"
_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_ASK_SECONDS = 1.0
_ACCEPTED, _NOT_YET = 202, 404


class _Followed(NamedTuple):
    """An activation that has no result yet, until when it is asked for, and who is told."""

    identifier: str
    late_at: float
    done: Callable[[Answer], None]


class Activations:
    """The activations of an action that are under way longer than the platform waits."""

    def __init__(
        self, client: LoopClient, address: Address, headers: Sequence[tuple[str, str]]
    ) -> None:
        """``client`` is that of the action's ``address``, and ``headers`` go along there, too."""
        before = address.target.partition(ACTIONS)[0]
        if _NAMESPACES in before:  # a record is with who called, not with whose action it is
            before = f"{before.rpartition(_NAMESPACES)[0]}{_NAMESPACES}_"
        self._path = f"{before}/activations/"
        self._client = client
        self._address = address
        self._headers = headers
        self._timers: dict[asyncio.TimerHandle, _Followed] = {}
        self._closed = False

    def answered(self, answer: Answer, late_at: float, done: Callable[[Answer], None]) -> None:
        """Tell ``done`` an action's answer, or its result where that is not there yet.

        ``late_at`` is the time on the monotonic clock at which the call's time is up.
        """
        identifier = "" if not isinstance(answer, tuple) else _identifier(*answer)
        if identifier:
            self._ask_later(_Followed(identifier, late_at, done))
        else:
            done(answer)

    def close(self) -> None:
        """Ask no more; who waits is told."""
        self._closed = True
        timers, self._timers = self._timers, {}
        for timer, followed in timers.items():
            timer.cancel()
            followed.done(CannotConnect("the client was closed"))

    def _ask_later(self, followed: _Followed) -> None:
        left = followed.late_at - monotonic()
        if left <= 0:
            told = f"{self._address.shown}: activation {followed.identifier} has not ended in time"
            followed.done(BackendTimeout(told))
            return
        wait = min(_ASK_SECONDS, left)
        timer: asyncio.TimerHandle
        timer = asyncio.get_running_loop().call_later(wait, lambda: self._ask(timer))
        self._timers[timer] = followed

    def _ask(self, timer: asyncio.TimerHandle) -> None:
        followed = self._timers.pop(timer)
        address = self._address._replace(target=f"{self._path}{followed.identifier}")
        head = request_head("GET", address, None, self._headers)
        seconds = max(followed.late_at - monotonic(), _ASK_SECONDS / 2)  # once more at the end
        self._client.send(head, b"", seconds, partial(self._came, followed))

    def _came(self, followed: _Followed, came: HttpResponse | BackendError | TooLarge) -> None:
        if self._closed or isinstance(came, TooLarge):
            followed.done(came if not isinstance(came, tuple) else _result(came))
        elif isinstance(came, BackendError) or came.status == _NOT_YET or is_retried(came.status):
            self._ask_later(followed)
        else:
            followed.done(_result(came))


def _identifier(status: int, message: Message) -> str:
    """Return the id of an activation that goes on; empty where the answer tells of none."""
    if status != _ACCEPTED or not message.body:
        return ""
    try:
        document = loads(message.body)
    except ValueError:
        return ""
    identifier = document.get("activationId") if isinstance(document, dict) else None
    return identifier if isinstance(identifier, str) and _ID.fullmatch(identifier) else ""


def _result(came: HttpResponse) -> Answer:
    """Return what the platform would have answered, had the activation ended in time."""
    if came.status != 200:  # nobody may ask for it: it is known to whom it is refused
        return came.status, Message(came.body, came.headers.get("content-type", ""))
    try:
        document = loads(came.body)
    except ValueError:
        document = None
    response = document.get("response") if isinstance(document, dict) else None
    if not isinstance(response, dict) or "success" not in response:
        return BrokenReply("the activation's record has no response")
    status = 200
    if response["success"] is not True:
        status = 500 if response.get("status") == "whisk internal error" else 502
    result = response.get("result")
    try:
        body = b"" if result is None else dumps(result)
    except (TypeError, ValueError):  # deeper than JSON is written here
        return BrokenReply("the activation's result cannot be written as JSON")
    return status, Message(body, "application/json")
