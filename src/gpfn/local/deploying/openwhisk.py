"""Actions onto an OpenWhisk: the requests of ``wsk action update``, which creates as well.

The action is looked for without its code, then put. Annotations and parameters are lists that
a put replaces: those of an action that is there are sent along. The configuration of func.yaml
goes as parameters that the platform makes variables of at ``/init`` (``"init": true``), which
``wsk`` cannot say.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple
from urllib.parse import quote

from gpfn.hosts.openwhisk_server import ActionName, OpenWhiskClient, action_path, web_path
from gpfn.local.deploying.planned import FolderLimits
from gpfn.local.deploying.writes import DoneWrite, RestWrite, Writing, command_line

__all__ = ["WEB", "ActionPlan", "EmptyOpenWhisk", "deploy_actions"]

WEB = ("true", "raw", "false")
"""What ``--web`` takes: whether an action is one of the web, and gets requests as they came."""

_WEB_KEYS = ("web-export", "raw-http", "final")
_WEB_VALUES = {
    "true": (True, False, True),
    "raw": (True, True, True),
    "false": (False, False, False),
}


class ActionPlan(NamedTuple):
    """An action as it is to be on an OpenWhisk: of an image, of code, or of both.

    ``code`` is a zip; ``made_by`` is the command that writes it as ``artifact`` and nothing for
    an image alone. ``kind`` is the platform's own runtime where there is no image.
    """

    name: ActionName
    image: str = ""
    code: bytes = b""
    artifact: str = ""
    made_by: str = ""
    kind: str = ""
    main: str = ""
    web: str = ""
    limits: FolderLimits = FolderLimits()
    config: Mapping[str, str] = {}
    notes: tuple[str, ...] = ()


class EmptyOpenWhisk(OpenWhiskClient):
    """An OpenWhisk of which nothing is known, for a dry run: ``update`` creates as well."""

    def __init__(self, url: str) -> None:
        super().__init__(url, "no:key")

    def find_action(self, name: ActionName) -> None:
        """Return nothing, without asking."""


def deploy_actions(
    client: OpenWhiskClient, plans: Iterable[ActionPlan], write: Writing
) -> Iterator[DoneWrite]:
    """Put actions and their packages onto a server, and yield each write once it is done.

    Raises SetupError for what the server refuses, BackendError when it fails.
    """
    packages: set[tuple[str, str]] = set()
    for plan in plans:
        name = plan.name
        if name.package and (name.namespace, name.package) not in packages:
            packages.add((name.namespace, name.package))
            wanted = _package_write(name)
            write(wanted)
            yield DoneWrite(wanted.verb, wanted.kind, wanted.name)
        found = client.find_action(name)
        wanted = _action_write(plan, found)
        made = write(wanted)
        yield DoneWrite(wanted.verb, wanted.kind, wanted.name, _url(client, plan, made))


def _package_write(name: ActionName) -> RestWrite:
    document = {"namespace": name.namespace, "name": name.package}
    shown = ActionName(name.namespace, "", name.package).shown
    path = f"/api/v1/namespaces/{quote(name.namespace, safe='')}/packages/"
    path += f"{quote(name.package, safe='')}?overwrite=true"
    command = command_line(["wsk", "package", "update", shown])
    return RestWrite("update", "package", shown, "PUT", path, document, (command,))


def _action_write(plan: ActionPlan, found: Mapping[str, object] | None) -> RestWrite:
    document: dict[str, object] = {
        "namespace": plan.name.namespace,
        "name": plan.name.entity,
        "exec": _exec(plan),
        "annotations": _annotations(plan, found),
        "parameters": _parameters(plan, found),
        "limits": _limits(plan),
    }
    kept = {key: value for key, value in document.items() if value}
    path = f"{action_path(plan.name)}?overwrite=true"
    verb = "create" if found is None else "update"
    return RestWrite(verb, "action", plan.name.shown, "PUT", path, kept, _commands(plan))


def _exec(plan: ActionPlan) -> dict[str, object]:
    """Return what runs, with the keys that ``wsk`` sends."""
    given = {
        "kind": "blackbox" if plan.image else plan.kind,
        "code": base64.b64encode(plan.code).decode(),
        "image": plan.image,
        "main": plan.main,
    }
    return {key: value for key, value in given.items() if value}


def _limits(plan: ActionPlan) -> dict[str, int]:
    """Return what func.yaml limits; milliseconds and MB."""
    given = {"timeout": plan.limits.timeout * 1000, "memory": plan.limits.memory}
    return {key: value for key, value in given.items() if value}


def _annotations(
    plan: ActionPlan, found: Mapping[str, object] | None
) -> list[Mapping[str, object]]:
    """Return what says that an action is one of the web, with what it is annotated otherwise."""
    if not plan.web:
        return []
    kept = [pair for pair in _pairs(found, "annotations") if pair["key"] not in _WEB_KEYS]
    told = zip(_WEB_KEYS, _WEB_VALUES[plan.web], strict=True)
    return [*kept, *({"key": key, "value": value} for key, value in told)]


def _parameters(plan: ActionPlan, found: Mapping[str, object] | None) -> list[Mapping[str, object]]:
    """Return the configuration as variables, with the parameters that the action has."""
    if not plan.config:
        return []
    kept = [pair for pair in _pairs(found, "parameters") if pair["key"] not in plan.config]
    ours = (
        {"key": key, "value": value, "init": True} for key, value in plan.config.items() if value
    )
    return [*kept, *ours]


def _pairs(found: Mapping[str, object] | None, name: str) -> list[Mapping[str, object]]:
    listed = (found or {}).get(name)
    items = listed if isinstance(listed, list) else []
    return [item for item in items if isinstance(item, dict) and "key" in item]


def _commands(plan: ActionPlan) -> tuple[str, ...]:
    words = ["wsk", "action", "update", plan.name.shown]
    words += [plan.artifact] if plan.artifact else []
    words += ["--docker", plan.image] if plan.image else ["--kind", plan.kind]
    options = {
        "--main": plan.main,
        "--memory": str(plan.limits.memory or ""),
        "--timeout": str(plan.limits.timeout * 1000 or ""),
        "--web": plan.web,
    }
    words += [word for name, value in options.items() if value for word in (name, value)]
    lines = [plan.made_by] if plan.made_by else []
    if any(plan.config.values()):
        names = ", ".join(ascii(name) for name, value in plan.config.items() if value)
        lines.append(f"# wsk cannot send variables; gpfn deploy sends {names}")
    return (*lines, command_line(words))


def _url(client: OpenWhiskClient, plan: ActionPlan, made: Mapping[str, object]) -> str:
    """Return the URL of a web action, once it is one."""
    namespace = made.get("namespace")
    if plan.web not in ("true", "raw") or not isinstance(namespace, str):
        return ""
    return client.shown + web_path(plan.name, namespace.partition("/")[0])
