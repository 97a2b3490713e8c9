"""The route of invocations: POST on an action, blocking or not (Actions.scala)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gpfn.http.loop import Response
from gpfn.local.openwhisk.activations import WhiskActivation
from gpfn.local.openwhisk.asking import WhiskRequest, WhiskRoute
from gpfn.local.openwhisk.invoking import InvokeOrigin, check_parameters
from gpfn.local.openwhisk.refusing import WhiskRefusal, json_reply
from gpfn.local.openwhisk.results import status_of

if TYPE_CHECKING:
    from gpfn.local.openwhisk.entities import WhiskEntities
    from gpfn.local.openwhisk.invoking import Invoker

__all__ = ["InvocationRoutes", "id_header"]

_ACTIONS = "/api/v1/namespaces/{namespace}/actions"
_WHOLE = re.compile(r"\+?[0-9]{1,10}", re.ASCII)


class InvocationRoutes:
    """Actions are called."""

    def __init__(self, entities: WhiskEntities, invoker: Invoker) -> None:
        self._entities = entities
        self._invoker = invoker

    @property
    def routes(self) -> Sequence[WhiskRoute]:
        """What is answered here."""
        most = self._invoker.settings.most_payload
        return [
            WhiskRoute("POST", f"{_ACTIONS}{pattern}", self._invoke, most=most)
            for pattern in ("/{name}", "/{package}/{name}")
        ]

    async def _invoke(self, request: WhiskRequest) -> Response:
        blocking, result = request.flag("blocking"), request.flag("result")
        seconds = self._wait(request)
        payload = request.json_object()
        action = self._entities.action(request.ref)
        check_parameters(payload, action.final)
        origin = InvokeOrigin.of(request, "invoke", waits=blocking)
        running = self._invoker.begin(action, payload, origin)
        if not blocking:
            return _accepted(await running.accept())
        activation = await running.wait(seconds)
        return _accepted(running.id) if activation is None else _reply(activation, result)

    def _wait(self, request: WhiskRequest) -> float:
        """Return how long the caller waits; it may ask for less than the platform's time."""
        most = self._invoker.settings.blocking_seconds
        text = request.query.get("timeout")
        if text is None:
            return most
        milliseconds = int(text) if _WHOLE.fullmatch(text) else 0
        if not 0 < milliseconds <= 1000 * most:
            said = f"Timeout must be number of milliseconds up to {round(1000 * most)}."
            raise WhiskRefusal(400, f"The query parameter 'timeout' was malformed:\n{said}")
        return milliseconds / 1000


def id_header(identifier: str) -> tuple[tuple[str, str], ...]:
    """Return the header that names an activation."""
    return (("x-openwhisk-activation-id", identifier),)


def _accepted(identifier: str) -> Response:
    return json_reply({"activationId": identifier}, 202, id_header(identifier))


def _reply(activation: WhiskActivation, result: bool) -> Response:
    """Return an activation, or its result; an array is one that no record can be told from."""
    value: Any = activation.response.result
    document = value if result or isinstance(value, list) else activation.document()
    return json_reply(document, status_of(activation.response), id_header(activation.id))
