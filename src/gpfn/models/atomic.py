"""Files that are there as a whole or not at all, made by one process at a time."""

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gpfn.deadline import Deadline
from gpfn.errors import DownloadFailed

__all__ = ["check_file", "only_one", "publish"]


def check_file(path: Path, *, sha256: str = "", size: int | None = None) -> str:
    """Return what is wrong with a file's content, or nothing when it is as it should be."""
    found = path.stat().st_size
    if size is not None and found != size:
        return f"has {found} bytes, expected {size}"
    if sha256:
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
def only_one(folder: Path, seconds: float) -> Iterator[None]:
    """Make ``folder`` and keep other processes and threads out of it for the while.

    Raises DownloadFailed when another one is still in it after ``seconds``. The lock goes
    with the process, however that ends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    deadline = Deadline.after(seconds)
    with (folder / ".lock").open("ab") as handle:
        while not _locked(handle.fileno()):
            if deadline.expired():
                raise DownloadFailed(f"another process has been at work in {folder} too long")
            time.sleep(0.05)
        yield


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
