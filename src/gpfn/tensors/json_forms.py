"""Parsed JSON to arrays: which of the forms it has, and each of them read.

The forms, for one input ``x`` or several:

- ``nested``: ``[[1, 2], [3, 4]]``
- ``named``: ``{"x": [[1, 2], [3, 4]], "y": …}``
- ``flat``: ``{"shape": [2, 2], "data": [1, 2, 3, 4]}``, also under a name
- ``open-inference``: ``{"inputs": [{"name": "x", "shape": …, "datatype": …, "data": …}]}``,
  https://github.com/open-inference/open-inference-protocol
"""

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Literal, cast

import numpy as np
import numpy.typing as npt

from gpfn.errors import InvalidTensor
from gpfn.limits import Limits
from gpfn.tensors.cast import cast_to
from gpfn.tensors.dtypes import DTYPE_TABLE, OPEN_INFERENCE_NAMES, Dtype, find_dtype
from gpfn.tensors.nested import decode_nested
from gpfn.tensors.shapes import check_shape, checked_shape, over_limit, shown, what
from gpfn.tensors.spec import TensorSpec

__all__ = ["Form", "asked_of", "decode_json", "form_of", "without_others"]

_Array = npt.NDArray[np.generic]
Form = Literal["nested", "named", "flat", "open-inference"]
_FLAT = {"shape", "data", "dtype"}


def decode_json(
    value: object, specs: Sequence[TensorSpec], limits: Limits, *, path: str = "data"
) -> dict[str, _Array]:
    """Return the array for each spec's name from a parsed JSON value.

    ``value`` is what a JSON parser gives. The arrays are read-only, of the specs' dtypes
    and shapes. Without specs the value has to say dtype and shape itself: the
    ``open-inference`` form, or ``flat`` with a ``dtype``. Raises InvalidTensor with the
    path of what is wrong, TooLarge over a limit.
    """
    if type(value) is list and len(specs) == 1:
        return {specs[0].name: decode_nested(value, specs[0], limits, path=path)}
    form = form_of(value, specs)
    if form == "open-inference":
        arrays = _open_inference(cast("dict[str, object]", value), specs, limits, path)
    elif form == "named":
        arrays = _named(value, specs, limits, path)
    else:
        spec = _only(specs, value, path)
        return {spec.name if spec else "": _one(value, spec, limits, path)}
    _check_together(arrays, limits, path)
    return arrays


def form_of(value: object, specs: Sequence[TensorSpec]) -> Form:
    """Return which form a parsed JSON value has; a declared name comes before a form's key."""
    if type(value) is not dict:
        return "nested"
    names = {spec.name for spec in specs}
    if "inputs" in value and "inputs" not in names:
        return "open-inference"
    return "flat" if _is_flat(value) and not {"shape", "data"} <= names else "named"


def asked_of(
    value: Mapping[str, object], limits: Limits, *, path: str = "data"
) -> tuple[str | None, tuple[str, ...]]:
    """Return ``id`` of an open-inference request, and the names of the outputs it asks for.

    The names are in its order; none stand for all outputs. Raises InvalidTensor, TooLarge.
    """
    request_id, outputs = value.get("id"), value.get("outputs", [])
    if not isinstance(request_id, str | None):
        raise InvalidTensor(f"expected a string, got {what(request_id)}", field=f"{path}.id")
    if not isinstance(outputs, list):
        raise InvalidTensor(f"expected a list, got {what(outputs)}", field=f"{path}.outputs")
    if len(outputs) > limits.tensors:
        raise over_limit("tensors", limits, f"{path}.outputs")
    names = [_output_name(item, f"{path}.outputs[{at}]") for at, item in enumerate(outputs)]
    return request_id, tuple(names)


def _output_name(output: object, path: str) -> str:
    name = output.get("name") if isinstance(output, dict) else None
    if not isinstance(name, str):
        raise InvalidTensor("expected an object with the output's name", field=path)
    return name


def without_others(value: object, specs: Sequence[TensorSpec]) -> object:
    """Return what an object says of the inputs, one in which other members may stand too.

    All inputs by name come before any other form. What is missing stays missing.
    """
    if type(value) is not dict:
        return value
    names = {spec.name for spec in specs}
    if names == value.keys():
        return value
    if not names or not names <= value.keys():
        form = form_of(value, specs)
        if form == "open-inference":
            return value  # which has members of its own beside the inputs
        names = _FLAT if form == "flat" else names
    return {name: item for name, item in value.items() if name in names}


def _check_together(arrays: Mapping[str, _Array], limits: Limits, path: str) -> None:
    """Hold the limits, which each array keeps to, for all of them together."""
    if sum(array.size for array in arrays.values()) > limits.elements:
        raise over_limit("elements", limits, path)
    texts = [array.ravel().tolist() for array in arrays.values() if array.dtype.kind == "O"]
    if len(texts) > 1 and sum(map(len, chain.from_iterable(texts))) > limits.string_bytes:
        raise over_limit("string_bytes", limits, path)


def _is_flat(value: object) -> bool:
    return type(value) is dict and "shape" in value and "data" in value


def _only(specs: Sequence[TensorSpec], value: object, path: str) -> TensorSpec | None:
    if len(specs) > 1:
        names = ", ".join(spec.name for spec in specs)
        raise InvalidTensor(f"expected an object with {names}, got {what(value)}", field=path)
    return specs[0] if specs else None


def _named(
    value: object, specs: Sequence[TensorSpec], limits: Limits, path: str
) -> dict[str, _Array]:
    members = cast("dict[str, object]", value)
    by_name = {spec.name: spec for spec in specs}
    for name in members:
        if name not in by_name:
            raise _unknown(by_name, f"{path}.{_shown_name(name)}")
    for name in by_name:
        if name not in members:
            raise InvalidTensor("missing", field=f"{path}.{name}")
    return {
        name: _one(members[name], spec, limits, f"{path}.{name}") for name, spec in by_name.items()
    }


def _shown_name(name: str) -> str:
    """Return a caller's name as a path may hold it: one short line."""
    return name if name.isidentifier() and len(name) <= 40 else shown(name)


def _unknown(known: Mapping[str, TensorSpec], path: str) -> InvalidTensor:
    return InvalidTensor(f"unknown input; known: {', '.join(known) or 'none'}", field=path)


def _one(value: object, spec: TensorSpec | None, limits: Limits, path: str) -> _Array:
    if _is_flat(value):
        return _flat(cast("dict[str, object]", value), spec, limits, path)
    if spec is None:
        raise InvalidTensor("state a dtype: nothing declares it", field=path)
    return decode_nested(value, spec, limits, path=path)


def _flat(value: dict[str, object], spec: TensorSpec | None, limits: Limits, path: str) -> _Array:
    for key in value:
        if key not in _FLAT:
            raise InvalidTensor(
                "unknown; known: shape, data, dtype", field=f"{path}.{_shown_name(key)}"
            )
    dtype = _stated_dtype(value["dtype"], f"{path}.dtype") if "dtype" in value else None
    return _stated(value, dtype, spec, limits, path)


def _stated(
    value: dict[str, object],
    dtype: Dtype | None,
    spec: TensorSpec | None,
    limits: Limits,
    path: str,
) -> _Array:
    """Return the array that ``shape`` and ``data`` spell, row-major: flat or nested."""
    shape = checked_shape(value.get("shape"), limits, path=f"{path}.shape")
    name = dtype.name if dtype else spec.dtype if spec else None
    if name is None:
        raise InvalidTensor("missing: nothing declares it", field=f"{path}.dtype")
    if spec and spec.shape is not None:
        check_shape(shape, spec.shape, path)
    if dtype and spec and dtype.floating and DTYPE_TABLE[spec.dtype].whole:
        name = spec.dtype  # the numbers as they are spelled: a double may not hold them
    data = value.get("data")
    nests = isinstance(data, list) and bool(data) and isinstance(data[0], list)
    layout = shape if nests else (math.prod(shape),)
    array = decode_nested(data, TensorSpec(name, layout), limits, path=f"{path}.data")
    if spec and spec.dtype != name:
        array = cast_to(array, TensorSpec(spec.dtype), path=f"{path}.data")
    return array.reshape(shape)


def _stated_dtype(spelled: object, path: str) -> Dtype:
    dtype = find_dtype(spelled)
    if dtype is None:
        known = ", ".join(OPEN_INFERENCE_NAMES.values())
        raise InvalidTensor(f"unknown datatype {shown(spelled)}; known: {known}", field=path)
    return dtype


def _open_inference(
    value: dict[str, object], specs: Sequence[TensorSpec], limits: Limits, path: str
) -> dict[str, _Array]:
    inputs = value["inputs"]
    if not isinstance(inputs, list):
        raise InvalidTensor(f"expected a list, got {what(inputs)}", field=f"{path}.inputs")
    if len(inputs) > limits.tensors:
        raise over_limit("tensors", limits, f"{path}.inputs")
    by_name = {spec.name: spec for spec in specs}
    arrays: dict[str, _Array] = {}
    for index, tensor in enumerate(inputs):
        where = f"{path}.inputs[{index}]"
        name = _name(tensor, where)
        if name in arrays:
            raise InvalidTensor(f"{shown(name)} occurs twice", field=f"{where}.name")
        if by_name and name not in by_name:
            raise _unknown(by_name, f"{where}.name")
        arrays[name] = _tensor(cast("dict[str, object]", tensor), by_name.get(name), limits, where)
    for name in by_name:
        if name not in arrays:
            raise InvalidTensor(f"the input {name} is missing", field=f"{path}.inputs")
    return arrays


def _name(tensor: object, path: str) -> str:
    if not isinstance(tensor, dict):
        raise InvalidTensor(f"expected an object, got {what(tensor)}", field=path)
    for key in ("name", "shape", "datatype", "data"):
        if key not in tensor:
            raise InvalidTensor("missing", field=f"{path}.{key}")
    name = tensor["name"]
    if not isinstance(name, str):
        raise InvalidTensor(f"expected a string, got {what(name)}", field=f"{path}.name")
    return name


def _tensor(
    tensor: dict[str, object], spec: TensorSpec | None, limits: Limits, path: str
) -> _Array:
    dtype = _stated_dtype(tensor["datatype"], f"{path}.datatype")
    return _stated(tensor, dtype, spec, limits, path)
