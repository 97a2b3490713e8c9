"""What is remembered of a call: the record of its activation, and what the console is told."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from gpfn.local.calling import CallOutcome
from gpfn.local.calls import CallBody, CallRecord, RunningCall
from gpfn.local.openwhisk.activations import WhiskActivation
from gpfn.local.openwhisk.documents import limits_document
from gpfn.local.openwhisk.log_lines import log_lines
from gpfn.local.openwhisk.results import DEVELOPER_ERROR, ActivationResponse

if TYPE_CHECKING:
    from gpfn.local.openwhisk.records import WhiskAction

__all__ = [
    "CallOrigin",
    "annotations_of",
    "call_record",
    "completed",
    "listed_path_of",
    "path_of",
    "running_call",
]


class CallOrigin(NamedTuple):
    """Who asked for an activation, and how.

    ``began`` is when, in seconds since the epoch; ``via`` and ``caller`` are those of
    `gpfn.local.calls`. ``cause`` is the id of the sequence that it is part of. ``told`` is the
    HTTP status that the caller gets for a response; ``accepted`` says whether the caller has gone
    with nothing but the id, for which there has to be a record then. ``line`` is `CallRecord`'s.
    """

    transaction: str
    began: float
    caller: str
    via: str
    request: CallBody
    told: Callable[[ActivationResponse], int]
    accepted: Callable[[], bool]
    cause: str = ""
    line: str = ""


def path_of(action: WhiskAction) -> str:
    """Return an action's name with its package."""
    return f"{action.ref.package}/{action.ref.name}" if action.ref.package else action.ref.name


def listed_path_of(action: WhiskAction) -> str:
    """Return the name by which lists of activations find it: the binding's, if it came by one."""
    if not action.binding:
        return path_of(action)
    return f"{action.binding.rpartition('/')[2]}/{action.ref.name}"


def annotations_of(action: WhiskAction) -> tuple[tuple[str, Any], ...]:
    """Return what an activation says of its action."""
    binding = (("binding", action.binding),) if action.binding else ()
    return (
        ("limits", limits_document(action.limits)),
        ("path", str(action.ref)),
        ("kind", action.exec.kind),
        *binding,
    )


def completed(
    action: WhiskAction,
    one: WhiskActivation,
    outcome: CallOutcome,
    response: ActivationResponse,
    asked: CallOrigin,
) -> WhiskActivation:
    """Return the record of an activation that is over.

    What it took until the process listened counts as its initialization, as the platform asks
    for that as soon as there is a container.
    """
    stages, end = outcome.stages, time.time()
    init = 1000 * (stages.start + stages.init)
    duration = round(init + 1000 * stages.run)
    ended = int(1000 * end)
    start = ended - duration
    late = "timed out" in outcome.failure
    more: list[tuple[str, Any]] = [("timeout", late)]
    if asked.cause:
        more.append(("causedBy", "sequence"))
    if outcome.cold and outcome.failure not in ("start failed", "removed"):
        more.append(("initTime", round(init)))
    more.append(("waitTime", max(0, start - int(1000 * asked.began))))
    failed = response.code == DEVELOPER_ERROR
    logs = log_lines(outcome.log, action.limits.logs, end, failed=failed)
    return one._replace(
        start=start,
        end=ended,
        duration=duration,
        response=response,
        annotations=(*one.annotations, *more),
        logs=tuple(logs),
    )


def running_call(action: WhiskAction, asked: CallOrigin, identifier: str) -> RunningCall:
    """Return what is told of a call that begins."""
    key, name = str(action.ref), path_of(action)
    return RunningCall(identifier, "openwhisk", key, name, asked.caller, asked.via, asked.began)


def call_record(
    action: WhiskAction, identifier: str, asked: CallOrigin, outcome: CallOutcome, status: int
) -> CallRecord:
    """Return what is kept of a call that is over; ``status`` is what its caller got."""
    answer = outcome.answer
    body = b"" if answer is None else answer.body
    return CallRecord(
        *running_call(action, asked, identifier),
        status,
        stages=outcome.stages,
        cold=outcome.cold,
        failure=outcome.failure,
        detail=outcome.detail or _interpreter(action, outcome),
        memory=outcome.memory,
        request=asked.request,
        reply=CallBody("application/json", body, len(body)) if body else CallBody(),
        log=outcome.log,
        line=asked.line,
    )


def _interpreter(action: WhiskAction, outcome: CallOutcome) -> str:
    """Say which Python stands for the one that an action asks for."""
    if not outcome.cold or not action.exec.kind.startswith("python:"):
        return ""
    return f"{action.exec.kind} is run here by Python {sys.version.split()[0]}"
