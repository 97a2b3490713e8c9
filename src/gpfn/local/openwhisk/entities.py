"""All of OpenWhisk's entities in the state, and how they refer to one another.

What is wrong is raised as WhiskRefusal, in the platform's words. There is one namespace.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gpfn.local.openwhisk.changing import (
    changed_action,
    changed_package,
    changed_rule,
    changed_trigger,
)
from gpfn.local.openwhisk.documents import (
    action_document,
    action_of,
    package_document,
    package_of,
    rule_document,
    rule_of,
    trigger_document,
    trigger_of,
)
from gpfn.local.openwhisk.naming import EntityRef
from gpfn.local.openwhisk.reading import read_action, read_package, read_rule, read_trigger
from gpfn.local.openwhisk.records import WhiskAction, WhiskPackage, WhiskRule, WhiskTrigger, merged
from gpfn.local.openwhisk.referring import check_components, check_owner, package_ref
from gpfn.local.openwhisk.refusing import WhiskRefusal, missing
from gpfn.local.openwhisk.shelf import EntityShelf, Shelved
from gpfn.local.state import State

__all__ = ["WhiskEntities"]

_ALL = 1 << 31


class WhiskEntities:
    """The entities of a state. ``body`` is what a client sends: what is absent stays as it is."""

    def __init__(
        self, state: State, *, on_removed: Callable[[str], object] = lambda _: None
    ) -> None:
        """``on_removed`` is called with the path of each action that is no more."""
        self._state = state
        self._removed = on_removed
        self._shelf = EntityShelf(state)

    # actions

    def action(self, ref: EntityRef) -> WhiskAction:
        """Return an action as it is to be called, without its code.

        A package or a binding in ``ref`` is followed, and its parameters are under the action's:
        those of the package, over them the binding's, over them the action's. ``ref`` of what is
        returned is the action's own. Raises WhiskRefusal (404).
        """
        if not ref.package:
            return self.own_action(ref)
        named = self.package(package_ref(ref))
        package = self.merged_package(named.ref)
        own = named.binding or named.ref
        action = self.own_action(EntityRef(own.name, ref.name, own.namespace))
        return action._replace(
            parameters=merged(package.parameters, action.parameters),
            binding=str(named.ref) if named.binding else "",
        )

    def own_action(self, ref: EntityRef) -> WhiskAction:
        """Return the action that lies at a path, with its own parameters alone.

        Raises WhiskRefusal (404).
        """
        return action_of(*self._kept("action", ref))

    def code(self, action: WhiskAction) -> str:
        """Return an action's code; "" if it has none."""
        return self._shelf.code(action.ref)

    def put_action(
        self, ref: EntityRef, body: Mapping[str, Any], *, overwrite: bool = False
    ) -> WhiskAction:
        """Make or change an action.

        Raises WhiskRefusal: 400 for what is wrong in it, 404 without its package, 409 when it is
        there and not to be changed, 413 for what is too large.
        """
        self._check_package(ref)
        change = read_action(body)
        components = change.exec.exec.components if change.exec else ()
        self._check_references(components)
        old = self._replaced("action", ref, overwrite)
        if change.exec and change.exec.exec.kind == "sequence":
            check_components(ref, components, self._find)
        action = changed_action(ref, action_of(*old) if old else None, change)
        code = "" if action.exec.has_code else None  # says that there is some
        with self._state.transaction():
            revision = self._shelf.put("action", ref, action_document(action, code))
            if change.exec is not None:
                self._shelf.put_code(ref, change.exec.code)
        return action._replace(revision=revision)

    def delete_action(self, ref: EntityRef) -> tuple[WhiskAction, str]:
        """Remove an action; returns what it was, and its code. Raises WhiskRefusal (400, 404)."""
        self._check_package(ref)
        action = self.own_action(ref)
        code = self.code(action)
        self._shelf.delete(ref)
        self._removed(str(ref))
        return action, code

    def actions(
        self, package: EntityRef | None = None, *, skip: int = 0, limit: int = _ALL
    ) -> Sequence[WhiskAction]:
        """Return actions, all or those of a package, the last changed first."""
        kept = self._shelf.newest("action", None if package is None else str(package), skip, limit)
        return [action_of(*each) for each in kept]

    # packages

    def package(self, ref: EntityRef) -> WhiskPackage:
        """Return a package or a binding as it is kept. Raises WhiskRefusal (404)."""
        return package_of(self._kept("package", ref).document)

    def merged_package(self, ref: EntityRef) -> WhiskPackage:
        """Return a package; of a binding, with the package's parameters under its own.

        Raises WhiskRefusal (404).
        """
        package = self.package(ref)
        if package.binding is None:
            return package
        below = self.package(package.binding).parameters
        return package._replace(parameters=merged(below, package.parameters))

    def put_package(
        self, ref: EntityRef, body: Mapping[str, Any], *, overwrite: bool = False
    ) -> WhiskPackage:
        """Make or change a package or a binding. Raises WhiskRefusal (400, 409, 413)."""
        if ref.name == "default":
            raise WhiskRefusal(400, "Package name 'default' is reserved.")
        change = read_package(body)
        check_owner((change.binding,))
        bound = None if change.binding is None else self._bound(change.binding)
        old = self._replaced("package", ref, overwrite)
        was = package_of(old.document) if old else None
        if bound and was and was.binding is None:
            said = "Resource is a package and cannot be converted into a binding."
            raise WhiskRefusal(409, said)
        if bound and bound.binding is not None:
            raise WhiskRefusal(400, "Cannot bind to another package binding.")
        package = changed_package(ref, was, change)
        self._shelf.put("package", ref, package_document(package))
        return package

    def delete_package(self, ref: EntityRef, *, force: bool = False) -> WhiskPackage:
        """Remove a package; with ``force`` its actions too. Raises WhiskRefusal (404, 409)."""
        package = self.package(ref)
        actions = self.actions(ref) if package.binding is None else ()
        if actions and not force:
            word = "entity" if len(actions) == 1 else "entities"
            said = f"Package not empty (contains {len(actions)} {word})."
            raise WhiskRefusal(409, f"{said} Set force param or delete package contents.")
        with self._state.transaction():
            for each in (*(action.ref for action in actions), ref):
                self._shelf.delete(each)
        for action in actions:
            self._removed(str(action.ref))
        return package

    def packages(self, *, skip: int = 0, limit: int = _ALL) -> Sequence[WhiskPackage]:
        """Return packages and bindings, the last changed first."""
        kept = self._shelf.newest("package", None, skip, limit)
        return [package_of(each.document) for each in kept]

    # triggers

    def trigger(self, ref: EntityRef) -> WhiskTrigger:
        """Return a trigger. Raises WhiskRefusal (404)."""
        return trigger_of(self._kept("trigger", ref).document)

    def put_trigger(
        self, ref: EntityRef, body: Mapping[str, Any], *, overwrite: bool = False
    ) -> WhiskTrigger:
        """Make or change a trigger. Raises WhiskRefusal (400, 409, 413)."""
        change = read_trigger(body)
        old = self._replaced("trigger", ref, overwrite)
        trigger = changed_trigger(ref, trigger_of(old.document) if old else None, change)
        self._shelf.put("trigger", ref, trigger_document(trigger))
        return trigger

    def delete_trigger(self, ref: EntityRef) -> WhiskTrigger:
        """Remove a trigger; its rules stay, and are not active. Raises WhiskRefusal (404)."""
        trigger = self.trigger(ref)
        with self._state.transaction():
            for rule in self.rules_of(ref):
                ended = rule._replace(active=False)
                self._shelf.rewrite(rule.ref, rule_document(ended), trigger=None)
            self._shelf.delete(ref)
        return trigger

    def triggers(self, *, skip: int = 0, limit: int = _ALL) -> Sequence[WhiskTrigger]:
        """Return triggers, the last changed first."""
        kept = self._shelf.newest("trigger", None, skip, limit)
        return [trigger_of(each.document) for each in kept]

    # rules

    def rule(self, ref: EntityRef) -> WhiskRule:
        """Return a rule. Raises WhiskRefusal (404)."""
        return rule_of(self._kept("rule", ref).document)

    def put_rule(
        self, ref: EntityRef, body: Mapping[str, Any], *, overwrite: bool = False
    ) -> WhiskRule:
        """Make or change a rule; a new one is active. Raises WhiskRefusal (400, 409, 413)."""
        change = read_rule(body)
        check_owner((change.trigger, change.action))
        self._check_references(() if change.action is None else (change.action,))
        old = self._replaced("rule", ref, overwrite)
        rule = changed_rule(ref, rule_of(old.document) if old else None, change)
        if self._shelf.get("trigger", rule.trigger) is None:
            raise WhiskRefusal(400, f"trigger /{rule.trigger} does not exist")
        if self._find(rule.action) is None:
            raise WhiskRefusal(400, f"action /{rule.action} does not exist")
        self._shelf.put("rule", ref, rule_document(rule), trigger=str(rule.trigger))
        return rule

    def set_rule(self, ref: EntityRef, *, active: bool) -> WhiskRule:
        """Let a trigger's events reach a rule's action, or not. Raises WhiskRefusal (404)."""
        rule = self.rule(ref)
        if rule.active != active:
            if self._shelf.get("trigger", rule.trigger) is None:
                raise WhiskRefusal(404, "Only rules with existing triggers can be activated")
            rule = rule._replace(active=active)
            self._shelf.rewrite(ref, rule_document(rule), trigger=str(rule.trigger))
        return rule

    def delete_rule(self, ref: EntityRef) -> WhiskRule:
        """Remove a rule; returns what it was, not active. Raises WhiskRefusal (404)."""
        rule = self.rule(ref)
        self._shelf.delete(ref)
        return rule._replace(active=False)

    def rules(self, *, skip: int = 0, limit: int = _ALL) -> Sequence[WhiskRule]:
        """Return rules, the last changed first."""
        return [rule_of(each.document) for each in self._shelf.newest("rule", None, skip, limit)]

    def rules_of(self, trigger: EntityRef) -> Sequence[WhiskRule]:
        """Return the rules of a trigger, also those that are not active, by their names."""
        return [rule_of(each.document) for each in self._shelf.linked(trigger)]

    # all

    def count(self, kind: str, package: EntityRef | None = None) -> int:
        """Return how many there are of a kind: ``action``, ``package``, ``trigger``, ``rule``."""
        return self._shelf.count(kind, None if package is None else str(package))

    def _kept(self, kind: str, ref: EntityRef) -> Shelved:
        kept = self._shelf.get(kind, ref)
        if kept is None:
            raise missing()
        return kept

    def _replaced(self, kind: str, ref: EntityRef, overwrite: bool) -> Shelved | None:
        """Return what is to be changed, if it is there. Raises WhiskRefusal (409)."""
        old = self._shelf.get(kind, ref)
        if old is not None and not overwrite:
            raise WhiskRefusal(409, "resource already exists")
        return old

    def _check_package(self, ref: EntityRef) -> None:
        """Raise WhiskRefusal for an action in no package (404), or in a binding (400)."""
        if ref.package and self.package(package_ref(ref)).binding:
            raise WhiskRefusal(400, "Operation not permitted on package binding.")

    def _check_references(self, refs: Sequence[EntityRef]) -> None:
        check_owner(refs)
        for ref in refs:
            if ref.package:
                self.package(package_ref(ref))

    def _find(self, ref: EntityRef) -> WhiskAction | None:
        """Return the action that a path leads to, if it is there."""
        try:
            return self.action(ref)
        except WhiskRefusal:
            return None

    def _bound(self, ref: EntityRef) -> WhiskPackage:
        try:
            kept = self._shelf.get("package", ref)
        except WhiskRefusal:
            raise WhiskRefusal(409, "Cannot bind to a resource that is not a package.") from None
        if kept is None:
            raise WhiskRefusal(400, "Binding references a package that does not exist.")
        return package_of(kept.document)
