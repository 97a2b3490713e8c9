"""GraphPipe messages to bytes, without copying the numbers.

An encoded message is a list of buffers to be sent one after the other: first all that
describes the tensors, up to the length of the first tensor's data, then that data where it
lies in memory, then padding and the next length, and so on. Data begins at multiples of 64
bytes, for a receiver that reads into aligned memory. An array that is not contiguous or not
little-endian is copied once; strings are copied. The arrays must not change until the
buffers are sent.

The description depends on names, types and shapes only, so it is kept for the next message
that has the same ones.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

from gpfn.errors import InvalidTensor, TooLarge
from gpfn.graphpipe.messages import (
    Error,
    InferRequest,
    InferResponse,
    IOMetadata,
    MetadataRequest,
    MetadataResponse,
    Type,
)
from gpfn.graphpipe.reader import MAX_MESSAGE
from gpfn.graphpipe.tensors import Buffer, Spec, contents, utf8
from gpfn.graphpipe.writer import Writer

__all__ = ["encode_metadata", "encode_request", "encode_response"]

_ALIGNMENT = 64
_MOST_SHAPES = 128
_MOST_BYTES = 4096
"""Bytes of one description: larger ones are not kept, which bounds the memory."""

_Pieces = tuple[bytes, ...]


def encode_request(request: InferRequest | MetadataRequest) -> list[Buffer]:
    """Encode a request as buffers, to be sent in this order.

    Raises InvalidTensor or TooLarge for what GraphPipe has no form for.
    """
    if isinstance(request, MetadataRequest):
        return [_metadata_request()]
    specs, buffers = contents(request.tensors, "input_tensors")
    return _interleave(_requests(request[1:], specs), buffers)


def encode_response(response: InferResponse) -> list[Buffer]:
    """Encode the reply to an inference request as buffers, to be sent in this order.

    Raises InvalidTensor or TooLarge for what GraphPipe has no form for.
    """
    specs, buffers = contents(response.tensors, "output_tensors")
    return _interleave(_responses(response[1:], specs), buffers)


def encode_metadata(metadata: MetadataResponse) -> list[Buffer]:
    """Encode the reply to a metadata request, as one buffer.

    Raises InvalidTensor for what GraphPipe has no form for.
    """
    writer = Writer()
    *texts, inputs, outputs = writer.table(0, 4, 4, 4, 4, 4, 4)
    for position, field, text in zip(texts, metadata._fields, metadata[:4], strict=False):
        writer.string(position, utf8(text, field))
    _ios(writer, inputs, metadata.inputs, "inputs")
    _ios(writer, outputs, metadata.outputs, "outputs")
    return [bytes(writer.out)]


def _interleave(pieces: _Pieces, buffers: list[Buffer]) -> list[Buffer]:
    """Return each piece of the description, and after it the contents that it announces."""
    if not buffers:
        return [*pieces]
    message: list[Buffer] = []
    for piece, buffer in zip(pieces, buffers, strict=True):
        message.append(piece)
        if buffer:
            message.append(buffer)
    return message


class _Remembered:
    """Descriptions of messages without their contents, each made once."""

    def __init__(self, describe: Callable[..., list[int]]) -> None:
        self._describe = describe
        self._known: dict[object, _Pieces] = {}

    def __call__(self, rest: tuple[Any, ...], specs: tuple[Spec, ...]) -> _Pieces:
        pieces = self._known.get((rest, specs))
        if pieces is None:
            writer = Writer()
            positions = self._describe(writer, *rest, specs)
            pieces = _split(writer, positions, specs)
            if sum(map(len, pieces)) <= _MOST_BYTES:
                if len(self._known) >= _MOST_SHAPES:
                    self._known.clear()
                self._known[rest, specs] = pieces
        return pieces


def _split(writer: Writer, positions: list[int], specs: tuple[Spec, ...]) -> _Pieces:
    """Point the tensors at their contents and return what goes before each of them."""
    pieces, end = [], len(writer.out)
    for position, (number, _, size) in zip(positions, specs, strict=True):
        if number == Type.STRING:  # they begin with their own count
            start = end + -end % 4
            target, piece = start, bytes(start - end)
        else:
            start = end + 4 + -(end + 4) % _ALIGNMENT
            target, piece = start - 4, bytes(start - end - 4)
        end = start + size
        if end > MAX_MESSAGE:
            raise TooLarge(f"over {end} bytes; a GraphPipe message ends at {MAX_MESSAGE}")
        writer.point(position, target)
        pieces.append(piece if target == start else piece + size.to_bytes(4, "little"))
    return (bytes(writer.out) + pieces[0], *pieces[1:]) if pieces else (bytes(writer.out),)


def _describe_request(
    writer: Writer,
    input_names: tuple[str, ...],
    output_names: tuple[str, ...],
    config: str,
    specs: tuple[Spec, ...],
) -> list[int]:
    if input_names and len(input_names) != len(specs):
        raise InvalidTensor(f"{len(input_names)} for {len(specs)} tensors", field="input_names")
    kind, request = writer.table(0, 1, 4)
    writer.byte(kind, 1)
    at_config, at_inputs, at_tensors, at_outputs = writer.table(
        request, 4 if config else 0, 4 if input_names else 0, 4, 4 if output_names else 0
    )
    if config:
        writer.string(at_config, utf8(config, "config"))
    if input_names:
        _names(writer, at_inputs, input_names, "input_names")
    if output_names:
        _names(writer, at_outputs, output_names, "output_names")
    return _tensors(writer, at_tensors, specs)


def _describe_response(
    writer: Writer, errors: tuple[Error, ...], specs: tuple[Spec, ...]
) -> list[int]:
    at_tensors, at_errors = writer.table(0, 4, 4 if errors else 0)
    if errors:
        for position, error in zip(writer.offsets(at_errors, len(errors)), errors, strict=True):
            code, message = writer.table(position, 8, 4)
            writer.long(code, error.code)
            writer.string(message, utf8(error.message, "errors"))
    return _tensors(writer, at_tensors, specs)


def _tensors(writer: Writer, position: int, specs: tuple[Spec, ...]) -> list[int]:
    """Write the tensors without their contents; return the positions of the offsets to these."""
    positions = []
    for offset, (number, sizes, _) in zip(writer.offsets(position, len(specs)), specs, strict=True):
        text = number == Type.STRING
        kind, shape, data, strings = writer.table(offset, 1, 4, 0 if text else 4, 4 if text else 0)
        writer.byte(kind, number)
        writer.longs(shape, sizes)
        positions.append(strings if text else data)
    return positions


def _ios(writer: Writer, position: int, entries: tuple[IOMetadata, ...], field: str) -> None:
    offsets = writer.offsets(position, len(entries))
    for index, (offset, entry) in enumerate(zip(offsets, entries, strict=True)):
        name, description, shape, kind = writer.table(offset, 4, 4, 4, 1)
        writer.string(name, utf8(entry.name, f"{field}[{index}].name"))
        writer.string(description, utf8(entry.description, f"{field}[{index}].description"))
        writer.longs(shape, entry.shape)
        writer.byte(kind, entry.type)


def _names(writer: Writer, position: int, names: tuple[str, ...], field: str) -> None:
    for index, offset in enumerate(writer.offsets(position, len(names))):
        writer.string(offset, utf8(names[index], f"{field}[{index}]"))


@cache
def _metadata_request() -> bytes:
    writer = Writer()
    kind, request = writer.table(0, 1, 4)
    writer.byte(kind, 2)
    writer.table(request)
    return bytes(writer.out)


_requests = _Remembered(_describe_request)
_responses = _Remembered(_describe_response)
