"""ONNX Runtime's values as arrays: tensors, sequences of tensors, and a classifier's ZipMap.

ZipMap, which converters of scikit-learn, LightGBM and XGBoost put behind a classifier, makes a
mapping from class label to probability of each row. Here it is an array (rows, classes) again,
in the order of the class labels. Sources: onnx.proto, the ai.onnx.ml operators.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from gpfn.errors import InvalidTensor, ModelFailed
from gpfn.models.protobuf import Field, ProtobufError, fields, signed, varint
from gpfn.models.signature import Array, shape_spec, unusable
from gpfn.tensors.spec import DTYPES, TensorSpec

__all__ = ["Labels", "OutputReader", "class_labels", "output_of", "tensor_spec", "to_text"]

_DTYPES = MappingProxyType(
    {f"tensor({name})": name for name in DTYPES - {"float32", "float64"}}
    | {"tensor(float)": "float32", "tensor(double)": "float64"}
)
"""NumPy's names of the dtypes, by ONNX Runtime's names of the tensor types."""

_ROWS = re.compile(r"seq\(map\((?:int64|string),(tensor\(\w+\))\)\)")
_SEQUENCE = re.compile(r"seq\((tensor\(\w+\))\)")

Labels = tuple[int | str, ...]
"""The classes of a classifier, in the order of its probabilities."""


class OutputReader(NamedTuple):
    """An output: what it is here, and how an array is made of what ONNX Runtime gives."""

    spec: TensorSpec
    read: Callable[[Any], Array]


def tensor_spec(end: Any, name: str) -> TensorSpec | None:
    """Return the spec of an input or output; None for one that is no tensor of our dtypes."""
    if end.type not in _DTYPES:
        return None
    # A size is a number, a name of its own when it may vary, or None.
    sizes = (size if isinstance(size, int) else None for size in end.shape)
    return TensorSpec(_DTYPES[end.type], shape_spec(sizes), name)


def output_of(end: Any, name: str, labels: Labels) -> OutputReader | str:
    """Return how an output is read, or why it cannot be used. ``labels`` may be empty."""
    if (rows := _ROWS.fullmatch(end.type)) and rows[1] in _DTYPES:
        spec = TensorSpec(_DTYPES[rows[1]], (None, len(labels) or None), name)
        return OutputReader(spec, partial(_probabilities, spec, labels))
    if (found := _SEQUENCE.fullmatch(end.type)) and found[1] in _DTYPES:
        spec = TensorSpec(_DTYPES[found[1]], None, name)
        return OutputReader(spec, partial(_stacked, spec))
    plain = tensor_spec(end, name)
    if plain is None:
        return unusable(end.type)
    return OutputReader(plain, _bytes if plain.dtype == "string" else _as_it_is)


def _as_it_is(array: Array) -> Array:
    return array


def _bytes(array: Array) -> Array:
    encoded = [value.encode() for value in array.ravel().tolist()]
    return np.array([*encoded, None], object)[:-1].reshape(array.shape)


def _probabilities(spec: TensorSpec, labels: Labels, rows: Sequence[Mapping[Any, Any]]) -> Array:
    columns = labels or tuple(sorted(rows[0]) if rows else ())
    if any(row.keys() != {*columns} for row in rows):
        raise ModelFailed(f"the rows of {spec.name} have not the same classes")
    values = [[row[label] for label in columns] for row in rows]
    return np.array(values, spec.dtype).reshape(len(rows), len(columns))


def _stacked(spec: TensorSpec, arrays: Sequence[Array]) -> Array:
    if len({array.shape for array in arrays}) > 1:
        shapes = ", ".join(str(array.shape) for array in arrays[:4])
        raise ModelFailed(
            f"{spec.name} is a sequence of tensors of other shapes ({shapes}), which is no array;"
            " pad or join them in the model"
        )
    if spec.dtype == "string":
        arrays = [_bytes(array) for array in arrays]
    return (
        np.stack(arrays)
        if arrays
        else np.empty(0, object if spec.dtype == "string" else spec.dtype)
    )


def to_text(array: Array, spec: TensorSpec) -> Array:
    """Return strings as ONNX Runtime takes them. Raises InvalidTensor unless they are UTF-8."""
    try:
        texts = [value.decode() for value in array.ravel().tolist()]
    except UnicodeDecodeError as error:
        raise InvalidTensor(f"ONNX strings are UTF-8: {error}", field=spec.name) from None
    return np.array([*texts, None], object)[:-1].reshape(array.shape)


_GRAPH, _NODE = 7, 1
_OUTPUT, _OPERATOR, _ATTRIBUTE = 2, 4, 5
_NAME, _INTS, _STRINGS = 1, 8, 9


def class_labels(path: str) -> dict[str, Labels]:
    """Return the class labels of each ZipMap of an .onnx file, by the name of its output.

    Nothing of those whose labels are not told, or of a file that cannot be read so.
    """
    with open(path, "rb") as file:
        data = file.read()
    found: dict[str, Labels] = {}
    try:
        for node in _messages(_messages([data], _GRAPH), _NODE):
            parts = list(fields(node))
            if any(part.number == _OPERATOR and part.text() == "ZipMap" for part in parts):
                labels = tuple(_labels(part.bytes for part in parts if part.number == _ATTRIBUTE))
                if len({*labels}) == len(labels):
                    found |= {part.text(): labels for part in parts if part.number == _OUTPUT}
    except ProtobufError:
        return {}
    return found


def _messages(outer: Iterator[memoryview] | Sequence[bytes], number: int) -> Iterator[memoryview]:
    return (field.bytes for each in outer for field in fields(each) if field.number == number)


def _labels(attributes: Iterator[memoryview]) -> Iterator[int | str]:
    for attribute in attributes:
        parts = list(fields(attribute))
        name = next((part.text() for part in parts if part.number == _NAME), "")
        if name in ("classlabels_int64s", "classlabels_strings"):
            for part in parts:
                if part.number == _STRINGS:
                    yield part.text()
                elif part.number == _INTS:
                    yield from _whole(part)


def _whole(part: Field) -> Iterator[int]:
    """Give the integers of a field, which stand one by one or packed."""
    if part.integer is not None:
        yield signed(part.integer)
    at = 0
    while at < len(part.bytes):
        value, at = varint(part.bytes, at)
        yield signed(value)
