"""The routes of triggers and rules, but for firing (Triggers.scala, Rules.scala)."""

from __future__ import annotations

from collections.abc import Sequence

from gpfn.http.loop import Response
from gpfn.local.openwhisk.asking import WhiskRequest, WhiskRoute
from gpfn.local.openwhisk.documents import rule_document, trigger_document
from gpfn.local.openwhisk.entities import WhiskEntities
from gpfn.local.openwhisk.listing import list_reply
from gpfn.local.openwhisk.reading import read_state
from gpfn.local.openwhisk.refusing import json_reply

__all__ = ["RuleRoutes", "TriggerRoutes"]

_TRIGGERS = "/api/v1/namespaces/{namespace}/triggers"
_RULES = "/api/v1/namespaces/{namespace}/rules"
_TEXT = (("content-type", "text/plain; charset=UTF-8"),)


class TriggerRoutes:
    """Triggers are made, read, changed, listed and removed."""

    def __init__(self, entities: WhiskEntities) -> None:
        self._entities = entities

    @property
    def routes(self) -> Sequence[WhiskRoute]:
        """What is answered here."""
        return [
            WhiskRoute("GET", _TRIGGERS, self._list),
            WhiskRoute("GET", f"{_TRIGGERS}/", self._list),
            WhiskRoute("PUT", f"{_TRIGGERS}/{{name}}", self._put),
            WhiskRoute("GET", f"{_TRIGGERS}/{{name}}", self._get),
            WhiskRoute("DELETE", f"{_TRIGGERS}/{{name}}", self._delete),
        ]

    def _put(self, request: WhiskRequest) -> Response:
        overwrite = request.flag("overwrite")
        body = request.json_object(needed=True)
        trigger = self._entities.put_trigger(request.ref, body, overwrite=overwrite)
        return json_reply(trigger_document(trigger, self._entities.rules_of(trigger.ref)))

    def _get(self, request: WhiskRequest) -> Response:
        trigger = self._entities.trigger(request.ref)
        return json_reply(trigger_document(trigger, self._entities.rules_of(trigger.ref)))

    def _delete(self, request: WhiskRequest) -> Response:
        rules = self._entities.rules_of(request.ref)
        return json_reply(trigger_document(self._entities.delete_trigger(request.ref), rules))

    def _list(self, request: WhiskRequest) -> Response:
        entities = self._entities
        return list_reply(request, "triggers", entities.triggers, lambda: entities.count("trigger"))


class RuleRoutes:
    """Rules are made, read, changed, switched, listed and removed."""

    def __init__(self, entities: WhiskEntities) -> None:
        self._entities = entities

    @property
    def routes(self) -> Sequence[WhiskRoute]:
        """What is answered here."""
        return [
            WhiskRoute("GET", _RULES, self._list),
            WhiskRoute("GET", f"{_RULES}/", self._list),
            WhiskRoute("PUT", f"{_RULES}/{{name}}", self._put),
            WhiskRoute("GET", f"{_RULES}/{{name}}", self._get),
            WhiskRoute("DELETE", f"{_RULES}/{{name}}", self._delete),
            WhiskRoute("POST", f"{_RULES}/{{name}}", self._switch),
        ]

    def _put(self, request: WhiskRequest) -> Response:
        overwrite = request.flag("overwrite")
        body = request.json_object(needed=True)
        rule = self._entities.put_rule(request.ref, body, overwrite=overwrite)
        return json_reply(rule_document(rule))

    def _get(self, request: WhiskRequest) -> Response:
        return json_reply(rule_document(self._entities.rule(request.ref)))

    def _delete(self, request: WhiskRequest) -> Response:
        return json_reply(rule_document(self._entities.delete_rule(request.ref)))

    def _switch(self, request: WhiskRequest) -> Response:
        """Switch a rule on or off. The platform says nothing but OK, in plain text."""
        self._entities.set_rule(request.ref, active=read_state(request.json_object(needed=True)))
        return Response(200, _TEXT, (b"OK",))

    def _list(self, request: WhiskRequest) -> Response:
        entities = self._entities
        return list_reply(request, "rules", entities.rules, lambda: entities.count("rule"))
