"""A model that takes its time: a second to open, and one more for its first call.

Every answer has the doubled input, then the model's version, then which call it was.
"""

import os
import time

import numpy as np

from gpfn.models.python import declare
from gpfn.tensors.spec import TensorSpec

__all__ = ["slow"]

VERSION = float(os.environ["MODEL_VERSION"])
calls = 0

time.sleep(1.0)


@declare(inputs={"x": TensorSpec("float32", (3,))}, outputs={"y": TensorSpec("float32", (5,))})
def slow(x: np.ndarray) -> np.ndarray:
    """Answer after as many seconds as the last number says."""
    global calls  # noqa: PLW0603
    calls += 1
    call = calls
    time.sleep(1.0 if call == 1 else float(x[2]))
    return np.array([*(2 * x), VERSION, call], np.float32)
