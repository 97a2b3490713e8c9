"""What the server says of itself, of its namespaces, and of APIs, of which there are none.

Sources: Controller.scala (``/``), RestAPIs.scala (``/api/v1``), Namespaces.scala.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpfn.http.loop import Response
from gpfn.local.openwhisk.asking import WhiskRequest, WhiskRoute
from gpfn.local.openwhisk.executable import CODE_KINDS, DEFAULT_KINDS
from gpfn.local.openwhisk.limits import CONCURRENT, LIMIT_RANGES, MOST_COMPONENTS
from gpfn.local.openwhisk.naming import GUEST
from gpfn.local.openwhisk.refusing import json_reply

__all__ = ["PER_MINUTE", "describing_routes"]

PER_MINUTE = 60
"""Calls, and triggers fired, in a minute, as the standalone platform has it."""

_SUPPORT = {
    "github": "https://github.com/apache/openwhisk/issues",
    "slack": "http://slack.openwhisk.org",
}


def describing_routes() -> Sequence[WhiskRoute]:
    """Return the routes; an API gateway's list of APIs is where clients look for it."""
    return [
        WhiskRoute("GET", "/", _platform, public=True),
        WhiskRoute("GET", "/api/v1", _version, public=True),
        WhiskRoute("GET", "/api/v1/", _version, public=True),
        WhiskRoute("GET", "/api/v1/namespaces", _namespaces),
        WhiskRoute("GET", "/api/v1/namespaces/", _namespaces),
        WhiskRoute("GET", "/api/v1/web/whisk.system/apimgmt/getApi.http", _apis),  # wsk
        WhiskRoute("GET", "/api/v1/web/whisk.system/apimgmt/getApi", _apis),  # npm's client
    ]


def _platform(_: WhiskRequest) -> Response:
    return json_reply(
        {
            "description": "OpenWhisk",
            "support": _SUPPORT,
            "api_paths": ["/api/v1"],
            "limits": _limits(),
            "runtimes": {
                name: [_runtime(kind) for kind in kinds] for name, kinds in CODE_KINDS.items()
            },
        }
    )


def _runtime(kind: str) -> dict[str, Any]:
    """Return a kind with the platform's own image of it (runtimes.json), which wskdebug starts."""
    language, _, version = kind.partition(":")
    return {
        "kind": kind,
        "image": f"openwhisk/action-{language}-v{version}",
        "deprecated": False,
        "default": kind in DEFAULT_KINDS.values(),
        "attached": True,
        "requireMain": False,
    }


def _limits() -> dict[str, Any]:
    """Return what `wsk` and others show of limits: durations in ms, the rest in bytes."""
    limits: dict[str, Any] = {
        "actions_per_minute": PER_MINUTE,
        "triggers_per_minute": PER_MINUTE,
        "concurrent_actions": CONCURRENT,
        "sequence_length": MOST_COMPONENTS,
    }
    for word, name, unit in (
        ("duration", "timeout", 1),
        ("memory", "memory", 1 << 20),
        ("logs", "logs", 1 << 20),
    ):
        limits[f"min_action_{word}"] = LIMIT_RANGES[name].least * unit
        limits[f"max_action_{word}"] = LIMIT_RANGES[name].most * unit
    return limits


def _version(_: WhiskRequest) -> Response:
    return json_reply(
        {
            "description": "OpenWhisk API",
            "api_version": "1.0.0",
            "api_version_path": "v1",
            "build": "gpfn",
            "buildno": "gpfn",
            "swagger_paths": {"ui": "/docs", "api-docs": "/api-docs"},
        }
    )


def _namespaces(_: WhiskRequest) -> Response:
    return json_reply([GUEST])


def _apis(_: WhiskRequest) -> Response:
    return json_reply({"apis": []})
