"""One activation of one action: from what was asked to a record of what came of it.

It is run by whoever calls functions (`gpfn.local.calling.FunctionCaller`); what the platform
makes of the outcome stands in `results`. A process that answers 503 says that it is about to
end: then another one runs the activation, as the platform would have it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gpfn.errors import GpfnError
from gpfn.local.calling import CallOutcome, FunctionCall
from gpfn.local.deployed import ActionCode, Deployed, MappedImage
from gpfn.local.openwhisk.activations import WhiskActivation
from gpfn.local.openwhisk.context import (
    ActionContext,
    Arguments,
    arguments_of,
    init_environ,
    run_body,
)
from gpfn.local.openwhisk.recording import (
    CallOrigin,
    annotations_of,
    call_record,
    completed,
    listed_path_of,
    path_of,
    running_call,
)
from gpfn.local.openwhisk.results import (
    ActivationResponse,
    developer_error,
    is_shutting_down,
    response_of,
    whisk_error,
)

if TYPE_CHECKING:
    from gpfn.local.calling import FunctionCaller
    from gpfn.local.calls import Calls
    from gpfn.local.deployed import Resolve
    from gpfn.local.openwhisk.activations import WhiskActivations
    from gpfn.local.openwhisk.entities import WhiskEntities
    from gpfn.local.openwhisk.records import WhiskAction

__all__ = ["ActionRunner", "Busy", "Payload", "TooMuch"]

Payload = dict[str, Any] | list[Any] | None

_IDLE_SECONDS = 600.0  # as long as a container is kept that nobody calls
_WAIT_SECONDS = 300.0
_MOST_ARGUMENT_BYTES = (1 << 20) + 6068  # a payload, and what else a message of the platform has
_TRIES = 3
_MOST_CACHED = 128 << 20
_ENDING = "The action's process says that it is shutting down, each time that it is started."
_FAILED = "gpfn dev failed in the middle of the activation; its log says why."
_OVERLOADED = "System is overloaded, try again later."


class Busy(Exception):
    """The action was not started: too many wait for it already."""


class TooMuch(Exception):
    """The arguments are more than the platform's messages hold, with the parameters."""


class ActionRunner:
    """Runs actions that are no sequences."""

    def __init__(
        self,
        entities: WhiskEntities,
        caller: FunctionCaller,
        calls: Calls,
        activations: WhiskActivations,
        *,
        resolve: Resolve,
        unknown: Callable[[str], str],
        key: str,
    ) -> None:
        self.calls = calls
        self.activations = activations
        self._entities = entities
        self._caller = caller
        self._resolve = resolve
        self._unknown = unknown
        self._key = key
        self._codes: dict[str, tuple[int, ActionCode]] = {}

    async def run(
        self, action: WhiskAction, payload: Payload, asked: CallOrigin, identifier: str
    ) -> WhiskActivation:
        """Run an action; returns the record, which is kept by then. Raises Busy, TooMuch."""
        arguments = arguments_of(action.parameters, payload)
        now = int(1000 * time.time())
        context = ActionContext.of(action, identifier, asked.transaction, self._key)
        body = run_body(arguments, context)
        if len(body) > _MOST_ARGUMENT_BYTES:
            raise TooMuch
        one = WhiskActivation(
            identifier,
            listed_path_of(action),
            action.ref.name,
            action.version,
            now,
            whisk_error(_OVERLOADED),
            annotations=annotations_of(action),
            cause=asked.cause,
        )
        with self.begun(action, one, asked):
            outcome = await self._outcome(action, arguments, context, body)
            return self._settled(action, one, outcome, asked)

    @contextmanager
    def begun(self, action: WhiskAction, one: WhiskActivation, asked: CallOrigin) -> Iterator[None]:
        """Begin an activation, which the block ends; a fault of ours ends it too, and is raised."""
        self.activations.begin(one)
        self.calls.begin(running_call(action, asked, one.id))
        try:
            yield
        except Busy:  # it has ended
            raise
        except Exception:
            response, outcome = whisk_error(_FAILED), CallOutcome(None, "crashed", _FAILED)
            ended = int(1000 * time.time())
            try:
                self.activations.put(
                    one._replace(end=ended, duration=ended - one.start, response=response)
                )
            finally:
                self.calls.add(call_record(action, one.id, asked, outcome, asked.told(response)))
            raise

    async def _outcome(
        self, action: WhiskAction, arguments: Arguments, context: ActionContext, body: bytes
    ) -> CallOutcome | ActivationResponse:
        """Return what came of the call, or why there was none."""
        source = self._source(action.exec.image)
        if isinstance(source, str):
            told = f"Failed to pull container image '{action.exec.image}'."
            return developer_error(f"{told} {source}")
        seconds = action.limits.timeout / 1000
        environ = init_environ(arguments, context)
        call = FunctionCall(
            context.activation_id, body, seconds, _WAIT_SECONDS, environ,
            renew=lambda: run_body(arguments, context.from_now(action.limits.timeout)),
        )  # fmt: skip
        deployed = self._deployed(action, source)
        for _ in range(_TRIES):
            outcome = await self._caller.call(deployed, call)
            if not is_shutting_down(outcome):
                return outcome
        return whisk_error(_ENDING)

    def _source(self, image: str) -> MappedImage | str:
        """Return what is run for an image, or why nothing is."""
        if not image:
            return MappedImage("")
        try:
            return self._resolve(image) or self._unknown(image)
        except (GpfnError, OSError) as error:  # its folder went, or cannot be read
            return str(error)

    def _deployed(self, action: WhiskAction, source: MappedImage) -> Deployed:
        return Deployed(
            key=str(action.ref),
            platform="openwhisk",
            name=path_of(action),
            revision=f"{action.revision}-{source.revision}",
            file=source.file,
            handler=source.handler,
            code=self._code(action),
            image=source.image,
            memory=action.limits.memory,
            timeout=action.limits.timeout / 1000,
            idle_timeout=_IDLE_SECONDS,
            environ=source.config,
            instances=action.limits.instances,
        )

    def _code(self, action: WhiskAction) -> ActionCode | None:
        """Return an action's code, which is read from the state once."""
        main = action.exec.main
        if not action.exec.has_code:
            return ActionCode("", binary=False, main=main) if main else None
        key = str(action.ref)
        revision, code = self._codes.pop(key, (-1, None))
        if code is None or revision != action.revision:
            text = self._entities.code(action)
            language = "nodejs" if action.exec.kind.startswith("nodejs:") else "python"
            code = ActionCode(text, action.exec.binary, main or "main", language)
        self._codes[key] = (action.revision, code)
        while len(self._codes) > 1 and _size_of(self._codes) > _MOST_CACHED:
            del self._codes[next(iter(self._codes))]
        return code

    def _settled(
        self,
        action: WhiskAction,
        one: WhiskActivation,
        outcome: CallOutcome | ActivationResponse,
        asked: CallOrigin,
    ) -> WhiskActivation:
        """Keep what came of it."""
        if isinstance(outcome, ActivationResponse):
            response, outcome = outcome, CallOutcome(None)
        elif outcome.failure == "busy":
            response = whisk_error(_OVERLOADED)
            if not asked.accepted():
                self.activations.forget(one.id)
                self.calls.add(call_record(action, one.id, asked, outcome, 429))
                raise Busy
        else:
            response = response_of(outcome, action.limits.timeout)
        done = completed(action, one, outcome, response, asked)
        self.activations.put(done)
        self.calls.add(call_record(action, one.id, asked, outcome, asked.told(response)))
        return done


def _size_of(codes: dict[str, tuple[int, ActionCode]]) -> int:
    return sum(len(code.text) for _, code in codes.values())
