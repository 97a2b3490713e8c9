"""Twice each value of a table of numbers."""

from typing import TYPE_CHECKING

from gpfn import Function, TensorSpec

if TYPE_CHECKING:
    import numpy as np

TABLE = TensorSpec("float32", (None, None))


def double(x: "np.ndarray") -> "dict[str, np.ndarray]":
    """Return twice each value."""
    return {"y": 2 * x}


multiply = Function(double, inputs={"x": TABLE}, outputs={"y": TABLE}, name="multiply")

handler = multiply.fn  # `fdk func.py handler` and `gpfn run fn`
main = multiply.openwhisk  # OpenWhisk
app = multiply.asgi  # Knative, any ASGI server
