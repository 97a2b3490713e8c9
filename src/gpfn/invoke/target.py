"""Which function is meant: its file, its folder and what its func.yaml says."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gpfn.errors import SetupError
from gpfn.invoke.funcyaml import FuncFile, read_func_file

__all__ = ["FUNC_FILES", "Target", "find_target"]

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
