"""What an entity is after a change; of a new one, what it is at first.

What a client leaves out stays as it is, and what it gives replaces the whole of it, but for
annotations of actions: those are added to the ones that are there, and ``delAnnotations`` takes
some away (Actions.scala, updateWhiskAction). A change counts the version on.
"""

from __future__ import annotations

from typing import TypeVar

from gpfn.local.openwhisk.limits import with_limits
from gpfn.local.openwhisk.naming import EntityRef, is_name
from gpfn.local.openwhisk.reading import EntityChange
from gpfn.local.openwhisk.records import (
    ActionLimits,
    WhiskAction,
    WhiskExec,
    WhiskPackage,
    WhiskParameter,
    WhiskParameters,
    WhiskRule,
    WhiskTrigger,
    merged,
    value_of,
)
from gpfn.local.openwhisk.refusing import WhiskRefusal
from gpfn.local.openwhisk.shelf import now_ms

__all__ = ["changed_action", "changed_package", "changed_rule", "changed_trigger"]

_FIRST = "0.0.1"
_Given = TypeVar("_Given")


def changed_action(ref: EntityRef, old: WhiskAction | None, change: EntityChange) -> WhiskAction:
    """Return an action after a change. Raises WhiskRefusal (400) for a new one without exec."""
    executable = change.exec.exec if change.exec else old.exec if old else None
    if executable is None:
        raise WhiskRefusal(400, "exec undefined")
    return WhiskAction(
        ref,
        executable,
        _action_parameters(old, executable, change),
        _action_annotations(old, executable, change),
        with_limits(old.limits if old else ActionLimits(), change.limits),
        _version(old, change),
        _or(change.publish, old.publish if old else False),
        now_ms(),
        revision=0,
    )


def _action_parameters(
    old: WhiskAction | None, executable: WhiskExec, change: EntityChange
) -> WhiskParameters:
    """Return an action's parameters; a sequence's are its components, whatever is given."""
    if executable.kind == "sequence":
        return (WhiskParameter("_actions", [f"/{each}" for each in executable.components]),)
    if change.parameters is not None:
        return change.parameters
    return () if old is None or old.exec.kind == "sequence" else old.parameters


def _action_annotations(
    old: WhiskAction | None, executable: WhiskExec, change: EntityChange
) -> WhiskParameters:
    kept = tuple(
        each for each in (old.annotations if old else ()) if each.key not in change.del_annotations
    )
    annotations = merged(kept, change.annotations or ())
    if old is None and not any(each.key == "provide-api-key" for each in annotations):
        annotations = (*annotations, WhiskParameter("provide-api-key", False))
    return merged(annotations, (WhiskParameter("exec", executable.kind),))


def changed_package(ref: EntityRef, old: WhiskPackage | None, change: EntityChange) -> WhiskPackage:
    """Return a package after a change; ``binding`` among its annotations is always ours."""
    bound = change.binding or (old.binding if old else None)
    annotations = tuple(each for each in _annotations(old, change) if each.key != "binding")
    if bound:
        value = {"namespace": bound.namespace, "name": bound.name}
        annotations = (*annotations, WhiskParameter("binding", value))
    return WhiskPackage(
        ref,
        bound,
        _or(change.parameters, old.parameters if old else ()),
        annotations,
        _version(old, change),
        _or(change.publish, old.publish if old else False),
        now_ms(),
    )


def changed_trigger(ref: EntityRef, old: WhiskTrigger | None, change: EntityChange) -> WhiskTrigger:
    """Return a trigger after a change. Raises WhiskRefusal (400) for a feed that has no name."""
    annotations = _annotations(old, change)
    if old is None and any(each.key == "feed" for each in annotations):
        feed = value_of(annotations, "feed")
        parts = [part for part in feed.split("/") if part] if isinstance(feed, str) else []
        if not parts or not all(map(is_name, parts)):
            raise WhiskRefusal(400, "Feed name is not valid")
    return WhiskTrigger(
        ref,
        _or(change.parameters, old.parameters if old else ()),
        annotations,
        _version(old, change),
        _or(change.publish, old.publish if old else False),
        now_ms(),
    )


def changed_rule(ref: EntityRef, old: WhiskRule | None, change: EntityChange) -> WhiskRule:
    """Return a rule after a change. Raises WhiskRefusal (400) for half a new one."""
    trigger = change.trigger or (old.trigger if old else None)
    action = change.action or (old.action if old else None)
    if trigger is None or action is None:
        raise WhiskRefusal(400, "rule requires a valid trigger and a valid action")
    return WhiskRule(
        ref,
        trigger,
        action,
        old.active if old else True,
        _annotations(old, change),
        _version(old, change),
        _or(change.publish, old.publish if old else False),
        now_ms(),
    )


def _annotations(
    old: WhiskPackage | WhiskTrigger | WhiskRule | None, change: EntityChange
) -> WhiskParameters:
    return _or(change.annotations, old.annotations if old else ())


def _version(
    old: WhiskAction | WhiskPackage | WhiskTrigger | WhiskRule | None, change: EntityChange
) -> str:
    if change.version is not None:
        return change.version
    if old is None:
        return _FIRST
    begin, _, patch = old.version.rpartition(".")
    return f"{begin}.{int(patch) + 1}"


def _or(given: _Given | None, kept: _Given) -> _Given:
    return kept if given is None else given
