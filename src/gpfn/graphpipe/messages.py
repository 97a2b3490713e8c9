"""The messages of GraphPipe as values; how they look on the wire is told elsewhere."""

from typing import TYPE_CHECKING, Any, NamedTuple

from gpfn.graphpipe.types import Type

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "Error",
    "IOMetadata",
    "InferRequest",
    "InferResponse",
    "MetadataRequest",
    "MetadataResponse",
]


class InferRequest(NamedTuple):
    """Compute outputs from tensors.

    ``input_names`` are as many as ``tensors``, or none: the server's defaults are used.
    A tensor of strings is an object array of ``bytes``.
    """

    tensors: "tuple[np.ndarray[Any, Any], ...]"
    input_names: tuple[str, ...] = ()
    output_names: tuple[str, ...] = ()
    config: str = ""


class MetadataRequest(NamedTuple):
    """Tell what the model is."""


class Error(NamedTuple):
    """Why there are no outputs; ``code`` is the server's own, ours sends an HTTP status."""

    code: int = 0
    message: str = ""


class InferResponse(NamedTuple):
    """The outputs in the order they were asked for, or errors."""

    tensors: "tuple[np.ndarray[Any, Any], ...]" = ()
    errors: tuple[Error, ...] = ()


class IOMetadata(NamedTuple):
    """An input or output of the model; a dimension of -1 is unknown."""

    name: str = ""
    description: str = ""
    shape: tuple[int, ...] = ()
    type: Type = Type.NULL


class MetadataResponse(NamedTuple):
    """What the model is."""

    name: str = ""
    version: str = ""
    server: str = ""
    description: str = ""
    inputs: tuple[IOMetadata, ...] = ()
    outputs: tuple[IOMetadata, ...] = ()
