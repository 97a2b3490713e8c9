"""One more than each value of a table of numbers."""

from typing import TYPE_CHECKING

from gpfn import Function, TensorSpec

if TYPE_CHECKING:
    import numpy as np

TABLE = TensorSpec("float32", (None, None))


def one_more(x: "np.ndarray") -> "dict[str, np.ndarray]":
    """Return one more than each value."""
    return {"y": x + 1}


add = Function(one_more, inputs={"x": TABLE}, outputs={"y": TABLE}, name="add")

handler = add.fn  # `fdk func.py handler` and `gpfn run fn`
main = add.openwhisk  # OpenWhisk
app = add.asgi  # Knative, any ASGI server
