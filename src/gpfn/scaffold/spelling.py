"""How names out of a model are written into code and texts: a tensor may be called anything."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpfn.tensors.spec import TensorSpec

__all__ = ["listed", "literal", "plain", "signature_lines", "table_rows", "yaml_name"]

_ODD = re.compile(r"[^\w.:/ -]")
_MOST = 60
_LISTED = 40
"""Tensors that a text lists; a model may have thousands."""
_YAML_WORDS = frozenset(("null", "true", "false", "yes", "no", "on", "off", "y", "n"))


def literal(text: str) -> str:
    """Return ``text`` as a string of Python's in double quotes, on one line."""
    return f'"{"".join(map(_letter, text))}"'


def _letter(letter: str) -> str:
    if letter == '"':
        return '\\"'
    if letter.isprintable() and letter != "\\":
        return letter
    return letter.encode("unicode_escape").decode()


def plain(text: str) -> str:
    """Return ``text`` for a sentence, a comment or a table: ? where it could end one of them."""
    short = text if len(text) <= _MOST else f"{text[: _MOST - 1]}…"
    return _ODD.sub("?", short.replace("…", "")) + ("…" if len(text) > _MOST else "")


def signature_lines(specs: "Iterable[TensorSpec]") -> str:
    """Return a line for each tensor, indented: its name, dtype and shape."""
    from gpfn.tensors.shapes import spec_text

    return "\n".join(listed(f"    {plain(spec.name)}  {spec_text(spec)}" for spec in specs))


def table_rows(specs: "Iterable[TensorSpec]", verb: str) -> list[str]:
    """Return a row of a table for each tensor; ``verb`` says whether it is taken or given."""
    from gpfn.tensors.shapes import spec_text

    return listed(f"| `{plain(spec.name)}`, {verb} | {spec_text(spec)} |" for spec in specs)


def listed(lines: Iterable[str]) -> list[str]:
    """Return the first lines, and none of what is beyond a text's patience."""
    return list(lines)[:_LISTED]


def yaml_name(name: str) -> str:
    """Return a function's name as YAML has it: in quotes where it would be a number or a word."""
    plain_word = name[0].isalpha() and name not in _YAML_WORDS
    return name if plain_word else f'"{name}"'
