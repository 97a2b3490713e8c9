"""The signatures of a SavedModel, read from its MetaGraphDef.

Source: meta_graph.proto and tensor_shape.proto of TensorFlow; only the fields named
below are looked at, the graph itself is passed over.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from gpfn.errors import ModelUnreadable, SetupError
from gpfn.models.protobuf import Field, fields, signed
from gpfn.models.tf_tensors import DTYPES
from gpfn.tensors.spec import TensorSpec

__all__ = ["Signature", "choose_signature"]

_META_SIGNATURES = 5
_MAP_KEY, _MAP_VALUE = 1, 2
_SIGNATURE_INPUTS, _SIGNATURE_OUTPUTS = 1, 2
_INFO_NAME, _INFO_DTYPE, _INFO_SHAPE = 1, 2, 3
_SHAPE_DIM, _SHAPE_UNKNOWN_RANK, _DIM_SIZE = 2, 3, 1


class Signature(NamedTuple):
    """What a signature takes and gives: specs by its names, and the graph's tensors."""

    inputs: tuple[tuple[TensorSpec, str], ...]
    outputs: tuple[tuple[TensorSpec, str], ...]


def choose_signature(meta_graph: bytes | memoryview, wanted: str, path: str) -> Signature:
    """Return the signature ``wanted``; without that serving_default, or the only one.

    Raises SetupError when it is not there, ModelUnreadable when it has what gpfn does not know.
    """
    found = _map(meta_graph, _META_SIGNATURES)
    public = {key: value for key, value in found.items() if not key.startswith("__")}
    for key in (wanted,) if wanted else ("serving_default", *list(public)[: len(public) == 1]):
        if key in public:
            return Signature(
                _ends(public[key], _SIGNATURE_INPUTS, path),
                _ends(public[key], _SIGNATURE_OUTPUTS, path),
            )
    has = ", ".join(sorted(public)) or "no signatures"
    raise SetupError(f"the model has {has}; name one of them: {path}", field="signature")


def _ends(signature: memoryview, number: int, path: str) -> tuple[tuple[TensorSpec, str], ...]:
    """Return the ends in the order of their names: a protobuf map has none of its own."""
    ends = []
    for name, info in sorted(_map(signature, number).items()):
        given = {field.number: field for field in fields(info)}
        dtype = (given[_INFO_DTYPE].integer or 0) if _INFO_DTYPE in given else 0
        if _INFO_NAME not in given or dtype not in DTYPES:
            raise ModelUnreadable(f"{name} is no tensor, or of TensorFlow type {dtype}: {path}")
        spec = TensorSpec(DTYPES[dtype], _shape(given.get(_INFO_SHAPE)), name)
        ends.append((spec, given[_INFO_NAME].text()))
    return tuple(ends)


def _shape(field: Field | None) -> tuple[int | None, ...] | None:
    if field is None:
        return None
    sizes: list[int | None] = []
    for part in fields(field.bytes):
        if part.number == _SHAPE_UNKNOWN_RANK and part.integer:
            return None
        if part.number == _SHAPE_DIM:
            size = next((f.integer for f in fields(part.bytes) if f.number == _DIM_SIZE), 0) or 0
            sizes.append(None if signed(size) < 0 else size)
    return tuple(sizes)


def _map(message: bytes | memoryview, number: int) -> Mapping[str, memoryview]:
    return dict(_entries(message, number))


def _entries(message: bytes | memoryview, number: int) -> Iterator[tuple[str, memoryview]]:
    for field in fields(message):
        if field.number == number:
            entry = {part.number: part for part in fields(field.bytes)}
            if _MAP_KEY in entry and _MAP_VALUE in entry:
                yield entry[_MAP_KEY].text(), entry[_MAP_VALUE].bytes
