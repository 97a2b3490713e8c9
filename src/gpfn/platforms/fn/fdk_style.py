"""Handlers written for the stock FDK: ``handler(ctx, data)`` with BytesIO as data.

They run unchanged. Returned may be what the FDK takes (str, bytes, an
``fdk.response.Response``), and what it garbles: a dict or list is sent as JSON, and
nothing false is mistaken for nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from io import BytesIO

from gpfn.errors import DeadlineExceeded, GpfnError
from gpfn.events.message import Message
from gpfn.function.call import Reply
from gpfn.function.drive import drive, settle
from gpfn.platforms.fn.context import Context
from gpfn.platforms.fn.exchange import error_reply
from gpfn.platforms.fn.incoming import Incoming

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class FdkResponse(Protocol):
        """What is used of an fdk.response.Response."""

        def status(self) -> int:
            """Return its status."""

        def body_bytes(self) -> bytes:
            """Return its body, encoded."""


__all__ = ["FdkStyle"]

_TEXT = "text/plain"
_JSON = "application/json"


class FdkStyle:
    """Answers calls with a handler of the FDK's kind, sync or async."""

    __slots__ = ("_handler",)

    def __init__(self, handler: Callable[..., object]) -> None:
        self._handler = handler

    def answer(self, incoming: Incoming) -> Reply:
        """Answer one call; what goes wrong is answered with an error document."""
        began = time.perf_counter()
        failure: BaseException | None = None
        try:
            message, status = self._call(incoming)
        except BaseException as error:  # noqa: BLE001 - sys.exit too is only a failed call here
            failure = _timed_out(error) if isinstance(error, TimeoutError) else error
            message, status, *_ = error_reply(failure)
        return Reply(message, status, (("handler", time.perf_counter() - began),), failure)

    def _call(self, incoming: Incoming) -> tuple[Message, int]:
        message, call, _, _ = incoming
        call.deadline.check("the handler was called")
        context = Context(incoming)
        result = self._handler(context, data=BytesIO(message.body))
        if hasattr(result, "__await__"):
            result = drive(settle(result), call.deadline)
        status = context.status
        if hasattr(result, "body_bytes") and hasattr(result, "status"):
            result, status = _of_response(result, status)
        if not 200 <= status <= 599:
            raise GpfnError(f"the handler set the status {status}")
        return _message(result, context.GetResponseHeaders()), status


def _timed_out(error: TimeoutError) -> GpfnError:
    """Keep the FDK's promise that a TimeoutError is a time-out to the agent as well."""
    late = DeadlineExceeded(str(error) or "the handler raised TimeoutError")
    late.__cause__ = error
    return late


def _of_response(response: FdkResponse, status: int) -> tuple[object, int]:
    """Take the parts of an fdk.response.Response, which has set its headers on the context."""
    given = response.status()
    return response.body_bytes(), status if given == 200 else given


def _message(result: object, headers: Mapping[str, object]) -> Message:
    body, media_type = _body(result)
    lines: list[tuple[str, str]] = []
    for name, value in headers.items():
        values = value if isinstance(value, list | tuple) else (value,)
        if name == "content-type":
            media_type = str(values[0])
        else:
            lines.extend((name, str(item)) for item in values)
    return Message(body, media_type, tuple(lines))


def _body(result: object) -> tuple[bytes | memoryview, str]:
    """Return the body and what it is when the handler does not say."""
    if result is None:
        return b"", _TEXT
    if isinstance(result, str):
        return result.encode(), _TEXT
    if isinstance(result, bytes):
        return result, _TEXT
    if isinstance(result, bytearray | memoryview):
        return memoryview(result).cast("B"), _TEXT
    if isinstance(result, BytesIO):
        return result.getvalue(), _TEXT
    if isinstance(result, dict | list | tuple | bool | int | float):
        import json  # unlike orjson it costs 2 ms of a cold start, not 13

        return json.dumps(result, allow_nan=False).encode(), _JSON
    raise GpfnError(f"the handler returned a {type(result).__name__}, which is no reply")
