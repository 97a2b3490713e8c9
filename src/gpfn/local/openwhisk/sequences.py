"""Sequences: each action gets what the one before returned; an error ends it.

The activation of a sequence has the ids of its parts for a log, the sum of their times, and the
response of the last one that ran. Source: SequenceActions.scala.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from gpfn.errors import GpfnError
from gpfn.hosts.openwhisk import activation_id
from gpfn.json_exact import dumps
from gpfn.local.calling import CallStages
from gpfn.local.calls import CallBody, CallRecord
from gpfn.local.openwhisk.activations import WhiskActivation
from gpfn.local.openwhisk.recording import (
    CallOrigin,
    annotations_of,
    listed_path_of,
    path_of,
    running_call,
)
from gpfn.local.openwhisk.results import (
    APPLICATION_ERROR,
    ActivationResponse,
    application_error,
    status_of,
    whisk_error,
)
from gpfn.local.openwhisk.running import Busy, Payload, TooMuch

if TYPE_CHECKING:
    from gpfn.local.openwhisk.entities import WhiskEntities
    from gpfn.local.openwhisk.naming import EntityRef
    from gpfn.local.openwhisk.records import WhiskAction
    from gpfn.local.openwhisk.running import ActionRunner

__all__ = ["SequenceRunner"]

_TOO_LONG = "Too many actions in the sequence."
_MISSING = "Sequence component does not exist."
_FAILED = "Sequence failed."
_DEEPEST = 50


class _Progress(NamedTuple):
    """How far a sequence has come: what the next part gets, and what the parts were."""

    response: ActivationResponse
    ran: int
    ids: tuple[str, ...] = ()
    duration: int = 0
    memory: int = 0
    over: bool = False

    def after(self, part: WhiskActivation, ran: int) -> _Progress:
        """Return it with one more part; a result with an error is the last."""
        limits = dict(part.annotations).get("limits", {})
        result = part.response.result
        return _Progress(
            part.response,
            ran,
            (*self.ids, part.id),
            self.duration + part.duration,
            max(self.memory, limits.get("memory", 0)),
            isinstance(result, dict) and "error" in result,
        )

    def failed(self, response: ActivationResponse) -> _Progress:
        """Return it as it ends without another part."""
        return self._replace(response=response, over=True)


class SequenceRunner:
    """Runs sequences, and what they consist of; ``most`` actions in one, however deep."""

    def __init__(self, entities: WhiskEntities, runner: ActionRunner, most: int) -> None:
        self._entities = entities
        self._runner = runner
        self._most = most

    async def run(
        self, action: WhiskAction, payload: Payload, asked: CallOrigin, identifier: str
    ) -> WhiskActivation:
        """Run a sequence that somebody called; returns its record, which is kept by then."""
        return (await self._run(action, payload, asked, identifier, ran=0, depth=0))[0]

    async def _run(
        self,
        action: WhiskAction,
        payload: Payload,
        asked: CallOrigin,
        identifier: str,
        *,
        ran: int,
        depth: int,
    ) -> tuple[WhiskActivation, int]:
        start = int(1000 * time.time())
        one = _begun(action, asked, identifier, start, topmost=depth == 0)
        with self._runner.begun(action, one, asked):
            within = _within(action, asked, identifier)
            progress = _Progress(ActivationResponse(APPLICATION_ERROR, payload), ran)
            for component in action.exec.components:
                progress = await self._next(component, progress, within, depth)
                if progress.over:
                    break
            done = _ended(one, progress)
            self._runner.activations.put(done)
            self._runner.calls.add(_record(action, done, asked))
        return done, progress.ran

    async def _next(
        self, component: EntityRef, progress: _Progress, asked: CallOrigin, depth: int
    ) -> _Progress:
        """Run one part, or say why it cannot be run."""
        if progress.ran >= self._most or depth >= _DEEPEST:
            return progress.failed(application_error(_TOO_LONG))
        try:
            action = self._entities.action(component)
        except GpfnError:
            return progress.failed(application_error(_MISSING))
        result = progress.response.result
        payload = result if isinstance(result, dict | list) else None
        asked = asked._replace(began=time.time(), request=_body(payload))
        try:
            part, ran = await self._part(action, payload, asked, progress.ran, depth)
        except (Busy, TooMuch):
            return progress.failed(whisk_error(_FAILED))
        return progress.after(part, ran)

    async def _part(
        self, action: WhiskAction, payload: Payload, asked: CallOrigin, ran: int, depth: int
    ) -> tuple[WhiskActivation, int]:
        identifier = activation_id()
        if action.exec.kind == "sequence":
            return await self._run(action, payload, asked, identifier, ran=ran, depth=depth + 1)
        return await self._runner.run(action, payload, asked, identifier), ran + 1


def _within(action: WhiskAction, asked: CallOrigin, identifier: str) -> CallOrigin:
    """Return where the calls of a sequence's parts come from."""
    return asked._replace(
        cause=identifier,
        via=f"sequence {path_of(action)}",
        told=status_of,
        accepted=lambda: False,
        request=CallBody(),
        line="",
    )


def _begun(
    action: WhiskAction, asked: CallOrigin, identifier: str, start: int, *, topmost: bool
) -> WhiskActivation:
    known = dict(annotations_of(action))
    limits = known.pop("limits")
    caused = {} if topmost else {"causedBy": "sequence"}
    wait = {"waitTime": max(0, start - int(1000 * asked.began))}
    annotations: dict[str, Any] = {"topmost": topmost, **known, **caused, **wait, "limits": limits}
    return WhiskActivation(
        identifier,
        listed_path_of(action),
        action.ref.name,
        action.version,
        start,
        whisk_error(_FAILED),
        annotations=tuple(annotations.items()),
        cause=asked.cause,
    )


def _ended(one: WhiskActivation, progress: _Progress) -> WhiskActivation:
    """Return the record; its memory is that of the largest part."""
    known = dict(one.annotations)
    if progress.memory:
        known["limits"] = {
            name: value for name, value in known["limits"].items() if name != "concurrency"
        } | {"memory": progress.memory, "concurrency": 1}
    else:
        del known["limits"]
    return one._replace(
        end=int(1000 * time.time()),
        duration=progress.duration,
        response=progress.response,
        logs=progress.ids,
        annotations=tuple(known.items()),
    )


def _record(action: WhiskAction, done: WhiskActivation, asked: CallOrigin) -> CallRecord:
    return CallRecord(
        *running_call(action, asked, done.id),
        asked.told(done.response),
        stages=CallStages(run=done.duration / 1000),
        request=asked.request,
        reply=_body(done.response.result),
        line=asked.line,
    )


def _body(value: Any) -> CallBody:
    """Return what is kept of what goes from one part to the next."""
    return CallBody() if value is None else CallBody.of("application/json", dumps(value))
