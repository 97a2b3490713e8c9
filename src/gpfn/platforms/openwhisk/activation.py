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
            name: value if isinstance(value, str) else str(value)
            for name, value in body.items()
            if name != "value" and isinstance(value, str | int | float) and name.isidentifier()
        }
        return cls(
            context.get("activation_id", ""), _deadline(context.get("deadline", "")), context
        )


_current = Activation()


def current() -> Activation:
    """Return the running activation; there is only ever one in a process."""
    return _current


def enter(activation: Activation, environ: MutableMapping[str, str] = os.environ) -> None:
    """Make ``activation`` the running one and tell it to the action as ``__OW_*``.

    What the activation before had and this one has not, is taken back.
    """
    global _current  # noqa: PLW0603 - one activation at a time is the platform's rule
    for name in _current.context.keys() - activation.context.keys():
        environ.pop(_variable(name), None)
    for name, value in activation.context.items():
        environ[_variable(name)] = value.replace("\0", "")
    _current = activation


def _variable(name: str) -> str:
    return _PREFIX + name.upper()


def _deadline(text: str) -> Deadline:
    """Read milliseconds since 1970; what cannot be read sets no deadline."""
    try:
        return Deadline.at_epoch(float(text) / 1000)
    except ValueError:
        return NEVER
