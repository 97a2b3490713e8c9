"""Serverless model inference on Fn and Apache OpenWhisk with CloudEvents and GraphPipe.

Importing this module loads nothing: each public name is imported when it is first used,
so that a cold start pays for what the function needs and no more.
"""

from importlib import import_module

TYPE_CHECKING = False  # type checkers know the name; importing typing would cost 8 ms

if TYPE_CHECKING:
    from gpfn.deadline import NEVER, Deadline
    from gpfn.errors import GpfnError
    from gpfn.events import Event
    from gpfn.function import Call, Function, Payload
    from gpfn.graphpipe import remote
    from gpfn.limits import Limits
    from gpfn.models import Model, open_model
    from gpfn.tensors import TensorSpec

__version__ = "0.1.0"

__all__ = [
    "NEVER",
    "Call",
    "Deadline",
    "Event",
    "Function",
    "GpfnError",
    "Limits",
    "Model",
    "Payload",
    "TensorSpec",
    "open_model",
    "remote",
]

_HOME = {
    "NEVER": "gpfn.deadline",
    "Call": "gpfn.call.contract",
    "Deadline": "gpfn.deadline",
    "Event": "gpfn.events",
    "Function": "gpfn.function.function",
    "GpfnError": "gpfn.errors",
    "Limits": "gpfn.limits",
    "Model": "gpfn.models.model",
    "Payload": "gpfn.call.payload",
    "TensorSpec": "gpfn.tensors.spec",
    "open_model": "gpfn.models",
    "remote": "gpfn.graphpipe",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'gpfn' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
