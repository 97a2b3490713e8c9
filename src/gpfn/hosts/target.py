"""Which function is meant: its file, its folder and what its func.yaml says.

Reading a func.yaml: the part of YAML that Fn's command line writes.

That is scalars and one level of nested maps (``config``); lists and deeper maps
(``triggers``, ``deploy``) are passed over, since invoking needs none of them. Schema:
https://github.com/fnproject/docs/blob/master/fn/develop/func-file.md
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gpfn.errors import SetupError

__all__ = ["FUNC_FILES", "FuncFile", "Target", "find_target", "read_func_file"]

FUNC_FILES = ("func.yaml", "func.yml", "func.json")
"""In the order in which Fn's command line looks for them."""


@dataclass(frozen=True, slots=True)
class Target:
    """A function on disk.

    ``timeout`` is in seconds, ``memory`` in MB, both as func.yaml says or Fn's defaults.
    """

    file: Path
    handler: str = "handler"
    content_type: str = ""
    timeout: float = 30.0
    memory: int = 128
    config: Mapping[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where it runs; ``/function`` in a container."""
        return self.file.parent

    def environ(self) -> dict[str, str]:
        """Return this process's environment with the function's config as defaults."""
        return {**self.config, **os.environ}


def find_target(text: str) -> Target:
    """Return the function that a folder, a func.py or a func.yaml stands for.

    Raises SetupError when there is none.
    """
    path = Path(text).resolve()
    if path.name in FUNC_FILES and path.is_file():
        return _described(path, None)
    if path.is_dir():
        for name in FUNC_FILES:
            if (path / name).is_file():
                return _described(path / name, None)
        return Target(_existing(path / "func.py"))
    file = _existing(path)
    for name in FUNC_FILES:
        if (file.parent / name).is_file():
            return _described(file.parent / name, file)
    return Target(file)


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise SetupError(
            "no such function: expected a folder, a func.py or a func.yaml", field=str(path)
        )
    return path


def _described(func_file: Path, file: Path | None) -> Target:
    values = read_func_file(func_file)
    named, handler = _entrypoint(values)
    config = values.get("config")
    return Target(
        file=file or _existing(func_file.parent / named),
        handler=handler if file is None or file.name == Path(named).name else "handler",
        content_type=_text(values, "content_type", ""),
        timeout=float(_number(values, "timeout", "30", func_file)),
        memory=int(_number(values, "memory", "128", func_file)),
        config=config if isinstance(config, dict) else {},
    )


def _entrypoint(values: FuncFile) -> tuple[str, str]:
    """Return the file, relative to the folder, and the handler that func.yaml starts."""
    words = f"{_text(values, 'entrypoint', '')} {_text(values, 'cmd', '')}".split()
    for index, word in enumerate(words):
        if word.endswith(".py"):
            handler = words[index + 1] if index + 1 < len(words) else "handler"
            return word.removeprefix("/function/").lstrip("/"), handler
    return "func.py", "handler"


def _text(values: FuncFile, key: str, default: str) -> str:
    value = values.get(key, default)
    return value if isinstance(value, str) else default


def _number(values: FuncFile, key: str, default: str, path: Path) -> str:
    value = _text(values, key, default)
    if not value.isdecimal():
        raise SetupError(f"{key}: expected a whole number, got {value!r}", field=str(path))
    return value


FuncFile = dict[str, str | dict[str, str]]

_LINE = re.compile(
    r"(?P<indent> *)(?P<key>[A-Za-z0-9_./-]+|\"[^\"]+\"|'[^']+') *:(?: +(?P<value>.*))?$"
)
_ESCAPES = {r"\"": '"', r"\\": "\\", r"\n": "\n", r"\t": "\t"}


def read_func_file(path: Path) -> FuncFile:
    """Return the scalars and the maps of scalars of a func.yaml or func.json.

    Raises SetupError with the line that cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"cannot be read: {error}", field=str(path)) from error
    if path.suffix == ".json":
        return _from_json(text, path)
    return _from_yaml(text, path)


def _from_json(text: str, path: Path) -> FuncFile:
    try:
        values = json.loads(text)
    except ValueError as error:
        raise SetupError(f"not JSON: {error}", field=str(path)) from error
    if not isinstance(values, dict):
        raise SetupError("expected an object", field=str(path))
    found: FuncFile = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found[key] = {name: str(item) for name, item in value.items()}
        elif not isinstance(value, list):
            found[key] = str(value)
    return found


def _from_yaml(text: str, path: Path) -> FuncFile:
    found: FuncFile = {}
    inner: dict[str, str] = {}
    depth = 0  # of the lines in the map that is being read; 0 before the first
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.rstrip()
        if not line or line.lstrip().startswith("#") or line in ("---", "..."):
            continue
        match = _LINE.match(line)
        indent = len(line) - len(line.lstrip())
        if indent == 0 and not line.startswith("-"):
            if match is None:
                raise SetupError(f"line {number}: expected key: value", field=str(path))
            depth, inner = 0, {}
            value = _scalar(match["value"] or "")
            found[_scalar(match["key"])] = value if match["value"] else inner
        elif match is not None and indent and depth in (0, indent):
            depth = indent
            inner[_scalar(match["key"])] = _scalar(match["value"] or "")
    return found


def _scalar(text: str) -> str:
    """Return a plain or quoted scalar without quotes and comment."""
    text = text.strip()
    if text[:1] == "'" and (end := text.find("'", 1)) > 0:
        return text[1:end]
    if text[:1] == '"':
        quoted = re.match(r'"((?:[^"\\]|\\.)*)"', text)
        if quoted:
            return re.sub(r"\\.", lambda m: _ESCAPES.get(m[0], m[0]), quoted[1])
    return re.split(r"\s+#", text, maxsplit=1)[0].strip()
