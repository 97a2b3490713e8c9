"""The messages of GraphPipe as values, and the element types of its tensors.

GraphPipe has no bool: it is sent as Uint8 and cast back by the model's signature. Strings
are any bytes; in NumPy they are object arrays of ``bytes``. The source of messages, fields
and numbers is graphpipe.fbs.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "Error",
    "IOMetadata",
    "InferRequest",
    "InferResponse",
    "MetadataRequest",
    "MetadataResponse",
    "Type",
    "type_number",
]


class Type(IntEnum):
    """The numbers of the wire, as in ``graphpipe.fbs``.

    >>> Type.FLOAT32.dtype
    'float32'
    """

    NULL = 0
    UINT8 = 1
    INT8 = 2
    UINT16 = 3
    INT16 = 4
    UINT32 = 5
    INT32 = 6
    UINT64 = 7
    INT64 = 8
    FLOAT16 = 9
    FLOAT32 = 10
    FLOAT64 = 11
    STRING = 12

    @property
    def dtype(self) -> str:
        """NumPy's name, ``string`` for STRING and nothing for NULL."""
        return "" if self is Type.NULL else self.name.lower()


_BY_NAME = {kind.dtype: kind for kind in Type if kind} | {"bool": Type.UINT8}


def type_number(dtype: str) -> Type:
    """Return the type of a dtype, which is named as in :class:`gpfn.TensorSpec`.

    Raises ValueError for a dtype that GraphPipe does not have.

    >>> type_number("bool")
    <Type.UINT8: 1>
    """
    try:
        return _BY_NAME[dtype]
    except KeyError:
        raise ValueError(f"GraphPipe has no type for {dtype!r}") from None


class InferRequest(NamedTuple):
    """A request for inference.

    ``input_names`` are as many as ``tensors``, or none: the server's defaults are used.
    A tensor of strings is an object array of ``bytes``.
    """

    tensors: tuple[np.ndarray[Any, Any], ...]
    input_names: tuple[str, ...] = ()
    output_names: tuple[str, ...] = ()
    config: str = ""


class MetadataRequest(NamedTuple):
    """A request for the model's description."""


class Error(NamedTuple):
    """Why there are no outputs; ``code`` is the server's choice, ours is an HTTP status."""

    code: int = 0
    message: str = ""


class InferResponse(NamedTuple):
    """The outputs in the order they were asked for, or errors."""

    tensors: tuple[np.ndarray[Any, Any], ...] = ()
    errors: tuple[Error, ...] = ()


class IOMetadata(NamedTuple):
    """An input or output of the model; a dimension of -1 is unknown."""

    name: str = ""
    description: str = ""
    shape: tuple[int, ...] = ()
    type: Type = Type.NULL


class MetadataResponse(NamedTuple):
    """The model's name, version, server, description, inputs and outputs."""

    name: str = ""
    version: str = ""
    server: str = ""
    description: str = ""
    inputs: tuple[IOMetadata, ...] = ()
    outputs: tuple[IOMetadata, ...] = ()
