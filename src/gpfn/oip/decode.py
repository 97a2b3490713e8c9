"""From a message's list of tensors to arrays: the data in the JSON, or in bytes behind it.

Every size is checked before anything of that size is made. The arrays are read-only; numbers
of the binary part are views into it where they lie aligned, else copies.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpfn.errors import InvalidTensor
from gpfn.limits import Limits
from gpfn.oip.binary_values import Body, numbers_of, strings_of
from gpfn.oip.datatypes import DATATYPES, Datatype
from gpfn.oip.json_values import read_unusual, rounded
from gpfn.tensors.nested import flatten, pack
from gpfn.tensors.shapes import checked_shape, counted, over_limit, shape_text, shown, what

__all__ = ["TensorReader"]

_Array = np.ndarray[Any, Any]
_DATATYPES = dict(DATATYPES)  # finding in it takes half of what a proxy takes
_SHARED = ("shared_memory_region", "shared_memory_byte_size", "shared_memory_offset")


class TensorReader:
    """Reads a message's list of tensors, once.

    Args:
        body: The whole message; what follows ``start`` is its binary part.
        start: Where its JSON ends.
        limits: Of which ``tensors``, ``rank``, ``elements`` and ``string_bytes`` count, the
            last two for all tensors together.
        path: The list's name in errors: ``inputs``.
        nan_words: Whether numbers in the JSON may be NaN or infinite.
    """

    __slots__ = ("_at", "_body", "_index", "_limits", "_nan_words", "_path", "_strings")

    def __init__(
        self, body: Body, start: int, limits: Limits, path: str, *, nan_words: bool
    ) -> None:
        self._body = body
        self._at = start
        self._limits = limits
        self._path = path
        self._nan_words = nan_words
        self._index = 0
        self._strings = 0

    def read(self, entries: object) -> tuple[dict[str, _Array], dict[str, str]]:
        """Return the arrays of a list as JSON has it, and their datatypes, by name.

        Raises InvalidTensor, whose field is such as ``inputs[0].shape``, or TooLarge.
        """
        limits = self._limits
        if type(entries) is not list:
            told = "missing" if entries is None else f"expected a list, got {what(entries)}"
            raise InvalidTensor(told, field=self._path)
        if len(entries) > limits.tensors:
            raise over_limit("tensors", limits, self._path)
        arrays: dict[str, _Array] = {}
        datatypes: dict[str, str] = {}
        elements = 0
        for entry in entries:
            try:
                name, shape, kind = entry["name"], entry["shape"], _DATATYPES[entry["datatype"]]
            except (KeyError, TypeError):
                raise self._wrong_entry(entry) from None
            if type(name) is not str or name in arrays:
                told = "expected a string" if type(name) is not str else "this name comes twice"
                raise self._wrong(told, ".name")
            count = self._count(shape)
            elements += count
            if elements > limits.elements:
                raise over_limit("elements", limits, self._field(".shape"))
            arrays[name] = self._array(entry, kind, shape, count)
            datatypes[name] = kind.name
            self._index += 1
        if self._at != len(self._body):
            told = f"{counted(len(self._body) - self._at, 'byte')} too many behind the JSON"
            raise InvalidTensor(told, field=self._path)
        return arrays, datatypes

    def _field(self, member: str = "") -> str:
        return f"{self._path}[{self._index}]{member}"

    def _wrong(self, told: str, member: str) -> InvalidTensor:
        return InvalidTensor(told, field=self._field(member))

    def _wrong_entry(self, entry: object) -> InvalidTensor:
        """Return what is wrong with a tensor's members."""
        if type(entry) is not dict:
            return self._wrong(f"expected an object, got {what(entry)}", "")
        for member in ("name", "shape", "datatype"):
            if member not in entry:
                return self._wrong("missing", f".{member}")
        told = f"unknown datatype {shown(entry['datatype'])}; known: {', '.join(DATATYPES)}"
        return self._wrong(told, ".datatype")

    def _count(self, shape: object) -> int:
        """Return how many values a shape has; all of it is in bounds then."""
        limits = self._limits
        count = 1
        if type(shape) is list and len(shape) <= limits.rank:
            for size in shape:
                if type(size) is not int or size < 0:
                    break
                count *= size
            else:
                if 0 < count <= limits.elements:
                    return count
        checked_shape(shape, limits, path=self._field(".shape"))
        return 0  # it has an empty axis, and few rows

    def _array(self, entry: dict[str, Any], kind: Datatype, shape: list[int], count: int) -> _Array:
        parameters = entry.get("parameters")
        size = -1 if parameters is None else self._binary_size(parameters)
        data = entry.get("data")
        if size < 0:
            array = self._from_json(data, kind, shape, count)
        elif data is not None:
            told = "only one of data and binary_data_size may be given"
            raise self._wrong(told, ".parameters.binary_data_size")
        else:
            array = self._from_bytes(size, kind, shape, count)
        if not kind.size:
            self._strings += sum(map(len, array.ravel().tolist()))
            if self._strings > self._limits.string_bytes:
                raise over_limit("string_bytes", self._limits, self._field())
        return array

    def _binary_size(self, parameters: object) -> int:
        """Return how many bytes of the binary part are this tensor's; -1 when it has none."""
        if type(parameters) is not dict:
            raise self._wrong(f"expected an object, got {what(parameters)}", ".parameters")
        size = parameters.get("binary_data_size")
        if type(size) is int and size >= 0 and len(parameters) == 1:
            return size
        for name in _SHARED:
            if name in parameters:
                told = "shared memory is not supported; send the data"
                raise self._wrong(told, f".parameters.{name}")
        if size is None:
            return -1
        if type(size) is not int or size < 0:
            told = f"expected a whole number from 0 up, got {shown(size)}"
            raise self._wrong(told, ".parameters.binary_data_size")
        return size

    def _from_json(self, data: Any, kind: Datatype, shape: list[int], count: int) -> _Array:
        """Return the array of a list that is flat, or nested in any regular way."""
        if type(data) is not list:
            told = "missing" if data is None else f"expected a list, got {what(data)}"
            raise self._wrong(told, ".data")
        flat: list[Any] = data
        sizes: tuple[int, ...] = (count,)
        if data and type(data[0]) is list:
            flattened = flatten(data, self._limits, self._field(".data"))
            if flattened is None:
                raise self._wrong("expected lists of one length, side by side", ".data")
            flat, sizes = flattened
        if len(flat) != count:
            wanted = f"expected {counted(count, 'value')} for shape {shape_text(shape)}"
            raise self._wrong(f"{wanted}, got {len(flat)}", ".data")
        array = pack(flat, kind.dtype, self._limits, tuple(shape))
        if array is None:
            path = self._field(".data")
            array = read_unusual(flat, kind, self._limits, sizes, path, self._nan_words)
            array = array.reshape(shape)
        if kind.name == "BF16":
            return rounded(array, sizes, self._field(".data"))
        return array

    def _from_bytes(self, size: int, kind: Datatype, shape: list[int], count: int) -> _Array:
        start, left = self._at, len(self._body) - self._at
        if size > left:
            told = f"{size}, but {counted(left, 'byte')} are left of the body"
            raise self._wrong(told, ".parameters.binary_data_size")
        self._at += size
        if not kind.size:
            framed = self._body[start : start + size]
            return strings_of(framed, count, self._limits, self._field()).reshape(shape)
        if size != count * kind.size:
            wanted = f"expected {count * kind.size} for {kind.name} of shape {shape_text(shape)}"
            raise self._wrong(f"{wanted}, got {size}", ".parameters.binary_data_size")
        if kind.name == "BOOL":
            return numbers_of(self._body, start, kind, tuple(shape), self._field(".data"))
        return numbers_of(self._body, start, kind, tuple(shape))
