"""The zip of an action for OpenWhisk's own Python runtime.

Its entry is made from the function's file: the runtime calls ``main`` of ``__main__.py``.
The function lies beside it with its models, gpfn too, since the runtime has it not. What
else is needed lies in ``packages/``, or is named in ``requirements.txt``, from which the
runtime installs it at each cold start, within the action's time limit.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gpfn.build.contents import Content, check_main, gpfn_files, model_files, own_files, write_zip
from gpfn.build.dependencies import install, requirements
from gpfn.errors import SetupError, TooLarge

if TYPE_CHECKING:
    from gpfn.models.download import Progress

__all__ = ["MAX_ZIP", "PYTHONS", "Packed", "pack"]

MAX_ZIP = 36 << 20
"""48 MiB of code in base64 is what OpenWhisk takes (Exec.scala:95)."""

PYTHONS = ("3.11", "3.12")
"""The stock images that gpfn runs on."""

_ENTRY = '''"""Made by gpfn from {file}: OpenWhisk's Python runtime calls {name} of this file."""

import os
import sys

_here = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [_here, os.path.join(_here, "packages")]

from {module} import {name}  # noqa: E402

if hasattr({name}, "open"):  # a Function's: its model is loaded before the first call
    {name}.open()
'''


@dataclass(frozen=True, slots=True)
class Packed:
    """A zip that was written; sizes are bytes, ``parts`` what takes them up before packing."""

    path: Path
    size: int
    files: int
    parts: Mapping[str, int]


def pack(
    file: Path,
    target: Path,
    *,
    name: str = "main",
    python: str = "",
    max_bytes: int = MAX_ZIP,
    progress: "Progress | None" = None,
) -> Packed:
    """Write the zip of the function in ``file``.

    With a version in ``python`` the packages that it needs go in, for that Python.

    Raises SetupError for a function without ``name``, DownloadFailed for a model or package
    that cannot be had, TooLarge with what to do instead; nothing is left behind then.
    """
    check_main(file, name)
    files = {**gpfn_files(), **own_files(file.parent), **model_files(file, progress)}
    files["__main__.py"] = _entry(file, name)
    litert = any(entry.endswith(".tflite") for entry in files)
    wanted = requirements(file.parent / "requirements.txt", litert=litert)
    with tempfile.TemporaryDirectory(prefix="gpfn-package-") as folder:
        if python:
            install(wanted, Path(folder), python)
            files |= _packages(Path(folder))
        else:
            files["requirements.txt"] = "".join(f"{line}\n" for line in wanted).encode()
        return _written(files, target, file, max_bytes)


def _entry(file: Path, name: str) -> bytes:
    module = file.stem
    if not module.isidentifier():
        raise SetupError("a function's file needs a name that can be imported", field=str(file))
    return _ENTRY.format(file=file.name, module=module, name=name).encode()


def _packages(folder: Path) -> dict[str, Content]:
    return {
        f"packages/{path.relative_to(folder).as_posix()}": path
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def _written(files: Mapping[str, Content], target: Path, file: Path, max_bytes: int) -> Packed:
    parts = _parts(files)
    with tempfile.TemporaryDirectory(prefix="gpfn-package-", dir=_existing(target)) as folder:
        draft = Path(folder) / target.name
        size = write_zip(draft, files)
        if size > max_bytes:
            largest = ", ".join(f"{part} {_mb(parts[part])}" for part in list(parts)[:3])
            raise TooLarge(
                f"{target.name} would have {_mb(size)}; OpenWhisk takes {_mb(max_bytes)} of zip. "
                f"Largest before packing: {largest}. Use an image instead: "
                f"gpfn build {file.parent.name} --platform openwhisk"
            )
        draft.replace(target)
    return Packed(target, size, len(files), parts)


def _existing(target: Path) -> Path:
    if not target.parent.is_dir():
        raise SetupError("no such folder", field=str(target.parent))
    return target.parent


def _parts(files: Mapping[str, Content]) -> dict[str, int]:
    """Return the sizes of the top-level parts, a package for itself, the largest first."""
    sizes: dict[str, int] = {}
    for name, content in files.items():
        steps = name.split("/")
        part = "/".join(steps[:2]) if steps[0] == "packages" else steps[0]
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        sizes[part] = sizes.get(part, 0) + size
    return dict(sorted(sizes.items(), key=lambda pair: -pair[1]))


def _mb(size: int) -> str:
    return f"{size / (1 << 20):.1f} MB"
