"""What an action is sent with ``/init`` and ``/run``: its parameters, and where it is.

Source: ContainerProxy.scala (initializeAndRun, partitionArguments) and WhiskAction.scala
(containerInitializer). The context is text throughout, the deadline too.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from gpfn.json_exact import dumps
from gpfn.local.openwhisk.naming import GUEST
from gpfn.local.openwhisk.records import WhiskAction, WhiskParameters, value_of

__all__ = ["ActionContext", "Arguments", "arguments_of", "init_environ", "is_truthy", "run_body"]


class ActionContext(NamedTuple):
    """What an activation knows of itself; ``deadline`` is in ms since the epoch.

    ``api_key`` is "" for an action that is not to have it.
    """

    action_name: str
    action_version: str
    activation_id: str
    transaction_id: str
    deadline: int
    api_key: str = ""

    def texts(self) -> dict[str, str]:
        """Return it as it is sent."""
        key = {"api_key": self.api_key} if self.api_key else {}
        return {
            **key,
            "namespace": GUEST,
            "action_name": self.action_name,
            "action_version": self.action_version,
            "activation_id": self.activation_id,
            "transaction_id": self.transaction_id,
            "deadline": str(self.deadline),
        }

    def from_now(self, timeout: int) -> ActionContext:
        """Return it with a deadline in ``timeout`` milliseconds."""
        return self._replace(deadline=int(1000 * time.time()) + timeout)

    @classmethod
    def of(cls, action: WhiskAction, activation: str, transaction: str, key: str) -> ActionContext:
        """Return an action's context; it gets the key by its annotation, or without one."""
        given = value_of(action.annotations, "provide-api-key", True)
        name, allowed = f"/{action.ref}", key if is_truthy(given) else ""
        known = cls(name, action.version, activation, transaction, 0, allowed)
        return known.from_now(action.limits.timeout)


class Arguments(NamedTuple):
    """What a call gives an action: its arguments, and what goes into its environment."""

    value: dict[str, Any] | list[Any]
    environ: Mapping[str, Any] = {}


def arguments_of(
    parameters: WhiskParameters, payload: dict[str, Any] | list[Any] | None
) -> Arguments:
    """Merge a call's payload over an action's parameters; those of ``/init`` go apart.

    An array is an argument as it is: parameters have no names there.
    """
    if isinstance(payload, list):
        return Arguments(payload)
    merged = {**{each.key: each.value for each in parameters}, **(payload or {})}
    init = {each.key for each in parameters if each.init}
    environ = {key: value for key, value in merged.items() if key in init}
    return Arguments({k: v for k, v in merged.items() if k not in init}, environ)


def init_environ(arguments: Arguments, context: ActionContext) -> tuple[tuple[str, str], ...]:
    """Return the environment that ``/init`` sets: parameters as text, and the context."""
    texts = {key: _text(value) for key, value in arguments.environ.items()}
    own = {f"__OW_{key.upper()}": text for key, text in context.texts().items()}
    return tuple({**texts, **own}.items())


def run_body(arguments: Arguments, context: ActionContext) -> bytes:
    """Return the body of ``/run``."""
    return dumps({"value": arguments.value, **context.texts()})


def is_truthy(value: Any) -> bool:
    """Say whether an annotation is set: as the platform does, an empty object is."""
    return bool(value) if isinstance(value, bool | int | float | str) else value is not None


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else dumps(value).decode()
