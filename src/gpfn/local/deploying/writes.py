"""A write to a platform: the request, and the commands that it equals.

A deployment is told of each write before it is sent, so that a dry run has the same way
through. What is shown has no secret in it: of a config's value that looks like one, the
command names a variable of the shell.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

__all__ = [
    "DoneWrite",
    "RestWrite",
    "ShellWord",
    "Writing",
    "annotation_words",
    "command_line",
    "config_words",
    "syslog_words",
]

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
    pairs = [_pair(name, value, value) for name, value in config.items()]
    return [word for pair in pairs for word in ("--config", pair)]


def annotation_words(annotations: Mapping[str, object]) -> list[str]:
    """Return the same for annotations, whose values are JSON there."""
    pairs = [_pair(name, value, json.dumps(value)) for name, value in annotations.items()]
    return [word for pair in pairs for word in ("--annotation", pair)]


def syslog_words(url: str) -> list[str]:
    """Return the option for the address of an app's logs, which may have a password in it."""
    if not url:
        return []
    return ["--syslog-url", _variable("SYSLOG_URL") if _is_secret("", url) else url]


def _pair(name: str, value: object, text: str) -> str:
    if _is_secret(name, value):
        return ShellWord(f"{shlex.quote(name)}={_variable(name)}")
    return f"{name}={text}"


def _variable(name: str) -> ShellWord:
    variable = re.sub(r"\W|^(?=\d)", "_", name, flags=re.ASCII)
    return ShellWord(f'"${{{variable}}}"')


def _is_secret(name: str, value: object) -> bool:
    """Say whether a value, or one inside of it, looks like a secret or has the name of one."""
    if isinstance(value, Mapping):
        inside = any(_is_secret(str(key), each) for key, each in value.items())
    elif isinstance(value, list):
        inside = any(_is_secret("", each) for each in value)
    else:
        text = str(value)
        if text.startswith(_REFERENCE):
            return False
        inside = bool(_SECRET_VALUE.search(text))
    return inside or bool(_SECRET_NAME.search(name))
