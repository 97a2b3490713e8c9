"""From what an action's process answered to an activation's response, by the platform's table.

Source: ActivationResult.scala, Container.scala and the messages of ErrorResponse.scala.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from gpfn.json_exact import loads
from gpfn.local.calling import CallFailure, CallOutcome, ProcessAnswer
from gpfn.local.openwhisk.asking import is_deep

__all__ = [
    "APPLICATION_ERROR",
    "DEVELOPER_ERROR",
    "MOST_RESULT_BYTES",
    "SUCCESS",
    "WHISK_ERROR",
    "ActivationResponse",
    "application_error",
    "developer_error",
    "is_shutting_down",
    "response_of",
    "status_of",
    "whisk_error",
]

SUCCESS, APPLICATION_ERROR, DEVELOPER_ERROR, WHISK_ERROR = range(4)

MOST_RESULT_BYTES = 1 << 20
"""What an action may answer, and how much is told of an answer that is longer."""

_HTTP = (200, 502, 502, 500)
_STATUSES = ("success", "application error", "action developer error", "whisk internal error")

_REMOVED = "Action could not be found or may have been deleted."
_NO_INIT = "The action did not initialize and exited unexpectedly."
_NO_RUN = "The action did not produce a valid response and exited unexpectedly."
_MEMORY = "The action exhausted its memory and was aborted."
_INVALID_INIT = "The action failed during initialization"
_INVALID_RUN = "The action did not produce a valid JSON or JSON Array response"
_LATE = "The action exceeded its time limits of {} milliseconds"

_FAILURES: dict[CallFailure, str] = {
    "start failed": _NO_INIT,
    "start timed out": f"{_LATE} during initialization.",
    "init timed out": f"{_LATE} during initialization.",
    "timed out": f"{_LATE}.",
    "crashed": _NO_RUN,
    "broken": _NO_RUN,
    "memory": _MEMORY,
}
"""The developer error that a failed call is; the time limit stands where the braces are."""


class ActivationResponse(NamedTuple):
    """What came of an activation: a code of 0 to 3, the result, and the length of its text."""

    code: int
    result: Any = None
    size: int | None = None

    @property
    def success(self) -> bool:
        """Whether the action did what it was to do."""
        return self.code == SUCCESS

    @property
    def status(self) -> str:
        """The code in words."""
        return _STATUSES[self.code]

    def document(self) -> dict[str, Any]:
        """Return it as it is shown to people."""
        size = {} if self.size is None else {"size": self.size}
        shown = {"success": self.success, "status": self.status}
        return {"result": self.result, **size, **shown}


def application_error(error: Any, size: int | None = None) -> ActivationResponse:
    """Return what the action itself calls an error."""
    return ActivationResponse(APPLICATION_ERROR, {"error": error}, size)


def developer_error(error: Any, size: int | None = None) -> ActivationResponse:
    """Return what an action's author has to mend."""
    return ActivationResponse(DEVELOPER_ERROR, {"error": error}, size)


def whisk_error(error: Any) -> ActivationResponse:
    """Return what the platform could not do."""
    return ActivationResponse(WHISK_ERROR, {"error": error})


def is_shutting_down(outcome: CallOutcome) -> bool:
    """Say whether the process asks to have the activation run by another one."""
    return outcome.answer is not None and outcome.answer.status == 503


def status_of(response: ActivationResponse) -> int:
    """Return the HTTP status with which REST answers a response."""
    return _HTTP[response.code]


def response_of(outcome: CallOutcome, timeout: int) -> ActivationResponse:
    """Return what a call is to the platform; ``timeout`` is the action's, in milliseconds.

    A call that was never started ("busy") is no activation, and is not asked for here.
    """
    if outcome.failure == "init failed":
        return _init_error(outcome.answer)
    if outcome.failure == "removed":
        return application_error(_REMOVED)
    if outcome.failure:
        return developer_error(_FAILURES[outcome.failure].format(timeout))
    answer = outcome.answer
    if answer is None or not _has_length(answer):
        return developer_error(_NO_RUN)
    if len(answer.body) > MOST_RESULT_BYTES:
        return application_error(_truncated(answer.body), len(answer.body))
    return _run_response(answer)


def _init_error(answer: ProcessAnswer | None) -> ActivationResponse:
    if answer is None or not _has_length(answer):
        return developer_error(_NO_INIT)
    if len(answer.body) > MOST_RESULT_BYTES:
        return developer_error(_truncated(answer.body), len(answer.body))
    text = answer.body.decode("utf-8", "replace")
    value = _value(answer.body)
    if isinstance(value, dict) and "error" in value:
        return developer_error(value["error"], len(text))
    return developer_error(_told(_INVALID_INIT, text), len(text))


def _run_response(answer: ProcessAnswer) -> ActivationResponse:
    text = answer.body.decode("utf-8", "replace")
    value, size = _value(answer.body), len(text)
    if isinstance(value, dict) and "error" in value:
        of = application_error if answer.status == 200 else developer_error
        return of(value["error"], size)
    if answer.status == 200 and isinstance(value, dict | list):
        return ActivationResponse(SUCCESS, value, size)
    return developer_error(_told(_INVALID_RUN, text), size)


def _has_length(answer: ProcessAnswer) -> bool:
    """Say whether the platform reads the body: one whose end is not told counts as none."""
    return any(name == "content-length" for name, _ in answer.headers) and answer.status != 204


def _value(body: bytes) -> Any:
    """Return what the text stands for; None for no JSON, and for what nests without end."""
    try:
        value = loads(body)
    except (orjson.JSONDecodeError, RecursionError):
        return None
    return None if is_deep(value) else value


def _told(what: str, text: str) -> str:
    return f"{what}: {text}" if text else f"{what}."


def _truncated(body: bytes) -> str:
    told = f"exceeded the allowed length: {len(body)} > {MOST_RESULT_BYTES} bytes."
    begin = body[:MOST_RESULT_BYTES].decode("utf-8", "replace")
    return f"The action produced a response that {told} The truncated response was: {begin}"
