"""The tensors of a gRPC message as arrays: numbers and strings raw, or in a list of their type.

FP16 and BF16 have no list. Every size is checked before anything of that size is made. What is
wrong in a way that clients of Triton know is told in Triton's words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gpfn.errors import InvalidRequest, InvalidTensor
from gpfn.limits import Limits
from gpfn.oip.binary_values import Body, numbers_of, strings_of
from gpfn.oip.datatypes import DATATYPES, Datatype
from gpfn.oip.request import Parameter
from gpfn.tensors.shapes import bounded_shape, counted, over_limit, shown

__all__ = ["MessageTensors", "parameter_values", "refuse_shared_memory"]

_Array = np.ndarray[Any, Any]
_DATATYPES = dict(DATATYPES)  # finding in it takes half of what a proxy takes

_CONTENTS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""The list that a datatype's values stand in."""


def parameter_values(given: Mapping[str, Any], path: str) -> dict[str, Parameter]:
    """Return what a map of parameters holds; raise InvalidRequest for one without a value."""
    values = {}
    for name, parameter in given.items():
        choice = parameter.WhichOneof("parameter_choice")
        if choice is None:
            raise InvalidRequest("no value", field=f"{path}.{name}")
        values[name] = getattr(parameter, choice)
    return values


def refuse_shared_memory(parameters: Mapping[str, object], path: str) -> None:
    """Raise InvalidRequest where a tensor is said to be in shared memory."""
    if "shared_memory_region" in parameters:
        told = "shared memory is not supported; send the data"
        raise InvalidRequest(told, field=f"{path}.parameters.shared_memory_region")


class MessageTensors:
    """Reads the tensors of one message, once.

    Args:
        raw: Its raw contents.
        limits: Of which ``tensors``, ``rank``, ``elements`` and ``string_bytes`` count, the
            last two for all tensors together.
        side: ``input`` or ``output``.
        model: How an error names the model: ``for model 'forecast'``.
    """

    __slots__ = ("_limits", "_model", "_raw", "_side", "_strings")

    def __init__(self, raw: Sequence[Body], limits: Limits, side: str, model: str) -> None:
        self._raw = raw
        self._limits = limits
        self._side = side
        self._model = model
        self._strings = 0

    def read(self, tensors: Sequence[Any]) -> tuple[dict[str, _Array], dict[str, str]]:
        """Return the arrays and their datatypes by name.

        Raises InvalidTensor or InvalidRequest, which name the tensor or the place, and
        TooLarge over a limit.
        """
        limits, raw = self._limits, self._raw
        if len(tensors) > limits.tensors:
            raise over_limit("tensors", limits, f"{self._side}s")
        if raw and len(raw) != len(tensors):
            self._refuse_count(tensors)
        arrays: dict[str, _Array] = {}
        datatypes: dict[str, str] = {}
        elements = 0
        for index, tensor in enumerate(tensors):
            name, kind = tensor.name, _DATATYPES.get(tensor.datatype)
            if name in arrays:
                raise self._wrong(index, "name", f"{self._side} '{name}' comes twice")
            if kind is None:
                told = f"invalid datatype {shown(tensor.datatype)} for {self._side} {name}"
                raise self._wrong(index, "datatype", told)
            self._check_form(tensor, index)
            shape, count = self._shape(tensor.shape, index)
            elements += count
            if elements > limits.elements:
                raise over_limit("elements", limits, f"{self._side}s[{index}].shape")
            arrays[name] = (
                self._from_bytes(raw[index], kind, shape, count, name)
                if raw
                else self._from_list(tensor.contents, kind, count, name).reshape(shape)
            )
            datatypes[name] = kind.name
        return arrays, datatypes

    def _check_form(self, tensor: Any, index: int) -> None:
        """Raise unless the data of all tensors are raw, or none's, and here."""
        if self._raw and tensor.HasField("contents"):
            told = f"contents field must not be specified when using raw_{self._side}_contents"
            raise InvalidTensor(f"{told} for '{tensor.name}' {self._model}")
        if tensor.parameters:
            refuse_shared_memory(tensor.parameters, f"{self._side}s[{index}]")

    def _refuse_count(self, tensors: Sequence[Any]) -> None:
        for index, tensor in enumerate(tensors):
            self._check_form(tensor, index)
        told = f"expected {len(tensors)}, one for each {self._side} in their order"
        raise InvalidTensor(f"{told}, got {len(self._raw)}", field=f"raw_{self._side}_contents")

    def _wrong(self, index: int, member: str, told: str) -> InvalidTensor:
        return InvalidTensor(told, field=f"{self._side}s[{index}].{member}")

    def _named(self, name: str) -> str:
        return f"{self._side} '{name}' {self._model}"

    def _shape(self, sizes: Sequence[int], index: int) -> tuple[tuple[int, ...], int]:
        """Return a shape, in bounds, and how many values it has."""
        limits = self._limits
        if len(sizes) > limits.rank:
            raise over_limit("rank", limits, f"{self._side}s[{index}].shape")
        shape, count = tuple(sizes), 1
        for size in shape:
            if size < 0:
                told = f"expected sizes from 0 up, got [{','.join(map(str, shape))}]"
                raise self._wrong(index, "shape", told)
            count *= size
        if not 0 < count <= limits.elements:
            bounded_shape(shape, limits, path=f"{self._side}s[{index}].shape")
        return shape, count

    def _from_bytes(
        self, data: Body, kind: Datatype, shape: tuple[int, ...], count: int, name: str
    ) -> _Array:
        if kind.size:
            if len(data) != count * kind.size:
                raise self._mismatch(name, count * kind.size, len(data))
            return numbers_of(data, 0, kind, shape, name)
        self._count_strings(len(data), name)
        return strings_of(data, count, self._limits, name).reshape(shape)

    def _from_list(self, contents: Any, kind: Datatype, count: int, name: str) -> _Array:
        field = _CONTENTS.get(kind.name)
        if field is None:
            told = f"{kind.name} has no contents; send it in raw_{self._side}_contents, for"
            raise InvalidTensor(f"{told} {self._named(name)}")
        for other, _ in contents.ListFields():
            if other.name != field:
                told = f"{other.name} for datatype {kind.name}, expected {field}, for"
                raise InvalidTensor(f"{told} {self._named(name)}")
        values = getattr(contents, field)
        if not kind.size:
            return self._strings_of_list(values, count, name)
        if len(values) != count:
            raise self._mismatch(name, count * kind.size, len(values) * kind.size)
        wide = np.fromiter(values, np.int64 if field in _NARROWED else kind.wire, count)
        array = wide.astype(kind.wire, copy=False)
        if field in _NARROWED and (array != wide).any():
            number = int(np.argmax(array != wide))
            told = f"{wide[number]} is out of range for {kind.name}"
            raise InvalidTensor(told, field=f"{name}[{number}]")
        array.flags.writeable = False
        return array

    def _strings_of_list(self, values: Sequence[bytes], count: int, name: str) -> _Array:
        if len(values) != count:
            told = f"expected {counted(count, 'string')} in bytes_contents, got {len(values)}, for"
            raise InvalidTensor(f"{told} {self._named(name)}")
        self._count_strings(4 * count, name)
        texts: _Array = np.empty(count, object)
        texts[:] = values
        self._count_strings(sum(map(len, texts.tolist())), name)
        texts.flags.writeable = False
        return texts

    def _count_strings(self, size: int, name: str) -> None:
        """Count strings, each with four bytes more: making a million takes half a second."""
        self._strings += size
        if self._strings > self._limits.string_bytes:
            raise over_limit("string_bytes", self._limits, name)

    def _mismatch(self, name: str, expected: int, got: int) -> InvalidTensor:
        told = f"{self._side} byte size mismatch for {self._named(name)}"
        return InvalidTensor(f"{told}. Expected {expected}, got {got}")


_NARROWED = ("int_contents", "uint_contents")
