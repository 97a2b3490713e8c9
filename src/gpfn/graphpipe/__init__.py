"""GraphPipe: messages, their encoding, and a client for a model server.

    messages                   the messages as values, and the element types
    encode, decode             messages to buffers and bytes to messages, without sockets
    tensors, writer, reader    the parts of both: arrays, and flatbuffers as they are laid out
    repeats                    decodes messages that are like an earlier one
    client                     asks a model server

The format is graphpipe.fbs, version 1. Nothing is imported until it is used, NumPy neither.
"""

from importlib import import_module

TYPE_CHECKING = False  # type checkers know the name; importing typing costs milliseconds

if TYPE_CHECKING:
    from gpfn.graphpipe.client import Client, remote
    from gpfn.graphpipe.decode import decode_metadata, decode_request, decode_response
    from gpfn.graphpipe.encode import encode_metadata, encode_request, encode_response
    from gpfn.graphpipe.messages import (
        Error,
        InferRequest,
        InferResponse,
        IOMetadata,
        MetadataRequest,
        MetadataResponse,
        Type,
        type_number,
    )

__all__ = [
    "Client",
    "Error",
    "IOMetadata",
    "InferRequest",
    "InferResponse",
    "MetadataRequest",
    "MetadataResponse",
    "Type",
    "decode_metadata",
    "decode_request",
    "decode_response",
    "encode_metadata",
    "encode_request",
    "encode_response",
    "remote",
    "type_number",
]

_HOME = {
    "Client": "client",
    "Error": "messages",
    "IOMetadata": "messages",
    "InferRequest": "messages",
    "InferResponse": "messages",
    "MetadataRequest": "messages",
    "MetadataResponse": "messages",
    "Type": "messages",
    "decode_metadata": "decode",
    "decode_request": "decode",
    "decode_response": "decode",
    "encode_metadata": "encode",
    "encode_request": "encode",
    "encode_response": "encode",
    "remote": "client",
    "type_number": "messages",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'gpfn.graphpipe' has no attribute {name!r}")
    value = getattr(import_module(f"gpfn.graphpipe.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
