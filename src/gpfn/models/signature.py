"""Names, dtypes and shapes of a call, checked against the model before native code sees them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gpfn.errors import InvalidTensor, SetupError
from gpfn.tensors.cast import cast_to, plain_array
from gpfn.tensors.spec import TensorSpec

__all__ = ["Array", "arguments", "bare", "chosen", "selected", "shape_spec"]

Array = npt.NDArray[Any]


def arguments(inputs: Mapping[str, Array], specs: Sequence[TensorSpec]) -> list[Array]:
    """Return the arrays in the order of ``specs``: cast to their dtypes, and C-contiguous.

    Names may end in TensorFlow's ``:0``. Raises InvalidTensor, whose field is the name, for
    a missing or unknown input, a wrong shape, or a cast that would change a value.
    """
    if len(inputs) != len(specs) or any(spec.name not in inputs for spec in specs):
        inputs = _renamed(inputs, specs)
    fitted = [cast_to(plain_array(inputs[s.name], s.name), s, path=s.name) for s in specs]
    return [array if array.flags.c_contiguous else np.ascontiguousarray(array) for array in fitted]


def chosen(outputs: Sequence[str], specs: Sequence[TensorSpec]) -> Sequence[TensorSpec]:
    """Return the specs of the outputs that a call asks for; all of them when it names none.

    Raises InvalidTensor for a name that is no output of the model.
    """
    if not outputs:
        return specs
    known = {spec.name: spec for spec in specs}
    for name in outputs:
        if bare(name) not in known:
            raise InvalidTensor(f"unknown output; the model gives {_listed(known)}", field=name)
    return [known[bare(name)] for name in outputs]


def selected(
    names: Sequence[str], specs: Sequence[TensorSpec], field: str
) -> tuple[TensorSpec, ...]:
    """Return the specs that a configuration names, in its order; all when it names none.

    Raises SetupError for a name that the model does not have, and for inputs left out.
    """
    known = {spec.name: spec for spec in specs}
    for name in names:
        if bare(name) not in known:
            raise SetupError(f"the model has {_listed(known)}, not {name!r}", field=field)
    if names and field == "inputs" and len({*map(bare, names)}) != len(known):
        raise SetupError(f"the model needs all of {_listed(known)}", field=field)
    return tuple(known[bare(name)] for name in names) or tuple(specs)


def bare(name: str) -> str:
    """Return a tensor's name without ``:0``, which TensorFlow users may write or leave out."""
    return name.removesuffix(":0")


def shape_spec(sizes: Iterable[int | None]) -> tuple[int | None, ...]:
    """Return a shape with None where a size is unknown, which libraries write as negative."""
    return tuple(None if size is None or size < 0 else int(size) for size in sizes)


def _renamed(inputs: Mapping[str, Array], specs: Sequence[TensorSpec]) -> dict[str, Array]:
    renamed = {bare(name): array for name, array in inputs.items()}
    known = [spec.name for spec in specs]
    for name in inputs:
        if bare(name) not in known:
            raise InvalidTensor(f"unknown input; the model takes {_listed(known)}", field=name)
    for name in known:
        if name not in renamed:
            raise InvalidTensor(f"missing input; the model takes {_listed(known)}", field=name)
    return renamed


def _listed(names: Iterable[str], most: int = 8) -> str:
    names = list(names)
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(repr(name) for name in names[:most]) + rest if names else "nothing"
