"""Which events a route takes: a filter of a file as a function of an event.

A filter is a table. Its keys are attributes or extensions, and all of them have to match:
``{ destination = "forecast", type = { prefix = "com.example." } }``. A value is text, which is
equal to the attribute's; a list, of which one is; or a table of ``exact``, ``prefix`` and
``suffix``. The keys ``any``, ``all`` (lists of filters) and ``not`` (a filter) combine them, and
an empty filter takes every event. These are the dialects that the CloudEvents Subscriptions API
and Knative's triggers have, but the SQL one. Numbers and truths compare by their text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from gpfn.errors import SetupError
from gpfn.events.attributes import NAME

if TYPE_CHECKING:
    from gpfn.events.event import Event

__all__ = ["Matches", "filter_of"]

Matches: TypeAlias = "Callable[[Event], bool]"

_DEEPEST = 16
_COMBINED = ("any", "all", "not")
_PARTS: Mapping[str, Callable[[str, str], bool]] = {
    "exact": str.__eq__,
    "prefix": str.startswith,
    "suffix": str.endswith,
}


def filter_of(value: object, field: str, depth: int = 0) -> Matches:
    """Return the filter that a table of a file states; SetupError names the place in it."""
    if not isinstance(value, Mapping):
        raise SetupError("expected a table of attributes", field=field)
    if depth > _DEEPEST:
        raise SetupError(f"filters may be {_DEEPEST} deep", field=field)
    tests = [_test(key, part, f"{field}.{key}", depth) for key, part in value.items()]
    if len(tests) == 1:
        return tests[0]
    return lambda event: all(test(event) for test in tests)


def _test(key: str, value: object, field: str, depth: int) -> Matches:
    if key not in _COMBINED:
        return _attribute(key, value, field)
    if key == "not":
        inner = filter_of(value, field, depth + 1)
        return lambda event: not inner(event)
    if not isinstance(value, list) or not value:
        raise SetupError("expected a list of filters", field=field)
    inners = [filter_of(part, f"{field}[{n}]", depth + 1) for n, part in enumerate(value)]
    combine = any if key == "any" else all
    return lambda event: combine(test(event) for test in inners)


def _attribute(name: str, value: object, field: str) -> Matches:
    if NAME.fullmatch(name) is None:
        raise SetupError(
            "an attribute's name is made of lower-case letters and digits", field=field
        )
    if isinstance(value, Mapping):
        return _parts(name, value, field)
    texts = frozenset(
        _text(part, field) for part in (value if isinstance(value, list) else [value])
    )
    if not texts:
        raise SetupError("expected at least one value", field=field)
    return lambda event: _value(event, name) in texts


def _parts(name: str, value: Mapping[str, Any], field: str) -> Matches:
    if not value:
        raise SetupError(f"expected one of {', '.join(_PARTS)}", field=field)
    tests = []
    for part, wanted in value.items():
        if part not in _PARTS:
            raise SetupError(f"unknown; known: {', '.join(_PARTS)}", field=f"{field}.{part}")
        text = _text(wanted, f"{field}.{part}")
        if not text:
            raise SetupError("expected text that is not empty", field=f"{field}.{part}")
        tests.append((_PARTS[part], text))

    def test(event: Event) -> bool:
        found = _value(event, name)
        return found is not None and all(compare(found, text) for compare, text in tests)

    return test


def _value(event: Event, name: str) -> str | None:
    value = "1.0" if name == "specversion" else event.attribute(name)
    return value if value is None or isinstance(value, str) else _text(value, name)


def _text(value: object, field: str) -> str:
    """Return a value as text, the way it stands in a header."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    raise SetupError("expected text, a whole number, or true or false", field=field)
