"""Reading func.yaml, func.yml and func.json as Fn's command line does.

Fn reads scalars into fields of text (fnproject/cli, common/funcfile.go, by yaml.v2), so
``0123``, ``ON`` and ``12:30`` stay what is written, and a plain ``~`` or ``null`` is an
empty text. ``config`` is a map of texts. Lists and other maps (``triggers``, ``deploy``)
are passed over: nothing here needs them.
https://github.com/fnproject/docs/blob/master/fn/develop/func-file.md

The size, the depth and the aliases of a file are bounded, and an alias is never copied.
"""

from __future__ import annotations

import base64
import codecs
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from gpfn.errors import SetupError
from gpfn.settings import parse_whole

__all__ = ["FUNC_FILES", "FuncFile", "find_func_file", "read_func_file"]

FUNC_FILES = ("func.yaml", "func.yml", "func.json")
"""In the order in which Fn's command line looks for them."""

_MAX_BYTES = 256 << 10
_MAX_DEPTH = 20
_MAX_ALIASES = 32
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_TAGGED = "!"
_BINARY = "tag:yaml.org,2002:binary"
_NULLS = ("", "~", "null", "Null", "NULL")
_CONFIG = "config"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~/-]{0,254}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")
_MEDIA_TYPE = re.compile(r"[\x20-\x7e]{1,255}")
_VARIABLE = re.compile(r"[^=\s\x00-\x1f\x7f]{1,255}")


@dataclass(frozen=True, slots=True)
class FuncFile:
    """What a func.yaml says: its scalars and its config, as text.

    ``lines`` has the line of each top-level key, for messages; func.json has none.
    """

    path: Path | None = None
    texts: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, str] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)

    def text(self, key: str) -> str:
        """Return a scalar, empty when it is not there."""
        return self.texts.get(key, "")

    @property
    def name(self) -> str:
        """What the function is called, empty when nobody says.

        Raises SetupError for what Fn would not take for a name: it goes into logs, images
        and command lines.
        """
        return self._matching("name", _NAME, "a name of letters, digits and . _ ~ - /")

    @property
    def version(self) -> str:
        """Its version, empty when nobody says; raises SetupError as ``name`` does."""
        return self._matching("version", _VERSION, "a version such as 0.0.1")

    @property
    def content_type(self) -> str:
        """The media type of calls, empty when nobody says; raises SetupError as ``name`` does."""
        return self._matching("content_type", _MEDIA_TYPE, "a media type in ASCII")

    def _matching(self, key: str, pattern: re.Pattern[str], expected: str) -> str:
        text = self.text(key)
        if text and not pattern.fullmatch(text):
            raise SetupError(f"expected {expected}, got {text[:60]!r}", field=self.place(key))
        return text

    def place(self, key: str) -> str:
        """Return where a key is, for an error's field: the file, the line and the key."""
        line = f"line {self.lines[key]}: " if key in self.lines else ""
        return f"{self.path}: {line}{key}"

    def whole(self, key: str, default: int) -> int:
        """Return a whole number; ``default`` when it is not there or 0, as Fn has it.

        Raises SetupError for another text, with the file and the line.
        """
        text = self.text(key) or "0"
        if len(text) > 1 and text[0] == "0" and text.isdigit():  # eight, in YAML 1.1
            raise SetupError(f"expected decimal digits, got {text[:60]!r}", field=self.place(key))
        return parse_whole(text, field=self.place(key), most=2**31 - 1) or default


def find_func_file(folder: Path) -> Path | None:
    """Return a folder's func.yaml, func.yml or func.json; None when there is none."""
    return next((folder / name for name in FUNC_FILES if (folder / name).is_file()), None)


def read_func_file(path: Path) -> FuncFile:
    """Read a func.yaml or func.json.

    Raises SetupError with the file and the line that cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        text = data.decode("utf-16" if data.startswith(_UTF16) else "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"cannot be read: {error}", field=str(path)) from error
    if len(data) > _MAX_BYTES:
        raise SetupError(f"has over {_MAX_BYTES} bytes", field=str(path))
    return _from_json(text, path) if path.suffix == ".json" else _from_yaml(text, path)


class _Refused(Exception):
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
            raise _Refused("nested too deeply, or too many aliases", mark)
        self._depth += 1
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node


def _from_yaml(text: str, path: Path) -> FuncFile:
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        return FuncFile(path) if root is None else _from_node(root, path)
    except _Refused as error:
        raise SetupError(str(error), field=str(path)) from None
    except yaml.YAMLError as error:
        raise SetupError(_explained(error), field=str(path)) from None


def _from_node(root: yaml.Node, path: Path) -> FuncFile:
    texts: dict[str, str] = {}
    config: dict[str, str] = {}
    lines: dict[str, int] = {}
    for key, node in _pairs(root, "key: value").items():
        lines[key] = node.start_mark.line + 1
        if key == _CONFIG:
            config = _config(node)
        elif isinstance(node, yaml.ScalarNode):
            texts[key] = _text(node)
    return FuncFile(path, texts, config, lines)


def _config(node: yaml.Node) -> dict[str, str]:
    if isinstance(node, yaml.ScalarNode) and not _text(node):
        return {}
    found = {}
    for key, value in _pairs(node, "config to be a map").items():
        found[key] = _text(value)
        if problem := _unfit(key, found[key]):
            raise _Refused(problem, value.start_mark)
    return found


def _unfit(key: str, value: str) -> str:
    """Return why a process cannot have a variable; nothing when it can."""
    if not _VARIABLE.fullmatch(key):
        return f"config: expected a variable's name, got {key[:60]!r}"
    return f"config: {key} has a NUL, which no variable can hold" if "\0" in value else ""


_Pairs = dict[str, yaml.Node]


def _pairs(node: yaml.Node, what: str, known: dict[int, _Pairs | None] | None = None) -> _Pairs:
    """Return a map's values by their keys; what ``<<`` merges in does not replace any.

    ``known`` are the maps that were read for this: one is read once, however often it is
    merged; None stands for one that is being read.
    """
    if not isinstance(node, yaml.MappingNode):
        raise _Refused(f"expected {what}", node.start_mark)
    known = {} if known is None else known
    if id(node) in known:
        if (found := known[id(node)]) is None:
            raise _Refused("merged into itself", node.start_mark)
        return found
    known[id(node)] = None
    own: _Pairs = {}
    merged: _Pairs = {}
    for key_node, value in node.value:
        key = _text(key_node)
        if key == "<<" and key_node.style is None:
            for mapping in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                for name, inner in _pairs(mapping, "a map to merge", known).items():
                    merged.setdefault(name, inner)
        elif key in own:
            raise _Refused(f"{key} is there twice", key_node.start_mark)
        else:
            own[key] = value
    known[id(node)] = pairs = {**merged, **own}
    return pairs


def _text(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise _Refused("expected text", node.start_mark)
    value: str = node.value
    if node.tag == _BINARY:
        return _from_base64(value, node.start_mark)
    return "" if node.style is None and value in _NULLS else value


def _from_base64(text: str, mark: yaml.Mark | None) -> str:
    try:
        return base64.b64decode("".join(text.split()), validate=True).decode()
    except ValueError:
        raise _Refused("expected text in base64", mark) from None


def _explained(error: yaml.YAMLError) -> str:
    """Return PyYAML's error in one line, with the line of the file."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return " ".join(str(error).split())
    if error.context == "while scanning a simple key":
        return str(_Refused("expected key: value", error.context_mark))
    return str(_Refused(str(error.problem), error.problem_mark))


def _from_json(text: str, path: Path) -> FuncFile:
    try:
        values = json.loads(
            text, parse_int=str, parse_float=str, parse_constant=str, object_pairs_hook=_unique
        )
    except (ValueError, RecursionError) as error:
        raise SetupError(f"not JSON: {error}", field=str(path)) from None
    if not isinstance(values, dict):
        raise SetupError("expected an object", field=str(path))
    config = values.pop(_CONFIG, None) or {}
    if not isinstance(config, dict) or any(isinstance(v, dict | list) for v in config.values()):
        raise SetupError("expected config to be an object of texts", field=str(path))
    texts = {key: value for key, value in values.items() if not isinstance(value, dict | list)}
    variables = {key: _json_text(value) for key, value in config.items()}
    if problems := list(filter(None, map(_unfit, variables, variables.values()))):
        raise SetupError(problems[0], field=str(path))
    return FuncFile(path, {key: _json_text(value) for key, value in texts.items()}, variables)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"{twice} is there twice")
    return found


def _json_text(value: str | bool | None) -> str:
    """Return a scalar as JSON spells it; numbers have been kept as text."""
    return value if isinstance(value, str) else "" if value is None else str(value).lower()
