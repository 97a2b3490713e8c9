"""Docstrings as Markdown: they are written for a terminal, where a role and a session are plain."""

import re

import griffe

__all__ = ["Readable", "readable"]

_ROLE = re.compile(r":(?:class|func|meth|mod|data|exc):`~?([^`]+)`")
_SESSION = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)


def readable(text: str) -> str:
    """Return a docstring with roles as code and sessions of the interpreter as blocks."""
    text = _ROLE.sub(r"`\1`", text)
    return _SESSION.sub(lambda session: f"```pycon\n{session[0]}\n```", text)


class Readable(griffe.Extension):
    """What mkdocstrings calls for each thing that it has read."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Rewrite the thing's docstring."""
        if obj.docstring:
            obj.docstring.value = readable(obj.docstring.value)
