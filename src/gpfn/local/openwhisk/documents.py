"""From entities to the JSON that clients are sent, and back from what the state keeps.

The state keeps what clients are sent, so that there is one form of each. Keys are in the
platform's order; lists have less in them (whisks_design_document_for_entities_db_v2.1.0.json).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpfn.local.openwhisk.naming import EntityRef, read_ref
from gpfn.local.openwhisk.records import (
    ActionLimits,
    WhiskAction,
    WhiskExec,
    WhiskPackage,
    WhiskParameter,
    WhiskParameters,
    WhiskRule,
    WhiskTrigger,
)

__all__ = [
    "WhiskEntity",
    "action_document",
    "action_of",
    "limits_document",
    "list_document",
    "package_document",
    "package_of",
    "rule_document",
    "rule_of",
    "trigger_document",
    "trigger_of",
    "with_actions",
]

WhiskEntity = WhiskAction | WhiskPackage | WhiskRule | WhiskTrigger


def action_document(action: WhiskAction, code: str | None = None) -> dict[str, Any]:
    """Return an action, with its code if that is given."""
    document = {
        **_name(action.ref),
        "exec": _exec(action.exec, code),
        "parameters": _parameters(action.parameters),
        "limits": limits_document(action.limits),
        **_common(action),
    }
    return document | ({"binding": action.binding} if action.binding else {})


def package_document(package: WhiskPackage) -> dict[str, Any]:
    """Return a package, or a binding of one."""
    bound = package.binding
    return {
        **_name(package.ref),
        "binding": {"namespace": bound.namespace, "name": bound.name} if bound else {},
        "parameters": _parameters(package.parameters),
        **_common(package),
    }


def with_actions(package: WhiskPackage, actions: Sequence[WhiskAction]) -> dict[str, Any]:
    """Return a package with what is said there of its actions; feeds are told apart."""
    told: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
    for action in actions:
        feed = any(each.key == "feed" for each in action.annotations)
        annotations = _parameters(action.annotations)
        entry = {"name": action.ref.name, "version": action.version, "annotations": annotations}
        told[feed].append(entry)
    return {**package_document(package), "actions": told[False], "feeds": told[True]}


def trigger_document(trigger: WhiskTrigger, rules: Sequence[WhiskRule] = ()) -> dict[str, Any]:
    """Return a trigger, and which rules it has."""
    linked = {
        str(rule.ref): {"action": _path(rule.action), "status": _status(rule)} for rule in rules
    }
    return {
        **_name(trigger.ref),
        "parameters": _parameters(trigger.parameters),
        "limits": {},
        **_common(trigger),
        **({"rules": linked} if linked else {}),
    }


def rule_document(rule: WhiskRule, *, status: bool = True) -> dict[str, Any]:
    """Return a rule; in lists it has no ``status``."""
    return {
        **_name(rule.ref),
        **({"status": _status(rule)} if status else {}),
        "trigger": _path(rule.trigger),
        "action": _path(rule.action),
        **_common(rule),
    }


def list_document(entity: WhiskEntity) -> dict[str, Any]:
    """Return an entity as it stands in a list."""
    if isinstance(entity, WhiskRule):
        return rule_document(entity, status=False)
    document = {**_name(entity.ref), **_common(entity)}
    if isinstance(entity, WhiskAction):
        binary = {"binary": entity.exec.binary}
        return document | {"limits": limits_document(entity.limits), "exec": binary}
    if isinstance(entity, WhiskPackage):
        return document | {"binding": package_document(entity)["binding"] or False}
    return document


def action_of(document: dict[str, Any], revision: int) -> WhiskAction:
    """Return the action that a kept document is of."""
    executable = document["exec"]
    return WhiskAction(
        _ref(document),
        WhiskExec(
            executable["kind"],
            executable.get("image", ""),
            executable.get("main", ""),
            executable.get("code") is not None,
            executable.get("binary", False),
            tuple(map(read_ref, executable.get("components", ()))),
        ),
        _read_parameters(document["parameters"]),
        _read_parameters(document["annotations"]),
        ActionLimits(**document["limits"]),
        document["version"],
        document["publish"],
        document["updated"],
        revision,
    )


def package_of(document: dict[str, Any]) -> WhiskPackage:
    """Return the package that a kept document is of."""
    bound = document["binding"]
    return WhiskPackage(
        _ref(document),
        EntityRef("", bound["name"], bound["namespace"]) if bound else None,
        _read_parameters(document["parameters"]),
        *_read_common(document),
    )


def trigger_of(document: dict[str, Any]) -> WhiskTrigger:
    """Return the trigger that a kept document is of."""
    parameters = _read_parameters(document["parameters"])
    return WhiskTrigger(_ref(document), parameters, *_read_common(document))


def rule_of(document: dict[str, Any]) -> WhiskRule:
    """Return the rule that a kept document is of."""
    return WhiskRule(
        _ref(document),
        read_ref(document["trigger"]),
        read_ref(document["action"]),
        document["status"] == "active",
        *_read_common(document),
    )


def _name(ref: EntityRef) -> dict[str, Any]:
    return {"namespace": ref.path, "name": ref.name}


def _common(entity: WhiskEntity) -> dict[str, Any]:
    return {
        "version": entity.version,
        "publish": entity.publish,
        "annotations": _parameters(entity.annotations),
        "updated": entity.updated,
    }


def _exec(executable: WhiskExec, code: str | None) -> dict[str, Any]:
    document: dict[str, Any] = {"kind": executable.kind}
    if executable.kind == "sequence":
        return document | {"components": [f"/{each}" for each in executable.components]}
    if executable.image:
        document["image"] = executable.image
    if code is not None and executable.has_code:
        document["code"] = code
    if executable.main:
        document["main"] = executable.main
    return document | {"binary": executable.binary}


def _parameters(parameters: WhiskParameters) -> list[dict[str, Any]]:
    return [
        {"key": each.key, "value": each.value, **({"init": True} if each.init else {})}
        for each in parameters
    ]


def limits_document(limits: ActionLimits) -> dict[str, int]:
    """Return limits, without those that are not set."""
    return {name: value for name, value in limits._asdict().items() if value is not None}


def _path(ref: EntityRef) -> dict[str, str]:
    return {"path": ref.path, "name": ref.name}


def _status(rule: WhiskRule) -> str:
    return "active" if rule.active else "inactive"


def _ref(document: dict[str, Any]) -> EntityRef:
    return read_ref({"path": document["namespace"], "name": document["name"]})


def _read_parameters(kept: list[dict[str, Any]]) -> WhiskParameters:
    return tuple(WhiskParameter(e["key"], e["value"], e.get("init", False)) for e in kept)


def _read_common(document: dict[str, Any]) -> tuple[WhiskParameters, str, bool, int]:
    annotations = _read_parameters(document["annotations"])
    return annotations, document["version"], document["publish"], document["updated"]
