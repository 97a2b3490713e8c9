"""A repository in a folder. What is written is on the disk, whole, before anybody can see it.

A document is written under a name of its own, synced, and linked to its place, which fails
when something is there: so of two that claim one number one gets it, on any file system and
without a lock. Files of a version come as a folder, are synced, and renamed to their place.
After each step the folder that has the name is synced as well: a name that was not synced may
be gone after a power cut, and what it stood for with it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from gpfn.repository.documents import MANIFEST_BYTES, StoredFile
from gpfn.serving.repository.objects import StoreDamaged, StoreFull, StoreUnavailable

__all__ = ["FolderObjects", "disk_errors", "sync_path", "sync_tree"]

_INCOMING = ".incoming"
_FILES = "files"
_OLD_SECONDS = 24 * 3600.0
"""How old something that nobody finished has to be, to be swept."""
_FULL = (errno.ENOSPC, errno.EDQUOT)
_THERE = (errno.EEXIST, errno.ENOTEMPTY)


class FolderObjects:
    """The seam `gpfn.serving.repository.objects.Objects`, on a folder of this machine."""

    def __init__(self, root: Path) -> None:
        """Use ``root``, made if need be; raises StoreUnavailable."""
        self._root = root.absolute()
        with disk_errors("repository"):
            for name in (_INCOMING, _FILES, "models"):
                self._make_folder(self._root / name)
            for folder in (self._root, self._root.parent):
                sync_path(folder)  # who made them may have been killed before it came to that

    def read(self, key: str) -> bytes | None:
        """Return a document, None when there is none."""
        with disk_errors(key):
            try:
                with (self._root / key).open("rb") as file:
                    data = file.read(MANIFEST_BYTES + 1)
            except (FileNotFoundError, NotADirectoryError):
                return None
        if len(data) > MANIFEST_BYTES:
            raise StoreDamaged(f"more than {MANIFEST_BYTES} bytes", field=key)
        return data

    def create(self, key: str, data: bytes) -> bool:
        """Write a document that is not there yet; False when it is."""
        place = self._root / key
        with disk_errors(key):
            self._make_folder(place.parent)
            handle, written = tempfile.mkstemp(dir=self._root / _INCOMING)
            try:
                with open(handle, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                os.chmod(written, 0o644)
                try:
                    os.link(written, place)
                except FileExistsError:
                    return False
                sync_path(place.parent)
            finally:
                os.unlink(written)
        return True

    def delete(self, key: str) -> None:
        """Remove a document."""
        place = self._root / key
        with disk_errors(key):
            try:
                os.unlink(place)
            except (FileNotFoundError, NotADirectoryError):  # it is gone already
                return
            sync_path(place.parent)

    def keys(self, prefix: str) -> list[str]:
        """Return the keys of all documents below a prefix."""
        with disk_errors(prefix):
            return sorted(_walk(self._root / prefix, prefix))

    def keep(self, digest: str, folder: Path, files: Sequence[StoredFile]) -> None:
        """Take the files of a version over from a folder, which is given away."""
        place = self._root / _FILES / digest
        with disk_errors(f"{_FILES}/{digest}"):
            if self._has(place, files):
                os.utime(place)  # or a collector might take it for old
                shutil.rmtree(folder)
                return
            sync_tree(folder)
            try:
                os.rename(folder, place)
            except OSError as error:
                if error.errno not in _THERE:
                    raise
                if self._has(place, files):
                    shutil.rmtree(folder)  # another one was faster
                else:
                    self.drop(digest)  # a file of it is gone: nobody can open what is there
                    os.rename(folder, place)
            sync_path(place.parent)

    def place(self, digest: str, files: Sequence[StoredFile]) -> Path:
        """Return the folder that has the files of a version, to be read only."""
        place = self._root / _FILES / digest
        with disk_errors(f"{_FILES}/{digest}"):
            if not self._has(place, files):
                raise StoreDamaged("a file is gone, or has another size", field=f"files/{digest}")
        return place

    def release(self, digest: str) -> None:
        """Do nothing: the folder is the repository's own, and stays."""

    def drop(self, digest: str) -> None:
        """Remove the files of a version: at once for whoever looks, and then from the disk."""
        with disk_errors(f"{_FILES}/{digest}"):
            away = self.incoming()
            with suppress(FileNotFoundError):  # they are gone already
                os.rename(self._root / _FILES / digest, away / digest)
                sync_path(self._root / _FILES)
            shutil.rmtree(away)

    def digests(self) -> list[tuple[str, float]]:
        """Return the digests of the files that are kept, and when each was kept last."""
        with disk_errors(_FILES), os.scandir(self._root / _FILES) as entries:
            return sorted((entry.name, entry.stat().st_mtime) for entry in entries)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keep other writers out, of this process and of others."""
        with disk_errors(".lock"):
            handle = os.open(self._root / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            with _marked(handle):
                yield
        finally:
            os.close(handle)

    def incoming(self) -> Path:
        """Return a new, empty folder on the same file system."""
        with disk_errors(_INCOMING):
            return Path(tempfile.mkdtemp(dir=self._root / _INCOMING))

    def sweep(self, older: float = _OLD_SECONDS) -> None:
        """Remove what uploads have left that never ended: a process may have been killed."""
        with disk_errors(_INCOMING):
            for entry in list(os.scandir(self._root / _INCOMING)):
                with suppress(FileNotFoundError):  # its upload has ended meanwhile
                    if time.time() - entry.stat().st_mtime > older:
                        _remove(Path(entry.path))

    def _has(self, place: Path, files: Sequence[StoredFile]) -> bool:
        try:
            return all(os.path.getsize(place / file.path) == file.size for file in files)
        except (FileNotFoundError, NotADirectoryError):
            return False

    def _make_folder(self, folder: Path) -> None:
        """Make a folder and those above it, each of them synced."""
        if folder.is_dir():
            return
        if folder.parent != folder:
            self._make_folder(folder.parent)
        with suppress(FileExistsError):  # another process was faster
            os.mkdir(folder, 0o755)
        sync_path(folder.parent)


@contextmanager
def disk_errors(what: object) -> Iterator[None]:
    """Tell an error of the disk as one of the store, without a path of this machine."""
    try:
        yield
    except OSError as error:
        kind = StoreFull if error.errno in _FULL else StoreUnavailable
        raise kind(error.strerror or type(error).__name__, field=str(what)) from error


@contextmanager
def _marked(lock: int) -> Iterator[None]:
    """Mark the lock's file while somebody writes: a mark that is found there was left behind.

    Who was killed, or whose disk failed, may have left names that are seen and not yet on the
    disk. Nothing is built on them before they are. The mark is the file's length, which takes
    no room: a disk may be full.
    """
    with disk_errors(".lock"):
        if os.fstat(lock).st_size:
            os.sync()
        os.ftruncate(lock, 1)
    try:
        yield
    except StoreUnavailable:
        raise  # and the mark stays
    except Exception:
        os.ftruncate(lock, 0)
        raise
    os.ftruncate(lock, 0)


def _walk(folder: Path, prefix: str) -> Iterator[str]:
    try:
        entries = [*os.scandir(folder)]
    except (FileNotFoundError, NotADirectoryError):  # nothing was made there yet
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(folder / entry.name, f"{prefix}{entry.name}/")
        elif entry.is_file(follow_symlinks=False):
            yield f"{prefix}{entry.name}"


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink()


def sync_tree(folder: Path) -> None:
    """Have a folder and all in it on the disk. Raises OSError."""
    for at, _, names in os.walk(folder, topdown=False):
        for name in names:
            sync_path(Path(at, name))
        sync_path(Path(at))


def sync_path(path: Path) -> None:
    """Have a file, or the names that a folder has, on the disk. Raises OSError."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
