"""What an attribute may be: its name, its type, its value. One table, one check.

CloudEvents 1.0, "Context Attributes" and "Type System"; each grammar stands beside the
document that it comes from. Events of older versions are translated first (legacy.py),
so that this is the only place that judges. Every pattern is linear: no alternative can
match what its neighbour matches and the repetitions are possessive, so that hostile text
costs what its length costs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from os import urandom
from typing import TypeAlias

from gpfn.errors import InvalidEvent
from gpfn.timestamps import is_timestamp

__all__ = [
    "CORE",
    "DOCUMENTED",
    "FORBIDDEN_CHARACTER",
    "MEDIA_TYPE",
    "NAME",
    "REQUIRED",
    "RESERVED",
    "URI",
    "URI_REFERENCE",
    "Value",
    "check",
    "check_stated",
    "judge",
    "kind",
    "known",
    "new_id",
    "quoted",
    "stated",
]

# CloudEvents 1.0, "Attribute Naming Convention": lower-case ASCII letters and digits.
NAME = re.compile(r"[a-z0-9]++")

# CloudEvents 1.0, "Type System", String: no control characters (C0, DEL, C1), no
# noncharacters (U+FDD0..U+FDEF and the last two of every plane), no lone surrogates.
_NONCHARACTERS = "".join(
    chr(plane << 16 | last) for plane in range(17) for last in (0xFFFE, 0xFFFF)
)
FORBIDDEN_CHARACTER = re.compile(f"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef{_NONCHARACTERS}]")

# RFC 3986, appendix A. pchar = unreserved / pct-encoded / sub-delims / ":" / "@"
_UNRESERVED_SUB = r"A-Za-z0-9\-._~!$&'()*+,;="
_PERCENT = r"%[0-9A-Fa-f]{2}"


def _run(characters: str) -> str:
    """Return the pattern of any number of these characters and percent-encoded bytes."""
    return f"[{characters}]*+(?:{_PERCENT}[{characters}]*+)*+"


_SCHEME = r"[A-Za-z][A-Za-z0-9+.\-]*+:"
# The inside of an IP-literal is checked for its characters only.
_AUTHORITY = (
    rf"//(?:(?:{_run(_UNRESERVED_SUB + ':')})@)?"
    rf"(?:\[[0-9A-Fa-f:.]++\]|\[v[0-9A-Fa-f]++\.[{_UNRESERVED_SUB}:]++\]|{_run(_UNRESERVED_SUB)})"
    r"(?::[0-9]*+)?(?=[/?#]|\Z)"
)
_PATH = _run(_UNRESERVED_SUB + ":@/")
_TAIL = rf"(?:\?{_run(_UNRESERVED_SUB + ':@/?')})?(?:\#{_run(_UNRESERVED_SUB + ':@/?')})?"
# A relative reference must not look as if it had a scheme: no ":" in its first segment.
_FIRST_SEGMENT = rf"(?:{_run(_UNRESERVED_SUB + '@')}(?=[/?#]|\Z))"

# Without an authority a path does not begin with "//".
_HIERARCHY = rf"(?:{_AUTHORITY}|(?!//))"

URI = re.compile(rf"{_SCHEME}{_HIERARCHY}{_PATH}{_TAIL}")
URI_REFERENCE = re.compile(
    rf"(?=.)(?:{_SCHEME}{_HIERARCHY}|{_AUTHORITY}|(?!//){_FIRST_SEGMENT}){_PATH}{_TAIL}"
)

# RFC 2045, section 5.1. Parameters are kept as they are, printable ASCII being all we ask.
_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"  # noqa: S105  (an RFC's word, not a secret)
MEDIA_TYPE = re.compile(rf"{_TOKEN}/{_TOKEN} *+(?:;[ -~]*+)?")


Value: TypeAlias = str | bool | int
"""An attribute's value: extensions may be Boolean or Integer, all others are text."""

REQUIRED = ("id", "source", "type")

_GRAMMARS: Mapping[str, tuple[Callable[[str], object], str]] = {
    "source": (URI_REFERENCE.fullmatch, "expected a URI reference (RFC 3986)"),
    "time": (is_timestamp, "expected an RFC 3339 date and time"),
    "datacontenttype": (MEDIA_TYPE.fullmatch, "expected a media type (RFC 2046)"),
    "dataschema": (URI.fullmatch, "expected an absolute URI (RFC 3986)"),
}
"""The attributes with a grammar, none of which lets a forbidden character through."""

_TEXTS = frozenset({"id", "type", "subject"})

CORE = _TEXTS | _GRAMMARS.keys()
"""The attributes that the specification names, besides specversion."""

RESERVED = CORE | {"specversion", "data", "data_base64"}
"""What no extension may be called."""

_USUAL = _TEXTS | {
    *("traceparent", "tracestate", "correlationid", "causationid", "partitionkey"),
    *("sequence", "expirytime", "dtype", "shape", "destination"),
}
"""Names of texts met often enough to spare them the pattern."""

DOCUMENTED = _USUAL | {
    *("authtype", "authid", "authclaims", "dataclassification", "dataregulation", "datacategory"),
    *("bamtxid", "bampid", "bamptxid", "bamptxsid", "bamptxsstatus", "bamptxcompleted"),
    *("dataref", "deprecated", "deprecationfrom", "deprecationsunset", "deprecationmigration"),
    *("opcuametadatamajorversion", "opcuametadataminorversion", "opcuastatus"),
    *("recordedtime", "sampledrate", "sequencetype", "severitytext", "severitynumber"),
    *("eventtypeversion", "nonfinite", "typeurl"),
}
"""Extensions that somebody has written down: the documented ones of CloudEvents, and ours."""

# What producers send again and again, found valid for the attribute beside it: looking it
# up costs a fifth of matching it. A few, and short ones: memory is not for callers.
_SEEN: dict[str, str] = {}
_seen = _SEEN.get
_MOST, _SHORT = 1024, 256


def check(attributes: dict[str, object]) -> dict[str, Value]:
    """Return the attributes, all of them valid, without those that are null.

    Raises InvalidEvent with the attribute's name. Takes the dict over.
    """
    judge(attributes)
    return attributes  # type: ignore[return-value] # each value has been looked at


def judge(attributes: dict[str, object], *, printable: bool = False) -> int:
    """Check the attributes, drop those that are null, say how many were no strings.

    ``printable`` says that the text they were parsed from is printable ASCII throughout.
    """
    if not ("id" in attributes and "source" in attributes and "type" in attributes):
        missing = next(name for name in REQUIRED if name not in attributes)
        raise InvalidEvent("a required attribute is missing", field=missing)
    others = 0
    for name, value in attributes.items():
        if value.__class__ is not str:
            others += 1
            _check_other(name, value)
        elif name in _GRAMMARS:
            if _seen(value) != name and not (name == "time" and is_timestamp(value)):
                _check_grammar(name, value)
        # Printable text holds no forbidden character, and most text is printable.
        elif not (name in _USUAL and value and (printable or value.isprintable())):
            _check_text(name, value)
    if others:  # JSON format, section 2.2: null is the same as absent
        for name in [name for name, value in attributes.items() if value is None]:
            del attributes[name]
    return others


def _check_grammar(name: str, value: str) -> None:
    match, expected = _GRAMMARS[name]
    if match(value):
        if name != "time" and len(value) <= _SHORT:
            if len(_SEEN) >= _MOST:
                _SEEN.clear()
            _SEEN[value] = name
        return
    _check_characters(name, value)  # a forbidden character is the better reason
    if not value:
        raise InvalidEvent("must not be empty", field=name)
    raise InvalidEvent(f"{expected}, got {quoted(value)}", field=name)


def _check_text(name: str, value: str) -> None:
    if name not in _TEXTS:
        _check_name(name)
    elif not value:
        raise InvalidEvent("must not be empty", field=name)
    _check_characters(name, value)


def _check_characters(name: str, value: str) -> None:
    found = FORBIDDEN_CHARACTER.search(value)
    if found is not None:
        raise InvalidEvent(
            f"the character U+{ord(found[0]):04X} is not allowed in an attribute", field=name
        )


def _check_other(name: str, value: object) -> None:
    """Check a value that is no string: only an extension's may be."""
    if value is None and name not in REQUIRED:
        return
    if value is None:
        raise InvalidEvent("a required attribute is missing", field=name)
    if name in CORE:
        raise InvalidEvent(f"expected a string, got {kind(value)}", field=name)
    _check_name(name)
    if isinstance(value, bool):
        return
    if not isinstance(value, int):
        raise InvalidEvent(
            f"expected a string, a boolean or an integer, got {kind(value)}", field=name
        )
    if not -(1 << 31) <= value < 1 << 31:
        shown = value if value.bit_length() <= 128 else f"of {value.bit_length()} bits"
        raise InvalidEvent(f"the integer {shown} needs more than 32 bits", field=name)


def _check_name(name: str) -> None:
    if name in RESERVED:
        raise InvalidEvent("this name is not free for an extension", field=name)
    if NAME.fullmatch(name) is None:
        raise InvalidEvent(
            "an attribute's name is made of lower-case letters a-z and digits", field=quoted(name)
        )


def check_stated(
    attributes: dict[str, object], extensions: Mapping[str, Value] | None
) -> dict[str, Value]:
    """Return attributes and extensions that a program states, checked.

    Raises ValueError that begins with the attribute's name: not the caller's fault.
    """
    for name in extensions or ():
        if name in RESERVED:
            raise ValueError(f"{name}: this name is not free for an extension")
    try:
        return check({**attributes, **(extensions or {})})
    except InvalidEvent as error:
        raise ValueError(str(error)) from None


def stated(name: str, value: str) -> str:
    """Return the value of one attribute that a program states, checked; raises ValueError."""
    check_stated({"id": "1", "source": "/", "type": "t", name: value}, None)
    return value


known = lru_cache(maxsize=256)(stated)
"""The same, checked once: functions repeat themselves."""


def quoted(text: str) -> str:
    """Return ``text`` fit for a message: quoted, in ASCII, shortened, on one line."""
    return ascii(text) if len(text) <= 80 else ascii(text[:77]) + "..."


def kind(value: object) -> str:
    """Return what JSON calls a value's type, with its article."""
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean"}
    names |= {type(None): "null", int: "a number", float: "a number"}
    return names.get(type(value), f"a {type(value).__name__}")


def new_id() -> str:
    """Return an id that no other event has: 32 hexadecimal digits from the system (0.4 µs).

    A counter behind a random prefix would repeat itself after a fork or in a snapshot.
    """
    return urandom(16).hex()
