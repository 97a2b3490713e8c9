"""The reply to a request for inference: written by a server, read by a client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import orjson

from gpfn.errors import InvalidRequest
from gpfn.limits import Limits
from gpfn.oip.binary_values import Buffer, binary_data, padded
from gpfn.oip.body import json_of, json_part
from gpfn.oip.classes import best_classes
from gpfn.oip.decode import TensorReader
from gpfn.oip.json_values import json_data
from gpfn.oip.request import InferCall, Parameter
from gpfn.tensors.shapes import what

__all__ = ["InferReply", "decode_reply", "encode_reply"]


_Array = np.ndarray[Any, Any]


class InferReply(NamedTuple):
    """A reply as a client reads it; arrays as in :class:`~gpfn.oip.request.InferCall`."""

    model: str
    version: str
    id: str
    parameters: dict[str, Parameter]
    outputs: dict[str, _Array]
    datatypes: dict[str, str]


def encode_reply(
    model: str,
    version: str,
    outputs: Mapping[str, _Array],
    call: InferCall,
    *,
    labels: Sequence[str] = (),
    batched: bool = True,
    nan_words: bool = False,
) -> tuple[list[Buffer], int | None]:
    """Return a reply's body in pieces, and the value of ``Inference-Header-Content-Length``.

    Args:
        model: Its name.
        version: As the model's directory has it.
        outputs: _Arrays by name, those that were asked for, in the model's order.
        call: What is answered: its id, and how each output is to come.
        labels: Names of the classes, for the classification extension.
        batched: Whether the first axis counts rows, for the same.
        nan_words: Whether JSON may have the words NaN, Infinity and -Infinity.

    None stands for an absent header: the body is JSON then.

    Raises InvalidTensor for an array that has no datatype, or whose values the JSON cannot
    hold; the text says how to ask for them.
    """
    if len(outputs) == 1 and not (call.binary or call.outputs or call.id):  # as nearly always
        ((name, array),) = outputs.items()
        datatype, text = json_data(array, path=name, nan_words=nan_words)
        return [_alone(model, version, name, datatype, array.shape) + text + b"}]}"], None
    asked = {output.name: output for output in call.outputs}
    pieces: list[bytes] = [b'{"id":%b,' % orjson.dumps(call.id) if call.id else b"{"]
    opening = _opening(model, version)
    behind: list[Buffer] = []
    for name, array in outputs.items():
        binary, values = call.binary, array
        if name in asked:
            _, binary, most = asked[name]
            if most:
                values = best_classes(array, most, labels, batched=batched, path=name)
        if binary:
            datatype, data = binary_data(values, path=name)
            end = b'"parameters":{"binary_data_size":%d}}' % len(data)
            pieces += (_entry(opening, name, datatype, values.shape), end)
            if data:
                behind.append(data)
        else:
            datatype, text = json_data(values, path=name, nan_words=nan_words)
            pieces += (_entry(opening, name, datatype, values.shape), b'"data":', text, b"}")
        opening = b","
    pieces.append(b"]}" if outputs else opening + b"]}")
    text = b"".join(pieces)
    if not behind:
        return [text], None
    text = padded(text)
    return [text, *behind], len(text)


@lru_cache(maxsize=256)
def _opening(model: str, version: str) -> bytes:
    names = orjson.dumps(model), orjson.dumps(version)
    return b'"model_name":%b,"model_version":%b,"outputs":[' % names


@lru_cache(maxsize=1024)
def _entry(opening: bytes, name: str, datatype: str, shape: tuple[int, ...]) -> bytes:
    """Return how an output begins, with what stands before it."""
    entry = orjson.dumps({"name": name, "datatype": datatype, "shape": shape})
    return opening + entry[:-1] + b","


@lru_cache(maxsize=1024)
def _alone(model: str, version: str, name: str, datatype: str, shape: tuple[int, ...]) -> bytes:
    """Return a reply with one output as far as its data."""
    return b"{" + _entry(_opening(model, version), name, datatype, shape) + b'"data":'


def decode_reply(
    body: bytes | bytearray | memoryview, json_size: str | None, limits: Limits
) -> InferReply:
    """Return the reply that a body holds, with the words NaN and Infinity read as numbers.

    ``json_size`` is the header ``Inference-Header-Content-Length``, None when it is absent.
    Texts and parameters that are absent or null are empty.

    Raises CallerError as :func:`~gpfn.oip.request.decode_infer` does, which is the server's
    fault here.
    """
    whole = body if type(body) is bytes else memoryview(body).toreadonly().cast("B")
    size = len(whole) if json_size is None else json_part(json_size, len(whole))
    document = json_of(whole, size, nan_words=True)
    reader = TensorReader(whole, size, limits, "outputs", nan_words=True)
    outputs, datatypes = reader.read(document.get("outputs"))
    model, version, identity = (
        _text(document, member) for member in ("model_name", "model_version", "id")
    )
    parameters = document.get("parameters")
    if parameters is None:
        parameters = {}
    if type(parameters) is not dict:
        raise InvalidRequest(f"expected an object, got {what(parameters)}", field="parameters")
    return InferReply(model, version, identity, parameters, outputs, datatypes)


def _text(document: Mapping[str, Any], member: str) -> str:
    value = document.get(member)
    if value is None:
        return ""
    if type(value) is not str:
        raise InvalidRequest(f"expected a string, got {what(value)}", field=member)
    return value
