"""The pages as JSON: what they show, for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpfn.local.console.answers import body_text, hosted_warning
from gpfn.local.console.blame import call_parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpfn.local.call_record import CallBody, CallRecord
    from gpfn.local.console.bridge import BridgeFacts
    from gpfn.local.console.looking import Looked
    from gpfn.local.supervisor.emulated import EmulatedRow

__all__ = ["console_document"]


def console_document(
    looked: Looked, rows: Sequence[EmulatedRow], bridge: BridgeFacts | None
) -> dict[str, Any]:
    """Return everything of a page; times are in seconds, those of day since 1970."""
    return {
        "now": looked.now,
        "functions": [one._asdict() for one in looked.functions],
        "call": None if looked.call is None else _whole(looked.call),
        "calls": [_head(one) for one in looked.listed.calls],
        "older": looked.listed.older or None,
        "in_window": looked.listed.counted,
        "last_hundred": [_head(one) for one in looked.hundred],
        "differences": [row._asdict() for row in rows],
        "bridge": None if bridge is None else bridge._asdict(),
    }


def _head(record: CallRecord) -> dict[str, Any]:
    names = ("number", "id", "platform", "key", "name", "caller", "via", "began", "status", "cold")
    return {
        **{name: getattr(record, name) for name in names},
        "failure": record.failure or None,
        "seconds": sum(record.stages),
        "memory": record.memory,
    }


def _whole(record: CallRecord) -> dict[str, Any]:
    cold, parts = call_parts(record)
    return {
        **_head(record),
        "detail": record.detail,
        "warning": hosted_warning(record) or None,
        "stages": record.stages._asdict(),
        "parts": [one._asdict() for one in (*cold, *parts)],
        "request": _body(record.request),
        "reply": _body(record.reply),
        "log": [{"at": at, "stream": stream, "text": text} for at, stream, text in record.log],
    }


def _body(body: CallBody) -> dict[str, Any]:
    length = body.length or len(body.data)
    return {"media_type": body.media_type, "length": length, "text": body_text(body)}
