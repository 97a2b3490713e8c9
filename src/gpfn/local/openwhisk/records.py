"""Actions, packages, triggers and rules as values."""

from __future__ import annotations

from typing import Any, NamedTuple

from gpfn.local.openwhisk.naming import EntityRef

__all__ = [
    "ActionLimits",
    "WhiskAction",
    "WhiskExec",
    "WhiskPackage",
    "WhiskParameter",
    "WhiskParameters",
    "WhiskRule",
    "WhiskTrigger",
    "merged",
    "value_of",
]


class WhiskParameter(NamedTuple):
    """A parameter or an annotation; ``init`` goes to an action with ``/init`` alone."""

    key: str
    value: Any
    init: bool = False


WhiskParameters = tuple[WhiskParameter, ...]


class ActionLimits(NamedTuple):
    """What an action may have: ``timeout`` in ms, ``memory`` and ``logs`` in MB.

    ``instances`` are processes at one time, None as many as the namespace may have.
    """

    timeout: int = 60_000
    memory: int = 256
    logs: int = 10
    concurrency: int = 1
    instances: int | None = None


class WhiskExec(NamedTuple):
    """What an action runs.

    ``kind`` is resolved (``python:default`` is a version's). ``has_code`` and ``binary`` speak of
    the code, which is read apart from it (`WhiskEntities.code`). ``main`` is "" for the default.
    """

    kind: str
    image: str = ""
    main: str = ""
    has_code: bool = False
    binary: bool = False
    components: tuple[EntityRef, ...] = ()


class WhiskAction(NamedTuple):
    """An action; ``updated`` is in ms since the epoch.

    ``ref`` is where it lies, never a binding's. ``revision`` is another one after each change,
    also of one that was deleted and made again. ``binding`` is the package that it was found by,
    when that is bound to the action's own.
    """

    ref: EntityRef
    exec: WhiskExec
    parameters: WhiskParameters
    annotations: WhiskParameters
    limits: ActionLimits
    version: str
    publish: bool
    updated: int
    revision: int
    binding: str = ""

    @property
    def final(self) -> frozenset[str]:
        """The parameters that a caller may not give: with ``final``, those that have a value."""
        if value_of(self.annotations, "final") is not True:
            return frozenset()
        return frozenset(each.key for each in self.parameters if each.value is not None)


class WhiskPackage(NamedTuple):
    """A package, or with ``binding`` another name of one with parameters of its own."""

    ref: EntityRef
    binding: EntityRef | None
    parameters: WhiskParameters
    annotations: WhiskParameters
    version: str
    publish: bool
    updated: int


class WhiskTrigger(NamedTuple):
    """A trigger; which rules it has say the rules."""

    ref: EntityRef
    parameters: WhiskParameters
    annotations: WhiskParameters
    version: str
    publish: bool
    updated: int


class WhiskRule(NamedTuple):
    """A rule; ``active`` says whether its trigger's events reach its action."""

    ref: EntityRef
    trigger: EntityRef
    action: EntityRef
    active: bool
    annotations: WhiskParameters
    version: str
    publish: bool
    updated: int


def value_of(parameters: WhiskParameters, key: str, default: Any = None) -> Any:
    """Return the value that a key has."""
    return next((each.value for each in parameters if each.key == key), default)


def merged(under: WhiskParameters, over: WhiskParameters) -> WhiskParameters:
    """Return both; of what both have, that of ``over``."""
    return tuple({each.key: each for each in (*under, *over)}.values())
