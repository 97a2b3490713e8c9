"""What a TFaaS server says: numbers as Go prints them, labels of an image, errors, models.

The clients of TFaaS read JSON and nothing but JSON; what they see is the same to the byte. Go
prints a float32 with as few digits as tell it from others: 1 and not 1.0, with an exponent
below 1e-6 and from 1e21 on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson

from gpfn.errors import ModelFailed

if TYPE_CHECKING:
    from gpfn.tfaas.parameters import TfaasParameters

__all__ = [
    "MOST_LABELS",
    "ListedModel",
    "encode_error",
    "encode_labels",
    "encode_models",
    "encode_values",
    "read_error",
]

_Array = np.ndarray[Any, Any]
MOST_LABELS = 5
"""Classes in the answer for an image."""

_NUMPY = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
_FLOAT32 = np.dtype(np.float32)
_LARGE = re.compile(rb"(\d)(?:\.(\d+))?e\+?(\d+)")
_NO_HTML = re.compile(rb"[<>&]|\xe2\x80[\xa8\xa9]")


def encode_values(values: _Array) -> bytes:
    """Return numbers as the answer to a row, and rows of numbers as the answer to several.

    Floats of any width are told as float32, which is what TFaaS computes in. Raises ModelFailed
    for NaN and infinities: JSON has none, and TFaaS answers with nothing at all.
    """
    if values.dtype == _FLOAT32:
        return _floats(values)
    kind = values.dtype.kind
    if kind == "f":
        with np.errstate(over="ignore"):
            return _floats(values.astype(_FLOAT32))
    if kind == "b":
        values = values.astype(np.uint8)
    elif kind not in "iu":
        raise ModelFailed(f"the model gives {values.dtype.name}, and TFaaS has numbers alone")
    return orjson.dumps(np.ascontiguousarray(values), option=_NUMPY)


def _floats(values: _Array) -> bytes:
    array = values if values.flags.c_contiguous else np.ascontiguousarray(values)
    text = orjson.dumps(array, option=_NUMPY)
    if b".0" in text:
        text = text.replace(b".0,", b",").replace(b".0]", b"]")
    if b"null" in text:
        place = "".join(f"[{at}]" for at in np.argwhere(~np.isfinite(array))[0])
        told = "the model gives NaN or an infinity, which JSON has not"
        raise ModelFailed(told, field=f"output{place}")
    return (
        _LARGE.sub(_large, text) if b"e" in text and text.count(b"e") > text.count(b"e-") else text
    )


def _large(found: re.Match[bytes]) -> bytes:
    """Return a large number as Go has it: all its digits below 1e21."""
    first, rest, exponent = found[1], found[2] or b"", int(found[3])
    if exponent < 21:
        return first + rest.ljust(exponent, b"0")
    return first + (b"." + rest if rest else b"") + b"e+%d" % exponent


def encode_labels(filename: str, labels: Sequence[str], probabilities: _Array) -> bytes:
    """Return the answer for an image: its best classes, the best first, each with its label.

    Outputs without a label are left out, and labels without an output. Raises ModelFailed for
    NaN and infinities.
    """
    count = min(len(labels), len(probabilities))
    best = np.argsort(-probabilities[:count].astype(np.float64), kind="stable")[:MOST_LABELS]
    numbers = encode_values(probabilities[best])[1:-2].split(b",") if count else []
    rows = [
        b'{"label":%s,"probability":%s}' % (_text(labels[at]), number)
        for at, number in zip(best.tolist(), numbers, strict=True)
    ]
    return b'{"filename":%s,"labels":[%s]}\n' % (_text(filename), b",".join(rows))


def _text(text: str) -> bytes:
    """Return a string as Go writes it, fit to stand in HTML."""
    written = orjson.dumps(text.encode("utf-8", "replace").decode())
    return _NO_HTML.sub(lambda found: _escape(found[0]), written)


def _escape(character: bytes) -> bytes:
    return b"\\u%04x" % ord(character.decode())


def encode_error(text: str) -> bytes:
    """Return the body of an error."""
    return b'{"error":%s}\n' % _text(text)


def read_error(body: bytes) -> str:
    """Return the text of an error's body; an empty one for what is none."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    text = document.get("error") if type(document) is dict else None
    return text if type(text) is str else ""


class ListedModel(NamedTuple):
    """A model as the list has it: its name, its files' names, and its parameters.

    ``more`` are members that only our list has, such as versions and tags.
    """

    name: str
    model: str
    labels: str
    parameters: TfaasParameters
    timestamp: str = ""
    more: Mapping[str, Any] = {}


def encode_models(models: Iterable[ListedModel]) -> bytes:
    """Return the list of models, which readers of both generations find their keys in.

    TFaaS of 2023 says ``input_node`` where the one of 2018 says ``inputNode``.
    """
    return orjson.dumps([_listed(model) for model in models], option=orjson.OPT_APPEND_NEWLINE)


def _listed(model: ListedModel) -> dict[str, Any]:
    given = model.parameters
    return {
        "name": model.name,
        "model": model.model,
        "labels": model.labels,
        "op": "",
        "input_name": given.input_name,
        "output_name": given.output_name,
        "img_channels": given.channels,
        "options": given.options,
        "input_node": given.input_node,
        "output_node": given.output_node,
        "description": given.description,
        "timestamp": given.timestamp or model.timestamp,
        "inputNode": given.input_node,
        "outputNode": given.output_node,
        "ImgChannels": given.channels,
        **model.more,
    }
