"""What becomes of an event, judged by what its function answered.

2xx with an event, or with a batch of them, is a reply to be sent on; 202, 204 and an empty
body say that it is done. 408, 425, 429 and 5xx, and whatever broke on the way, are tried
again; every other status says that trying again cannot help, and so does a reply that is no
event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from gpfn.bridge.retrying import is_retried, retry_after
from gpfn.errors import BackendError, CallerError, CannotConnect, GpfnError, TooLarge
from gpfn.events.modes import read
from gpfn.media import PROBLEM

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpfn.events.event import Event
    from gpfn.limits import Limits
    from gpfn.message import Message

__all__ = ["LATE", "Answer", "Verdict", "judge", "judge_batch"]

Answer: TypeAlias = "tuple[int, Message] | GpfnError"
"""A status with what came, or what went wrong before there was one."""

_DONE = frozenset((202, 204))


class Verdict(NamedTuple):
    """What to do: ``done`` with the replies to send on, ``retry``, ``dead`` or too ``late``.

    ``code`` is the status, 0 when there was none; ``reason`` says what went wrong, and ``data``
    is what the function answered then. ``wait`` are the seconds that it asks to be left alone,
    ``counts`` whether this was an attempt: a connection that was refused was none, and
    ``down`` whether it speaks against the destination as such.
    """

    kind: Literal["done", "retry", "dead", "late"]
    replies: Sequence[Event] = ()
    code: int = 0
    reason: str = ""
    data: bytes = b""
    wait: float = 0.0
    counts: bool = True
    down: bool = False


LATE = Verdict("late", counts=False)
"""The event's time was up before it was called."""
_NOTHING = Verdict("done", code=202)


def judge(answer: Answer, limits: Limits) -> Verdict:
    """Return what an answer to one event means."""
    if isinstance(answer, GpfnError):
        return _failed(answer)
    status, message = answer
    if not 200 <= status < 300:
        return _refused(status, message)
    if status in _DONE or not (message.body or message.headers):
        return _NOTHING
    try:
        received = read(message, limits)
    except CallerError as error:
        return _dead(f"the reply is no event: {error}", message)
    if received is not None:
        return Verdict("done", received.events, status)
    if not message.body:
        return _NOTHING
    return _dead(f"the reply is no event but {message.content_type or 'of no media type'}", message)


def judge_batch(answer: Answer, asked: Sequence[Event], limits: Limits) -> list[Verdict]:
    """Return what the answer to a batch means for each event that was asked with it.

    The replies are told apart by their ``causationid``; where one of the ids occurs twice in
    the batch, or there is none, by their place. An event whose type ends in ``.error`` with an
    error document is the failure of its cause alone.
    """
    verdict = judge(answer, limits)
    if verdict.kind != "done" or not verdict.replies:
        return [verdict] * len(asked)
    sorted_out = _by_cause(verdict.replies, asked)
    if sorted_out is None:
        reason = f"{len(verdict.replies)} replies to {len(asked)} events, and none says to which"
        return [Verdict("dead", code=verdict.code, reason=reason)] * len(asked)
    return [_judge_replies(replies) for replies in sorted_out]


def _by_cause(replies: Sequence[Event], asked: Sequence[Event]) -> list[list[Event]] | None:
    """Return the replies to each event; None when they cannot be told apart."""
    places = {event.id: n for n, event in enumerate(asked)}
    causes = [reply.attribute("causationid") for reply in replies]
    if len(places) == len(asked) and all(cause in places for cause in causes):
        found: list[list[Event]] = [[] for _ in asked]
        for reply, cause in zip(replies, causes, strict=True):
            found[places[str(cause)]].append(reply)
        return found
    if len(replies) == len(asked):
        return [[reply] for reply in replies]
    return None


def _judge_replies(replies: list[Event]) -> Verdict:
    if len(replies) != 1 or replies[0].datacontenttype != PROBLEM:
        return Verdict("done", replies, 200) if replies else _NOTHING
    data = replies[0].data or b""
    status = _told_status(replies[0])
    kind: Literal["retry", "dead"] = "retry" if is_retried(status) else "dead"
    return Verdict(kind, code=status, reason=f"the function answered {status}", data=data)


def _told_status(event: Event) -> int:
    """Return the status of an error document; 500 when it has none."""
    try:
        document = event.json()
    except CallerError:
        return 500
    error = document.get("error") if isinstance(document, dict) else None
    status = error.get("status") if isinstance(error, dict) else None
    return status if type(status) is int and 400 <= status < 600 else 500


def _failed(error: GpfnError) -> Verdict:
    refused = isinstance(error, CannotConnect)
    if isinstance(error, BackendError):
        return Verdict("retry", reason=str(error), counts=not refused, down=True)
    if isinstance(error, TooLarge):  # it would be the next time as well
        return Verdict("dead", reason=f"the reply is too large: {error}")
    if is_retried(error.status):
        return Verdict("retry", code=error.status, reason=str(error))
    return Verdict("dead", code=error.status, reason=str(error))


def _refused(status: int, message: Message) -> Verdict:
    reason, data = f"the function answered {status}", bytes(message.body)
    if not is_retried(status):
        return Verdict("dead", code=status, reason=reason, data=data)
    wait = retry_after(message.header("retry-after"))
    return Verdict("retry", code=status, reason=reason, data=data, wait=wait, down=status >= 500)


def _dead(reason: str, message: Message) -> Verdict:
    return Verdict("dead", code=200, reason=reason, data=bytes(message.body))
