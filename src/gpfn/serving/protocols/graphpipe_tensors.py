"""GraphPipe's words for a model: tensors of a request by name, and back; its metadata.

The latter as a GraphPipe message and as graphpipe-go's JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from gpfn.errors import BackendError, InvalidMessage
from gpfn.graphpipe.messages import (
    InferRequest,
    IOMetadata,
    MetadataResponse,
    type_number,
)
from gpfn.tensors.spec import TensorSpec, find_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from gpfn.models.model import Model

__all__ = ["Questions", "describe", "metadata_json"]


_Names = tuple[tuple[str, ...], tuple[str, ...]]


class Questions:
    """Completes requests to one model, and asks it.

    Clients mostly leave out the same names, or give the same: what they mean is found out
    once.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._bools = [spec.name for spec in model.inputs if spec.dtype == "bool"]
        self._names: dict[tuple[object, ...], _Names] = {}

    def complete(self, request: InferRequest) -> InferRequest:
        """Return the request with the model's names where it gave none.

        Raises InvalidMessage when the tensors and the names do not match the model.
        """
        key = (len(request.tensors), request.input_names, request.output_names)
        names = self._names.get(key)
        if names is None:
            names = _complete_names(request, self._model)
            self._remember(key, names)
        return _request(InferRequest, (request.tensors, *names, request.config))

    def _remember(self, key: tuple[object, ...], names: _Names) -> None:
        """Keep names, unless they are so long that nobody sends them twice."""
        if sum(map(len, (*names[0], *names[1]))) <= _LONGEST_NAMES:
            if len(self._names) >= _MOST_NAMES:
                self._names.clear()
            self._names[key] = names

    def inputs(self, request: InferRequest) -> dict[str, np.ndarray]:
        """Return the arrays of a complete request by name."""
        arrays = dict(zip(request.input_names, request.tensors, strict=True))
        if self._bools:
            arrays = {name: self._as_bool(name, array) for name, array in arrays.items()}
        return arrays

    def outputs(
        self, results: Mapping[str, np.ndarray], names: Sequence[str]
    ) -> tuple[np.ndarray, ...]:
        """Return what the model gave in the order asked for, or its own."""
        return tuple([_output(results, name) for name in names or results])

    def _as_bool(self, name: str, array: np.ndarray) -> np.ndarray:
        """Return a bool input as bool. GraphPipe has none, so clients send it as Uint8."""
        return array != 0 if array.dtype == "uint8" and find_name(name, self._bools) else array


_MOST_NAMES = 64
_LONGEST_NAMES = 4096
# What a NamedTuple's own constructor does, without the Python function around it.
_request: Callable[..., InferRequest] = tuple.__new__


def _complete_names(request: InferRequest, model: Model) -> tuple[tuple[str, ...], tuple[str, ...]]:
    sent = len(request.tensors)
    input_names = request.input_names or _default_inputs(model, sent)
    output_names = request.output_names or tuple(spec.name for spec in model.outputs)
    if sent != len(input_names):
        raise InvalidMessage(
            f"{sent} inputs sent but {len(input_names)} are required: {', '.join(input_names)}",
            field="infer_request.input_tensors",
        )
    if len(set(input_names)) != len(input_names):
        raise InvalidMessage("an input is named twice", field="infer_request.input_names")
    return input_names, output_names


def _default_inputs(model: Model, sent: int) -> tuple[str, ...]:
    """Return the model's names; a plain function that declares none takes what is sent."""
    if model.inputs:
        return tuple(spec.name for spec in model.inputs)
    names_for: Callable[[int], tuple[str, ...]] | None = getattr(model, "names_for", None)
    return names_for(sent) if names_for else tuple(f"input_{index}" for index in range(sent))


def _output(results: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """Return an output by its name, which TensorFlow's clients write with ``:0``."""
    array = results.get(name)
    if array is None:
        known = find_name(name, results)
        if known is None:
            raise BackendError(f"the model gave no output named {name!r:.99}")
        array = results[known]
    return array.view("uint8") if array.dtype.kind == "b" else array


def describe(model: Model, server: str, version: str) -> MetadataResponse:
    """Return the model's metadata; an unknown dimension is -1, an unknown rank no shape."""
    return MetadataResponse(
        name=_public_name(model.name),
        version=version,
        server=server,
        description=f"Served by {server} {version}",
        inputs=tuple(_describe(spec) for spec in model.inputs),
        outputs=tuple(_describe(spec) for spec in model.outputs),
    )


def _public_name(name: str) -> str:
    """Return a model's name without the folders of a file; an address as it is."""
    return name if "://" in name else name.rstrip("/").rpartition("/")[2]


def _describe(spec: TensorSpec) -> IOMetadata:
    return IOMetadata(
        name=spec.name,
        description="bool as Uint8: 0 is false" if spec.dtype == "bool" else "",
        shape=tuple(-1 if size is None else size for size in spec.shape or ()),
        type=type_number("uint8" if spec.dtype == "bool" else spec.dtype),
    )


def metadata_json(metadata: MetadataResponse) -> dict[str, object]:
    """Return the document that graphpipe-go answers GET with: its keys, Type as a number."""
    return {
        "Name": metadata.name,
        "Version": metadata.version,
        "Server": metadata.server,
        "Description": metadata.description,
        "Inputs": [_io_json(entry) for entry in metadata.inputs],
        "Outputs": [_io_json(entry) for entry in metadata.outputs],
    }


def _io_json(entry: IOMetadata) -> dict[str, object]:
    return {
        "Name": entry.name,
        "Description": entry.description,
        "Shape": list(entry.shape),
        "Type": int(entry.type),
    }
