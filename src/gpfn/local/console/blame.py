"""Where the time of a call went, in parts that say whose it is: the model's, yours, the wire's.

The platform knows how long a call waited, how long its process took to start, and the call itself.
What the function's runner says of the call in its log divides that further.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from gpfn.local.call_record import CallRecord

__all__ = ["CallPart", "call_parts"]

_STAGES = re.compile(r" ms \(((?:[a-z-]+ [0-9.]+(?:, )?)+)\)")
_READY = re.compile(r" ready: ((?:[a-z-]+ [0-9.]+ s(?:, )?)+)")
_PART = re.compile(r"([a-z-]+) ([0-9.]+)")
_KINDS = {
    **dict.fromkeys(("decode", "encode", "transport", "receive", "send", "wait"), "wire"),
    **dict.fromkeys(("before", "after", "prepare", "call", "function"), "yours"),
}
_LONGEST_LINE = 2000
_MOST_PARTS = 24


class CallPart(NamedTuple):
    """A part of a call: its name, whose it is (model, yours, wire, cold), and its seconds."""

    name: str
    kind: str
    seconds: float


def call_parts(record: CallRecord) -> tuple[list[CallPart], list[CallPart]]:
    """Return the parts of the cold start, and those of the call itself; none takes no time."""
    wait, start, init, run = record.stages
    texts = [text[:_LONGEST_LINE] for _, _, text in record.log]
    cold = _divided("process start", "cold", start, _found(_READY, texts, 1.0))
    cold += [CallPart("init", "cold", init)]
    call = [CallPart("wait", "wire", wait)]
    call += _divided("transport", "wire", run, _found(_STAGES, texts, 1e-3))
    if call[-1].name == "transport" and len(call) == 2:  # nothing is known of its inside
        call[-1] = CallPart("call", "model", run)
    return [one for one in cold if one.seconds > 0], [one for one in call if one.seconds > 0]


def _found(pattern: re.Pattern[str], texts: Sequence[str], unit: float) -> list[CallPart]:
    """Return the parts that the last line tells that has any."""
    for text in reversed(texts):
        if match := pattern.search(text):
            pairs = _PART.findall(match[1])[:_MOST_PARTS]
            return [
                CallPart(name, _KINDS.get(name, "model"), _number(s) * unit) for name, s in pairs
            ]
    return []


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:  # 1.2.3
        return 0.0


def _divided(rest: str, kind: str, seconds: float, parts: list[CallPart]) -> list[CallPart]:
    """Return a time as its parts and a rest; as one, when they are more than all of it."""
    left = seconds - sum(one.seconds for one in parts)
    if left < 0:
        return [CallPart(rest, kind, seconds)]
    if kind == "cold":
        parts = [one._replace(kind="cold") for one in parts]
        return [CallPart(rest, kind, left), *parts]
    return [*parts, CallPart(rest, kind, left)]
