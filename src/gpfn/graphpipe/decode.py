"""GraphPipe messages from bytes: views into them, after everything was checked.

Numbers are not copied: each tensor is a read-only view into the body, aligned as the
sender laid it out (gpfn aligns to 64 bytes, others to 4). Strings are copied.

A message that is wrong raises InvalidMessage, one over the limits raises TooLarge;
``field`` is the path, such as ``infer_request.input_tensors[1].shape[0]``. Time and memory
are in proportion to the length of the message.
"""

import struct

from gpfn.errors import CallerError, InvalidMessage
from gpfn.graphpipe.messages import (
    Error,
    InferRequest,
    InferResponse,
    IOMetadata,
    MetadataRequest,
    MetadataResponse,
    Type,
)
from gpfn.graphpipe.reader import Flatbuffer, TableKind, inside
from gpfn.graphpipe.repeats import Repeats
from gpfn.graphpipe.tensors import decode_tensors
from gpfn.limits import Limits

__all__ = ["decode_metadata", "decode_request", "decode_response"]

_LIMITS = Limits()

# Fields as in graphpipe.fbs: 1 for an enum, 8 for a long, 4 for an offset.
_REQUEST = TableKind(1, 4)
_INFER_REQUEST = TableKind(4, 4, 4, 4)
_METADATA_REQUEST = TableKind()
_INFER_RESPONSE = TableKind(4, 4)
_ERROR = TableKind(8, 4)
_METADATA_RESPONSE = TableKind(4, 4, 4, 4, 4, 4)
_IO_METADATA = TableKind(4, 4, 4, 1)

_long = struct.Struct("<q").unpack_from


def decode_request(
    body: bytes | bytearray | memoryview, limits: Limits = _LIMITS
) -> InferRequest | MetadataRequest:
    """Decode a request; its tensors are views into ``body``.

    Raises InvalidMessage or TooLarge with the field's path.
    """
    return _requests(body, limits)


def _request(message: Flatbuffer) -> InferRequest | MetadataRequest:
    at, (_, kind, request) = message.table(0, _REQUEST, "request")
    number = message.bytes[at + kind] if kind else 0
    if number not in (1, 2):
        raise InvalidMessage(f"unknown request type {number}", field="request.req_type")
    if not request:
        raise InvalidMessage("absent", field="request.req")
    if number == 2:
        message.table(at + request, _METADATA_REQUEST, "metadata_request")
        return MetadataRequest()
    try:
        return _infer_request(message, at + request)
    except CallerError as error:
        raise inside("infer_request", error) from None


def _infer_request(message: Flatbuffer, position: int) -> InferRequest:
    at, (_, config, input_names, tensors, output_names) = message.table(position, _INFER_REQUEST)
    arrays = decode_tensors(message, at + tensors, "input_tensors") if tensors else ()
    names = _names(message, at + input_names, "input_names") if input_names else ()
    if names and len(names) < len(arrays):
        raise InvalidMessage(f"{len(names)} names for {len(arrays)} tensors", field="input_names")
    return InferRequest(
        arrays,
        names[: len(arrays)],  # as graphpipe-go does: graphpipe-batcher sends each name twice
        _names(message, at + output_names, "output_names") if output_names else (),
        message.text(at + config, "config") if config else "",
    )


def decode_response(
    body: bytes | bytearray | memoryview, limits: Limits = _LIMITS
) -> InferResponse:
    """Decode the reply to an inference request; its tensors are views into ``body``.

    Raises InvalidMessage or TooLarge with the field's path.
    """
    return _responses(body, limits)


def _response(message: Flatbuffer) -> InferResponse:
    try:
        at, (_, tensors, errors) = message.table(0, _INFER_RESPONSE)
        return InferResponse(
            decode_tensors(message, at + tensors, "output_tensors") if tensors else (),
            _errors(message, at + errors) if errors else (),
        )
    except CallerError as error:
        raise inside("infer_response", error) from None


def decode_metadata(
    body: bytes | bytearray | memoryview, limits: Limits = _LIMITS
) -> MetadataResponse:
    """Decode the reply to a metadata request.

    Raises InvalidMessage or TooLarge with the field's path.
    """
    message = Flatbuffer(body, limits)
    try:
        at, (_, *fields, inputs, outputs) = message.table(0, _METADATA_RESPONSE)
        name, version, server, description = (
            message.text(at + position, field) if position else ""
            for position, field in zip(fields, MetadataResponse._fields, strict=False)
        )
        return MetadataResponse(
            name,
            version,
            server,
            description,
            _ios(message, at + inputs, "inputs") if inputs else (),
            _ios(message, at + outputs, "outputs") if outputs else (),
        )
    except CallerError as error:
        raise inside("metadata_response", error) from None


def _names(message: Flatbuffer, position: int, field: str) -> tuple[str, ...]:
    names = []
    for offset in message.offsets(position, field, message.limits.tensors, "GPFN_MAX_TENSORS"):
        try:
            names.append(message.text(offset, ""))
        except CallerError as error:
            raise inside(f"{field}[{len(names)}]", error) from None
    return tuple(names)


def _errors(message: Flatbuffer, position: int) -> tuple[Error, ...]:
    errors = []
    for offset in message.tables(position, "errors"):
        try:
            errors.append(_error(message, offset))
        except CallerError as error:
            raise inside(f"errors[{len(errors)}]", error) from None
    return tuple(errors)


def _error(message: Flatbuffer, position: int) -> Error:
    at, (_, code, text) = message.table(position, _ERROR)
    return Error(
        _long(message.bytes, at + code)[0] if code else 0,
        message.text(at + text, "message") if text else "",
    )


def _ios(message: Flatbuffer, position: int, field: str) -> tuple[IOMetadata, ...]:
    entries = []
    for offset in message.tables(position, field):
        try:
            entries.append(_io(message, offset))
        except CallerError as error:
            raise inside(f"{field}[{len(entries)}]", error) from None
    return tuple(entries)


def _io(message: Flatbuffer, position: int) -> IOMetadata:
    at, (_, name, description, shape, kind) = message.table(position, _IO_METADATA)
    number = message.bytes[at + kind] if kind else 0
    if number > Type.STRING:
        raise InvalidMessage(f"unknown element type {number}", field="type")
    sizes = message.longs(at + shape, "shape") if shape else ()
    for index, size in enumerate(sizes):
        if size < -1:
            raise InvalidMessage(f"expected a size or -1, got {size}", field=f"shape[{index}]")
    return IOMetadata(
        message.text(at + name, "name") if name else "",
        message.text(at + description, "description") if description else "",
        sizes,
        Type(number),
    )


_requests = Repeats(_request)
_responses = Repeats(_response)
