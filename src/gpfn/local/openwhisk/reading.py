"""From a client's JSON to what it changes; what is absent or null stays as it is.

Names that the platform does not know are ignored, as it does. Sources: WhiskAction.scala and
its siblings, Parameter.scala; the messages for wrong types are spray-json's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from gpfn import json_exact
from gpfn.local.openwhisk.executable import GivenExec, read_exec
from gpfn.local.openwhisk.limits import check_parameter_size, read_limits
from gpfn.local.openwhisk.naming import EntityRef, is_name, read_ref, ref_of
from gpfn.local.openwhisk.records import WhiskParameter, WhiskParameters, merged
from gpfn.local.openwhisk.refusing import malformed

__all__ = ["EntityChange", "read_action", "read_package", "read_rule", "read_state", "read_trigger"]

_VERSION = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,9}))?(?:\.([0-9]{1,9}))?(?:\..*)?", re.ASCII)
_STATES = {"active": True, "inactive": False}
_CLASSES = {
    **dict.fromkeys((int, float), "JsNumber"),
    list: "JsArray",
    dict: "JsObject",
    bool: "JsBoolean",
    type(None): "JsNull$",
}
"""How the platform calls what is no text, where it says so by accident."""


class EntityChange(NamedTuple):
    """What is to be changed in an entity; None stays as it is.

    ``binding`` is the package that another one is bound to; ``trigger`` and ``action`` are a
    rule's.
    """

    parameters: WhiskParameters | None = None
    annotations: WhiskParameters | None = None
    version: str | None = None
    publish: bool | None = None
    exec: GivenExec | None = None
    limits: Mapping[str, int] | None = None
    del_annotations: tuple[str, ...] = ()
    binding: EntityRef | None = None
    trigger: EntityRef | None = None
    action: EntityRef | None = None


def read_action(body: Mapping[str, Any]) -> EntityChange:
    """Return what a client wants of an action. Raises WhiskRefusal (400, 413)."""
    given = read_exec(body.get("exec"))
    return _common(body)._replace(
        exec=given,
        limits=read_limits(body.get("limits")),
        del_annotations=_texts(body.get("delAnnotations")),
    )


def read_package(body: Mapping[str, Any]) -> EntityChange:
    """Return what a client wants of a package. Raises WhiskRefusal (400, 413)."""
    return _common(body)._replace(binding=_binding(body.get("binding")))


def read_trigger(body: Mapping[str, Any]) -> EntityChange:
    """Return what a client wants of a trigger. Raises WhiskRefusal (400, 413)."""
    limits = body.get("limits")
    if limits is not None and not isinstance(limits, dict):
        raise malformed("JSON object expected")
    return _common(body)


def read_rule(body: Mapping[str, Any]) -> EntityChange:
    """Return what a client wants of a rule. Raises WhiskRefusal (400, 413)."""
    change = _common(body)
    return change._replace(
        trigger=_reference(body.get("trigger")), action=_reference(body.get("action"))
    )


def read_state(body: Mapping[str, Any]) -> bool:
    """Return whether a rule is to be active. Raises WhiskRefusal (400)."""
    if "status" not in body:
        raise malformed("key not found: status")
    status = body["status"]
    if not isinstance(status, str):
        raise malformed(f"{_shown(status)} (of class spray.json.{_CLASSES[type(status)]})")
    if not status.strip():
        raise malformed("requirement failed: argument undefined")
    if status.strip() not in _STATES:
        raise malformed(f"requirement failed: {status.strip():.99} is not a recognized rule state")
    return _STATES[status.strip()]


def _common(body: Mapping[str, Any]) -> EntityChange:
    parameters = _parameters(body.get("parameters"))
    annotations = _parameters(body.get("annotations"))
    check_parameter_size("parameters", parameters or ())
    check_parameter_size("annotations", annotations or ())
    publish = body.get("publish")
    if publish is not None and not isinstance(publish, bool):
        raise malformed(f"Expected JsBoolean, but got {_shown(publish)}")
    return EntityChange(parameters, annotations, _version(body.get("version")), publish)


def _parameters(value: Any) -> WhiskParameters | None:
    """Return a list of keys and values; of a key that stands twice, the last value."""
    if value is None:
        return None
    if not isinstance(value, list):
        raise malformed("parameters malformed!")
    return merged((), tuple(map(_parameter, value)))


def _parameter(value: Any) -> WhiskParameter:
    fields = value if isinstance(value, dict) else {}
    key, init = fields.get("key"), fields.get("init", False)
    if not isinstance(key, str) or "value" not in fields or not isinstance(init, bool):
        raise malformed("parameters malformed!")
    return WhiskParameter(key, fields["value"], init)


def _version(value: Any) -> str | None:
    if value is None:
        return None
    found = _VERSION.fullmatch(value) if isinstance(value, str) else None
    numbers = [int(part or 0) for part in found.groups()] if found else []
    if not any(numbers):
        raise malformed("semantic version malformed")
    return ".".join(map(str, numbers))


def _texts(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise malformed(f"Expected Array as JsArray, but got {_shown(value)}")
    for item in value:
        if not isinstance(item, str):
            raise malformed(f"Expected String as JsString, but got {_shown(item)}")
    return tuple(value)


def _binding(value: Any) -> EntityRef | None:
    """Return the package that one is bound to; nothing for none and for ``{}``."""
    if value is None or value == {}:
        return None
    if not isinstance(value, dict):
        raise malformed("Object expected in field 'namespace'")
    for field in ("namespace", "name"):
        if field not in value:
            raise malformed(f"Object is missing required member '{field}'")
        if not isinstance(value[field], str) or not is_name(value[field]):
            raise malformed("entity name malformed")
    return ref_of([value["namespace"], value["name"]])


def _reference(value: Any) -> EntityRef | None:
    try:
        return None if value is None else read_ref(value)
    except ValueError as error:
        raise malformed(str(error)) from None


def _shown(value: Any) -> str:
    return json_exact.dumps(value).decode()[:99]
