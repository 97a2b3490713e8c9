"""What ``gpfn doctor`` judges by: a function's files, its image, and a measured start.

For the measurement the function is started once under Fn's contract and called, and its
process is looked at.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gpfn.build.dependencies import requirements_of
from gpfn.build.needs import Needs, needs_of
from gpfn.build.recipe import name_and_version
from gpfn.build.stage.requirements import Requirements
from gpfn.build.trial import Trouble
from gpfn.errors import GpfnError, SetupError
from gpfn.hosts.fn import FnHost
from gpfn.hosts.funcfile import FuncFile, find_func_file, read_func_file
from gpfn.hosts.host import Invocation
from gpfn.hosts.log import records
from gpfn.hosts.target import Target

__all__ = [
    "DOCKERFILE",
    "Facts",
    "ImageFacts",
    "Measured",
    "gather",
    "measure",
]

DOCKERFILE = "Dockerfile"
_LEFT_OUT = {"__pycache__", ".git", ".venv", ".pip_cache"}
_SETTLE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds from the process's start until it listens, its bytes, its threads.

    ``problem`` says why it could not be started; the numbers are 0 then.
    """

    start: float = 0.0
    memory: int = 0
    threads: int = 0
    problem: str = ""


def measure(target: Target, request: Invocation | None = None) -> Measured:
    """Start the function, call it once, and look at its process.

    Without a request an empty one is sent: it is answered with an error document, and
    the model is warmed up already.
    """
    platform = FnHost(target)
    try:
        seconds = platform.start()
        platform.call(request or Invocation())
        time.sleep(_SETTLE_SECONDS)
        return Measured(seconds, platform.memory(), _threads(platform))
    except GpfnError as error:
        return Measured(problem=_last_words(platform.log()) or str(error))
    finally:
        platform.stop()


def _last_words(log: str) -> str:
    """Return what a process said before it ended: its last record, or its last line."""
    if found := [str(record["message"]) for record in records(log) if "message" in record]:
        return found[-1]
    lines = [line for line in log.splitlines() if line.strip()]
    return lines[-1].removeprefix("gpfn: ") if lines else ""


def _threads(platform: FnHost) -> int:
    return len(list(Path(f"/proc/{platform.pid()}/task").iterdir()))


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What the engine says of a built image; sizes in bytes."""

    name: str
    size: int = 0
    user: str = ""
    volumes: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Facts:
    """A function as it lies on disk, as it was measured, and its image if there is one."""

    target: Target
    values: FuncFile
    dockerfile: str = ""
    requirements: Requirements = field(default_factory=lambda: Requirements({}))
    models: Mapping[str, int] = field(default_factory=dict)
    zip_bytes: int = 0
    measured: Measured | None = None
    image: ImageFacts | None = None
    troubles: tuple[Trouble, ...] = ()
    needs: Needs | None = None


def gather(
    target: Target,
    *,
    measured: Measured | None,
    image: ImageFacts | None,
    troubles: tuple[Trouble, ...] = (),
) -> Facts:
    """Read the function's folder. Raises SetupError when a file cannot be read.

    The name and the version are asked for, as an image would: what does not fit is told.
    """
    name_and_version(target)
    file, needs = find_func_file(target.folder), needs_of(target.file)
    return Facts(
        target=target,
        values=read_func_file(file) if file else FuncFile(),
        dockerfile=_read(target.folder / DOCKERFILE),
        requirements=requirements_of(target.folder),
        models=_models(target.folder, needs),
        zip_bytes=_zip_bytes(target.folder),
        measured=measured,
        image=image,
        troubles=troubles,
        needs=needs,
    )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8") if path.is_file() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"cannot be read: {error}", field=str(path)) from error


def _models(folder: Path, needs: Needs) -> dict[str, int]:
    """Return the catalogue's files that the function wants, and their bytes; 0: not here."""
    from gpfn.build.models import catalogue_files
    from gpfn.models.files import cached_path

    found = {}
    for file in catalogue_files(needs.models):
        beside = folder / file.name
        path = beside if beside.is_file() else cached_path(file)
        found[file.name] = path.stat().st_size if path else 0
    return found


def _zip_bytes(folder: Path) -> int:
    """Return the most bytes that the folder has as a zip; models hardly get smaller."""
    paths = (path for path in folder.rglob("*") if not _LEFT_OUT.intersection(path.parts))
    return sum(path.stat().st_size for path in paths if path.is_file())
