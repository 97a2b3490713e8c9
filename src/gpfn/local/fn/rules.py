"""What a name, a range and an annotation may be on Fn, and how a change is merged.

Source: fnproject/fn 0.3.753, api/models. Lengths are in bytes of UTF-8, as Go counts them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from gpfn import json_exact
from gpfn.local.fn.errors import FnError

__all__ = [
    "check_annotations",
    "check_app",
    "check_fn",
    "check_trigger",
    "merged_annotations",
    "merged_config",
]

_MOST_NAME = 255
_MOST_KEY, _MOST_VALUE, _MOST_KEYS = 128, 512, 100
_MOST_MEMORY, _MOST_TIMEOUT, _MOST_IDLE = 8192, 300, 3600
_KEY = re.compile(r"[!-~]+")
_PATH_NAME = re.compile(r"[A-Za-z0-9_.~$&+:=@-]*")  # what Go's url.PathEscape leaves as it is
_SHAPES = ("", "GENERIC_X86", "GENERIC_ARM", "GENERIC_X86_ARM")
_SYSLOG = ("udp", "tcp", "unix", "unixgram", "tcp+tls")
_EMPTY = ("", None)


def check_app(name: str, annotations: Mapping[str, Any], syslog_url: str, shape: str) -> None:
    """Raise FnError for what an app may not have."""
    if not name:
        raise FnError("app name missing")
    if _length(name) > _MOST_NAME:
        raise FnError("app name long")
    if not _is_word(name):
        raise FnError("app name")
    check_annotations(annotations)
    _check_syslog(syslog_url)
    if shape not in _SHAPES:
        raise FnError("app shape")


def check_fn(fields: Mapping[str, Any]) -> None:
    """Raise FnError for what a function may not have; ``fields`` are all but the ids."""
    name = fields["name"]
    if not name:
        raise FnError("fn name missing")
    if _length(name) > _MOST_NAME:
        raise FnError("fn name long")
    if not _PATH_NAME.fullmatch(name):
        raise FnError("fn name")
    if not fields["app_id"]:
        raise FnError("fn app missing")
    if not fields["image"]:
        raise FnError("fn image missing")
    ranges = (("timeout", _MOST_TIMEOUT), ("idle_timeout", _MOST_IDLE), ("memory", _MOST_MEMORY))
    for key, most in ranges:
        if not 1 <= fields[key] <= most:
            raise FnError(f"fn {key}")
    check_annotations(fields["annotations"])


def check_trigger(fields: Mapping[str, Any]) -> None:
    """Raise FnError for what a trigger may not have."""
    if not fields["app_id"]:
        raise FnError("trigger app missing")
    name = fields["name"]
    if not name:
        raise FnError("trigger name missing")
    if _length(name) > _MOST_NAME:
        raise FnError("trigger name long")
    if not _is_word(name):
        raise FnError("trigger name")
    if not fields["fn_id"]:
        raise FnError("trigger fn missing")
    if fields["type"] != "http":
        raise FnError("trigger type")
    if not fields["source"]:
        raise FnError("trigger source missing")
    if fields["source"][0] != "/":
        raise FnError("trigger source")
    check_annotations(fields["annotations"])


def check_annotations(annotations: Mapping[str, Any]) -> None:
    """Raise FnError for an annotation that is none, or for too many."""
    for key, value in annotations.items():
        if not _KEY.fullmatch(key):
            raise FnError("annotation key")
        if len(key) > _MOST_KEY:
            raise FnError("annotation key length")
        if value in _EMPTY:
            raise FnError("annotation value")
        if _size(value) > _MOST_VALUE:
            raise FnError("annotation value length")
    if len(annotations) > _MOST_KEYS:
        raise FnError("annotations")


def merged_config(old: Mapping[str, str], change: Mapping[str, str] | None) -> dict[str, str]:
    """Return a config with a change: an empty value removes its key."""
    merged = {**old, **(change or {})}
    return {key: value for key, value in merged.items() if value}


def merged_annotations(old: Mapping[str, Any], change: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return annotations with a change: an empty text or null removes its key."""
    merged = {**old, **(change or {})}
    return {key: value for key, value in merged.items() if value not in _EMPTY}


def _check_syslog(url: str) -> None:
    if not url:
        return
    try:
        scheme = urlsplit(url.strip()).scheme
    except ValueError as error:
        raise FnError("", f'invalid syslog url: "{url}" {error}', 400) from None
    if scheme not in _SYSLOG:
        wrong = "invalid scheme, only [tcp, udp, unix, unixgram, tcp+tls] are supported"
        raise FnError("", f'invalid syslog url: "{url}" {wrong}', 400)


def _size(value: object) -> int:
    """Return the bytes of a value as JSON; what cannot be written in a list is too large for us."""
    try:
        return len(json_exact.dumps([[[[value]]]])) - 8  # in the annotations of one of some items
    except TypeError:  # nested deeper than 250
        return _MOST_VALUE + 1


def _length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def _is_word(name: str) -> bool:
    """Say whether a name has only letters and numbers of any script, ``_`` and ``-``."""
    return all(letter in "_-" or unicodedata.category(letter)[0] in "LN" for letter in name)
