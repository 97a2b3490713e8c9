"""A request for inference: read by a server, written by a client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np
import orjson

from gpfn.errors import InvalidRequest, InvalidTensor
from gpfn.limits import Limits
from gpfn.oip.binary_values import Buffer, binary_data, numbers_of, padded, strings_of
from gpfn.oip.body import json_of, json_part
from gpfn.oip.datatypes import DATATYPES
from gpfn.oip.decode import TensorReader
from gpfn.oip.json_values import json_data
from gpfn.tensors.dtypes import OPEN_INFERENCE_NAMES
from gpfn.tensors.shapes import at, complete_shape, over_limit, shown, what
from gpfn.tensors.spec import TensorSpec

__all__ = [
    "InferCall",
    "OutputAsked",
    "Parameter",
    "decode_infer",
    "decode_raw_infer",
    "encode_infer",
    "time_allowed",
]

Parameter = str | int | float | bool


class OutputAsked(NamedTuple):
    """One output that a request names."""

    name: str
    binary: bool = False
    """Whether its data are to be bytes behind the JSON."""
    classification: int = 0
    """How many of the best classes are wanted in place of the values; 0: the values."""


class InferCall(NamedTuple):
    """A request as a server reads it.

    The arrays are read-only: numbers of the datatype's dtype (BF16 as float32), BYTES as
    object arrays of ``bytes``. ``outputs`` is empty when all are asked for, and ``binary``
    says how those are to come. ``id`` is empty when there is none. ``parameters`` are those
    of the request, all of them.
    """

    id: str
    parameters: dict[str, Parameter]
    inputs: dict[str, _Array]
    datatypes: dict[str, str]
    outputs: tuple[OutputAsked, ...]
    binary: bool


_Array = np.ndarray[Any, Any]
_NO_PARAMETERS: dict[str, Parameter] = {}


def decode_infer(
    body: bytes | bytearray | memoryview,
    json_size: str | None,
    limits: Limits,
    *,
    nan_words: bool = False,
) -> InferCall:
    """Return the request that a body holds.

    Args:
        body: After decompression.
        json_size: The header `gpfn.oip.body.JSON_SIZE`, None when it is absent. Raw requests
            (`gpfn.oip.body.is_raw`) are for :func:`decode_raw_infer`.
        limits: What the tensors may take together.
        nan_words: Whether NaN, Infinity and -Infinity are numbers in the JSON; without it
            they are refused.

    Raises InvalidRequest or InvalidTensor, whose field names the place, such as
    ``inputs[0].shape``, and TooLarge over a limit.
    """
    whole = body if type(body) is bytes else memoryview(body).toreadonly().cast("B")
    size = len(whole) if json_size is None else json_part(json_size, len(whole))
    document = json_of(whole, size, nan_words=nan_words)
    get = document.get
    reader = TensorReader(whole, size, limits, "inputs", nan_words=nan_words)
    inputs, datatypes = reader.read(get("inputs"))
    identity = get("id")
    if type(identity) is not str:
        if identity is not None:
            raise InvalidRequest(f"expected a string, got {what(identity)}", field="id")
        identity = ""
    given = get("parameters")
    parameters = _NO_PARAMETERS.copy() if given is None else _parameters(given)
    binary = parameters.get("binary_data_output", False)
    if type(binary) is not bool:
        raise _not_bool(binary, "parameters.binary_data_output")
    asked = get("outputs")
    outputs = () if asked is None else _outputs(asked, binary, limits)
    return InferCall(identity, parameters, inputs, datatypes, outputs, binary)


def _parameters(given: object) -> dict[str, Parameter]:
    if type(given) is not dict:
        raise InvalidRequest(f"expected an object, got {what(given)}", field="parameters")
    for name, value in given.items():
        if type(value) not in _PARAMETER_TYPES:
            told = f"expected a string, a number or a boolean, got {what(value)}"
            raise InvalidRequest(told, field=f"parameters.{name}")
    return given


_PARAMETER_TYPES = {str, int, float, bool}


def _outputs(asked: object, default: bool, limits: Limits) -> tuple[OutputAsked, ...]:
    if type(asked) is not list:
        raise InvalidRequest(f"expected a list, got {what(asked)}", field="outputs")
    if len(asked) > limits.tensors:
        raise over_limit("tensors", limits, "outputs")
    found = {}
    for index, entry in enumerate(asked):
        name = entry.get("name") if type(entry) is dict else None
        if type(name) is not str:
            told = "expected an object with a name that is a string"
            raise InvalidRequest(told, field=at("outputs", [index]))
        if name in found:
            told = f"{shown(name)} is asked for twice"
            raise InvalidRequest(told, field=f"outputs[{index}].name")
        parameters = entry.get("parameters")
        found[name] = (
            OutputAsked(name, default)
            if parameters is None
            else _asked(name, parameters, default, f"outputs[{index}].parameters")
        )
    return tuple(found.values())


def _asked(name: str, parameters: object, default: bool, path: str) -> OutputAsked:
    if type(parameters) is not dict:
        raise InvalidRequest(f"expected an object, got {what(parameters)}", field=path)
    if "shared_memory_region" in parameters:
        told = "shared memory is not supported"
        raise InvalidRequest(told, field=f"{path}.shared_memory_region")
    binary = parameters.get("binary_data", default)
    if type(binary) is not bool:
        raise _not_bool(binary, f"{path}.binary_data")
    classes = parameters.get("classification", 0)
    if type(classes) is not int or classes < 0 or ("classification" in parameters and not classes):
        told = f"expected a whole number from 1 up, got {shown(classes)}"
        raise InvalidRequest(told, field=f"{path}.classification")
    return OutputAsked(name, binary, classes)


def _not_bool(value: object, field: str) -> InvalidRequest:
    return InvalidRequest(f"expected true or false, got {what(value)}", field=field)


def time_allowed(parameters: Mapping[str, Parameter]) -> float | None:
    """Return the seconds of the parameter ``timeout``, which is in microseconds.

    None when it is absent, or 0, which is how clients say that there is no bound. Raises
    InvalidRequest for what is no whole number from 0 up.
    """
    value = parameters.get("timeout", 0)
    if type(value) is not int or value < 0:
        told = f"expected a whole number of microseconds from 0 up, got {shown(value)}"
        raise InvalidRequest(told, field="parameters.timeout")
    return min(value, 1 << 62) / 1e6 if value else None


def decode_raw_infer(
    body: bytes | bytearray | memoryview, spec: TensorSpec, limits: Limits, *, batched: bool
) -> InferCall:
    """Return the request that a body without JSON is, for the one input of a model.

    A batch has one row. Of the other sizes one may be open: the number of bytes tells it. A
    BYTES input has one element, which is the whole body. All outputs are asked for, binary.

    Raises InvalidTensor when the bytes do not fit, TooLarge over a limit.
    """
    whole = body if type(body) is bytes else memoryview(body).toreadonly().cast("B")
    kind = DATATYPES[OPEN_INFERENCE_NAMES[spec.dtype]]
    sizes = spec.shape
    if batched and sizes:
        sizes = (1, *sizes[1:])
    path = spec.name or "body"
    count = len(whole) // kind.size if kind.size else 1
    if count > limits.elements:
        raise over_limit("elements", limits, path)
    shape = complete_shape(TensorSpec(spec.dtype, sizes, spec.name), count, path=path)
    if kind.size:
        if len(whole) != prod(shape) * kind.size:
            told = f"expected {prod(shape) * kind.size} bytes ({kind.name}), got {len(whole)}"
            raise InvalidTensor(told, field=path)
        array = numbers_of(whole, 0, kind, shape, path)
    else:
        framed = len(whole).to_bytes(4, "little") + bytes(whole)
        array = strings_of(framed, 1, limits, path).reshape(shape)
    return InferCall("", {}, {spec.name: array}, {spec.name: kind.name}, (), binary=True)


def encode_infer(
    inputs: Mapping[str, _Array],
    *,
    datatypes: Mapping[str, str] | None = None,
    outputs: Sequence[OutputAsked] = (),
    identity: str = "",
    parameters: Mapping[str, Parameter] | None = None,
    binary: bool = True,
) -> tuple[list[Buffer], int | None]:
    """Return a request's body in pieces, and the value of the header `gpfn.oip.body.JSON_SIZE`.

    Args:
        inputs: _Arrays by name.
        datatypes: Those that the arrays' dtypes do not tell, by name: BF16.
        outputs: The outputs wanted; all of them when empty.
        identity: The request's id, which the reply repeats.
        parameters: Of the request.
        binary: Whether inputs are sent as bytes behind the JSON, and all outputs are asked
            for so. Numbers are not copied then. It is None that stands for an absent header.

    Raises InvalidTensor for an array that has no datatype, or a value that cannot be sent so.
    """
    entries: list[dict[str, Any]] = []
    behind: list[Buffer] = []
    for name, given in inputs.items():
        datatype = (datatypes or {}).get(name, "")
        entry: dict[str, Any] = {"name": name, "shape": given.shape}
        if binary:
            entry["datatype"], data = binary_data(given, datatype, path=name)
            entry["parameters"] = {"binary_data_size": len(data)}
            behind.append(data)
        else:
            entry["datatype"], text = json_data(given, datatype, path=name)
            entry["data"] = orjson.Fragment(text)
        entries.append(entry)
    document: dict[str, Any] = {"id": identity} if identity else {}
    given_parameters = dict(parameters or {})
    if binary and not outputs:
        given_parameters["binary_data_output"] = True
    if given_parameters:
        document["parameters"] = given_parameters
    document["inputs"] = entries
    if outputs:
        document["outputs"] = [_output_entry(output) for output in outputs]
    text = orjson.dumps(document)
    if not any(behind):
        return [text], None
    text = padded(text)
    return [text, *behind], len(text)


def _output_entry(output: OutputAsked) -> dict[str, Any]:
    parameters: dict[str, Any] = {"binary_data": output.binary}
    if output.classification:
        parameters["classification"] = output.classification
    return {"name": output.name, "parameters": parameters}
