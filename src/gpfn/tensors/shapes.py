"""A stated shape, and how many values it asks for."""

import math
from collections.abc import Sequence

from gpfn.errors import InvalidTensor
from gpfn.limits import Limits
from gpfn.tensors.places import over_limit, shape_text, shown
from gpfn.tensors.spec import TensorSpec

__all__ = ["allows", "bounded_shape", "check_shape", "checked_shape", "filled", "shape_from_text"]


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
        if want is not None and want != size:
            return False
    return True


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


def filled(spec: TensorSpec, count: int, *, path: str) -> tuple[int, ...]:
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

    An empty axis does not excuse the others: NumPy multiplies them all the same.
    """
    if len(sizes) > limits.rank:
        raise over_limit("rank", limits, path)
    if math.prod(size or 1 for size in sizes) > limits.elements:
        raise over_limit("elements", limits, path)
    return tuple(sizes)
