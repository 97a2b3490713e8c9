"""The parameters of an action's invocation, read as ``wsk`` reads them, and images as some.

``-P`` names files, ``-p`` a name and a value, which is JSON when it can be read as JSON.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from pathlib import Path

from gpfn.errors import SetupError

__all__ = ["image_parameters", "read_parameters"]


_SHOWN = 40


def read_parameters(
    files: Sequence[str] = (), pairs: Sequence[Sequence[str]] = (), images: Sequence[str] = ()
) -> dict[str, object]:
    """Return the parameters of an invocation; later ones win, pairs over files.

    A pair's value is JSON when it can be read as JSON, else text: unlike with ``wsk`` a
    text may hold quotes and line breaks.

    Raises SetupError for a file that cannot be read or holds no JSON object.
    """
    parameters: dict[str, object] = {}
    for file in files:
        parameters |= _object_in(file)
    if images:
        parameters |= image_parameters(*images)
    for name, text in pairs:
        parameters[name] = _value(text)
    return parameters


def image_parameters(*files: str) -> dict[str, object]:
    """Return an image file as the parameter ``image``, several as the list ``images``.

    They are in base64 without line breaks.
    """
    images = [base64.b64encode(_read(file)).decode() for file in files]
    return {"image": images[0]} if len(images) == 1 else {"images": images}


def _object_in(file: str) -> dict[str, object]:
    try:
        value = _parsed(_read(file))
    except (ValueError, RecursionError) as error:
        raise SetupError(f"not JSON: {error}", field=file) from None
    if not isinstance(value, dict):
        raise SetupError(f"expected a JSON object, got {type(value).__name__}", field=file)
    return value


def _read(file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise SetupError(f"cannot be read: {error.strerror}", field=file) from error


def _value(text: str) -> object:
    try:
        return _parsed(text)
    except (ValueError, RecursionError):
        return text


def _parsed(text: str | bytes) -> object:
    """Return a value of JSON, all of which can be written as JSON again. Raises ValueError."""
    return json.loads(text, parse_constant=_finite, parse_float=_finite)


def _finite(text: str) -> float:
    """Return a number; Python also reads NaN and Infinity, and makes that of 1e400."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:_SHOWN]} is no number of JSON, or beyond a double")
    return number
