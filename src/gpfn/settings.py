"""One way to read a setting: checked where it is read, and told in one line when it is wrong.

An empty variable counts as one that is not set. Every function raises SetupError with the
variable's or the option's name as its field. Importing this costs nothing: runners read
settings first.
"""

import os
from collections.abc import Mapping, Sequence

from gpfn.errors import SetupError

__all__ = [
    "LOG_FORMS",
    "SETTINGS",
    "check_settings",
    "parse_duration",
    "parse_size",
    "parse_whole",
    "read_choice",
    "read_digits",
    "read_duration",
    "read_size",
    "read_switch",
    "read_whole",
]

SETTINGS: Mapping[str, str] = {
    "GPFN_BODY_TIMEOUT": "duration",
    "GPFN_CACHE_DIR": "text",
    "GPFN_CATALOGUE": "text",
    "GPFN_DOWNLOAD_BYTES": "size",
    "GPFN_DOWNLOAD_CACHE": "text",
    "GPFN_DOWNLOAD_CACHE_BYTES": "size",
    "GPFN_DOWNLOAD_HOSTS": "text",
    "GPFN_DOWNLOAD_PARALLEL": "count",
    "GPFN_DOWNLOAD_PER_HOST": "count",
    "GPFN_DOWNLOAD_PORTS": "text",
    "GPFN_DOWNLOAD_SECONDS": "duration",
    "GPFN_ERROR_EVENTS": "switch",
    "GPFN_EXTENSIONS": "text",
    "GPFN_HEAD_TIMEOUT": "duration",
    "GPFN_HEALTH_URL": "text",
    "GPFN_IDLE_TIMEOUT": "duration",
    "GPFN_IMAGE_INPUT": "text",
    "GPFN_IMAGE_URLS": "switch",
    "GPFN_LOG": "log",
    "GPFN_MAX_BATCH": "count",
    "GPFN_MAX_BODY_BYTES": "size",
    "GPFN_MAX_CALL_BYTES": "size",
    "GPFN_MAX_CODE_BYTES": "size",
    "GPFN_MAX_CONNECTIONS": "count",
    "GPFN_MAX_ELEMENTS": "count",
    "GPFN_MAX_HEADERS": "count",
    "GPFN_MAX_HEADER_BYTES": "size",
    "GPFN_MAX_INFLIGHT_BYTES": "size",
    "GPFN_MAX_MODEL_BYTES": "size",
    "GPFN_MAX_PIXELS": "count",
    "GPFN_MAX_RANK": "count",
    "GPFN_MAX_RESULT_BYTES": "size",
    "GPFN_MAX_ROWS": "count",
    "GPFN_MAX_STRING_BYTES": "size",
    "GPFN_MAX_TENSORS": "count",
    "GPFN_MODEL_CACHE_BYTES": "size",
    "GPFN_MODEL_CACHE_COUNT": "count",
    "GPFN_MODEL_MIRROR": "text",
    "GPFN_NAME": "text",
    "GPFN_QUEUE": "places",
    "GPFN_REQUEST_TIMEOUT": "duration",
    "GPFN_SECRETS_DIR": "text",
    "GPFN_START_WINDOW": "duration",
    "GPFN_THREADS": "places",
    "GPFN_TOKEN": "text",
}
"""Every variable of ours and its kind; docs/settings.md says what each of them does."""

LOG_FORMS = ("text", "json", "quiet")
"""What ``GPFN_LOG`` may be; the first is the default."""

_DIGITS = 18  # Python refuses to read more than 4,300, and nothing here needs more than these
_SHOWN = 40
_UNITS = {
    "": 1,
    "b": 1,
    "k": 1 << 10,
    "kb": 1000,
    "kib": 1 << 10,
    "m": 1 << 20,
    "mb": 1000**2,
    "mib": 1 << 20,
    "g": 1 << 30,
    "gb": 1000**3,
    "gib": 1 << 30,
}
_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_SWITCH = {
    **dict.fromkeys(("1", "on", "true", "yes"), True),
    **dict.fromkeys(("0", "off", "false", "no"), False),
}


def check_settings(environ: Mapping[str, str] = os.environ) -> None:
    """Check every variable that is set, also those that are read only when they are needed.

    A process calls this when it starts, so that a bad value is not first met by a caller.
    """
    for name, kind in SETTINGS.items():
        text = environ.get(name)
        if not text:
            continue
        if kind == "size":
            parse_size(text, field=name)
        elif kind in ("count", "places"):
            parse_whole(text, field=name, least=int(kind == "count"))
        elif kind == "duration":
            parse_duration(text, field=name)
        elif kind == "switch":
            read_switch(name, environ=environ)
        elif kind == "log":
            read_choice(name, LOG_FORMS[0], LOG_FORMS, environ=environ)


def read_whole(
    name: str,
    default: int,
    *,
    least: int = 0,
    most: int = 10**_DIGITS - 1,
    environ: Mapping[str, str] = os.environ,
) -> int:
    """Return a whole number from ``least`` to ``most``."""
    text = environ.get(name)
    return parse_whole(text, field=name, least=least, most=most) if text else default


def read_size(
    name: str, default: int, *, least: int = 1, environ: Mapping[str, str] = os.environ
) -> int:
    """Return a number of bytes; ``64k``, ``6MiB`` and ``2GB`` are understood."""
    text = environ.get(name)
    return parse_size(text, field=name, least=least) if text else default


def read_duration(
    name: str, default: float, *, most: float = 86400.0, environ: Mapping[str, str] = os.environ
) -> float:
    """Return seconds from 0 to ``most``; ``500ms``, ``2s`` and ``5m`` are understood."""
    text = environ.get(name)
    return parse_duration(text, field=name, most=most) if text else default


def read_switch(
    name: str, default: bool = False, *, environ: Mapping[str, str] = os.environ
) -> bool:
    """Return whether something is on."""
    text = environ.get(name)
    if not text:
        return default
    value = _SWITCH.get(text.lower())
    if value is None:
        raise _wrong("on or off", text, name)
    return value


def read_choice(
    name: str, default: str, known: Sequence[str], *, environ: Mapping[str, str] = os.environ
) -> str:
    """Return one of the ``known`` words."""
    text = environ.get(name)
    if not text:
        return default
    if text not in known:
        raise _wrong(f"one of {', '.join(known)}", text, name)
    return text


def parse_whole(text: str, *, field: str, least: int = 0, most: int = 10**_DIGITS - 1) -> int:
    """Return the whole number that ``text`` spells in decimal digits."""
    number = read_digits(text)
    if number is None or not least <= number <= most:
        raise _wrong(_bounds("a whole number", least, most), text, field)
    return number


def parse_size(text: str, *, field: str, least: int = 1) -> int:
    """Return the bytes that ``text`` spells: digits and a unit of 1,000 (kB) or 1,024 (k, KiB)."""
    digits = text.strip().rstrip("BbGgIiKkMm")
    unit = _UNITS.get(text.strip()[len(digits) :].lower())
    number = read_digits(digits.strip())
    if number is None or unit is None or number * unit < least:
        raise _wrong(f"a number of bytes from {least} up, such as 64k or 6MiB", text, field)
    return number * unit


def parse_duration(text: str, *, field: str, most: float = 86400.0) -> float:
    """Return the seconds that ``text`` spells: a number and ``ms``, ``s``, ``m`` or ``h``."""
    number = text.strip().rstrip("hinms")
    factor = _SECONDS.get(text.strip()[len(number) :])
    significant = number.lstrip("0") or number[-1:]
    plain = text.isascii() and "_" not in text and len(significant) <= _DIGITS  # float() takes more
    try:
        seconds = -1.0 if factor is None or not plain else float(significant) * factor
    except ValueError:
        seconds = -1.0
    if not 0.0 <= seconds <= most:  # NaN is not either
        raise _wrong(f"seconds from 0 to {most:g}", text, field)
    return seconds


def read_digits(text: str) -> int | None:
    """Return a number of decimal digits; None for anything else, and for 10 ** 18 and more.

    Zeros in front are no part of a number's size: int() alone refuses 4,301 of them.
    """
    significant = text.lstrip("0") or text[-1:]
    if not (text.isascii() and text.isdigit()) or len(significant) > _DIGITS:
        return None
    return int(significant)


def _bounds(noun: str, least: int, most: int) -> str:
    if most < 10**_DIGITS - 1:
        return f"{noun} from {least} to {most}"
    return f"{noun} above {least - 1}" if least else noun


def _wrong(expected: str, text: str, field: str) -> SetupError:
    shown = repr(text) if len(text) <= _SHOWN else repr(text[:_SHOWN]) + "…"
    return SetupError(f"expected {expected}, got {shown}", field=field)
