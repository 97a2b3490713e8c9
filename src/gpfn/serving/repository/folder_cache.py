"""Versions' files on this machine, a folder for each digest, of which the newest used stay.

    files/DIGEST/PATH…        complete and checked: a folder gets this name when it is whole
    leases/DIGEST/PID.START   the process that uses it, with the time it was started
    leases/DIGEST/going.…     the process that is about to remove it
    coming/PID.START.…        what a process is fetching

Several processes of a machine share it, and none waits for a lock of another: file systems
there are whose locks do nothing. A user writes his lease and then looks for ``going``; who
removes writes ``going`` and then looks for leases. So at least one of them sees the other.
What a process that is no more has left is taken away by the next one.
"""

import os
import secrets
import shutil
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from gpfn.repository.documents import StoredFile
from gpfn.serving.repository.folder_objects import sync_path, sync_tree
from gpfn.serving.repository.objects import StoreFull, StoreUnavailable

__all__ = ["FolderCache"]

_GOING = "going."
_REMOVAL_SECONDS = 60.0


class FolderCache:
    """Folders by digest below ``root``, together of at most ``max_bytes``. Safe for threads."""

    def __init__(self, root: Path, max_bytes: int) -> None:
        self.root, self.max_bytes = root.absolute(), max_bytes
        self._files, self._coming = self.root / "files", self.root / "coming"
        self._lock = threading.Lock()
        self._fetching: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._used: Counter[str] = Counter()
        self._expected: Counter[str] = Counter()
        self._process = os.getpid()
        for folder in (self._files, self._coming, self.root / "leases"):
            folder.mkdir(parents=True, exist_ok=True)
        self._sweep()

    def lease(self, digest: str) -> None:
        """Keep a folder, there or still to come, from being removed until it is released."""
        with self._lock:
            if self._process != os.getpid():  # forked: the parent's leases are its own
                self._used.clear()
                self._process = os.getpid()
            self._used[digest] += 1
            folder = self._leases(digest)
            folder.mkdir(exist_ok=True)
            (folder / _me()).touch()
        give_up = time.monotonic() + _REMOVAL_SECONDS
        while self._is_going(digest):
            if time.monotonic() > give_up:
                self.release(digest)
                raise StoreUnavailable("the cache's copy is being removed", field=digest)
            time.sleep(0.01)

    def release(self, digest: str) -> None:
        """Give one lease back; the folder stays until its place is needed."""
        with self._lock:
            self._used[digest] -= 1
            if self._used[digest] <= 0:
                del self._used[digest]
                (self._leases(digest) / _me()).unlink(missing_ok=True)

    @contextmanager
    def fetching(self, digest: str) -> Iterator[None]:
        """Let one thread of this process at a time fetch a digest."""
        with self._lock:
            lock = self._fetching[digest]
        with lock:
            yield

    def find(self, digest: str, files: Sequence[StoredFile]) -> Path | None:
        """Return the folder with a version's files, or None when it is not here whole."""
        folder = self._files / digest
        try:
            if any((folder / file.path).stat().st_size != file.size for file in files):
                return None
            os.utime(folder)  # used just now
        except OSError:
            return None
        return folder

    @contextmanager
    def coming(self, size: int) -> Iterator[Path]:
        """Give an empty folder for what is fetched, of ``size`` bytes; removed afterwards.

        Room is made for it before. Raises StoreFull when there is none to be had.
        """
        folder = self._unused()
        with self._lock:
            self._make_room(size)
            self._expected[folder.name] = size
        try:
            folder.mkdir()
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            del self._expected[folder.name]

    def incoming(self) -> Path:
        """Return a new, empty folder on the same disk; it goes with this process at the latest."""
        folder = self._unused()
        folder.mkdir()
        return folder

    def publish(self, folder: Path, digest: str) -> Path:
        """Give a complete folder its name, durably; another's that came first is as good."""
        sync_tree(folder)
        target = self._files / digest
        for _ in range(3):
            try:
                folder.rename(target)
                break
            except OSError:
                if not target.is_dir():
                    raise
            # another writer's, unless it is what `find` has refused: a damaged one
            if self._same(folder, target):
                break
            with suppress(OSError):  # another process does the same
                target.rename(self._unused())
        sync_path(self._files)
        return target

    def _unused(self) -> Path:
        return self._coming / f"{_me()}.{secrets.token_hex(8)}"

    def _same(self, folder: Path, target: Path) -> bool:
        paths = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
        with suppress(OSError):  # one is absent: not the same
            return all(
                (folder / path).stat().st_size == (target / path).stat().st_size for path in paths
            )
        return False

    def _make_room(self, size: int) -> None:
        """Remove folders, those unused for longest first, until ``size`` more bytes fit."""
        self._sweep()
        found = [(_used_at(self._files / name), name) for name in _names(self._files)]
        sizes = {name: _bytes(self._files / name) for _, name in found}
        room = self.max_bytes - sum(self._expected.values()) - sum(sizes.values())
        for _, digest in sorted(found):
            if room >= size:
                return
            room += sizes[digest] if self._remove(digest) else 0
        if room < size:
            raise StoreFull(
                f"no room in the cache for {size} bytes: it may have {self.max_bytes},"
                f" and {self.max_bytes - room} are in use", field="repository",
            )  # fmt: skip

    def _remove(self, digest: str) -> bool:
        """Remove a folder unless somebody uses it."""
        leases = self._leases(digest)
        leases.mkdir(exist_ok=True)
        going = leases / f"{_GOING}{_me()}"
        going.touch()
        try:
            if self._is_leased(digest):
                return False
            gone = self._unused()
            (self._files / digest).rename(gone)  # at once, not file by file
            shutil.rmtree(gone, ignore_errors=True)
        except OSError:
            return False  # another process was faster
        finally:
            going.unlink(missing_ok=True)
        return True

    def _is_leased(self, digest: str) -> bool:
        names = [name for name in _names(self._leases(digest)) if not name.startswith(_GOING)]
        return any(self._is_live(digest, name) for name in names)

    def _is_going(self, digest: str) -> bool:
        names = [name for name in _names(self._leases(digest)) if name.startswith(_GOING)]
        return any(self._is_live(digest, name) for name in names)

    def _is_live(self, digest: str, name: str) -> bool:
        """Say whether the process of a lease lives; a dead one's lease is taken away."""
        if _lives(name.removeprefix(_GOING)):
            return True
        (self._leases(digest) / name).unlink(missing_ok=True)
        return False

    def _leases(self, digest: str) -> Path:
        return self.root / "leases" / digest

    def _sweep(self) -> None:
        """Remove what processes that are no more were fetching."""
        for name in _names(self._coming):
            if not _lives(name):
                shutil.rmtree(self._coming / name, ignore_errors=True)


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _used_at(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0  # another process has just removed it


def _bytes(folder: Path) -> int:
    total = 0
    for at, _, names in os.walk(folder):
        with suppress(OSError):  # it is just being removed
            total += sum(os.lstat(os.path.join(at, name)).st_size for name in names)
    return total


def _me() -> str:
    return _process_name(os.getpid())


@cache
def _process_name(process: int) -> str:
    return f"{process}.{_started(process)}"


def _lives(name: str) -> bool:
    """Say whether the process of ``PID.START…`` still runs: numbers are given out again."""
    process, _, rest = name.partition(".")
    return process.isdecimal() and _started(int(process)) == rest.partition(".")[0] != ""


def _started(process: int) -> str:
    """Return when a process was started, in ticks since boot, or nothing when there is none."""
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return ""
    return status.rpartition(")")[2].split()[19]
