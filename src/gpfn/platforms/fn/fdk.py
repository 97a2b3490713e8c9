"""The ``ctx`` of a handler written for the stock FDK: its methods, without its faults.

Where the FDK's own behaviour is a defect (see fn-contract, bugs 6 to 9 and 11), this
does what its documentation promises: repeated headers are lists, lists are sent as
repeated headers, nothing is prefixed twice, and a status that was set stays set.

Handlers written for the stock FDK: ``handler(ctx, data)`` with BytesIO as data.

They run unchanged. Returned may be what the FDK takes (str, bytes, an
``fdk.response.Response``), and what it garbles: a dict or list is sent as JSON, and
nothing false is mistaken for nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from io import BytesIO

from gpfn.call.callback import run_steps, settle
from gpfn.call.contract import Reply
from gpfn.errors import DeadlineExceeded, GpfnError
from gpfn.message import Message
from gpfn.platforms.fn.server import error_reply
from gpfn.platforms.fn.wire import PREFIX, FnCall, unwrap
from gpfn.source_file import begin_in_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class FdkResponse(Protocol):
        """What is used of an fdk.response.Response."""

        def status(self) -> int:
            """Return its status."""

        def body_bytes(self) -> bytes:
            """Return its body, encoded."""


__all__ = ["Context", "FdkStyle", "HeaderDict"]

HeaderDict = dict[str, str | list[str]]


class Context:
    """What the FDK calls InvokeContext; its names are the FDK's."""

    def __init__(self, incoming: FnCall) -> None:
        self._incoming = incoming
        self._response_headers: dict[str, object] = {}
        self._status = 200

    @property
    def status(self) -> int:
        """The status that was set by SetResponseHeaders."""
        return self._status

    def AppID(self) -> str | None:  # noqa: N802 - the FDK's spelling, here and below
        """Return the id of the app."""
        return os.environ.get("FN_APP_ID")

    def AppName(self) -> str | None:  # noqa: N802
        """Return the app's name; None where the server does not tell, as the open one."""
        return os.environ.get("FN_APP_NAME")

    def FnID(self) -> str | None:  # noqa: N802
        """Return the id of the function."""
        return os.environ.get("FN_FN_ID")

    def FnName(self) -> str | None:  # noqa: N802
        """Return the function's name; None where the server does not tell."""
        return os.environ.get("FN_FN_NAME") or os.environ.get("FN_NAME")

    def CallID(self) -> str | None:  # noqa: N802
        """Return the id of this call."""
        return self._first("fn-call-id")

    def Config(self) -> Mapping[str, str]:  # noqa: N802
        """Return the configuration: the environment."""
        return os.environ

    def Headers(self) -> HeaderDict:  # noqa: N802
        """Return the headers by lower-case name, a trigger's unwrapped and the rest."""
        raw = list(self._incoming.raw)
        return _gathered(unwrap(raw) if self._incoming.by_trigger else raw)

    def HTTPHeaders(self) -> HeaderDict:  # noqa: N802
        """Return the headers of the HTTP request behind a trigger; none by invoke."""
        if not self._incoming.by_trigger:
            return {}
        wrapped = [(name, value) for name, value in self._incoming.raw if name.startswith(PREFIX)]
        return _gathered([(name[len(PREFIX) :], value) for name, value in wrapped])

    def Format(self) -> str:  # noqa: N802
        """Return ``http-stream``, the only one there is."""
        return "http-stream"

    def Deadline(self) -> str:  # noqa: N802
        """Return the deadline as RFC 3339; 30 seconds from now when there is none."""
        return self._first("fn-deadline") or _in_thirty_seconds()

    def SetResponseHeaders(self, headers: Mapping[str, object], status_code: int) -> None:  # noqa: N802
        """Set headers of the reply, and its status unless that is 200 after another one."""
        for name, value in headers.items():
            self._response_headers[name.lower()] = value
        if status_code != 200:
            self._status = status_code

    def GetResponseHeaders(self) -> dict[str, object]:  # noqa: N802
        """Return the headers set so far."""
        return self._response_headers

    def RequestURL(self) -> str | None:  # noqa: N802
        """Return the URL that the trigger was called by, with its query."""
        return self._first("fn-http-request-url")

    def Method(self) -> str | None:  # noqa: N802
        """Return the method that the trigger was called with."""
        return self._first("fn-http-method")

    def _first(self, name: str) -> str | None:
        for key, value in self._incoming.raw:
            if key == name:
                return value
        return None


def _gathered(headers: list[tuple[str, str]]) -> HeaderDict:
    found: HeaderDict = {}
    for name, value in headers:
        before = found.get(name)
        if before is None:
            found[name] = value
        elif isinstance(before, list):
            before.append(value)
        else:
            found[name] = [before, value]
    return found


def _in_thirty_seconds() -> str:
    from datetime import UTC, datetime, timedelta

    return (datetime.now(UTC) + timedelta(seconds=30)).isoformat()


_TEXT = "text/plain"
_JSON = "application/json"


class FdkStyle:
    """Answers calls with a handler of the FDK's kind, sync or async."""

    __slots__ = ("_handler",)

    def __init__(self, handler: Callable[..., object]) -> None:
        self._handler = handler

    def answer(self, incoming: FnCall) -> Reply:
        """Answer one call; what goes wrong is answered with an error document."""
        began = time.perf_counter()
        failure: BaseException | None = None
        try:
            message, status = self._call(incoming)
        except BaseException as error:  # noqa: BLE001 - sys.exit too is only a failed call here
            begin_in_file(error)
            failure = _timed_out(error) if isinstance(error, TimeoutError) else error
            message, status, *_ = error_reply(failure)
        return Reply(message, status, (("handler", time.perf_counter() - began),), failure)

    def _call(self, incoming: FnCall) -> tuple[Message, int]:
        message, call, _, _ = incoming
        call.deadline.check("the handler was called")
        context = Context(incoming)
        result = self._handler(context, data=BytesIO(message.body))
        if hasattr(result, "__await__"):
            result = run_steps(settle(result), call.deadline)
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

        try:
            return json.dumps(result, allow_nan=False).encode(), _JSON
        except (TypeError, ValueError, RecursionError) as error:
            raise GpfnError(f"the handler returned what is not JSON: {error}") from None
    raise GpfnError(f"the handler returned a {type(result).__name__}, which is no reply")
