"""What a server of V1 answers, read: predictions to arrays, metadata to specs, errors to words.

TF Serving and gpfn tell their metadata, KServe tells none: then the dtype of an output is that
of its JSON. Both forms of a reply are read, whichever was asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from gpfn.errors import BrokenReply, InvalidTensor
from gpfn.json_words import has_words, loads_words
from gpfn.limits import Limits
from gpfn.settings import read_digits
from gpfn.tensors.nested import decode_nested
from gpfn.tensors.spec import DTYPES, TensorSpec

__all__ = ["read_metadata", "read_predictions", "read_words"]

_Array = npt.NDArray[np.generic]
_DTYPES = {"half": "float16", "float": "float32", "double": "float64"}
"""What TensorFlow spells in another way."""
_GUESSES = ("int64", "float64", "bool", "string")


def read_metadata(body: bytes | memoryview) -> tuple[dict[str, TensorSpec], dict[str, TensorSpec]]:
    """Return the inputs and outputs of a model's default signature, or of its only one.

    What is not told is left out. Raises BrokenReply for what is no JSON object.
    """
    document = _object(body)
    signatures = _member(document, "metadata", "signature_def", "signature_def")
    signature: Any = signatures.get("serving_default") or next(iter(signatures.values()), {})
    return _specs(_member(signature, "inputs")), _specs(_member(signature, "outputs"))


def read_predictions(
    body: bytes | memoryview, known: Mapping[str, TensorSpec], limits: Limits
) -> dict[str, _Array]:
    """Return the arrays of a reply by the outputs' names; ``known`` are those of the metadata.

    A lone output without a name is the known one, or ``output``. Raises BrokenReply.
    """
    document = _object(body)
    try:
        if "outputs" in document:
            value = document["outputs"]
            columns = value if type(value) is dict else {_lone(known): value}
        else:
            columns = _columns(document.get("predictions"), known)
        return {
            name: _array(value, known.get(name), limits, name) for name, value in columns.items()
        }
    except InvalidTensor as error:
        raise BrokenReply(f"its predictions cannot be read: {error}") from None


def read_words(body: bytes | memoryview) -> str:
    """Return the words of an error's document, or the text that came instead, in one line."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    told = document.get("error") if type(document) is dict else None
    text = told if type(told) is str else bytes(body[:4000]).decode(errors="replace")
    return " ".join(text.split())[:500]


def _object(body: bytes | memoryview) -> dict[str, Any]:
    text = bytes(body)
    try:
        document = loads_words(text) if has_words(text) else orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BrokenReply(f"not JSON: {error}") from None
    if type(document) is not dict:
        raise BrokenReply("expected a JSON object")
    return document


def _member(value: Any, *keys: str) -> dict[str, Any]:
    """Return an object within objects; an empty one where there is none."""
    for key in keys:
        value = value.get(key) if type(value) is dict else None
    return value if type(value) is dict else {}


def _specs(tensors: Mapping[str, Any]) -> dict[str, TensorSpec]:
    found = {}
    for name, told in tensors.items():
        kind = str(_member({"told": told}, "told").get("dtype", "")).removeprefix("DT_").lower()
        dtype = _DTYPES.get(kind, kind)
        if dtype in DTYPES:
            found[name] = TensorSpec(dtype, _shape(_member(told, "tensor_shape")), name)
    return found


def _shape(told: Mapping[str, Any]) -> tuple[int | None, ...] | None:
    sizes = told.get("dim", [])
    if told.get("unknown_rank") or type(sizes) is not list:
        return None
    texts = [str(size.get("size", "")) if type(size) is dict else "" for size in sizes]
    return tuple(read_digits(text) for text in texts)


def _lone(known: Mapping[str, TensorSpec]) -> str:
    return next(iter(known)) if len(known) == 1 else "output"


def _columns(rows: object, known: Mapping[str, TensorSpec]) -> dict[str, Any]:
    """Return the values by output of predictions, which come by row."""
    if type(rows) is not list:
        raise BrokenReply("has neither predictions nor outputs")
    if not rows or type(rows[0]) is not dict or set(rows[0]) == {"b64"}:
        return {_lone(known): rows}
    names = list(rows[0])
    if not all(type(row) is dict and set(row) == set(names) for row in rows):
        raise BrokenReply("its predictions have different names from row to row")
    return {name: [row[name] for row in rows] for name in names}


def _array(value: object, spec: TensorSpec | None, limits: Limits, path: str) -> _Array:
    if spec is not None:
        return decode_nested(value, TensorSpec(spec.dtype), limits, path=path)
    for dtype in _GUESSES[:-1]:
        try:
            return decode_nested(value, TensorSpec(dtype), limits, path=path)
        except InvalidTensor:
            continue  # the next one may hold it, and the last says what is wrong
    return decode_nested(value, TensorSpec(_GUESSES[-1]), limits, path=path)
