"""What func.yaml says of a function, as each platform takes it, and what of that has changed.

What is sent after an edit is what func.yaml says otherwise than before, and no more: the rest may
have been changed by hand since.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gpfn.local.openwhisk.limits import LIMIT_RANGES

if TYPE_CHECKING:
    from gpfn.local.folders import LocalFunction

__all__ = ["action_changes", "action_fields", "fn_changes", "fn_fields"]

_WEB = {"web-export": True, "raw-http": False, "final": True}
"""What ``wsk action create --web true`` says (wsk, commands/action.go): no caller of the web action
has parameters of its own in the place of the action's."""


def fn_fields(function: LocalFunction) -> dict[str, Any]:
    """Return what a function of Fn is given."""
    target = function.target
    return {
        "image": function.image,
        "memory": target.memory,
        "timeout": int(target.timeout),
        "idle_timeout": function.idle_timeout,
        "config": dict(target.config),
    }


def action_fields(function: LocalFunction) -> dict[str, Any]:
    """Return what an action is given; its limits are brought into OpenWhisk's ranges."""
    wanted = {"timeout": int(function.target.timeout * 1000), "memory": function.target.memory}
    ranges = {key: LIMIT_RANGES[key] for key in wanted}
    return {
        "exec": {"kind": "blackbox", "image": function.image},
        "annotations": [{"key": key, "value": value} for key, value in _WEB.items()],
        "limits": {k: min(max(wanted[k], one.least), one.most) for k, one in ranges.items()},
    }


def fn_changes(before: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """Return what func.yaml says otherwise than before; an empty value of a config removes it."""
    gone = {key: "" for key in before["config"] if key not in said["config"]}
    config = {**gone, **_changed(before["config"], said["config"])}
    return {**_changed(before, said), "config": config}


def action_changes(before: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """Return what func.yaml says otherwise than before; what is left out stays as it is."""
    annotations = [each for each in said["annotations"] if each not in before["annotations"]]
    limits = _changed(before["limits"], said["limits"])
    return {**_changed(before, said), "annotations": annotations, "limits": limits}


def _changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in now.items() if before.get(key) != value}
