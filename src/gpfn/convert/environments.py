"""The converters' environments: made once, each from its lock, under gpfn's cache folder.

Their packages contradict each other's pins and gpfn's, so each is a virtual environment of its
own. Its folder is named after the digest of its lock and the version of Python: another gpfn
makes another one, and one that has its name is whole.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from gpfn.convert.installing import (
    Progress,
    check_packages,
    counted,
    failed,
    packages,
    run_step,
)
from gpfn.errors import SetupError
from gpfn.models.files import cache_folder, lock_folder

__all__ = [
    "ENVIRONMENTS",
    "Environment",
    "Made",
    "Progress",
    "environment",
    "made_environments",
    "remove_environment",
    "used",
]

_WAIT_SECONDS = 3600.0
_HERE = Path(__file__).parent
_SPARE = 1.5  # wheels are unpacked beside what they become


class Environment(NamedTuple):
    """A converter's environment: what is in it, and how much room it takes (megabytes)."""

    name: str
    title: str
    megabytes: int


class Made(NamedTuple):
    """An environment that is on this machine; ``current`` when this gpfn would use it."""

    name: str
    folder: Path
    bytes: int
    current: bool


ENVIRONMENTS = {
    row.name: row
    for row in (
        Environment("keras", "Keras 3, TensorFlow, tf2onnx", 1500),
        Environment("trees", "scikit-learn, XGBoost, LightGBM, sklearn-onnx, onnxmltools", 350),
        Environment("torch", "PyTorch, with its libraries for graphics cards", 5400),
        Environment("litert-torch", "litert-torch with PyTorch, JAX and transformers", 6400),
    )
}


def environment(name: str, progress: Progress | None = None, *, lock: Path | None = None) -> Path:
    """Return the folder of an environment, made now if it is not there.

    ``lock`` is a file of pins with hashes, by default the one that comes with gpfn. Two
    processes that ask at once make it once. Raises SetupError, in one line with pip's own
    reason, when it cannot be made; nothing half made stays.
    """
    lock = lock or _lock(name)
    place = _place(name, lock)
    if _is_whole(place):
        return place
    try:
        with lock_folder(place.parent, _WAIT_SECONDS):
            if not _is_whole(place):  # another process was faster
                _sweep(place)
                _make(name, lock, place, progress)
    except OSError as error:
        raise failed(name, f"{error.strerror or error}: {place.parent}") from error
    return place


def made_environments() -> list[Made]:
    """Return what is on this machine, the outdated too, in order of their names."""
    found: list[Made] = []
    for name in ENVIRONMENTS:
        current = _place(name, _lock(name))
        folders = sorted(current.parent.glob("py3*"))
        found += [Made(name, each, _size(each), each == current) for each in folders]
    return found


def remove_environment(name: str) -> int:
    """Remove all that is on this machine of an environment, the outdated too; returns its bytes.

    Raises SetupError when one is in use, or cannot be removed.
    """
    top = cache_folder() / "convert" / name
    if not top.is_dir():
        return 0
    freed = 0
    try:
        with lock_folder(top, _WAIT_SECONDS):
            for folder in sorted(top.glob("py3*")):
                with _alone(name, folder):
                    size = _size(folder)
                    going = Path(tempfile.mkdtemp(prefix=".gone-", dir=top))
                    folder.rename(going / "environment")
                    shutil.rmtree(going)
                    freed += size
            _clear(top)
    except OSError as error:
        raise SetupError(f"cannot remove {top}: {error.strerror}", field="--remove") from error
    return freed


@contextmanager
def used(place: Path) -> Iterator[None]:
    """Keep an environment from being removed during the block."""
    try:
        handle = os.open(place / "pyvenv.cfg", os.O_RDONLY)
    except OSError:
        yield  # an interpreter of the user's own
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield
    finally:
        os.close(handle)


@contextmanager
def _alone(name: str, folder: Path) -> Iterator[None]:
    handle = os.open(folder / "pyvenv.cfg", os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        told = f"the environment {name} is in use; wait until that has ended"
        raise SetupError(told, field="--remove") from error
    finally:
        os.close(handle)


def _lock(name: str) -> Path:
    """Return the lock of an environment, which is a part of the package."""
    return _HERE / "locks" / f"{name}.lock"


def _place(name: str, lock: Path) -> Path:
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    version = f"py{sys.version_info[0]}{sys.version_info[1]}"
    return cache_folder() / "convert" / name / f"{version}-{digest}"


def _is_whole(place: Path) -> bool:
    """Say whether it has its name and its Python, which an upgrade of the system may take away."""
    return (place / "bin" / "python").exists() and (place / "pyvenv.cfg").is_file()


def _sweep(place: Path) -> None:
    """Remove what a killed process could not, and an environment that has lost its Python."""
    _clear(place.parent)
    if place.exists():
        shutil.rmtree(place)


def _clear(top: Path) -> None:
    for left in [*top.glob(".made-*"), *top.glob(".gone-*")]:
        shutil.rmtree(left, ignore_errors=True)


def _make(name: str, lock: Path, place: Path, progress: Progress | None) -> None:
    _check_room(name, place.parent)
    work = Path(tempfile.mkdtemp(prefix=".made-", dir=place.parent))
    try:
        run_step(name, [sys.executable, "-m", "venv", str(work / "environment")], work)
        python = str(work / "environment" / "bin" / "python")
        words = ["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--no-deps"]
        words += ["--require-hashes", "--no-compile", "--progress-bar", "off", "--retries", "2"]
        words += ["-r", str(lock)]
        count = len(packages(lock))
        run_step(name, [python, *words], work, progress and counted(progress, count))
        check_packages(name, lock, work / "environment")
        if progress:
            progress(count, count)
        (work / "environment").rename(place)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _check_room(name: str, folder: Path) -> None:
    wanted = ENVIRONMENTS[name].megabytes * _SPARE
    free = shutil.disk_usage(folder).free / 1e6
    if free < wanted:
        told = f"it takes {wanted:,.0f} MB while it is made, and {folder} has {free:,.0f} MB free"
        raise failed(name, told)


def _size(folder: Path) -> int:
    total = 0
    for top, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # it was removed meanwhile
                total += os.lstat(os.path.join(top, name)).st_blocks * 512
    return total
