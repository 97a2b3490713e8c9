"""What is called on OpenWhisk here: its routes together, and what they share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from gpfn.local.openwhisk.answering import InvocationRoutes
from gpfn.local.openwhisk.api import GUEST_KEY
from gpfn.local.openwhisk.asking import WhiskRoute
from gpfn.local.openwhisk.firing import FiringRoutes
from gpfn.local.openwhisk.invoking import Invoker, InvokingSettings
from gpfn.local.openwhisk.recalling import ActivationRoutes
from gpfn.local.openwhisk.running import ActionRunner
from gpfn.local.openwhisk.web import WebRoutes

if TYPE_CHECKING:
    from gpfn.local.calling import FunctionCaller
    from gpfn.local.calls import Calls
    from gpfn.local.deployed import Resolve
    from gpfn.local.openwhisk.activations import WhiskActivations
    from gpfn.local.openwhisk.entities import WhiskEntities
    from gpfn.log import Log

__all__ = ["WhiskCalls"]


class WhiskCalls:
    """Runs actions, sequences and what triggers lead to, and tells of what was."""

    def __init__(
        self,
        entities: WhiskEntities,
        caller: FunctionCaller,
        calls: Calls,
        activations: WhiskActivations,
        *,
        resolve: Resolve,
        unknown: Callable[[str], str],
        log: Log,
        settings: InvokingSettings | None = None,
        key: str = GUEST_KEY,
    ) -> None:
        """``resolve`` finds what an image's name stands for, ``unknown`` says what to do if not."""
        runner = ActionRunner(
            entities, caller, calls, activations, resolve=resolve, unknown=unknown, key=key
        )
        self._invoker = Invoker(entities, runner, log, settings or InvokingSettings())
        areas = (
            InvocationRoutes(entities, self._invoker),
            FiringRoutes(entities, self._invoker, activations, log),
            ActivationRoutes(activations),
            WebRoutes(entities, self._invoker),
        )
        self.routes: Sequence[WhiskRoute] = [route for area in areas for route in area.routes]

    async def close(self) -> None:
        """End what still runs; its records say so at the next start."""
        await self._invoker.close()
