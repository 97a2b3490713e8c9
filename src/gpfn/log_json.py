"""Log records as JSON lines; a module of its own because only ``GPFN_LOG=json`` loads it.

The keys: ``time``, ``level``, ``where``, ``function``, ``call`` and ``trace_id`` as in text,
then ``message`` with keys of its own, or what is told of a call. Times are in milliseconds
(``ms``, ``stages_ms``) or, of a start, in ``seconds``; sizes and memory are in bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson

from gpfn.errors import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from gpfn.log import Head, Sizes

    class Answered(Protocol):
        """What is used of a call's reply; ``gpfn.call.contract.Reply`` is one."""

        @property
        def status(self) -> int:
            """The status that HTTP would show."""

        @property
        def stages(self) -> Sequence[tuple[str, float]]:
            """Names and seconds, in the order they ran."""

        @property
        def memory(self) -> Sequence[tuple[str, int]]:
            """Names and resident bytes after the stage; empty unless it was asked for."""

        @property
        def error(self) -> BaseException | None:
            """What made the call fail."""

        @property
        def failures(self) -> Sequence[BaseException]:
            """What failed within a batch."""

        @property
        def trace(self) -> str:
            """The trace id that a structured event had."""


__all__ = ["call_fields", "format_json"]

_LONGEST_MESSAGE = 6000
_NAMES = ("time", "level", "where", "function", "call", "trace_id")


def format_json(head: Head, fields: Mapping[str, object]) -> bytes:
    r"""Return one line with a JSON object; what is empty in ``head`` is left out.

    All of it is printable: what else stands in a text is written as ``\uXXXX``.
    """
    record: dict[str, object] = {
        name: value for name, value in zip(_NAMES, head, strict=True) if value
    }
    record |= fields
    message = record.get("message")
    if isinstance(message, str) and len(message) > _LONGEST_MESSAGE:
        record["message"] = printable(message, _LONGEST_MESSAGE)
    try:
        line = orjson.dumps(record).decode()
    except TypeError:  # half of a surrogate pair, a number over 64 bits
        line = orjson.dumps(_safe(record)).decode()
    if not line.isprintable():
        line = "".join([c if c.isprintable() else _json_escape(c) for c in line])
    return line.encode() + b"\n"


def call_fields(
    reply: Answered, seconds: float, sizes: Sizes, error: str = ""
) -> dict[str, object]:
    """Return what a line tells of a call: the same as :func:`gpfn.log.call_text`.

    ``error`` says what failed, if anything did. Besides, ``stages_rss`` has
    resident bytes after each stage, where the runner measures them.
    """
    received, sent, rss, change = sizes
    fields: dict[str, object] = {
        "status": reply.status,
        "ms": _ms(seconds),
        "stages_ms": {name: _ms(spent) for name, spent in reply.stages},
        "bytes_in": received,
        "bytes_out": sent,
        "rss": rss,
        "rss_change": change,
    }
    if reply.memory:
        fields["stages_rss"] = dict(reply.memory)
    if error:
        fields["error"] = error
    return fields


def _ms(seconds: float) -> float:
    return round(1e3 * seconds, 3)


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be").hex()
    return "".join([f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)])


def _safe(value: object) -> object:
    if isinstance(value, Mapping):
        return {_whole(str(name)): _safe(item) for name, item in value.items()}
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int) and -(1 << 63) <= value < 1 << 63:
        return value
    return _whole(str(value))


def _whole(text: str) -> str:
    r"""Return ``text`` with each half of a surrogate pair written as ``\udXXX``."""
    return text.encode("utf-8", "backslashreplace").decode()
