"""Putting the functions of a folder into the state, as ``fn deploy`` and ``wsk`` would.

A function is deployed to Fn under its app, with its triggers, and as an OpenWhisk action of the
same name that is a web action too. What was put there is remembered, with what func.yaml said
then: what somebody changed since with ``fn config`` or ``wsk action update`` stays until func.yaml
says something else of it. What somebody else made under a name is left alone, and so told.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from gpfn.errors import GpfnError
from gpfn.local.deployment_fields import action_changes, action_fields, fn_changes, fn_fields
from gpfn.local.fn.entities import FnEntities
from gpfn.local.fn.entity import App, Fn, Trigger
from gpfn.local.folders import LocalFunction
from gpfn.local.openwhisk.entities import WhiskEntities
from gpfn.local.openwhisk.limits import LIMIT_RANGES
from gpfn.local.openwhisk.naming import EntityRef
from gpfn.local.openwhisk.refusing import WhiskRefusal
from gpfn.local.state import State

__all__ = ["Placing", "app_name"]

_TABLES = (
    """CREATE TABLE IF NOT EXISTS placed (
        platform TEXT NOT NULL, app TEXT NOT NULL, name TEXT NOT NULL,
        id TEXT NOT NULL, said TEXT NOT NULL,
        PRIMARY KEY (platform, app, name)) WITHOUT ROWID""",
)
_APP, _FN, _ACTION, _TRIGGER = "app", "fn", "openwhisk", "trigger"
_GONE = "no func.yaml has its name now"
_ALL = -1  # as SQLite has it
_LONGEST_APP = 30
_MISSING = 404


def app_name(text: str) -> str:
    """Return a folder's name as an app's: letters, digits, ``-`` and ``_``."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text)[:_LONGEST_APP].strip("-") or "app"


class _Placed(NamedTuple):
    """What was put under a name: its id, and what func.yaml said then."""

    app: str
    name: str
    id: str
    said: Mapping[str, Any]


class _Register:
    """What this folder has put into the state, of one kind."""

    def __init__(self, state: State, platform: str) -> None:
        self._state = state
        self._platform = platform

    def get(self, app: str, name: str) -> _Placed | None:
        return next((one for one in self.all() if (one.app, one.name) == (app, name)), None)

    def all(self) -> list[_Placed]:
        rows = self._state.connection.execute(
            "SELECT app, name, id, said FROM placed WHERE platform = ?", (self._platform,)
        )
        return [_Placed(app, name, key, json.loads(said)) for app, name, key, said in rows]

    def put(self, placed: _Placed) -> None:
        values = (self._platform, *placed[:3], json.dumps(placed.said, sort_keys=True))
        statement = "INSERT OR REPLACE INTO placed VALUES (?, ?, ?, ?, ?)"
        self._state.connection.execute(statement, values)

    def drop(self, placed: _Placed) -> None:
        self._state.connection.execute(
            "DELETE FROM placed WHERE platform = ? AND app = ? AND name = ?",
            (self._platform, placed.app, placed.name),
        )


class Placing:
    """Deploys functions, and takes away what it has deployed; ``tell`` is given a line each."""

    def __init__(
        self,
        state: State,
        fns: FnEntities,
        actions: WhiskEntities,
        app: str,
        tell: Callable[[str], object],
    ) -> None:
        state.create(_TABLES)
        self.app = app
        self._state = state
        self._fns = fns
        self._actions = actions
        self._tell = tell
        self._placed_apps = _Register(state, _APP)
        self._placed_fns = _Register(state, _FN)
        self._placed_actions = _Register(state, _ACTION)
        self._placed_triggers = _Register(state, _TRIGGER)
        self._waiting: dict[str, LocalFunction] = {}
        self._problems: dict[str, set[str]] = {}

    def place(self, functions: Iterable[LocalFunction]) -> set[str]:
        """Deploy functions, or what has changed of them, and again what could not be before.

        Returns the names of those that are deployed; what is wrong with another is told, and told
        again only when it is another thing or the function has changed.
        """
        given = {function.name: function for function in functions}
        for name in given:
            self._problems.pop(name, None)
        self._waiting |= given
        placed = set()
        for function in self._waiting.values():  # first: a source may go from one to another
            self._tried(function, "triggers", self._drop_triggers)
        for name, function in [*self._waiting.items()]:
            steps = ((f"app {self.app}", self._place_fn), ("action", self._place_action))
            done = [self._tried(function, what, step) for what, step in steps]
            if all(done):
                placed.add(name)
                del self._waiting[name]
                self._problems.pop(name, None)
                if name not in given:
                    self._tell(f"{name}: deployed now")
        return placed

    def _tried(
        self, function: LocalFunction, what: str, step: Callable[[LocalFunction], object]
    ) -> bool:
        """Do a step of a function's deployment, or tell why not; returns whether it was done."""
        try:
            with self._state.transaction():
                step(function)
        except GpfnError as error:
            self._tell_once(function, f"not deployed ({what}): {' '.join(str(error).split())}")
            return False
        return True

    def _tell_once(self, function: LocalFunction, problem: str) -> None:
        """Tell what is wrong with a function, until it has changed or is deployed only once."""
        problems = self._problems.setdefault(function.name, set())
        if problem not in problems:
            problems.add(problem)
            self._tell(f"{function.name}: {problem}")

    def remove(self, names: Iterable[str]) -> None:
        """Take away what was deployed from here under these names."""
        gone = set(names)
        for name in gone:
            self._waiting.pop(name, None)
            self._problems.pop(name, None)
        if gone:
            self._remove_where(lambda placed: placed.name in gone)

    def remove_others(self, names: Iterable[str]) -> None:
        """Take away what was deployed from here and is of none of these names, or another app."""
        there = set(names)
        self._remove_where(lambda placed: placed.app != self.app or placed.name not in there)

    def _remove_where(self, is_gone: Callable[[_Placed], bool]) -> None:
        with self._state.transaction():
            for placed in self._placed_fns.all():
                if is_gone(placed):
                    self._remove_fn(placed)
            for placed in self._placed_actions.all():
                if is_gone(placed._replace(app=self.app)):  # actions are of no app
                    self._remove_action(placed)

    # Fn

    def _place_fn(self, function: LocalFunction) -> None:
        said = fn_fields(function)
        before = self._placed_fns.get(self.app, function.name)
        there = self._existing_fn(function.name)
        if there is None:
            app = self._fns.find_app(self.app) or self._made_app()
            there = self._fns.create_fn({**said, "name": function.name, "app_id": app.id})
        elif before is None or before.id != there.id:
            self._tell_once(function, f"app {self.app} has one that was made by hand; it stays")
            return
        elif before.said != said:
            there = self._fns.update_fn(there.id, fn_changes(before.said, said))
        self._placed_fns.put(_Placed(self.app, function.name, there.id, said))
        self._place_triggers(function, there)

    def _made_app(self) -> App:
        app = self._fns.create_app({"name": self.app})
        self._placed_apps.put(_Placed(app.name, "", app.id, {}))
        return app

    def _existing_fn(self, name: str) -> Fn | None:
        app = self._fns.find_app(self.app)
        return app and self._fns.find_fn(app.id, name)

    def _drop_triggers(self, function: LocalFunction) -> None:
        """Remove the triggers that func.yaml had and has no more."""
        there = self._existing_fn(function.name)
        if there is None:
            return
        wanted = {trigger.name: trigger.source for trigger in function.triggers}
        found = self._triggers_of(there)
        for placed in self._placed_triggers.all():
            if placed.app != there.id or wanted.get(placed.name) == placed.said["source"]:
                continue
            known = found.get(placed.name)
            if known is not None and known.id == placed.id:
                self._fns.delete_trigger(known.id)
            self._placed_triggers.drop(placed)

    def _place_triggers(self, function: LocalFunction, there: Fn) -> None:
        """Make the triggers that func.yaml has."""
        found = self._triggers_of(there)
        for name, source in ((trigger.name, trigger.source) for trigger in function.triggers):
            if name not in found:
                fields = {"name": name, "type": "http", "source": source}
                owner = {"app_id": there.app_id, "fn_id": there.id}
                made = self._fns.create_trigger({**fields, **owner})
                self._placed_triggers.put(_Placed(there.id, name, made.id, {"source": source}))

    def _triggers_of(self, there: Fn) -> dict[str, Trigger]:
        found = self._fns.triggers(there.app_id, fn_id=there.id, limit=_ALL)
        return {one.name: one for one in found}

    def _remove_fn(self, placed: _Placed) -> None:
        self._placed_fns.drop(placed)
        for trigger in self._placed_triggers.all():
            if trigger.app == placed.id:
                self._placed_triggers.drop(trigger)
        app = self._fns.find_app(placed.app)
        there = app and self._fns.find_fn(app.id, placed.name)
        if app is None or there is None or there.id != placed.id:
            return
        self._fns.delete_fn(there.id)
        why = _GONE if placed.app == self.app else f"the app is {self.app} now"
        self._tell(f"{placed.name}: removed from the app {placed.app}; {why}")
        if placed.app != self.app and not self._fns.fns(app.id, limit=1):
            self._remove_app(app)

    def _remove_app(self, app: App) -> None:
        """Remove an app that was made here, and to which nobody has given anything."""
        made = self._placed_apps.get(app.name, "")
        if made is None or made.id != app.id or app.config or app.annotations or app.syslog_url:
            return
        self._placed_apps.drop(made)
        self._fns.delete_app(app.id)

    # OpenWhisk

    def _place_action(self, function: LocalFunction) -> None:
        said, ref = action_fields(function), EntityRef("", function.name)
        before = self._placed_actions.get("", function.name)
        image = self._action_image(ref)
        if image and (before is None or before.said["exec"]["image"] != image):
            self._tell_once(function, "an action of this name was made by hand; it stays")
            return
        if not image or before is None or before.said != said:
            sent = action_changes(before.said, said) if image and before else said
            self._actions.put_action(ref, sent, overwrite=True)
            self._placed_actions.put(_Placed("", function.name, str(ref), said))
            memory = sent["limits"].get("memory", function.target.memory)
            if memory != function.target.memory:
                span = LIMIT_RANGES["memory"]
                told = f"{memory} MB, as OpenWhisk gives {span.least} to {span.most} MB"
                self._tell(f"{function.name}: its action has {told}")

    def _action_image(self, ref: EntityRef) -> str:
        """Return the image of an action, a word for one without, and nothing when none is there."""
        try:
            return self._actions.action(ref).exec.image or "code"
        except WhiskRefusal as refusal:
            if refusal.status != _MISSING:
                raise
            return ""

    def _remove_action(self, placed: _Placed) -> None:
        self._placed_actions.drop(placed)
        ref = EntityRef("", placed.name)
        if self._action_image(ref) == placed.said["exec"]["image"]:
            self._actions.delete_action(ref)
            self._tell(f"{placed.name}: its action is removed; {_GONE}")
