"""Numbers in whatever shape, read as windows of one shape."""

import math

import numpy as np
import numpy.typing as npt

from gpfn.errors import InvalidTensor

__all__ = ["windows"]


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
