"""Quantised tensors: small integers that stand for real numbers."""

from typing import NamedTuple

import numpy as np

from gpfn.models.arguments import Array

__all__ = ["Quantization"]


class Quantization(NamedTuple):
    """real = (integer - zero_point) * scale, for the whole tensor or per slice of ``axis``.

    ``scale`` and ``zero_point`` have one entry, or one per slice.

    >>> Quantization((0.5,), (10,)).dequantize(np.array([10, 12], np.uint8))
    array([0., 1.], dtype=float32)
    """

    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    axis: int = 0

    def dequantize(self, array: Array) -> Array:
        """Return the real numbers, float32, that the integers stand for."""
        scale, zero_point = self._along(array.ndim)
        real: Array = (array.astype(np.float32) - zero_point) * scale
        return real

    def quantize(self, array: Array, dtype: str) -> Array:
        """Return the nearest integers of ``dtype``; what is out of its range becomes its end."""
        scale, zero_point = self._along(array.ndim)
        info = np.iinfo(dtype)
        integers: Array = np.rint(array / scale) + zero_point
        return integers.clip(info.min, info.max).astype(dtype)

    def _along(self, rank: int) -> tuple[Array, Array]:
        shape = [1] * rank
        if len(self.scale) > 1:
            shape[self.axis] = len(self.scale)
        size = tuple(shape) if len(self.scale) > 1 else ()
        return (
            np.array(self.scale, np.float32).reshape(size),
            np.array(self.zero_point, np.float32).reshape(size),
        )
