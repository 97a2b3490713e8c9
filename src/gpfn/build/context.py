"""The build context: a temporary folder with gpfn, its locks, the function and its models.

Of a checkout of gpfn, the sources go in. Where gpfn is installed as a package, a wheel is
made of it again.
"""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from gpfn.build.keys import refuse_secrets
from gpfn.errors import DownloadFailed, SetupError

if TYPE_CHECKING:
    from gpfn.models.download import Progress

__all__ = ["LOCKS", "checkout", "folder_in_context", "is_context", "lock_text", "repack", "staged"]

LOCKS = ("all.lock", "build.lock", "sbom.lock")
_HERE = Path(__file__).parent
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # the first date that a zip can hold
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


def is_context(folder: Path, function: Path | None) -> bool:
    """Say whether a folder is what ``staged`` makes: a checkout's top that has the function."""
    top = checkout()
    place = folder / folder_in_context(function)
    here = top is not None and folder.resolve() == top
    return here and (function is None or place.resolve() == function.resolve())


@contextmanager
def staged(folder: Path | None, progress: Progress | None = None) -> Iterator[Path]:
    """Make the context, and remove it in the end, whatever happens.

    ``folder`` is the function's, None for a bare runtime. Raises SetupError or
    DownloadFailed when the function or a model cannot be had.
    """
    if folder is not None:
        refuse_secrets(folder)
    with tempfile.TemporaryDirectory(prefix="gpfn-build-") as name:
        context = Path(name)
        try:
            _add_gpfn(context)
        except (OSError, shutil.Error) as error:
            raise SetupError(f"cannot be made: {_reason(error)}", field="build context") from None
        if folder is not None:
            target = context / folder_in_context(folder)
            try:
                shutil.copytree(folder, target, ignore=_NOT_THEIRS)
            except (OSError, shutil.Error) as error:
                raise SetupError(f"cannot be copied: {error}", field=str(folder)) from error
            _add_models(target, progress)
        yield context


def _reason(error: OSError) -> str:
    """Return why files could not be copied; shutil tells of each, and the first says it."""
    first = error.args[0] if isinstance(error, shutil.Error) else ""
    return str(first[0][-1]) if isinstance(first, list) and first else error.strerror or str(error)


def _add_gpfn(context: Path) -> None:
    stage = context / "src" / "gpfn" / "build" / "stage"
    top = checkout()
    if top is None:
        shutil.copytree(_HERE / "stage", stage, ignore=_NOT_OURS)
        repack("gpfn", context / "dist")
    else:
        for entry in _SOURCES:
            _copy(top / entry, context / entry)
    (context / "locks").mkdir()
    for lock in LOCKS:
        (context / "locks" / lock).write_text(lock_text(lock), encoding="utf-8")


def lock_text(name: str) -> str:
    """Return a lock file of gpfn: the checkout's, or that of the installed package."""
    top = checkout()
    folder = _HERE / "bundled" if top is None else top / "locks"
    return (folder / name).read_text(encoding="utf-8")


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=_NOT_OURS)
    elif source.is_file():
        shutil.copyfile(source, target)


def _add_models(target: Path, progress: Progress | None) -> None:
    """Put the models in, from this machine's cache or mirror.

    A function that only loads in the image, with its own requirements, is left to the
    build, which does the same there.
    """
    from gpfn.build.models import fetch_models

    for path in fetch_models(target / "func.py", progress):
        if not (target / path.name).is_file():
            try:
                shutil.copyfile(path, target / path.name)
            except OSError as error:
                raise DownloadFailed(f"{path}: {error.strerror}") from error


def repack(name: str, folder: Path) -> Path:
    """Write the wheel of an installed pure Python package into a folder; returns its path.

    Raises SetupError when it is not installed, or not from a wheel.
    """
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError as error:
        raise SetupError(f"{name} is not installed here as a package") from error
    info = f"{name}-{found.version}.dist-info"
    wanted = [path for path in found.files or () if _belongs(path.as_posix(), name, info)]
    if not any(path.as_posix() == f"{name}/__init__.py" for path in wanted):
        raise SetupError(f"{name} is installed from a folder that is no checkout of it")
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}-{found.version}-py3-none-any.whl"
    record = []
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(wanted, key=str):
            data = Path(str(path.locate())).read_bytes()
            archive.writestr(zipfile.ZipInfo(path.as_posix(), _EARLIEST), data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=")
            record.append(f"{path.as_posix()},sha256={digest.decode()},{len(data)}")
        lines = "\n".join([*record, f"{info}/RECORD,,\n"])
        archive.writestr(zipfile.ZipInfo(f"{info}/RECORD", _EARLIEST), lines)
    return target


def _belongs(path: str, name: str, info: str) -> bool:
    if path.startswith(f"{info}/"):
        return path.rpartition("/")[2] not in (
            "RECORD",
            "INSTALLER",
            "REQUESTED",
            "direct_url.json",
        )
    return path.startswith(f"{name}/") and not path.endswith(".pyc")
