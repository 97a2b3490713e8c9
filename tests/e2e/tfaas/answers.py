"""How an answer differs from the recorded one, each difference by a name of its kind."""

import json
from collections.abc import Iterator
from typing import Any

from gpfn.media import OCTETS
from gpfn.tfaas.answers import MOST_LABELS
from gpfn.tfaas.messages import decode_predictions
from tests.e2e.tfaas.recordings import Answer, Exchange

__all__ = ["Differences", "compare"]

Differences = dict[str, str]
"""What differs in detail, by the kind of difference."""

_OURS = {"x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"}
_NEVER_THE_SAME = {"timestamp"}


def compare(exchange: Exchange, now: Answer | None) -> Differences:
    """Return how an answer differs from the recorded one."""
    before = exchange.answer
    if before is None or now is None:
        return {} if before is now else {f"cut → {now.status if now else 'cut'}": _shown(now)}
    if before.status != now.status:
        return {f"status {before.status} → {now.status}": _shown(now)}
    found: Differences = {}
    if _type(before) != _type(now) and before.body:
        found[_kind_of_type(before, now)] = f"{_type(before)} → {_type(now)}"
    if _OURS & before.headers.keys() and not _OURS & now.headers.keys():
        found["X-Ratelimit"] = "absent"
    if before.headers.get("location") != now.headers.get("location"):
        found["location"] = now.headers.get("location", "none")
    if exchange.method != "HEAD":
        found.update(_bodies(before, now))
    return found


def _type(answer: Answer) -> str:
    return answer.headers.get("content-type", "")


def _kind_of_type(before: Answer, now: Answer) -> str:
    if before.status >= 400:
        return "type of an error"
    if _type(before).startswith("text/plain") and _type(now) == "application/json":
        return "type"
    return f"{_type(before)} → {_type(now)}"


def _shown(answer: Answer | None) -> str:
    return "nothing" if answer is None else answer.body[:300].decode(errors="replace")


def _bodies(before: Answer, now: Answer) -> Iterator[tuple[str, str]]:
    if before.body == now.body and before.whole:
        return
    theirs, ours = _json(before.body), _json(now.body)
    if before.status >= 400:
        text = ours.get("error") if isinstance(ours, dict) else None
        told = (isinstance(text, str) and text) or (not isinstance(theirs, dict) and now.body)
        yield "error text" if told else "no error text", _shown(now)
    elif not before.body and before.whole:
        yield "body instead of none", _shown(now)
    elif _is_listing(theirs) and _is_listing(ours):
        yield from _listings(theirs, ours)
    elif isinstance(theirs, dict) and "NGo" in theirs:
        yield from _members(theirs, ours if isinstance(ours, dict) else {})
    elif before.whole and _are_labelled(before, now):
        yield "labels", _shown(now)
    elif not before.whole and now.body.startswith(before.body.partition("…".encode())[0]):
        if int(before.headers.get("content-length", len(now.body))) != len(now.body):
            yield "body", _shown(now)
    else:
        yield "body", _shown(now)


def _are_labelled(before: Answer, now: Answer) -> bool:
    """Say whether the numbers are the same, and have labels that they had not."""
    if _type(before) == OCTETS == _type(now):
        theirs, ours = (decode_predictions(answer.body) for answer in (before, now))
        same = [each.probability for each in theirs] == [each.probability for each in ours]
        return same and all(each.label for each in ours)
    numbers, told = _json(before.body), _json(now.body)
    if not isinstance(numbers, list) or not isinstance(told, dict):
        return False
    best = sorted(numbers, reverse=True)[:MOST_LABELS]
    return best == [each["probability"] for each in told["labels"]]


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body


def _is_listing(document: Any) -> bool:
    """Say whether it is a list of models; TFaaS's is null when there are none."""
    return document is None or (
        isinstance(document, list) and all(isinstance(each, dict) for each in document)
    )


def _listings(theirs: Any, ours: Any) -> Iterator[tuple[str, str]]:
    if theirs is None:
        yield "null", repr(ours)
    before, now = ({model["name"]: model for model in side or ()} for side in (theirs, ours))
    if before.keys() != now.keys():
        yield "models", f"{[*before]} → {[*now]}"
    for name in before.keys() & now.keys():
        found = dict(_members(before[name], now[name]))
        if "members" in found:
            yield "members", f"{name}: {found['members']}"
        if "more members" in found:
            yield "more members", found["more members"]


def _members(before: dict[str, Any], now: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Compare two objects by the values of the first; numbers that change are not compared."""
    if "NGo" in before:
        if missing := sorted(before.keys() - now.keys()):
            yield "members", f"without {missing}"
    else:
        wrong = {
            name: (value, now.get(name))
            for name, value in before.items()
            if name not in _NEVER_THE_SAME and value != now.get(name)
        }
        if wrong:
            yield "members", repr(wrong)
    if more := sorted(now.keys() - before.keys()):
        yield "more members", repr(more)
