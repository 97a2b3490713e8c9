"""What ``gpfn doctor`` judges by: a function's files, its image, and what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from gpfn.build.conflicts import Judged, held_by_images, judge, packed_gpfn, wanted_by_gpfn
from gpfn.build.dependencies import requirements_of
from gpfn.build.measure import Measured
from gpfn.build.needs import Needs, needs_of
from gpfn.build.recipe import name_and_version
from gpfn.build.sample import SampleCall, read_sample
from gpfn.build.stage.requirements import Requirements
from gpfn.build.trial import Trouble
from gpfn.errors import GpfnError, SetupError
from gpfn.hosts.funcfile import FuncFile, find_func_file, read_func_file
from gpfn.hosts.target import Target

__all__ = [
    "DOCKERFILE",
    "Facts",
    "Found",
    "ImageFacts",
    "Level",
    "Rule",
    "gather",
]

DOCKERFILE = "Dockerfile"
_LEFT_OUT = {"__pycache__", ".git", ".venv", ".pip_cache"}


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
    """A function as it lies on disk, as it was measured, and its image if there is one.

    ``measured`` is the start on Fn, ``elsewhere`` those on other platforms.
    """

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
    elsewhere: Mapping[str, Measured] = field(default_factory=dict)
    sample: SampleCall | None = None
    judged: Judged | None = None


Level = Literal["fails", "warns"]
"""How bad a finding is."""

Found = Iterator[tuple[Level, str, str]]
"""What a rule finds: how bad, on which platform, and what."""

Rule = Callable[[Facts], Found]


def gather(
    target: Target,
    *,
    measured: Measured | None,
    image: ImageFacts | None,
    troubles: tuple[Trouble, ...] = (),
    elsewhere: Mapping[str, Measured] = MappingProxyType({}),
    needs: Needs | None = None,
) -> Facts:
    """Read the function's folder. Raises SetupError when a file cannot be read.

    The name and the version are asked for, as an image would: what does not fit is told.
    """
    name_and_version(target)
    file, needs = find_func_file(target.folder), needs or needs_of(target.file)
    read = requirements_of(target.folder)
    return Facts(
        target=target,
        values=read_func_file(file) if file else FuncFile(),
        dockerfile=_read(target.folder / DOCKERFILE),
        requirements=read,
        models=_models(target.folder, needs),
        zip_bytes=_zip_bytes(target.folder),
        measured=measured,
        image=image,
        troubles=troubles,
        needs=needs,
        elsewhere=elsewhere,
        sample=read_sample(target.folder),
        judged=judge(read, wanted_by_gpfn(read, needs), [packed_gpfn(), *held_by_images(read)]),
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
    try:
        files = catalogue_files(needs.models)
    except GpfnError:
        return {}  # no such name, or a catalogue that cannot be read: starting it says so
    for file in files:
        beside = folder / file.name
        path = beside if beside.is_file() else cached_path(file)
        found[file.name] = path.stat().st_size if path else 0
    return found


def _zip_bytes(folder: Path) -> int:
    """Return the most bytes that the folder has as a zip; models hardly get smaller."""
    paths = (path for path in folder.rglob("*") if not _LEFT_OUT.intersection(path.parts))
    return sum(path.stat().st_size for path in paths if path.is_file())
