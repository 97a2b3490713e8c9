"""The YAML of func.yaml: every scalar as text, with bounds on depth and aliases.

``pairs`` and ``text_of`` read nodes as Fn's command line does, by yaml.v2: a plain ``~`` or
``null`` is an empty text, and behind a tag it is a text like any other. An alias is never
copied. ``value_of`` reads what may be any value, such as an annotation's.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import yaml

__all__ = ["YamlRefused", "compose", "explained", "pairs", "text_of", "value_of"]

_MAX_DEPTH = 20
_MAX_ALIASES = 32
_TAGGED = "!"
_BINARY = "tag:yaml.org,2002:binary"
_NULLS = ("", "~", "null", "Null", "NULL")
_MAX_VALUES = 1000  # an annotation has 512 bytes, and there are 100 of them


class YamlRefused(Exception):
    """A place in a func.yaml that is not taken: what is wrong, and the line."""

    def __init__(self, problem: str, mark: yaml.Mark | None) -> None:
        super().__init__(f"line {mark.line + 1}: {problem}" if mark else problem)


class _Loader(yaml.BaseLoader):
    """PyYAML's loader that takes every scalar as text, with bounds on depth and aliases."""

    _depth = 0
    _aliases = 0

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        """Remember a tag such as ``!!str``: behind one, ``null`` is a text like any other."""
        tagged = self.peek_event().tag is not None  # type: ignore[no-untyped-call]
        node = super().compose_scalar_node(anchor)
        node.style = node.style or (_TAGGED if tagged else None)
        return node

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        mark: yaml.Mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        if self.check_event(yaml.AliasEvent):
            self._aliases += 1
        if self._depth >= _MAX_DEPTH or self._aliases > _MAX_ALIASES:
            raise YamlRefused("nested too deeply, or too many aliases", mark)
        self._depth += 1
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node


_Pairs = dict[str, yaml.Node]


def compose(text: str) -> yaml.Node | None:
    """Return the root of a document, None of an empty one; raises YamlRefused, YAMLError."""
    root: yaml.Node | None = _Loader(text).get_single_node()
    return root


def pairs(node: yaml.Node, what: str, known: dict[int, _Pairs | None] | None = None) -> _Pairs:
    """Return a map's values by their keys; what ``<<`` merges in does not replace any.

    ``known`` are the maps that were read for this: one is read once, however often it is
    merged; None stands for one that is being read.
    """
    if not isinstance(node, yaml.MappingNode):
        raise YamlRefused(f"expected {what}", node.start_mark)
    known = {} if known is None else known
    if id(node) in known:
        if (found := known[id(node)]) is None:
            raise YamlRefused("merged into itself", node.start_mark)
        return found
    known[id(node)] = None
    own: _Pairs = {}
    merged: _Pairs = {}
    for key_node, value in node.value:
        key = text_of(key_node)
        if key == "<<" and key_node.style is None:
            for mapping in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                for name, inner in pairs(mapping, "a map to merge", known).items():
                    merged.setdefault(name, inner)
        elif key in own:
            raise YamlRefused(f"{key} is there twice", key_node.start_mark)
        else:
            own[key] = value
    known[id(node)] = found = {**merged, **own}
    return found


def text_of(node: yaml.Node) -> str:
    """Return a scalar's text; raises YamlRefused for a map or a list."""
    if not isinstance(node, yaml.ScalarNode):
        raise YamlRefused("expected text", node.start_mark)
    value: str = node.value
    if node.tag == _BINARY:
        return _from_base64(value, node.start_mark)
    return "" if node.style is None and value in _NULLS else value


def value_of(node: yaml.Node, left: Iterator[int] | None = None, depth: int = 0) -> object:
    """Return any value: maps, lists, texts, and what JSON spells as a number, true or null.

    ``left`` counts down: aliases make a small document a large value. Raises YamlRefused.
    """
    left = iter(range(_MAX_VALUES)) if left is None else left
    if next(left, None) is None or depth > _MAX_DEPTH:
        raise YamlRefused(
            f"expected {_MAX_VALUES} values at most, {_MAX_DEPTH} deep", node.start_mark
        )
    if isinstance(node, yaml.MappingNode):
        found = pairs(node, "a map").items()
        return {key: value_of(value, left, depth + 1) for key, value in found}
    if isinstance(node, yaml.SequenceNode):
        return [value_of(value, left, depth + 1) for value in node.value]
    text = text_of(node)
    if isinstance(node, yaml.ScalarNode) and node.style is not None:
        return text
    if not text:
        return None
    try:
        plain: object = json.loads(text, parse_constant=str)
    except (ValueError, RecursionError):
        return text
    return text if isinstance(plain, dict | list | str) else plain


def _from_base64(text: str, mark: yaml.Mark | None) -> str:
    try:
        return base64.b64decode("".join(text.split()), validate=True).decode()
    except ValueError:
        raise YamlRefused("expected text in base64", mark) from None


def explained(error: yaml.YAMLError) -> str:
    """Return PyYAML's error in one line, with the line of the file."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return " ".join(str(error).split())
    if error.context == "while scanning a simple key":
        return str(YamlRefused("expected key: value", error.context_mark))
    return str(YamlRefused(str(error.problem), error.problem_mark))
