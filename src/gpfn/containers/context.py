"""The build context: a temporary folder with gpfn, its locks, the function and its models."""

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gpfn.containers.wheel import repack
from gpfn.errors import DownloadFailed, SetupError

if TYPE_CHECKING:
    from gpfn.models.download import Progress

__all__ = ["LOCKS", "checkout", "folder_in_context", "staged"]

LOCKS = ("all.lock", "build.lock", "sbom.lock")
_HERE = Path(__file__).parent
_SOURCES = ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "src", "models")
_NOT_OURS = shutil.ignore_patterns(
    "__pycache__", ".*", "*.pyc", "plots", "forecast_savedmodel", "*.onnx", "*.pb", "*.egg-info"
)
_NOT_THEIRS = shutil.ignore_patterns("__pycache__", ".*", "*.pyc")


def checkout() -> Path | None:
    """Return the repository that this package runs from, if it does."""
    top = _HERE.parents[2]
    return top if (top / "pyproject.toml").is_file() and (top / "locks").is_dir() else None


def folder_in_context(folder: Path | None) -> str:
    """Return where a function's folder lies in the context; empty for none."""
    if folder is None:
        return ""
    return f"functions/{re.sub(r'[^A-Za-z0-9_.-]', '_', folder.name) or 'function'}"


@contextmanager
def staged(folder: Path | None, progress: "Progress | None" = None) -> Iterator[Path]:
    """Make the context, and remove it in the end, whatever happens.

    ``folder`` is the function's, None for a bare runtime. Raises SetupError or
    DownloadFailed when the function or a model cannot be had.
    """
    with tempfile.TemporaryDirectory(prefix="gpfn-build-") as name:
        context = Path(name)
        _add_gpfn(context)
        if folder is not None:
            target = context / folder_in_context(folder)
            try:
                shutil.copytree(folder, target, ignore=_NOT_THEIRS)
            except (OSError, shutil.Error) as error:
                raise SetupError(f"cannot be copied: {error}", field=str(folder)) from error
            _add_models(target, progress)
        yield context


def _add_gpfn(context: Path) -> None:
    stage = context / "src" / "gpfn" / "containers" / "stage"
    top = checkout()
    if top is None:
        shutil.copytree(_HERE / "stage", stage, ignore=_NOT_OURS)
        repack("gpfn", context / "dist")
        locks = _HERE / "bundled"
    else:
        for entry in _SOURCES:
            _copy(top / entry, context / entry)
        locks = top / "locks"
    (context / "locks").mkdir()
    for lock in LOCKS:
        shutil.copyfile(locks / lock, context / "locks" / lock)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=_NOT_OURS)
    elif source.is_file():
        shutil.copyfile(source, target)


def _add_models(target: Path, progress: "Progress | None") -> None:
    """Put the models in, from this machine's cache or mirror.

    A function that only loads in the image, with its own requirements, is left to the
    build, which does the same there.
    """
    from gpfn.containers.loading import models_of

    for path in models_of(target, progress):
        if not (target / path.name).is_file():
            try:
                shutil.copyfile(path, target / path.name)
            except OSError as error:
                raise DownloadFailed(f"{path}: {error.strerror}") from error
