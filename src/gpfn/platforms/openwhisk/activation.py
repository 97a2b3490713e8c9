"""The circumstances of one activation: ``__OW_*`` variables, and a value for this call."""

import os
from collections.abc import Mapping, MutableMapping
from typing import NamedTuple

from gpfn.deadline import NEVER, Deadline

__all__ = ["Activation", "current", "enter"]

_PREFIX = "__OW_"


class Activation(NamedTuple):
    """One activation; ``context`` has every field that came beside the parameters."""

    id: str = ""
    deadline: Deadline = NEVER
    context: Mapping[str, str] = {}

    @classmethod
    def from_run(cls, body: Mapping[str, object]) -> "Activation":
        """Return the activation that a /run body tells of.

        Numbers are tolerated where the platform's documents say so and its code sends
        text, as for ``deadline``.
        """
        context = {
            name: value.replace("\0", "") if isinstance(value, str) else str(value)
            for name, value in body.items()
            if name != "value" and isinstance(value, str | int | float) and name.isidentifier()
        }
        return cls(
            context.get("activation_id", ""), _deadline(context.get("deadline", "")), context
        )

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> "Activation":
        """Return the activation that ``__OW_*`` variables tell of, under any runtime."""
        names = ("activation_id", "deadline", "action_name", "namespace")
        return cls.from_run({name: environ.get(_variable(name), "") for name in names})


_current = Activation()
_replaced: dict[str, str | None] = {}  # what variables were before the running activation


def current() -> Activation:
    """Return the running activation; there is only ever one in a process."""
    return _current


def enter(activation: Activation, environ: MutableMapping[str, str] = os.environ) -> None:
    """Make ``activation`` the running one and tell it to the action as ``__OW_*``.

    What the activation before had set is put back: the container's own variables count
    again where this one is silent, as ``__OW_API_HOST`` always does.
    """
    global _current  # noqa: PLW0603 - one activation at a time is the platform's rule
    for name, value in _replaced.items():
        if value is None:
            environ.pop(name, None)
        else:
            environ[name] = value
    _replaced.clear()
    for name, text in activation.context.items():
        variable = _variable(name)
        _replaced[variable] = environ.get(variable)
        environ[variable] = text
    _current = activation


def _variable(name: str) -> str:
    return _PREFIX + name.upper()


def _deadline(text: str) -> Deadline:
    """Read milliseconds since 1970; what cannot be read sets no deadline."""
    try:
        milliseconds = float(text)
    except ValueError:
        return NEVER
    if not -1e15 < milliseconds < 1e15:  # NaN is not either
        return NEVER
    return Deadline.at_epoch(milliseconds / 1000)
