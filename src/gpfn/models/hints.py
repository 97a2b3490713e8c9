"""What a server tells of its model, held against the arrays of a call: a hint, and no more.

The server judges what it is sent. Where it refuses, and the hint says why, that is the error.
"""

from collections.abc import Mapping
from typing import NamedTuple

from gpfn.errors import InvalidTensor, RefusedByModel
from gpfn.models.signature import Array, find_name
from gpfn.tensors.cast import cast_to, plain_array
from gpfn.tensors.spec import TensorSpec

__all__ = ["UNKNOWN", "ServerMetadata", "blame_caller", "hinted"]

_SERVER_ERROR = 500


class ServerMetadata(NamedTuple):
    """The server's metadata, by name without ``:0``: specs, and the names as the server has them.

    An input or output whose type is not told has a name only. ``datatypes`` are the protocol's
    own by the server's names, where a spec does not tell them.
    """

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    input_names: Mapping[str, str]
    output_names: Mapping[str, str]
    datatypes: Mapping[str, str] = {}


UNKNOWN = ServerMetadata({}, {}, {}, {})
"""What is known of a server that says nothing of itself."""


def hinted(inputs: Mapping[str, Array], known: ServerMetadata) -> tuple[dict[str, Array], bool]:
    """Return the arrays, and whether each is as the metadata say.

    A number gets the width that they have, where it fits in all else.
    """
    hinted, as_told = {}, True
    for name, given in inputs.items():
        array, spec = plain_array(given, name), _spec_of(name, len(inputs), known)
        if spec:
            try:
                fitted = cast_to(array, spec, path=name)
            except InvalidTensor:
                as_told = False
            else:
                # floats that happen to be whole are no integers
                wrong_kind = array.dtype.kind == "f" and fitted.dtype.kind != "f"
                array, as_told = (array, False) if wrong_kind else (fitted, as_told)
        hinted[name] = array
    return hinted, as_told


def _spec_of(name: str, count: int, known: ServerMetadata) -> TensorSpec | None:
    match = find_name(name, known.inputs)
    if match:
        return known.inputs[match]
    return next(iter(known.inputs.values())) if count == 1 == len(known.inputs) else None


def blame_caller(error: RefusedByModel, inputs: Mapping[str, Array], known: ServerMetadata) -> None:
    """Raise InvalidTensor when the metadata say as well that an input is wrong."""
    if error.code >= _SERVER_ERROR:
        return
    for name, array in inputs.items():
        spec = _spec_of(name, len(inputs), known)
        known_name = len(inputs) == 1 or find_name(name, known.input_names) is not None
        if known.input_names and not known_name:
            takes = ", ".join(list(known.input_names)[:8])
            told = f"unknown input; the model server takes {takes} ({error.detail})"
            raise InvalidTensor(told, field=name) from error
        if spec is not None:
            try:
                cast_to(array, spec, path=name)
            except InvalidTensor as misfit:
                told = f"{misfit.detail} ({error.detail})"
                raise InvalidTensor(told, field=misfit.field) from error
