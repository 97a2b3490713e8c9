"""Reading func.yaml, func.yml and func.json as Fn's command line does.

Fn reads scalars into fields of text (fnproject/cli, common/funcfile.go, by yaml.v2), so
``0123``, ``ON`` and ``12:30`` stay what is written, and a plain ``~`` or ``null`` is an
empty text. ``config`` is a map of texts, ``triggers`` a list of maps, an annotation any value.
Other lists and maps (``deploy``) are passed over: nothing here needs them.
https://github.com/fnproject/docs/blob/master/fn/develop/func-file.md

The size, the depth and the aliases of a file are bounded.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from gpfn.errors import SetupError
from gpfn.hosts import func_yaml
from gpfn.hosts.func_yaml import YamlRefused, text_of
from gpfn.settings import parse_whole

__all__ = ["FUNC_FILES", "FuncFile", "FuncTrigger", "find_func_file", "read_func_file"]

FUNC_FILES = ("func.yaml", "func.yml", "func.json")
"""In the order in which Fn's command line looks for them."""

_MAX_BYTES = 256 << 10
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_CONFIG, _TRIGGERS, _ANNOTATIONS = "config", "triggers", "annotations"
_NO_TRIGGER = {"name": "", "type": "", "source": ""}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~/-]{0,254}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")
_MEDIA_TYPE = re.compile(r"[\x20-\x7e]{1,255}")
_VARIABLE = re.compile(r"[^=\s\x00-\x1f\x7f]{1,255}")


class FuncTrigger(NamedTuple):
    """A trigger of a func.yaml: its name, its type (``http``), and the path behind the app's."""

    name: str
    type: str
    source: str


@dataclass(frozen=True, slots=True)
class FuncFile:
    """What a func.yaml says: its scalars and its config, as text; its triggers.

    ``annotations`` are values of JSON. ``lines`` has the line of each top-level key, for
    messages; func.json has none.
    """

    path: Path | None = None
    texts: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, str] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)
    triggers: tuple[FuncTrigger, ...] = ()
    annotations: Mapping[str, object] = field(default_factory=dict)

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


def _from_yaml(text: str, path: Path) -> FuncFile:
    try:
        root = func_yaml.compose(text)
        return FuncFile(path) if root is None else _from_node(root, path)
    except YamlRefused as error:
        raise SetupError(str(error), field=str(path)) from None
    except yaml.YAMLError as error:
        raise SetupError(func_yaml.explained(error), field=str(path)) from None


def _from_node(root: yaml.Node, path: Path) -> FuncFile:
    found = func_yaml.pairs(root, "key: value")
    lines = {key: node.start_mark.line + 1 for key, node in found.items()}
    config = _config(found.pop(_CONFIG, None))
    triggers = _triggers(found.pop(_TRIGGERS, None))
    annotations = _annotations(found.pop(_ANNOTATIONS, None))
    texts = {k: text_of(node) for k, node in found.items() if isinstance(node, yaml.ScalarNode)}
    return FuncFile(path, texts, config, lines, triggers, annotations)


def _is_empty(node: yaml.Node | None) -> bool:
    return node is None or (isinstance(node, yaml.ScalarNode) and not text_of(node))


def _config(node: yaml.Node | None) -> dict[str, str]:
    if node is None or _is_empty(node):
        return {}
    found = {}
    for key, value in func_yaml.pairs(node, "config to be a map").items():
        found[key] = text_of(value)
        if problem := _unfit(key, found[key]):
            raise YamlRefused(problem, value.start_mark)
    return found


def _triggers(node: yaml.Node | None) -> tuple[FuncTrigger, ...]:
    if node is None or _is_empty(node):
        return ()
    if not isinstance(node, yaml.SequenceNode):
        raise YamlRefused("expected triggers to be a list", node.start_mark)
    found = []
    for item in node.value:
        pairs = func_yaml.pairs(item, "a trigger to be a map")
        texts = {key: text_of(pairs[key]) for key in FuncTrigger._fields if key in pairs}
        found.append(FuncTrigger(**{**_NO_TRIGGER, **texts}))
    return tuple(found)


def _annotations(node: yaml.Node | None) -> dict[str, object]:
    if node is None or _is_empty(node):
        return {}
    value = func_yaml.value_of(node)
    if not isinstance(value, dict):
        raise YamlRefused("expected annotations to be a map", node.start_mark)
    return value


def _unfit(key: str, value: str) -> str:
    """Return why a process cannot have a variable; nothing when it can."""
    if not _VARIABLE.fullmatch(key):
        return f"config: expected a variable's name, got {key[:60]!r}"
    return f"config: {key} has a NUL, which no variable can hold" if "\0" in value else ""


def _from_json(text: str, path: Path) -> FuncFile:
    try:
        values = json.loads(
            text, parse_int=str, parse_float=str, parse_constant=str, object_pairs_hook=_unique
        )
        annotations = json.loads(text).get(_ANNOTATIONS) if isinstance(values, dict) else None
    except (ValueError, RecursionError) as error:
        raise SetupError(f"not JSON: {error}", field=str(path)) from None
    if not isinstance(values, dict):
        raise SetupError("expected an object", field=str(path))
    if not isinstance(annotations or {}, dict):
        raise SetupError("expected annotations to be an object", field=str(path))
    config = values.pop(_CONFIG, None) or {}
    if not isinstance(config, dict) or any(isinstance(v, dict | list) for v in config.values()):
        raise SetupError("expected config to be an object of texts", field=str(path))
    triggers = _json_triggers(values.pop(_TRIGGERS, None) or [], path)
    texts = {key: value for key, value in values.items() if not isinstance(value, dict | list)}
    variables = {key: _json_text(value) for key, value in config.items()}
    if problems := list(filter(None, map(_unfit, variables, variables.values()))):
        raise SetupError(problems[0], field=str(path))
    texts = {key: _json_text(value) for key, value in texts.items()}
    return FuncFile(path, texts, variables, {}, triggers, annotations or {})


def _json_triggers(values: object, path: Path) -> tuple[FuncTrigger, ...]:
    if not isinstance(values, list) or not all(isinstance(item, dict) for item in values):
        raise SetupError("expected triggers to be a list of objects", field=str(path))
    chosen = [{key: item.get(key) for key in FuncTrigger._fields} for item in values]
    if any(isinstance(text, dict | list) for item in chosen for text in item.values()):
        raise SetupError("expected a trigger to have texts", field=str(path))
    return tuple(FuncTrigger(*map(_json_text, item.values())) for item in chosen)


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
