"""A function in this process: the shortest way, and the one to debug with."""

import os
import time

from gpfn.deadline import Deadline
from gpfn.events.message import Message
from gpfn.function.call import Call
from gpfn.function.load import load_function
from gpfn.invoke.fnwire import call_id
from gpfn.invoke.platform import Answer, Request
from gpfn.invoke.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gpfn.function.function import Function

__all__ = ["InProcess"]


class InProcess:
    """The function as a plain call, without a server."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._function: Function | None = None

    def start(self) -> float:
        """Load the file and open the model."""
        began = time.perf_counter()
        for name, value in self.target.config.items():
            os.environ.setdefault(name, value)
        self._function = load_function(str(self.target.file), (self.target.handler,))
        self._function.open()
        return time.perf_counter() - began

    def call(self, request: Request) -> Answer:
        """Answer one request."""
        assert self._function is not None, "started"  # noqa: S101 - the seam's order
        message = Message(request.body, request.content_type, _lowered(request.headers))
        identifier = call_id()
        call = Call(identifier, Deadline.after(request.timeout), "call")
        reply = self._function.answer(message, call)
        if reply.error is not None and reply.status >= 500:
            _trace(reply.error)
        headers = (("content-type", reply.message.content_type), *reply.message.headers)
        return Answer(reply.status, bytes(reply.message.body), headers, identifier)

    def stop(self) -> None:
        """Leave the function to the garbage collector."""
        self._function = None

    def log(self) -> str:
        """Return nothing: what the function writes is on the terminal already."""
        return ""

    def memory(self) -> int:
        """Return this process's resident bytes."""
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def _lowered(headers: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    return tuple((name.lower(), value) for name, value in headers)


def _trace(error: BaseException) -> None:
    import traceback

    traceback.print_exception(error)
