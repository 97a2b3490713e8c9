"""One call: decode, predict, encode, errors, deadline; the seam between platforms and models.

Nothing is loaded here: a runner imports what it needs from the modules themselves.
"""

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gpfn.function.call import Call, Reply
    from gpfn.function.function import Function
    from gpfn.function.load import load_function, load_target
    from gpfn.function.payload import Payload

__all__ = ["Call", "Function", "Payload", "Reply", "load_function", "load_target"]

_HOME = {
    "Call": "call",
    "Function": "function",
    "Payload": "payload",
    "Reply": "call",
    "load_function": "load",
    "load_target": "load",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
