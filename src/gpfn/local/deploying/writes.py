"""A write to a platform: the request, and the commands that it equals.

A deployment is told of each write before it is sent, so that a dry run has the same way
through. What is shown has no secret in it: of a config's value that looks like one, the
command names a variable of the shell.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

__all__ = ["DoneWrite", "RestWrite", "ShellWord", "Writing", "command_line", "config_words"]

_SECRET_NAME = re.compile(r"pass|secret|token|key|credential|auth|private|signature", re.IGNORECASE)
_SECRET_VALUE = re.compile(r"://[^/@\s]*:[^/@\s]*@|-----BEGIN ")
_REFERENCE = "secret:"


class RestWrite(NamedTuple):
    """What is created or updated: how people call it, the request, and the equal commands."""

    verb: str
    kind: str
    name: str
    method: str
    path: str
    document: Mapping[str, object]
    commands: tuple[str, ...]

    @property
    def doing(self) -> str:
        """The write in a sentence: ``create the app models``."""
        return f"{self.verb} the {self.kind} {self.name}"


class DoneWrite(NamedTuple):
    """What was created or updated, and where it can be called."""

    verb: str
    kind: str
    name: str
    url: str = ""

    def shown(self) -> str:
        """Return it for people: ``created app models``."""
        told = f"{self.verb}d {self.kind} {self.name}"
        return f"{told}: {self.url}" if self.url else told


Writing = Callable[[RestWrite], Mapping[str, object]]
"""Sends a write and returns how the server describes what is there now; of a dry run, nothing."""


class ShellWord(str):
    """A word that is for the shell as it stands, with a variable in it."""

    __slots__ = ()


def command_line(words: Iterable[str]) -> str:
    """Return words as they can be typed into a shell."""
    return " ".join(word if isinstance(word, ShellWord) else shlex.quote(word) for word in words)


def config_words(config: Mapping[str, str]) -> list[str]:
    """Return the options of ``fn`` for a configuration, secrets as variables of the shell."""
    words: list[str] = []
    for name, value in config.items():
        if not value.startswith(_REFERENCE) and _is_secret(name, value):
            variable = re.sub(r"\W", "_", name, flags=re.ASCII)
            words += ["--config", ShellWord(f'{shlex.quote(name)}="${{{variable}}}"')]
        else:
            words += ["--config", f"{name}={value}"]
    return words


def _is_secret(name: str, value: str) -> bool:
    return bool(_SECRET_NAME.search(name) or _SECRET_VALUE.search(value))
