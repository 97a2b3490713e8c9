"""Inference over gRPC: from a request's bytes to arrays and back, without sockets.

Triton's and KServe's clients send numbers as raw bytes or as a list of a type, and read raw
ones; so both are read here, and raw ones are written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from gpfn.errors import InvalidRequest
from gpfn.limits import Limits
from gpfn.oip.binary_values import Buffer, binary_data
from gpfn.oip.classes import best_classes
from gpfn.oip.grpc_schema import message_class
from gpfn.oip.grpc_tensors import MessageTensors, parameter_values, refuse_shared_memory
from gpfn.oip.reply import InferReply
from gpfn.oip.request import InferCall, OutputAsked, Parameter
from gpfn.tensors.shapes import over_limit, shown

__all__ = [
    "decode_grpc_infer",
    "decode_grpc_reply",
    "encode_grpc_infer",
    "encode_grpc_reply",
    "infer_request",
    "stream_answer",
]

_Array = np.ndarray[Any, Any]


def infer_request(data: bytes) -> Any:
    """Return the ``ModelInferRequest`` that ``data`` hold.

    Raises InvalidRequest; MissingExtra without protobuf.
    """
    return _read(data, "ModelInferRequest")


def _read(data: bytes, kind: str) -> Any:
    try:
        return message_class(kind).FromString(data)
    except Exception as error:  # protobuf's DecodeError, which is made when it is imported
        if type(error).__name__ != "DecodeError":
            raise
        raise InvalidRequest(f"not a {kind}: {error}", field="message") from None


def decode_grpc_infer(
    message: Any, limits: Limits, raw: Sequence[memoryview] | None = None
) -> InferCall:
    """Return the request that a ``ModelInferRequest`` is; see `gpfn.oip.request`.

    ``raw`` are its raw contents, where they were left out of it.

    The arrays are read-only; all outputs are to come as bytes, which is what gRPC has.

    Raises InvalidRequest or InvalidTensor, which name the input or the place, and TooLarge
    over a limit.
    """
    model = f"for model '{message.model_name}'"
    contents = message.raw_input_contents if raw is None else raw
    reader = MessageTensors(contents, limits, "input", model)
    arrays, datatypes = reader.read(message.inputs)
    given = message.parameters
    parameters = parameter_values(given, "parameters") if given else {}
    outputs = _outputs(message.outputs, limits) if message.outputs else ()
    return InferCall(message.id, parameters, arrays, datatypes, outputs, binary=True)


def _outputs(asked: Sequence[Any], limits: Limits) -> tuple[OutputAsked, ...]:
    if len(asked) > limits.tensors:
        raise over_limit("tensors", limits, "outputs")
    found: dict[str, OutputAsked] = {}
    for index, output in enumerate(asked):
        name, path = output.name, f"outputs[{index}]"
        if name in found:
            raise InvalidRequest(f"{shown(name)} is asked for twice", field=f"{path}.name")
        parameters = parameter_values(output.parameters, f"{path}.parameters")
        refuse_shared_memory(parameters, path)
        classes = parameters.get("classification", 0)
        if type(classes) is not int or classes < ("classification" in parameters):
            told = f"expected a whole number from 1 up, got {shown(classes)}"
            raise InvalidRequest(told, field=f"{path}.parameters.classification")
        found[name] = OutputAsked(name, binary=True, classification=classes)
    return tuple(found.values())


def encode_grpc_reply(
    model: str,
    version: str,
    outputs: Mapping[str, _Array],
    call: InferCall,
    *,
    labels: Sequence[str] = (),
    batched: bool = True,
    final: bool | None = None,
) -> bytes:
    """Return the bytes of a ``ModelInferResponse``, every output raw.

    Args:
        model: Its name.
        version: As the model's directory has it.
        outputs: Arrays by name, those that were asked for, in the model's order.
        call: What is answered: its id, and of which outputs the best classes are wanted.
        labels: Names of the classes, for the classification extension.
        batched: Whether the first axis counts rows, for the same.
        final: In a stream, whether it is the last reply to the request.

    Raises InvalidTensor for an array that has no datatype.
    """
    classes = {asked.name: asked.classification for asked in call.outputs if asked.classification}
    entries: list[tuple[str, str, tuple[int, ...]]] = []
    raw: list[Buffer] = []
    for name, array in outputs.items():
        values = array
        if name in classes:
            values = best_classes(array, classes[name], labels, batched=batched, path=name)
        datatype, data = binary_data(values, path=name)
        entries.append((name, datatype, values.shape))
        raw += (_tag(_RAW_OUTPUT, len(data)), data)
    given = call.id.encode()
    identity = _tag(_ID, len(given)) + given if given else b""
    said = b"" if final is None else _FINAL[final]
    return b"".join([_model(model, version), identity, said, _described(tuple(entries)), *raw])


# What many replies share is written once; fields may stand one behind the other in any message.
_ID, _RAW_OUTPUT, _INFER_RESPONSE = 3, 6, 2
_FINAL = {
    last: b"\x22\x1b\x0a\x15triton_final_response\x12\x02\x08" + bytes([last])
    for last in (False, True)
}


@lru_cache(maxsize=4096)
def _tag(number: int, size: int) -> bytes:
    """Return how a field of ``size`` bytes begins."""
    written, rest = [number << 3 | 2], size
    while rest > 0x7F:
        written.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*written, rest])


@lru_cache(maxsize=256)
def _model(model: str, version: str) -> bytes:
    reply = message_class("ModelInferResponse")(model_name=model, model_version=version)
    return bytes(reply.SerializeToString())


@lru_cache(maxsize=1024)
def _described(entries: tuple[tuple[str, str, tuple[int, ...]], ...]) -> bytes:
    reply = message_class("ModelInferResponse")()
    for name, datatype, shape in entries:
        reply.outputs.add(name=name, datatype=datatype, shape=shape)
    return bytes(reply.SerializeToString())


def stream_answer(reply: bytes, error: str = "") -> bytes:
    """Return the ``ModelStreamInferResponse`` of a reply's bytes; with an error, of its id."""
    kind = message_class("ModelStreamInferResponse")
    told = bytes(kind(error_message=error).SerializeToString()) if error else b""
    return told + _tag(_INFER_RESPONSE, len(reply)) + reply


def encode_grpc_infer(
    model: str,
    version: str,
    inputs: Mapping[str, _Array],
    *,
    datatypes: Mapping[str, str] | None = None,
    outputs: Sequence[OutputAsked] = (),
    identity: str = "",
    parameters: Mapping[str, Parameter] | None = None,
) -> bytes:
    """Return the bytes of a ``ModelInferRequest``, every input raw.

    Args:
        model: Its name.
        version: Empty for the one that the server chooses.
        inputs: Arrays by name.
        datatypes: Those that the arrays' dtypes do not tell, by name: BF16.
        outputs: The outputs wanted; all of them when empty.
        identity: The request's id, which the reply repeats.
        parameters: Of the request.

    Raises InvalidTensor for an array that has no datatype, or a value that BF16 does not have.
    """
    request = message_class("ModelInferRequest")(
        model_name=model, model_version=version, id=identity
    )
    for name, value in (parameters or {}).items():
        large = type(value) is int and value >= 1 << 63
        choice = "uint64_param" if large else _CHOICES[type(value)]
        setattr(request.parameters[name], choice, value)
    for name, given in inputs.items():
        datatype, data = binary_data(given, (datatypes or {}).get(name, ""), path=name)
        request.inputs.add(name=name, datatype=datatype, shape=given.shape)
        request.raw_input_contents.append(bytes(data))
    for output in outputs:
        asked = request.outputs.add(name=output.name)
        if output.classification:
            asked.parameters["classification"].int64_param = output.classification
    return bytes(request.SerializeToString())


_CHOICES = {bool: "bool_param", int: "int64_param", str: "string_param", float: "double_param"}


def decode_grpc_reply(data: bytes, limits: Limits) -> InferReply:
    """Return the reply that the bytes of a ``ModelInferResponse`` hold, raw or in lists.

    Raises CallerError as :func:`decode_grpc_infer` does, which is the server's fault here.
    """
    message = _read(data, "ModelInferResponse")
    model = f"of model '{message.model_name}'"
    reader = MessageTensors(message.raw_output_contents, limits, "output", model)
    arrays, datatypes = reader.read(message.outputs)
    parameters = parameter_values(message.parameters, "parameters")
    return InferReply(
        message.model_name, message.model_version, message.id, parameters, arrays, datatypes
    )
