"""Forecast the next value at every step of windows of 20 monthly values."""

from typing import TYPE_CHECKING

from gpfn import Function, TensorSpec
from gpfn.errors import InvalidTensor

if TYPE_CHECKING:
    import numpy as np

STEPS = 20


def as_windows(series: "np.ndarray", event: object) -> "np.ndarray":
    """Read any 20·k numbers, whatever their shape, as k windows: (k, 20, 1)."""
    if series.size == 0 or series.size % STEPS:
        raise InvalidTensor(
            f"expected {STEPS} numbers or a multiple of {STEPS}, got {series.size}",
            field="data" if event else "body",
        )
    return series.reshape(-1, STEPS, 1)


forecast = Function(
    model=("env:GP_SERVER_URL", "forecast.tflite"),  # the first that is set
    inputs={"series": TensorSpec("float32", finite=True)},
    before=as_windows,
    output="forecast",
)

handler = forecast.fn  # `fdk func.py handler` and `gpfn run fn`
main = forecast.openwhisk  # OpenWhisk
app = forecast.asgi  # Knative, any ASGI server
