"""Which other files an .onnx file needs: tensors may lie outside of it, as external data.

An exporter writes weights beside the graph when there are many, and a tensor may stand in
any corner of the file: an initialiser, an attribute, a subgraph, a function, the values of a
sparse tensor. Source: onnx.proto.
"""

import mmap
from types import MappingProxyType

from gpfn.errors import ModelUnreadable
from gpfn.models.protobuf import ProtobufError, fields

__all__ = ["external_files"]

_MODEL, _GRAPH, _NODE, _ATTRIBUTE, _TENSOR, _SPARSE, _FUNCTION, _TRAINING = range(8)

_INSIDE = MappingProxyType(
    {
        _MODEL: {7: _GRAPH, 20: _TRAINING, 25: _FUNCTION},
        _GRAPH: {1: _NODE, 5: _TENSOR, 15: _SPARSE},
        _NODE: {5: _ATTRIBUTE},
        _ATTRIBUTE: {5: _TENSOR, 6: _GRAPH, 10: _TENSOR, 11: _GRAPH, 22: _SPARSE, 23: _SPARSE},
        _SPARSE: {1: _TENSOR, 2: _TENSOR},
        _FUNCTION: {7: _NODE, 11: _ATTRIBUTE},
        _TRAINING: {1: _GRAPH, 2: _GRAPH},
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
    waiting = [(_MODEL, memoryview(data))]
    try:
        while waiting:
            kind, message = waiting.pop()
            if kind == _TENSOR:
                found |= _locations(message)
                continue
            inside = _INSIDE[kind]
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
