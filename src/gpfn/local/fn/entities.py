"""Apps, functions and triggers as an Fn server keeps them.

Ids never change while an entity exists, also over restarts: ``fn`` remembers the endpoint of a
function for 15 minutes. Config and annotations are merged into what is there; an empty value
removes a key. Source: fnproject/fn 0.3.753, api/datastore/sql/sql.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from gpfn.local.fn.entity import App, EntityRows, Fn, Trigger
from gpfn.local.fn.errors import FnError
from gpfn.local.fn.rules import (
    check_app,
    check_fn,
    check_trigger,
    merged_annotations,
    merged_config,
)
from gpfn.local.state import State

__all__ = ["App", "Fn", "FnEntities", "Trigger"]

_JSON = ("config", "annotations")
_DEFAULTS = {"memory": 128, "timeout": 30, "idle_timeout": 30}
_MOST_REMEMBERED = 10_000

_Entity = TypeVar("_Entity", App, Fn, Trigger)


class FnEntities:
    """The entities of a state. What is wrong is raised as `FnError`, in the server's words.

    ``fields`` and ``changes`` are members by their JSON names, as `documents.read` returns them.
    """

    def __init__(self, state: State) -> None:
        self._rows = EntityRows(state)
        self._state = state
        self._for_call: dict[str, tuple[App, Fn]] = {}
        self._by_source: dict[tuple[str, str], Trigger] = {}
        self._told: list[Callable[[str], object]] = []

    def on_removed(self, told: Callable[[str], object]) -> None:
        """Tell of every function that is removed, by its id."""
        self._told.append(told)

    def _tell_removed(self, identifiers: Sequence[str]) -> None:
        self._forget()
        for identifier in identifiers:
            for told in self._told:
                told(identifier)

    # apps

    def apps(self, *, name: str = "", after: str = "", limit: int = 100) -> Sequence[App]:
        """Return apps by their names, those behind the name ``after``; or the one named."""
        return self._rows.list(App, {}, name, after, limit)

    def app(self, identifier: str) -> App:
        """Return an app by its id. Raises FnError (404)."""
        return self._rows.get(App, identifier)

    def find_app(self, name: str) -> App | None:
        """Return an app by its name."""
        return self._rows.find(App, name=name)

    def create_app(self, fields: Mapping[str, Any]) -> App:
        """Make an app. Raises FnError (400, 409)."""
        if fields.get("id"):
            raise FnError("app id given")
        texts = {key: fields.get(key, "") for key in ("name", "syslog_url", "shape")}
        annotations = fields.get("annotations", {})
        check_app(texts["name"], annotations, texts["syslog_url"], texts["shape"])
        config = fields.get("config", {})
        made = {**texts, "config": config, "annotations": annotations}
        return self._rows.insert(App, made, "app exists")

    def update_app(self, identifier: str, changes: Mapping[str, Any]) -> App:
        """Change an app. Raises FnError (400, 404, 409)."""
        old = self._rows.get(App, identifier)
        if changes.get("name") and changes["name"] != old.name:
            raise FnError("app name fixed")
        new = old._replace(
            config=merged_config(old.config, changes.get("config")),
            annotations=merged_annotations(old.annotations, changes.get("annotations")),
            syslog_url=changes.get("syslog_url", old.syslog_url),
        )
        check_app(new.name, new.annotations, new.syslog_url, new.shape)
        return self._changed(self._rows.write(old, new))

    def delete_app(self, identifier: str) -> None:
        """Remove an app with its functions. Raises FnError (404)."""
        self._rows.get(App, identifier)
        with self._state.transaction() as connection:
            found = connection.execute("SELECT id FROM fn_fns WHERE app_id = ?", (identifier,))
            ids = [row[0] for row in found]
            connection.execute("DELETE FROM fn_apps WHERE id = ?", (identifier,))
            connection.execute("DELETE FROM fn_fns WHERE app_id = ?", (identifier,))
            connection.execute("DELETE FROM fn_triggers WHERE app_id = ?", (identifier,))
        self._tell_removed(ids)

    # functions

    def fns(
        self, app_id: str, *, name: str = "", after: str = "", limit: int = 100
    ) -> Sequence[Fn]:
        """Return functions of an app by their names. Raises FnError (400) without an app."""
        if not app_id:
            raise FnError("fn app missing")
        return self._rows.list(Fn, {"app_id": app_id}, name, after, limit)

    def fn(self, identifier: str) -> Fn:
        """Return a function by its id. Raises FnError (404)."""
        return self._rows.get(Fn, identifier)

    def find_fn(self, app_id: str, name: str) -> Fn | None:
        """Return a function by its name."""
        return self._rows.find(Fn, app_id=app_id, name=name)

    def for_call(self, identifier: str) -> tuple[App, Fn]:
        """Return a function and its app for a call of it. Raises FnError (404)."""
        found = self._for_call.get(identifier)
        if found is None:
            fn = self._rows.get(Fn, identifier)
            found = self._rows.get(App, fn.app_id), fn
            if len(self._for_call) < _MOST_REMEMBERED:
                self._for_call[identifier] = found
        return found

    def create_fn(self, fields: Mapping[str, Any]) -> Fn:
        """Make a function. Raises FnError (400, 404, 409)."""
        if fields.get("id"):
            raise FnError("fn id given")
        if not fields.get("app_id"):
            raise FnError("fn app missing")
        made: dict[str, Any] = {
            key: fields.get(key) or default for key, default in _DEFAULTS.items()
        }
        made |= {key: fields.get(key, "") for key in ("name", "app_id", "image")}
        made |= {key: fields.get(key, {}) for key in _JSON}
        check_fn(made)
        made["shape"] = self._rows.get(App, made["app_id"]).shape
        return self._rows.insert(Fn, made, "fn exists")

    def update_fn(self, identifier: str, changes: Mapping[str, Any]) -> Fn:
        """Change a function; its name stays. Raises FnError (400, 404)."""
        old = self._rows.get(Fn, identifier)
        numbers = {key: changes.get(key) or getattr(old, key) for key in _DEFAULTS}
        new = old._replace(
            image=changes.get("image") or old.image,
            config=merged_config(old.config, changes.get("config")),
            annotations=merged_annotations(old.annotations, changes.get("annotations")),
            **numbers,
        )
        check_fn(new._asdict())
        return self._changed(self._rows.write(old, new))

    def put_fn(self, app_name: str, name: str, fields: Mapping[str, Any]) -> Fn:
        """Make or change a function by its names, and its app if need be, as a deploy does.

        Its ``config`` is what is given, and no more; nothing is written when nothing changes.
        """
        with self._state.transaction():
            app = self.find_app(app_name) or self.create_app({"name": app_name})
            old = self.find_fn(app.id, name)
            if old is None:
                return self.create_fn({**fields, "app_id": app.id, "name": name})
            gone = dict.fromkeys(old.config, "")
            return self.update_fn(
                old.id, {**fields, "config": {**gone, **fields.get("config", {})}}
            )

    def delete_fn(self, identifier: str) -> None:
        """Remove a function with its triggers. Raises FnError (404)."""
        self._rows.get(Fn, identifier)
        with self._state.transaction() as connection:
            connection.execute("DELETE FROM fn_triggers WHERE fn_id = ?", (identifier,))
            connection.execute("DELETE FROM fn_fns WHERE id = ?", (identifier,))
        self._tell_removed([identifier])

    # triggers

    def triggers(
        self, app_id: str, *, fn_id: str = "", name: str = "", after: str = "", limit: int = 100
    ) -> Sequence[Trigger]:
        """Return triggers of an app, or of one function of it, by their names.

        Raises FnError (400) without an app.
        """
        if not app_id:
            raise FnError("trigger app missing")
        of_fn = {"fn_id": fn_id} if fn_id else {}
        return self._rows.list(Trigger, {"app_id": app_id, **of_fn}, name, after, limit)

    def trigger(self, identifier: str) -> Trigger:
        """Return a trigger by its id. Raises FnError (404)."""
        return self._rows.get(Trigger, identifier)

    def find_trigger(self, app_id: str, source: str) -> Trigger | None:
        """Return the trigger that listens on exactly this source."""
        found = self._by_source.get((app_id, source))
        if found is None:
            found = self._rows.find(Trigger, app_id=app_id, source=source)
            if found is not None and len(self._by_source) < _MOST_REMEMBERED:
                self._by_source[app_id, source] = found
        return found

    def create_trigger(self, fields: Mapping[str, Any]) -> Trigger:
        """Make a trigger. Raises FnError (400, 404, 409)."""
        given = (("id", "id given"), ("created_at", "created"), ("updated_at", "updated"))
        for key, kind in given:
            if fields.get(key):
                raise FnError(f"trigger {kind}")
        made = {key: fields.get(key, "") for key in ("name", "app_id", "fn_id", "type", "source")}
        made["annotations"] = fields.get("annotations", {})
        check_trigger(made)
        self._rows.get(App, made["app_id"])
        if self._rows.get(Fn, made["fn_id"]).app_id != made["app_id"]:
            raise FnError("trigger fn other")
        if self.find_trigger(made["app_id"], made["source"]) is not None:
            raise FnError("trigger source exists")
        return self._rows.insert(Trigger, made, "trigger exists")

    def update_trigger(self, identifier: str, changes: Mapping[str, Any]) -> Trigger:
        """Change a trigger; its app and type stay. Raises FnError (400, 404).

        As on a real server, the new source may be another trigger's, and an unknown function or
        a name that is taken is not told with words of its own.
        """
        old = self._rows.get(Trigger, identifier)
        texts = {key: changes.get(key) or getattr(old, key) for key in ("name", "fn_id", "source")}
        annotations = merged_annotations(old.annotations, changes.get("annotations"))
        new = old._replace(annotations=annotations, **texts)
        check_trigger(new._asdict())
        return self._changed(self._rows.write(old, new))

    def put_trigger(self, fn: Fn, name: str, source: str) -> Trigger:
        """Make or change a function's trigger by its name. Raises FnError."""
        with self._state.transaction():
            old = self._rows.find(Trigger, app_id=fn.app_id, fn_id=fn.id, name=name)
            if old is not None:
                return self.update_trigger(old.id, {"source": source})
            return self.create_trigger(
                {
                    "app_id": fn.app_id,
                    "fn_id": fn.id,
                    "name": name,
                    "type": "http",
                    "source": source,
                }
            )

    def delete_trigger(self, identifier: str) -> None:
        """Remove a trigger. Raises FnError (404)."""
        self._rows.get(Trigger, identifier)
        with self._state.transaction() as connection:
            connection.execute("DELETE FROM fn_triggers WHERE id = ?", (identifier,))
        self._forget()

    def _changed(self, entity: _Entity) -> _Entity:
        self._forget()
        return entity

    def _forget(self) -> None:
        """Look everything up again: something has changed."""
        self._for_call.clear()
        self._by_source.clear()
