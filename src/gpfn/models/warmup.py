"""The first call of a model costs several times a later one; make it before anyone waits."""

import math
import time
from typing import NamedTuple

import numpy as np

from gpfn.errors import TooLarge
from gpfn.models.arguments import Array
from gpfn.models.model import Model
from gpfn.tensors.spec import TensorSpec

__all__ = ["WarmUp", "warm_up", "zeros"]

_MOST = 64 << 20
"""Elements of one input."""


class WarmUp(NamedTuple):
    """How long the first call took, in seconds, and why it failed if it did."""

    seconds: float = 0.0
    error: Exception | None = None


def warm_up(model: Model) -> WarmUp:
    """Call the model on zeros, with 1 for every size that it leaves open.

    Such a call may suit no model of text or of indexes: its failure is told, not raised.
    A remote model is warmed by its own server, an undeclared function not at all.
    """
    if model.backend == "graphpipe" or not model.inputs:
        return WarmUp()
    start = time.perf_counter()
    error: Exception | None = None
    try:
        model({spec.name: zeros(spec) for spec in model.inputs})
    except Exception as failure:  # noqa: BLE001 - a function's own errors are told as well
        error = failure
    return WarmUp(time.perf_counter() - start, error)


def zeros(spec: TensorSpec) -> Array:
    """Return an array of zeros (of empty strings) that fits the spec, as small as may be.

    Raises TooLarge when that is still too much for a try.
    """
    shape = [1 if size is None else size for size in spec.shape or ()]
    if math.prod(shape) > _MOST:
        raise TooLarge(f"{shape} is too large for a call that nobody waits for", field=spec.name)
    if spec.dtype == "string":
        return np.full(shape, b"", object)
    return np.zeros(shape, spec.dtype)
