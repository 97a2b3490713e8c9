"""Which function a user means: its file, its folder, and what its func.yaml says of it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gpfn.errors import SetupError
from gpfn.hosts.funcfile import FUNC_FILES, FuncFile, find_func_file, read_func_file

__all__ = ["Target", "find_target"]


@dataclass(frozen=True, slots=True)
class Target:
    """A function on disk.

    ``name`` is func.yaml's, empty without one. ``timeout`` is in seconds, ``memory`` in
    MB, both as func.yaml says or Fn's defaults.
    """

    file: Path
    handler: str = "handler"
    name: str = ""
    content_type: str = ""
    timeout: float = 30.0
    memory: int = 128
    config: Mapping[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where it runs; ``/function`` in a container."""
        return self.file.parent

    def environ(self) -> dict[str, str]:
        """Return this process's environment, over the function's config and its name.

        ``GPFN_NAME`` is what logs call the function: no runner reads func.yaml for it. The
        log is JSON, which hosts read; :func:`gpfn.hosts.log.readable` makes text of it.
        """
        name = {"GPFN_NAME": self.name} if self.name else {}
        return {**name, **self.config, **os.environ, "GPFN_LOG": "json"}


def find_target(text: str) -> Target:
    """Return the function that a folder, a func.py or a func.yaml stands for.

    Raises SetupError when there is none.
    """
    path = Path(text).resolve()
    if path.name in FUNC_FILES and path.is_file():
        return _from_func_file(path, None)
    file = None if path.is_dir() else _of_python(_existing(path))
    func_file = find_func_file(path if file is None else path.parent)
    if func_file is not None:
        return _from_func_file(func_file, file)
    return Target(file or _existing(path / "func.py"))


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise SetupError(
            "no such function: expected a folder, a func.py or a func.yaml", field=str(path)
        )
    return path


def _of_python(path: Path) -> Path:
    if path.suffix != ".py":
        told = "not a function, which is a .py file"
        hint = "of a model, gpfn init NAME --from FILE makes one"
        raise SetupError(f"{told}; {hint}", field=str(path))
    return path


def _from_func_file(func_file: Path, file: Path | None) -> Target:
    values = read_func_file(func_file)
    named, handler = _entrypoint(values)
    return Target(
        file=file or _existing(func_file.parent / named),
        handler=handler if file is None or file.name == Path(named).name else "handler",
        name=values.name,
        content_type=values.content_type,
        timeout=float(values.whole("timeout", 30)),
        memory=values.whole("memory", 128),
        config=values.config,
    )


def _entrypoint(values: FuncFile) -> tuple[str, str]:
    """Return the file, relative to the folder, and the handler that func.yaml starts."""
    words = f"{values.text('entrypoint')} {values.text('cmd')}".split()
    for index, word in enumerate(words):
        if word.endswith(".py"):
            handler = words[index + 1] if index + 1 < len(words) else "handler"
            if not handler.isidentifier():
                field = values.place("entrypoint" if values.text("entrypoint") else "cmd")
                raise SetupError(f"expected the handler's name, got {handler!r:.60}", field=field)
            return word.removeprefix("/function/").lstrip("/"), handler
    return "func.py", "handler"
