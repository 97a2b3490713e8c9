"""What is checked: a command, an image, or a server that runs already."""

import os
import shlex
import shutil
import sys
from dataclasses import dataclass
from typing import Literal

from gpfn.errors import SetupError

__all__ = ["Kind", "Subject", "parse_subject"]

Kind = Literal["command", "image", "url"]
_URLS = ("http://", "unix:")
_IMAGE = "docker:"


@dataclass(frozen=True, slots=True)
class Subject:
    """A subject: the words of a command, the name of an image, or an address."""

    kind: Kind
    text: str
    words: tuple[str, ...] = ()


def parse_subject(text: str) -> Subject:
    """Tell what a user means.

    ``http://…`` and ``unix:PATH`` run already; ``docker:NAME`` is an image; a text whose
    first word can be executed is a command, any other single word an image.

    Raises SetupError for what is none of them.
    """
    if text.startswith(_URLS):
        return Subject("url", text)
    if text.startswith(_IMAGE):
        return Subject("image", text.removeprefix(_IMAGE))
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise SetupError(f"cannot be split into words: {error}", field="subject") from None
    if not words:
        raise SetupError("expected a URL, a command or an image", field="subject")
    # this environment's own commands are found even where it is not activated
    found = shutil.which(words[0]) or shutil.which(words[0], path=os.path.dirname(sys.executable))
    if found is not None:
        return Subject("command", text, (os.path.abspath(found), *words[1:]))
    if len(words) > 1:
        raise SetupError(f"no such command: {words[0]}", field="subject")
    return Subject("image", text)
