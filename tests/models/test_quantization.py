"""Quantised numbers and the real ones they stand for."""

import numpy as np
from numpy.testing import assert_array_equal

from gpfn.models import Quantization


def test_whole_tensor() -> None:
    quantization = Quantization((0.5,), (10,))
    integers = np.array([[0, 10], [12, 255]], np.uint8)
    real = quantization.dequantize(integers)
    assert real.dtype == np.float32
    assert_array_equal(real, [[-5, 0], [1, 122.5]])
    assert_array_equal(quantization.quantize(real, "uint8"), integers)


def test_out_of_range_becomes_the_end() -> None:
    quantization = Quantization((1.0,), (0,))
    assert_array_equal(
        quantization.quantize(np.array([-200.0, 0.4, 200.0]), "int8"),
        np.array([-128, 0, 127], np.int8),
    )


def test_along_an_axis() -> None:
    quantization = Quantization((1.0, 2.0), (0, 1), axis=1)
    assert_array_equal(quantization.dequantize(np.array([[3, 3]], np.int8)), [[3.0, 4.0]])
