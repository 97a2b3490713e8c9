"""CloudEvents: 1.0, 0.3 and 0.1 in, 1.0 out; structured, binary and batched.

:func:`read` turns a message into events, :func:`write` turns events into a message.
Nothing is imported before it is used: a runner that only needs :class:`Message`
must not pay for regular expressions and a JSON parser.
"""

from importlib import import_module

from gpfn.message import Message

TYPE_CHECKING = False

if TYPE_CHECKING:
    from gpfn.events.event import Event
    from gpfn.events.modes import Mode, Received, read, write
    from gpfn.events.sdk import from_sdk, to_sdk

__all__ = ["Event", "Message", "Mode", "Received", "from_sdk", "read", "to_sdk", "write"]

_HOME = {
    "Event": "gpfn.events.event",
    "Mode": "gpfn.events.modes",
    "Received": "gpfn.events.modes",
    "from_sdk": "gpfn.events.sdk",
    "read": "gpfn.events.modes",
    "to_sdk": "gpfn.events.sdk",
    "write": "gpfn.events.modes",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'gpfn.events' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
