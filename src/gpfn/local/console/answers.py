"""What a function has answered, drawn: a forecast as points, classes as bars, else its text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any, TypeGuard

import orjson

from gpfn import json_exact
from gpfn.media import essence
from gpfn.serving.pages.markup import as_text, bytes_of, code
from gpfn.serving.pages.outputs import class_bars
from gpfn.serving.pages.plots import even_ticks, named_svg, scale_line

if TYPE_CHECKING:
    from gpfn.local.call_record import CallBody, CallRecord

__all__ = [
    "MOST_SHOWN",
    "body_text",
    "drawn_answer",
    "failure_text",
    "hosted_warning",
    "local_text",
    "shown_body",
    "visible",
]

MOST_SHOWN = 64 << 10
"""Bytes of a body that the page has."""

_MOST_HOSTED = 6 << 20  # bytes of a request, and of a response, by Oracle's documents
_LAID_OUT = 8 << 10  # bytes up to which JSON is laid out; more of it is shown as it came
_PLAIN_LIST = re.compile(r"\[\n([^\[\]{}\"]*)\]")
_UNSEEN = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
_MOST_POINTS = 200
_MOST_CLASSES = 1000
_DEEPEST = 6
_LARGEST = 1e300
_HEIGHT, _TOP, _BOTTOM = 224, 12, 198
_LABELS = ("className", "label", "class", "name")
_SHARES = ("probability", "score", "share", "confidence")


def local_text(text: str, most: int = 600) -> str:
    """Return somebody's text for HTML, folders of this machine too: its owner reads it."""
    cut = f"… ({len(text):,} characters)" if len(text) > most else ""
    return escape(visible(text[:most])) + cut


def visible(text: str) -> str:
    """Return text in which what would not be seen, or turn its surroundings round, is written out.

    In a string of JSON that is the same string.
    """
    return _UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def drawn_answer(record: CallRecord) -> str:
    """Return the picture of an answer; nothing for one that is best read as text."""
    answer, asked = _data(record.reply), _data(record.request)
    if record.status >= 400 or answer is None:
        return ""
    if classes := _classes(answer):
        head = '<div class="plot-head"><h3>Answer</h3></div>'
        return head + class_bars([name for name, _ in classes], [share for _, share in classes])
    got, given = _series(answer), _series(asked)
    if 2 <= len(got) <= _MOST_POINTS:
        return _points(given if len(given) == len(got) else [], got, _is_forecast(record))
    return ""


def failure_text(record: CallRecord) -> str:
    """Return in words why a call failed, nothing when it did not."""
    if record.detail:
        return f"{record.failure}: {record.detail}" if record.failure else record.detail
    if record.status < 400:
        return record.failure
    found = _parsed(record.reply)
    for key in ("error", "message", "detail"):
        value = found.get(key) if isinstance(found, dict) else None
        if isinstance(value, dict):
            field = f"{value['field']}: " if isinstance(value.get("field"), str) else ""
            return field + str(value.get("detail") or value.get("message") or value)[:500]
        if isinstance(value, str):
            return value[:500]
    return body_text(record.reply)[:500] or "it failed, and nothing says why"


def hosted_warning(record: CallRecord) -> str:
    """Return what of a call a hosted Fn would not take, in words; nothing when it takes all."""
    bodies = (("event", record.request), ("answer", record.reply))
    sizes = [(name, body.length or len(body.data)) for name, body in bodies]
    large = [f"its {name} has {bytes_of(size)}" for name, size in sizes if size > _MOST_HOSTED]
    if record.platform != "fn" or not large:
        return ""
    return f"{' and '.join(large)}; a hosted Fn takes at most 6 MiB"


def body_text(body: CallBody) -> str:
    """Return a body as text: JSON laid out, other text as it is, what is none in words."""
    data = body.data[:MOST_SHOWN]
    if not data:
        return ""
    found = _parsed(body)
    if found is not None and len(data) < _LAID_OUT and (laid_out := _laid_out(found)):
        return visible(laid_out)
    kind = essence(body.media_type)
    if kind.startswith("image/") or b"\0" in data[:1024]:
        return f"({kind or 'bytes'}, {bytes_of(body.length or len(data))})"
    return visible(data.decode("utf-8", "replace").replace("\r\n", "\n"))


def _laid_out(found: Any) -> str:
    """Return JSON with a line for each member; nothing for what is nested too deeply for that."""
    try:
        text = json_exact.dumps(found, option=orjson.OPT_INDENT_2).decode()
    except TypeError:
        return ""
    text = _PLAIN_LIST.sub(lambda match: f"[{' '.join(match[1].split())}]", text)
    return text if len(text) <= MOST_SHOWN else ""


def shown_body(title: str, what: str, body: CallBody) -> str:
    """Return a body on a page, to be copied; what is cut is said."""
    length = body.length or len(body.data)
    text = body_text(body) or "(empty)"
    cut = ""
    if length > len(body.data) or len(body.data) > MOST_SHOWN:
        cut = f'<p class="hint">The first 64 kB of {bytes_of(length)} are shown.</p>'
    kind = f"{title}, {as_text(body.media_type)[:80]}" if body.media_type else title
    return code(kind, what, text) + cut


def _parsed(body: CallBody) -> Any:
    """Return the JSON of a body that is here as a whole; None for anything else."""
    if not body.data or body.length > len(body.data):
        return None
    try:
        return json_exact.loads(body.data)
    except orjson.JSONDecodeError:
        return None


def _data(body: CallBody) -> Any:
    """Return what a body is about: the data of a CloudEvent, OpenWhisk's value, or all of it."""
    found = _parsed(body)
    for key in ("data", "value"):
        if isinstance(found, dict) and key in found:
            found = found[key]
    return found


def _series(found: Any) -> list[float]:
    """Return the numbers of a nested array with one number a step; else nothing."""
    for _ in range(_DEEPEST):
        if isinstance(found, dict):
            found = next((v for v in found.values() if isinstance(v, list)), None)
        elif isinstance(found, list) and len(found) == 1:
            found = found[0]
        else:
            break
    if not isinstance(found, list) or len(found) > _MOST_POINTS:
        return []
    flat = [one[0] if isinstance(one, list) and len(one) == 1 else one for one in found]
    return [float(one) for one in flat] if all(map(_is_drawn, flat)) else []


def _is_drawn(value: Any) -> TypeGuard[float]:
    """Say whether a value is a number that a picture has room for."""
    return type(value) in (int, float) and abs(value) <= _LARGEST


def _classes(found: Any) -> list[tuple[str, float]]:
    """Return names with their shares, from a list of objects that have both."""
    if isinstance(found, dict):
        found = next((v for v in found.values() if isinstance(v, list)), None)
    if not isinstance(found, list) or not 0 < len(found) <= _MOST_CLASSES:
        return []
    classes = []
    for one in found:
        if not isinstance(one, dict):
            return []
        name = next((one[key] for key in _LABELS if key in one), None)
        share = next((one[key] for key in _SHARES if key in one), None)
        if name is None or not _is_drawn(share):
            return []
        classes.append((str(name), float(share)))
    return classes


def _is_forecast(record: CallRecord) -> bool:
    return "forecast" in record.name.lower()


def _points(given: Sequence[float], got: Sequence[float], ahead: bool) -> str:
    """Return actual and forecast; ``ahead`` says that each is of the step after its input."""
    if ahead and given:
        given = given[1:]
    lowest, highest = min(*given, *got), max(*given, *got)
    ticks = even_ticks(lowest, highest)
    low, high = ticks[0], ticks[-1]

    def y(value: float) -> float:
        return _BOTTOM - (value - low) / (high - low) * (_BOTTOM - _TOP - 14)

    def x(at: int) -> float:
        return 2 + 96 * at / (len(got) - 1)

    body = "".join(
        scale_line(y(value), told, "axis" if value == low else "grid")
        for value, told in zip(ticks, _labels(ticks), strict=True)
    )
    for at, (one, other) in enumerate(zip(given, got, strict=False)):
        body += (
            f'<line class="grid" x1="{x(at):.4g}%" x2="{x(at):.4g}%" y1="{y(one):.4g}" '
            f'y2="{y(other):.4g}"/>'
        )
    for kind, size, numbers in (("f-actual", 5, given), ("f-forecast", 4, got)):
        for at, value in enumerate(numbers):
            body += f'<circle class="{kind}" cx="{x(at):.4g}%" cy="{y(value):.4g}" r="{size}"/>'
    last = got[-1]
    if ahead:
        up = -13 if y(last) > _TOP + 24 else 22
        body += (
            f'<circle class="halo" cx="{x(len(got) - 1):.4g}%" cy="{y(last):.4g}" r="7.5"/>'
            f'<svg x="{x(len(got) - 1):.4g}%" y="{y(last):.4g}" overflow="visible"><text '
            f'class="strong" x="8" y="{up}" text-anchor="end">next {last:.4g}</text></svg>'
        )
    for at in _numbered(len(got)):
        body += f'<text x="{x(at - 1):.4g}%" y="{_HEIGHT - 6}" text-anchor="middle">{at}</text>'
    word = "forecast, one step ahead" if ahead else "answer"
    told = f"{len(got)} values from {min(got):.4g} to {max(got):.4g}; the last is {last:.4g}."
    plot = named_svg("answer-plot", "Actual and forecast", told, body, height=_HEIGHT)
    actual = '<li><svg aria-hidden="true"><circle class="f-actual" cx="6" cy="6" r="5"/></svg>'
    actual = f"{actual}{'actual' if ahead else 'input'}</li>" if given else ""
    return (
        f'<figure><div class="plot-head"><h3>Answer</h3><ul class="legend">{actual}<li><svg '
        f'aria-hidden="true"><circle class="f-forecast" cx="6" cy="6" r="4"/></svg>{word}</li>'
        f"</ul></div>{plot}</figure>"
    )


def _labels(ticks: Sequence[float]) -> list[str]:
    """Return ticks in as few digits as tell them apart."""
    found: list[str] = []
    for digits in range(3, 16):
        found = [f"{tick:.{digits}g}" for tick in ticks]
        if len({*found}) == len(ticks):
            break
    return found


def _numbered(count: int) -> list[int]:
    """Return which of some points have their number below them: the first, and round ones."""
    step = next(one for one in (1, 5, 10, 20, 50, 100) if count / one <= 4.5 or one == 100)
    return [1, *range(step if step > 1 else 2, count + 1, step)]
