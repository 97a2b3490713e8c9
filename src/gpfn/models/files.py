"""Model files on this machine: where they are kept, and how one is put there.

A file gets its name only when it is complete, and one process at a time works in its
folder. Nothing is fetched here. It is apart from `gpfn.models.store`, because a runner
needs only this, and what downloads is a fifth of the imports of a cold start.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gpfn.deadline import Deadline
from gpfn.errors import DownloadFailed, ModelUnreadable
from gpfn.models.catalogue import bundled_folder
from gpfn.models.description import ModelFile

__all__ = [
    "CACHE_VARIABLE",
    "cache_folder",
    "cached_path",
    "check_file",
    "download_path",
    "local_path",
    "lock_folder",
    "publish",
]

CACHE_VARIABLE = "GPFN_CACHE_DIR"


def cache_folder() -> Path:
    """Return ``GPFN_CACHE_DIR`` or ``~/.cache/gpfn``; it need not exist yet."""
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named) if named else Path(os.path.expanduser("~")) / ".cache" / "gpfn"


def download_path(file: ModelFile) -> Path:
    """Return where a file of the catalogue is kept, by its hash, once it has been fetched."""
    return cache_folder() / "models" / file.sha256 / file.name


def cached_path(file: ModelFile) -> Path | None:
    """Return where a file lies on this machine, or None when it has to be fetched."""
    folder = Path(file.folder) if file.folder else bundled_folder()
    if file.url:
        path = download_path(file)
        return path if path.is_file() else None
    path = folder / file.name
    return path if path.exists() else None  # a SavedModel is a folder


def local_path(name: str, file: ModelFile) -> Path:
    """Return where a file of the model ``name`` lies; nothing is fetched.

    Raises ModelUnreadable, which says how to get it.
    """
    path = cached_path(file)
    if path is not None:
        return path
    if file.folder and not file.url:
        told = f"{file.name} is not in {file.folder}, where its description has it"
        raise ModelUnreadable(told, field="model")
    raise ModelUnreadable(
        f"{file.name} is not on this machine; run: gpfn models pull {name}", field="model"
    )


def check_file(path: Path, *, sha256: str = "", size: int | None = None) -> str:
    """Return what is wrong with a file's size (bytes) or SHA-256; nothing when they are right."""
    found = path.stat().st_size
    if size is not None and found != size:
        return f"has {found} bytes, expected {size}"
    if sha256:
        import hashlib  # only where it is used: loading OpenSSL costs 3 ms

        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != sha256:
            return f"has sha256 {digest}, expected {sha256}"
    return ""


def publish(part: Path, target: Path) -> None:
    """Give a complete file its name, so that it is there even after a power cut."""
    _sync(part)
    part.replace(target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def lock_folder(folder: Path, seconds: float) -> Iterator[None]:
    """Make ``folder``, and keep other processes and threads out of it during the block.

    Raises DownloadFailed when another one is still in it after ``seconds``. The lock ends
    with the process, however that ends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    deadline = Deadline.after(seconds)
    with (folder / ".lock").open("ab") as handle:
        while not _locked(handle.fileno()):
            if deadline.expired():
                raise DownloadFailed(f"another process has kept {folder} locked for {seconds:g} s")
            time.sleep(0.05)
        yield


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
