"""Which other files an .onnx file needs: tensors may lie outside of it, as external data.

An exporter writes weights beside the graph when there are many, and a tensor may stand in
any corner of the file: an initialiser, an attribute, a subgraph, a function, the values of a
sparse tensor. Source: onnx.proto.
"""

import mmap
from enum import Enum
from types import MappingProxyType

from gpfn.errors import ModelUnreadable
from gpfn.models.protobuf import ProtobufError, fields

__all__ = ["KINDS_INSIDE", "MessageKind", "external_files"]


class MessageKind(Enum):
    """The messages of an .onnx file that hold tensors or operators, however deep."""

    MODEL = "ModelProto"
    GRAPH = "GraphProto"
    NODE = "NodeProto"
    ATTRIBUTE = "AttributeProto"
    TENSOR = "TensorProto"
    SPARSE = "SparseTensorProto"
    FUNCTION = "FunctionProto"
    TRAINING = "TrainingInfoProto"


KINDS_INSIDE = MappingProxyType(
    {
        MessageKind.MODEL: {
            7: MessageKind.GRAPH,
            20: MessageKind.TRAINING,
            25: MessageKind.FUNCTION,
        },
        MessageKind.GRAPH: {1: MessageKind.NODE, 5: MessageKind.TENSOR, 15: MessageKind.SPARSE},
        MessageKind.NODE: {5: MessageKind.ATTRIBUTE},
        MessageKind.ATTRIBUTE: {
            5: MessageKind.TENSOR,
            6: MessageKind.GRAPH,
            10: MessageKind.TENSOR,
            11: MessageKind.GRAPH,
            22: MessageKind.SPARSE,
            23: MessageKind.SPARSE,
        },
        MessageKind.SPARSE: {1: MessageKind.TENSOR, 2: MessageKind.TENSOR},
        MessageKind.FUNCTION: {7: MessageKind.NODE, 11: MessageKind.ATTRIBUTE},
        MessageKind.TRAINING: {1: MessageKind.GRAPH, 2: MessageKind.GRAPH},
    }
)
"""By the kind of a message: which fields hold messages to look into, and of which kind."""

_EXTERNAL_DATA, _DATA_LOCATION, _EXTERNAL = 13, 14, 1
_KEY, _VALUE = 1, 2
_MARK = b"location"
"""The key that each tensor outside of the file has: without it nothing need be walked."""


def external_files(path: str) -> set[str]:
    """Return the locations that the tensors of an .onnx file name, as they stand there.

    Raises ModelUnreadable when the file is damaged.
    """
    with open(path, "rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # unmapped with its last view
    if data.find(_MARK) < 0:
        return set()
    found: set[str] = set()
    waiting = [(MessageKind.MODEL, memoryview(data))]
    try:
        while waiting:
            kind, message = waiting.pop()
            if kind is MessageKind.TENSOR:
                found |= _locations(message)
                continue
            inside = KINDS_INSIDE[kind]
            waiting += [(inside[f.number], f.bytes) for f in fields(message) if f.number in inside]
    except ProtobufError as error:
        raise ModelUnreadable(f"an ONNX model that is damaged ({error}): {path}") from None
    return found


def _locations(tensor: memoryview) -> set[str]:
    """Return where a tensor's bytes are, when they are outside."""
    outside, entries = False, []
    for field in fields(tensor):
        if field.number == _DATA_LOCATION:
            outside = field.integer == _EXTERNAL
        elif field.number == _EXTERNAL_DATA:
            entries.append({part.number: part.text() for part in fields(field.bytes)})
    wanted = _MARK.decode()
    return {each.get(_VALUE, "") for each in entries if outside and each.get(_KEY) == wanted}
