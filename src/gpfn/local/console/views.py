"""What the console shows, as plain values, and what it asks of ``gpfn dev``.

Every text in them may be anybody's: names, answers and logs are escaped where they are put into
HTML, and nowhere before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from gpfn.local.call_record import CallRecord

__all__ = ["WAYS", "ConsoleFunctions", "SentEvent", "ShownFunction"]

WAYS = {"fn": "Fn invoke", "trigger": "Fn trigger", "openwhisk": "OpenWhisk"}
"""The ways to call a function, and how people call them."""


class ShownFunction(NamedTuple):
    """A function as the console lists it.

    ``key`` is its own over all platforms, ``keys`` are those that its calls are kept under: Fn's
    id, OpenWhisk's name. ``state`` is one of warm, busy, cold, failed and sequence, ``reason``
    says more in words. ``memory`` is what the largest of its ``processes`` has now, in bytes: each
    of them may have ``memory_limit``, in MiB. ``ways`` are those of `WAYS` that it has.
    ``invoke_id`` is Fn's id, ``trigger`` the target of its HTTP trigger, ``action`` the name of its
    action. ``samples`` are names of files that can be sent, ``image`` says that it takes images,
    ``saved`` when its files changed, in seconds since 1970.
    """

    key: str
    name: str
    app: str = ""
    keys: Sequence[str] = ()
    state: str = "cold"
    reason: str = ""
    memory: int = 0
    memory_limit: int = 128
    ways: Sequence[str] = ("fn",)
    invoke_id: str = ""
    trigger: str = ""
    action: str = ""
    samples: Sequence[str] = ()
    image: bool = False
    saved: Sequence[float] = ()
    processes: int = 0


class SentEvent(NamedTuple):
    """What is sent from the console: a body with its media type, as ``way`` has it.

    ``line`` is that of the `CallRecord` which is sent again; nothing where the way has but one.
    """

    key: str
    way: str
    media_type: str
    body: bytes
    cold: bool = False
    line: str = ""


class ConsoleFunctions(Protocol):
    """What the console needs to know of functions; all on the loop's thread, and quick."""

    def functions(self) -> Sequence[ShownFunction]:
        """Return all functions and actions, sorted by name."""

    def sample(self, key: str, name: str) -> bytes:
        """Return a sample of a function. Raises InvalidRequest (404) for an unknown one."""

    async def send(self, event: SentEvent) -> CallRecord:
        """Call a function as a client of its platform does, and return the call as kept.

        Its ``caller`` is ``console``. With ``cold`` its processes are ended before. Raises what
        is wrong with the request as a GpfnError; what the function did is in the record.
        """
