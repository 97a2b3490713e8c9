"""Shapes: checked against a spec and the limits, worked out, regrouped, told in errors.

The words of errors are here as well: paths into the data, counts, shapes, values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from gpfn.errors import InvalidTensor, TooLarge
from gpfn.limits import Limits
from gpfn.tensors.spec import TensorSpec

__all__ = [
    "allows",
    "at",
    "bounded_shape",
    "check_rows",
    "check_shape",
    "checked_shape",
    "complete_shape",
    "counted",
    "disagreement",
    "over_limit",
    "shape_from_text",
    "shape_text",
    "shown",
    "spec_text",
    "what",
    "windows",
]


def check_shape(shape: Sequence[int], wanted: Sequence[int | None], path: str) -> None:
    """Raise InvalidTensor unless ``shape`` is one that a spec's shape ``wanted`` allows."""
    if not allows(wanted, shape):
        detail = f"expected shape {shape_text(wanted)}, got {shape_text(shape)}"
        raise InvalidTensor(detail, field=path)


def allows(wanted: Sequence[int | None], shape: Sequence[int]) -> bool:
    """Say whether a spec's shape allows this one."""
    if len(wanted) != len(shape):
        return False
    for want, size in zip(wanted, shape):  # noqa: B905, SIM110 - a loop is twice as fast
        if want != size and want is not None:
            return False
    return True


def disagreement(
    arrays: Mapping[str, npt.NDArray[np.generic]], specs: Sequence[TensorSpec], path: str
) -> InvalidTensor | None:
    """Return what is wrong with arrays that a model could not compute with together.

    Sizes that are left open in two inputs, such as the number of rows, are mostly meant to
    be one. Some models want them so and others not, which only the model can tell.
    """
    first: dict[int, tuple[str, int]] = {}
    for spec in specs:
        sizes = arrays[spec.name].shape
        wanted = (None,) * len(sizes) if spec.shape is None else spec.shape
        for axis, (want, size) in enumerate(zip(wanted, sizes, strict=True)):
            name, other = first.setdefault(axis, (spec.name, size)) if want is None else ("", size)
            if other != size:
                detail = f"{size} along axis {axis}, but {name} has {other}: the model refuses it"
                return InvalidTensor(detail, field=f"{path}.{spec.name}")
    return None


def checked_shape(value: object, limits: Limits, *, path: str) -> tuple[int, ...]:
    """Return a JSON list of sizes as a shape, with its rank and number of values in bounds."""
    if not isinstance(value, list):
        raise InvalidTensor(f"expected a list of sizes, got {shown(value)}", field=path)
    for index, size in enumerate(value[: limits.rank]):
        if type(size) is not int or size < 0:
            raise InvalidTensor(
                f"expected a whole number from 0 up, got {shown(size)}", field=f"{path}[{index}]"
            )
    return bounded_shape(value, limits, path=path)


def shape_from_text(text: str, limits: Limits, *, path: str) -> tuple[int, ...]:
    """Return ``1,20,1`` or ``[1, 20, 1]``, as an attribute spells a shape."""
    inner = text.strip()
    if inner.startswith("[") and inner.endswith("]"):
        inner = inner[1:-1].strip()
    parts = [part.strip() for part in inner.split(",", limits.rank)] if inner else []
    if len(parts) > limits.rank:
        raise over_limit("rank", limits, path)
    for part in parts:
        if not (part.isascii() and part.isdigit() and len(part) <= _DIGITS):
            raise InvalidTensor(f"expected sizes such as 1,20,1, got {shown(text)}", field=path)
    return bounded_shape([int(part) for part in parts], limits, path=path)


_DIGITS = 19
"""As many as a size of 64 bits has."""


def complete_shape(spec: TensorSpec, count: int, *, path: str) -> tuple[int, ...]:
    """Return the spec's shape for ``count`` values, its one unknown size worked out."""
    if spec.shape is None:
        return (count,)
    unknown = spec.shape.count(None)
    if unknown > 1:
        raise InvalidTensor("state a shape: the data does not tell it", field=path)
    known = math.prod(size for size in spec.shape if size is not None)
    rest = count // known if known else 0
    shape = tuple(rest if size is None else size for size in spec.shape)
    if math.prod(shape) != count:
        wanted = f"a multiple of {known}" if unknown and known else str(known)
        raise InvalidTensor(f"expected {wanted} values, got {count}", field=path)
    return shape


def bounded_shape(sizes: Sequence[int], limits: Limits, *, path: str) -> tuple[int, ...]:
    """Return the sizes as a shape that NumPy can make; raise TooLarge over a limit.

    An empty axis does not excuse the others: NumPy multiplies them all the same, and rows
    without values cost a list each wherever they are written (:func:`check_rows`).
    """
    if len(sizes) > limits.rank:
        raise over_limit("rank", limits, path)
    if math.prod(size or 1 for size in sizes) > limits.elements:
        raise over_limit("elements", limits, path)
    if 0 in sizes:
        check_rows(sizes, path)
    return tuple(sizes)


def check_rows(sizes: Sequence[int], path: str) -> None:
    """Raise TooLarge when a shape with an empty axis has too many rows before that."""
    if math.prod(sizes[: sizes.index(0)]) > _EMPTY_ROWS:
        raise TooLarge(f"more than {_EMPTY_ROWS} rows without a value", field=path)


_EMPTY_ROWS = 4096
"""Rows of an array without values: naming a million of them takes a sender seven bytes."""


_SHOWN_CHARACTERS = 40
"""Characters of an offending value that a message repeats."""
_BITS = 128
"""Size of the widest whole number that a message repeats."""


def at(path: str, indexes: Sequence[int]) -> str:
    """Return ``data[3][7]`` for ``data`` and (3, 7)."""
    return path + "".join(f"[{index}]" for index in indexes)


def counted(count: int, noun: str) -> str:
    """Return ``1 number`` or ``2 numbers``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def shape_text(shape: Sequence[int | None]) -> str:
    """Return ``(any, 20, 1)`` for (None, 20, 1)."""
    sizes = ["any" if size is None else str(size) for size in shape]
    return f"({sizes[0]},)" if len(sizes) == 1 else f"({', '.join(sizes)})"


def spec_text(spec: TensorSpec) -> str:
    """Return ``float32 (any, 20, 1)``, or the dtype alone of a spec without a shape."""
    return spec.dtype if spec.shape is None else f"{spec.dtype} {shape_text(spec.shape)}"


def shown(value: object) -> str:
    """Return a value as a message repeats it: JSON's spelling, never long."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and value.bit_length() > _BITS:
        return f"a whole number of {value.bit_length()} bits"
    text = repr(value[:_SHOWN_CHARACTERS] if isinstance(value, str | bytes) else value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"


def what(value: object) -> str:
    """Return what kind of JSON value it is, with as much of it as helps."""
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, str):
        return f"the string {shown(value)}"
    return shown(value)


def over_limit(name: str, limits: Limits, path: str) -> TooLarge:
    """Return the error for data over the limit called ``name``, as `Limits` names it."""
    noun = {"rank": "dimensions", "string_bytes": "bytes in strings"}.get(name, name)
    bound = getattr(limits, name)
    return TooLarge(f"more than {bound} {noun}; GPFN_MAX_{name.upper()} sets this", field=path)


def windows(
    array: npt.NDArray[np.generic], window: tuple[int, ...], *, path: str = "data"
) -> npt.NDArray[np.generic]:
    """Return the array's values, in row-major order, as windows of the shape ``window``.

    For a window of (20, 1) the shapes (20,), (n, 20), (1, 20·k, 1) and (n, 20, 1) all
    become (k, 20, 1); a view where NumPy can make one. Raises InvalidTensor unless the
    values fill one window or more, none in part.
    """
    size = math.prod(window)
    if array.size == 0 or array.size % size:
        raise InvalidTensor(
            f"expected {size} numbers or a multiple of {size}, got {array.size}",
            field=path,
        )
    return array.reshape((-1, *window))
