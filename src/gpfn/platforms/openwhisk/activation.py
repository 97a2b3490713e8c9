"""The circumstances of one activation: ``__OW_*`` variables, and a value for this call.

How much a request to an action may hold, and its result.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from types import MappingProxyType
from typing import NamedTuple

from gpfn.deadline import NEVER, Deadline
from gpfn.limits import Limits
from gpfn.settings import read_size

__all__ = ["Activation", "Settings", "current", "enter"]

_PREFIX = "__OW_"
_SIMPLE = (str, int, float)
_KNOWN = 64


class Activation:
    """One activation; ``context`` has every field that came beside the parameters."""

    __slots__ = ("context", "id")

    def __init__(
        self, identifier: str = "", context: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self.id = identifier
        self.context = context

    @property
    def deadline(self) -> Deadline:
        """When the platform gives up; NEVER when it has not said so in a way to be read."""
        return _deadline(self.context.get("deadline", ""))

    @classmethod
    def from_run(cls, body: Mapping[str, object]) -> Activation:
        """Return the activation that a /run body tells of.

        Numbers are tolerated where the platform's documents say so and its code sends
        text, as for ``deadline``.
        """
        context = {}
        for name, value in body.items():
            if name == "value" or not (name in _variables or name.isidentifier()):
                continue
            if isinstance(value, _SIMPLE):
                text = value if type(value) is str else str(value)
                context[name] = text.replace("\0", "") if "\0" in text else text
        return cls(context.get("activation_id", ""), context)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> Activation:
        """Return the activation that ``__OW_*`` variables tell of, under any runtime."""
        names = ("activation_id", "deadline", "action_name", "namespace")
        return cls.from_run({name: environ.get(_variable(name), "") for name in names})


_current = Activation()
_original: dict[str, str | None] = {}  # of the variables that are set: what was there before
_variables: dict[str, str] = {}  # names of fields as names of variables


def current() -> Activation:
    """Return the running activation; there is only ever one in a process."""
    return _current


def enter(activation: Activation, environ: MutableMapping[str, str] = os.environ) -> None:
    """Make ``activation`` the running one and tell it to the action as ``__OW_*``.

    What the activation before had set is put back: the container's own variables count
    again where this one is silent, as ``__OW_API_HOST`` always does.
    """
    global _current  # noqa: PLW0603 - one activation at a time is the platform's rule
    before, now = _current.context, activation.context
    for name, text in now.items():
        if before.get(name) != text:  # setting a variable costs as much as all the rest
            _set(_variable(name), text, environ)
    for name in before.keys() - now.keys():
        _put_back(_variable(name), environ)
    _current = activation


def _set(variable: str, text: str, environ: MutableMapping[str, str]) -> None:
    if variable not in _original:
        _original[variable] = environ.get(variable)
    environ[variable] = text


def _put_back(variable: str, environ: MutableMapping[str, str]) -> None:
    original = _original.pop(variable, None)
    if original is None:
        environ.pop(variable, None)
    else:
        environ[variable] = original


def _variable(name: str) -> str:
    variable = _variables.get(name)
    if variable is None:
        variable = _PREFIX + name.upper()
        if len(_variables) < _KNOWN:
            _variables[name] = variable
    return variable


def _deadline(text: str) -> Deadline:
    """Read milliseconds since 1970; what cannot be read sets no deadline."""
    try:
        milliseconds = float(text)
    except ValueError:
        return NEVER
    if not -1e15 < milliseconds < 1e15:  # NaN is not either
        return NEVER
    return Deadline.at_epoch(milliseconds / 1000)


_MIB = 1 << 20
_ENVELOPE = 64 << 10  # what stands beside the parameters in /run
_INIT_BYTES = 64 * _MIB  # the platform lets 48 MiB of base64 through


class Settings(NamedTuple):
    """Bounds in bytes; the platform's own unless its operator has raised them there too.

    ``parameter_bytes`` is GPFN_MAX_BODY_BYTES, ``result_bytes`` GPFN_MAX_RESULT_BYTES.
    """

    parameter_bytes: int = _MIB
    result_bytes: int = _MIB

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Return the bounds; raises SetupError for what is no size."""
        result_bytes = read_size("GPFN_MAX_RESULT_BYTES", _MIB, environ=environ)
        return cls(Limits.from_env(environ, body_bytes=_MIB).body_bytes, result_bytes)

    @property
    def run_bytes(self) -> int:
        """The body of /run: the parameters, and what stands beside them."""
        return self.parameter_bytes + _ENVELOPE

    def limits(self, environ: Mapping[str, str] = os.environ) -> Limits:
        """Return the bounds for the server, which has to let /init through."""
        bounds = Limits.from_env(environ)
        return bounds._replace(body_bytes=max(_INIT_BYTES, self.run_bytes))
