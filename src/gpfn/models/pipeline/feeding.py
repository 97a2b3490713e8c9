"""Which outputs of one stage are which inputs of the next.

The rule is the same wherever the stages stand: by name when they share names, else in order.
What the next stage does not take passes by it, and is answered beside what that gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gpfn.errors import SetupError

__all__ = ["Feed", "feed"]

_SHOWN = 8


class Feed(NamedTuple):
    """Names of outputs by the inputs that they become, and the names of those that pass by."""

    taken: dict[str, str]
    passing: tuple[str, ...] = ()


def feed(gives: Sequence[str], takes: Sequence[str]) -> Feed:
    """Return what becomes of outputs ``gives`` before a stage that takes inputs ``takes``.

    A stage of which no input is known gets all of them as they are. Raises SetupError when
    some are missing.

    >>> feed(["image", "problems"], ["pixels"])
    Feed(taken={'pixels': 'image'}, passing=('problems',))
    """
    if not takes:
        return Feed({name: name for name in gives})
    shared = [name for name in takes if name in gives]
    if len(shared) == len(takes):
        return Feed({name: name for name in takes}, _without(gives, takes))
    if shared or len(gives) < len(takes):
        missing = [name for name in takes if name not in gives]
        told = f"gets {_listed(gives)}, but takes {_listed(takes)}: {_listed(missing)} is missing"
        raise SetupError(told)
    return Feed(dict(zip(takes, gives, strict=False)), tuple(gives[len(takes) :]))


def _without(names: Sequence[str], others: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name not in others)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(f"{name:.99}" for name in names[:_SHOWN]) + more if names else "nothing"
