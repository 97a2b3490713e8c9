"""The route of triggers that are fired: each of its rules calls its action (Triggers.scala).

Nobody waits for the actions. The trigger's activation has a line of JSON for each rule: the id
of the activation that it began, or why it began none.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gpfn.hosts.openwhisk import activation_id
from gpfn.http.loop import Response
from gpfn.json_exact import dumps
from gpfn.local.openwhisk.activations import WhiskActivation
from gpfn.local.openwhisk.answering import id_header
from gpfn.local.openwhisk.asking import WhiskRequest, WhiskRoute
from gpfn.local.openwhisk.invoking import InvokeOrigin, check_parameters
from gpfn.local.openwhisk.refusing import INTERNAL, WhiskRefusal, json_reply
from gpfn.local.openwhisk.results import (
    APPLICATION_ERROR,
    SUCCESS,
    WHISK_ERROR,
    ActivationResponse,
)
from gpfn.local.openwhisk.web_arguments import header_values

if TYPE_CHECKING:
    from gpfn.local.openwhisk.activations import WhiskActivations
    from gpfn.local.openwhisk.entities import WhiskEntities
    from gpfn.local.openwhisk.invoking import Invoker
    from gpfn.local.openwhisk.records import WhiskRule, WhiskTrigger
    from gpfn.log import Log

__all__ = ["FiringRoutes"]

_TRIGGER = "/api/v1/namespaces/{namespace}/triggers/{name}"


class FiringRoutes:
    """Triggers are fired."""

    def __init__(
        self, entities: WhiskEntities, invoker: Invoker, activations: WhiskActivations, log: Log
    ) -> None:
        self._entities = entities
        self._invoker = invoker
        self._activations = activations
        self._log = log

    @property
    def routes(self) -> Sequence[WhiskRoute]:
        """What is answered here."""
        return [WhiskRoute("POST", _TRIGGER, self._fire, most=self._invoker.settings.most_payload)]

    async def _fire(self, request: WhiskRequest) -> Response:
        payload = request.json_object()
        trigger = self._entities.trigger(request.ref)
        rules = self._entities.rules_of(trigger.ref)
        if not any(rule.active for rule in rules):
            return Response(204, (), ())
        identifier, start = activation_id(), int(1000 * time.time())
        arguments = _arguments(trigger, request, payload)
        results = [await self._apply(rule, arguments, request) for rule in rules]
        response = ActivationResponse(SUCCESS, payload)
        name = trigger.ref.name
        fired = WhiskActivation(identifier, name, name, trigger.version, start, response)
        logs = tuple(dumps(result).decode() for result in results)
        self._activations.put(fired._replace(logs=logs))
        return json_reply({"activationId": identifier}, 202, id_header(identifier))

    async def _apply(
        self, rule: WhiskRule, arguments: dict[str, Any], request: WhiskRequest
    ) -> dict[str, Any]:
        """Begin what a rule asks for; returns what is noted of it."""
        code, told = APPLICATION_ERROR, {"error": _inactive(rule)}
        if rule.active:
            try:
                code, told = SUCCESS, {"activationId": await self._begin(rule, arguments, request)}
            except WhiskRefusal as error:
                code = APPLICATION_ERROR if error.status < 500 else WHISK_ERROR
                told = {"error": error.message}
            except Exception as error:  # noqa: BLE001 - what other rules have begun is noted too
                self._log.failure(error, call=request.transaction)
                code, told = WHISK_ERROR, {"error": INTERNAL}
        known = {"rule": str(rule.ref), "action": str(rule.action)}
        return {**known, "statusCode": code, "success": code == SUCCESS, **told}

    async def _begin(
        self, rule: WhiskRule, arguments: dict[str, Any], request: WhiskRequest
    ) -> str:
        action = self._entities.action(rule.action)
        check_parameters(arguments, action.final)
        origin = InvokeOrigin.of(request, f"rule {rule.ref.name}", waits=False)
        return await self._invoker.begin(action, arguments, origin).accept()


def _arguments(
    trigger: WhiskTrigger, request: WhiskRequest, payload: dict[str, Any]
) -> dict[str, Any]:
    """Return what the actions get: the trigger's parameters, the request's headers, its payload.

    All headers, as the platform does it: the key with which it was fired is among them.
    """
    parameters = {each.key: each.value for each in trigger.parameters}
    return {**parameters, "__ow_headers": header_values(request.headers), **payload}


def _inactive(rule: WhiskRule) -> str:
    return f"Rule '{rule.ref}' is inactive, action '{rule.action}' was not activated."
