"""Values that a model takes: of the right dtypes and shapes, and tried on the model itself.

What a ``model.toml`` names as ``warmup`` is such a sample already. Else one is made here: where
a size is open, the first axis is one row, and the others are the first size that the model
answers. Values are short in JSON and exact in the model's dtype.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from gpfn.errors import SetupError

if TYPE_CHECKING:
    import numpy as np

    from gpfn.models.model import Model
    from gpfn.scaffold.source import FoundModel
    from gpfn.tensors.spec import TensorSpec

__all__ = ["SampleEvent", "sample_arrays", "usual_arrays"]

_OPEN_SIZES = (4, 1, 2, 8, 32, 224)
"""What an open size is tried with, but for the first axis."""
_RANKS = (2, 1, 0, 3, 4)
"""How many axes are tried where that is open."""
_MOST = 1 << 20
"""Elements of one sample: one larger is tried by nobody."""
_QUARTERS = 8
"""A sample counts up in quarters to two, which every float holds, and begins again."""


class SampleEvent(NamedTuple):
    """The data of a sample event: a value for JSON, and ``wrong`` ones that are refused.

    ``wrong`` is the member of the event that makes it so, as Python spells it.
    """

    data: Any
    wrong: str = '"data": {"nothing": "that it knows"}'


def usual_arrays(source: FoundModel) -> dict[str, np.ndarray]:
    """Return what a model is usually given: its own sample, else one that is made here.

    The first file of ``warmup`` in its ``model.toml`` is its own. Raises as :func:`sample_arrays`
    and, for a file that is no sample of the model, SetupError.
    """
    named = source.description.serving.warmup if source.description else ()
    if not named:
        return sample_arrays(source.model)
    from gpfn.serving.engine.sample import read_sample

    told = read_sample(str(source.files[named[0]]), source.inputs)
    source.model(told)
    return {name: _short(array) for name, array in told.items()}


def _short(array: np.ndarray) -> np.ndarray:
    """Return an array whose numbers are as short in JSON as the model's dtype needs them."""
    import numpy as np

    if array.dtype.kind != "f":
        return array
    return np.array([float(str(value)) for value in array.ravel()]).reshape(array.shape)


def sample_arrays(model: Model) -> dict[str, np.ndarray]:
    """Return arrays by the model's names of inputs that the model has answered.

    Raises SetupError, with what the model said of the first, when it answers none of them.
    """
    first: Exception | None = None
    tried: set[str] = set()
    for size, rank, fill in product(_OPEN_SIZES, _RANKS, _FILLS):
        shapes = [_shape(spec, size, rank) for spec in model.inputs]
        known = f"{shapes} {fill}"
        if known in tried or sum(map(prod, shapes)) > _MOST:
            continue
        tried.add(known)
        arrays = {
            spec.name: _FILLS[fill](shape, spec.dtype)
            for spec, shape in zip(model.inputs, shapes, strict=True)
        }
        try:
            model(arrays)
        except Exception as error:  # noqa: BLE001 - a model may be anybody's code
            first = first or error
        else:
            return arrays
    told = f"{type(first).__name__}: {first}" if first else f"its inputs have over {_MOST} elements"
    raise SetupError(f"it answers none of our samples ({told:.300})", field="--from")


def _shape(spec: TensorSpec, size: int, rank: int) -> tuple[int, ...]:
    shape: Sequence[int | None] = (None,) * rank if spec.shape is None else spec.shape
    return tuple(
        (1 if axis == 0 else size) if given is None else given for axis, given in enumerate(shape)
    )


def _counting(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    import numpy as np

    count = prod(shape)
    if dtype == "string":
        words = _words()
        return np.array([next(words) for _ in range(count)], object).reshape(shape)
    numbers = np.arange(count).reshape(shape)
    if dtype.startswith("float"):
        return (numbers % _QUARTERS / 4).astype(dtype)
    return (numbers % 2).astype(dtype)


def _words() -> Iterator[str]:
    while True:
        yield from ("good", "news", "from", "the", "sea")


def _filled(value: int) -> Callable[[tuple[int, ...], str], np.ndarray]:
    def fill(shape: tuple[int, ...], dtype: str) -> np.ndarray:
        import numpy as np

        same: Any = str(value) if dtype == "string" else value
        return np.full(shape, same, object if dtype == "string" else dtype)

    return fill


_FILLS: dict[str, Callable[[tuple[int, ...], str], np.ndarray]] = {
    "counting": _counting,
    "zeros": _filled(0),
    "ones": _filled(1),
}
"""What a sample is filled with, in the order in which that is tried."""
