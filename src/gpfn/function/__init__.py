"""One call: decode, predict, encode, errors, deadline; the seam between platforms and models.

Nothing is loaded here: a runner imports what it needs from the modules themselves.
"""

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gpfn.call.contract import Call, Reply
    from gpfn.call.payload import Payload
    from gpfn.function.function import Function
    from gpfn.platforms.load import load_function, load_target

__all__ = ["Call", "Function", "Payload", "Reply", "load_function", "load_target"]

_HOME = {
    "Call": "gpfn.call.contract",
    "Function": "gpfn.function.function",
    "Payload": "gpfn.call.payload",
    "Reply": "gpfn.call.contract",
    "load_function": "gpfn.platforms.load",
    "load_target": "gpfn.platforms.load",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
