"""JSON text to values and back with all digits of every whole number.

orjson reads and writes; it takes whole numbers of 64 bits. One beyond them it reads as a
float (from 309 digits on not at all) and does not write. So text that may hold such a number
is found by its digits, at a nanosecond a byte, and read by Python's own reader; what orjson
does not write is handed to it as text. Numbers are bounded, so that none costs more than its
length: a whole number of more than 4,300 digits, as Python reads and writes no longer ones,
and one beyond a double (``1e400``) are errors that have its place. NaN and Infinity are no
JSON, ``-0`` is the whole number 0 and ``-0.0`` a float.

A byte order mark before UTF-8 is skipped (RFC 8259, section 8.1); UTF-16 and UTF-32 are told.
Bytes stand in JSON as base64.
"""

from __future__ import annotations

import json
from binascii import a2b_base64
from collections.abc import Callable, Iterator

import orjson

__all__ = [
    "DIGITS",
    "Steps",
    "UnreadableNumber",
    "UnwritableNumber",
    "decode_base64",
    "dumps",
    "encoding",
    "find",
    "is_exact",
    "loads",
    "loads_loosely",
    "path_of",
    "settle",
    "without_mark",
]

DIGITS = 4300
"""Most digits of a whole number, which is what Python's ``int`` and ``str`` allow."""

_DEPTH = 254  # as deep as orjson writes
_LEVELS = 1024  # as deep as orjson reads
_LOW, _HIGH = -(1 << 63), (1 << 64) - 1
_MARK = b"\xef\xbb\xbf"
_SHOWN = 40

_CLASSES = bytes([48 if 48 <= byte < 58 else 46 if byte == 46 else 32 for byte in range(256)])
"""Digits become ``0``, the point stays, all else becomes a space."""
_LONG = b" " + b"0" * 19  # the shortest number beyond 64 bits has 19 digits, none a fraction's
_ZERO, _NINE = ord("0"), ord("9")

Steps = tuple[str | int, ...]
"""Names and indexes that lead to a value."""


class UnreadableNumber(orjson.JSONDecodeError):
    """A number in JSON text that has no value here; ``steps`` lead to it."""

    def __init__(self, detail: str, steps: Steps) -> None:
        super().__init__(detail, "", 0)
        self.detail = detail
        self.steps = steps

    def __str__(self) -> str:
        return f"{path_of('', self.steps)}: {self.detail}" if self.steps else self.detail


class UnwritableNumber(TypeError):
    """A whole number with too many digits to be written; ``steps`` lead to it."""

    def __init__(self, detail: str, steps: Steps) -> None:
        super().__init__(detail)
        self.steps = steps


def loads(text: bytes | bytearray | memoryview) -> object:
    """Return the value of JSON text, every whole number exact.

    Raises orjson.JSONDecodeError, for a number without a value UnreadableNumber.
    """
    return settle(loads_loosely(text), text)


def loads_loosely(text: bytes | bytearray | memoryview) -> object:
    """Return the value of JSON text, where whole numbers beyond 64 bits may be floats.

    Good for what judges each number by a dtype, and for a value that :func:`settle` is
    asked about later. Raises as :func:`loads` does.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        data = bytes(text)
        name = encoding(data)
        if name == "utf-8-sig" and not data.startswith(_MARK, len(_MARK)):
            return loads_loosely(data[len(_MARK) :])
        if name[:5] != "utf-8":
            raise orjson.JSONDecodeError(f"this is {name[:6].upper()}, not UTF-8", "", 0) from None
        if "infinity" not in error.msg:
            raise
        return _read_long(data)


def settle(value: object, text: bytes | bytearray | memoryview) -> object:
    """Return the exact value of ``text``, of which ``value`` was read loosely.

    Raises orjson.JSONDecodeError when it is nested too deeply for that.
    """
    data = bytes(text)
    if is_exact(data):
        return value
    try:
        return json.loads(without_mark(data))
    except RecursionError:
        raise _too_deep() from None


def is_exact(text: bytes) -> bool:
    """Say whether JSON text has no whole number beyond 64 bits; may say no where it has none."""
    classes = b" " + text.translate(_CLASSES)
    at = classes.find(_LONG)
    while at >= 0:
        # of 19 digits only what begins with 9 is beyond 64 bits
        if text[at] == _NINE or classes[at + 20 : at + 21] == b"0":
            return False
        at = classes.find(_LONG, at + 20)
    return True


def encoding(text: bytes) -> str:
    """Return the Unicode encoding that JSON text begins in, as Python names it."""
    first = text[:1]
    if first in b"\xef\xfe\xff\0" or text[1:2] == b"\0":  # also of no bytes at all
        return json.detect_encoding(text[:4])
    return "utf-8"


def without_mark(text: bytes) -> bytes:
    """Return UTF-8 text without the byte order mark that it may begin with."""
    return text.removeprefix(_MARK)


def dumps(
    value: object, default: Callable[[object], object] | None = None, option: int | None = None
) -> bytes:
    """Return a value as JSON text, as orjson does, with whole numbers of any size.

    Raises TypeError for what is no JSON value, for a number that is too long
    UnwritableNumber.
    """
    try:
        return orjson.dumps(value, default, option)
    except orjson.JSONEncodeError as error:
        if "64-bit" not in str(error):
            raise
    _check_digits(value)
    hook = None if default is None else lambda item: _spelled(default(item), 0)
    return orjson.dumps(_spelled(value, 0), hook, option)


def decode_base64(text: str) -> bytes:
    """Return what base64 stands for, in either alphabet of RFC 4648; padding may be left out.

    Raises ValueError for anything else, line breaks included.
    """
    try:
        return a2b_base64(text, strict_mode=True)
    except ValueError:
        plain = text.encode("ascii").translate(_ONE_ALPHABET)
        padding = b"" if b"=" in plain else b"=" * (-len(plain) % 4)
        return a2b_base64(plain + padding, strict_mode=True)


_ONE_ALPHABET = bytes.maketrans(b"-_", b"+/")


def path_of(root: str, steps: Steps) -> str:
    """Return the path of a value as errors have it, such as ``data.a[3]``."""
    path = root
    for step in steps:
        if isinstance(step, int):
            path += f"[{step}]"
        else:
            name = step if step.isidentifier() and len(step) <= _SHOWN else ascii(step[:_SHOWN])
            path += f".{name}" if path else name
    return path


class _Beyond:
    """Stands where a number has no value."""

    def __init__(self, detail: str) -> None:
        self.detail = detail


def _read_long(text: bytes) -> object:
    """Read text with a number that orjson does not read: it is too long, or beyond a double."""
    decoder = json.JSONDecoder(
        parse_int=_whole, parse_float=_finite, parse_constant=_no_constant, strict=True
    )
    try:
        value = decoder.decode(text.decode())
        if b"\\u" in text:
            json.dumps(value, ensure_ascii=False, default=str).encode()  # half a character
    except orjson.JSONDecodeError:
        raise
    except json.JSONDecodeError as error:
        raise orjson.JSONDecodeError(error.msg, error.doc, error.pos) from None
    except RecursionError:
        raise _too_deep() from None
    except UnicodeError:
        raise orjson.JSONDecodeError("str is not valid UTF-8", "", 0) from None
    found = find(value, lambda item: isinstance(item, _Beyond))
    if found is not None:
        steps, beyond = found
        raise UnreadableNumber(getattr(beyond, "detail", ""), steps)
    return value


def _too_deep() -> orjson.JSONDecodeError:
    return orjson.JSONDecodeError("Recursion limit reached", "", 0)


def _whole(digits: str) -> object:
    count = len(digits.lstrip("-"))
    if count > DIGITS:
        return _Beyond(f"a whole number of {count} digits; at most {DIGITS} are read")
    return int(digits)


def _finite(text: str) -> object:
    number = float(text)
    if number - number != 0:
        return _Beyond(f"{text[:_SHOWN]} is beyond the range of a double")
    return number


def _no_constant(name: str) -> object:
    raise orjson.JSONDecodeError(f"{name} is not JSON", "", 0)


def _check_digits(value: object) -> None:
    bound = 10**DIGITS
    found = find(value, lambda item: isinstance(item, int) and not -bound < item < bound)
    if found is not None:
        raise UnwritableNumber(f"a whole number of more than {DIGITS} digits", found[0])


def _spelled(value: object, depth: int) -> object:
    """Return the value with whole numbers beyond 64 bits as the text that orjson puts in."""
    if isinstance(value, int) and not _LOW <= value <= _HIGH:
        return orjson.Fragment(str(int(value)))
    if depth <= _DEPTH:  # what is deeper orjson refuses anyway
        if isinstance(value, dict):
            return {name: _spelled(item, depth + 1) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [_spelled(item, depth + 1) for item in value]
    return value


def find(value: object, wanted: Callable[[object], bool]) -> tuple[Steps, object] | None:
    """Return the first value that is wanted, and the steps to it.

    No path is made before it is known, and nothing recurses: the value may be large and deep.
    """
    if wanted(value):
        return (), value
    steps: list[str | int] = []
    levels = [_members(value)]
    while levels:
        for step, item in levels[-1]:
            if wanted(item):
                return (*steps, step), item
            if isinstance(item, dict | list | tuple) and len(levels) < _LEVELS:
                steps.append(step)
                levels.append(_members(item))
                break
        else:
            levels.pop()
            del steps[-1:]
    return None


def _members(value: object) -> Iterator[tuple[str | int, object]]:
    if isinstance(value, dict):
        return iter([(str(name), item) for name, item in value.items()])
    return enumerate(value) if isinstance(value, list | tuple) else iter(())
