"""What is in the files of functions now: a revision of each, and what has changed.

A revision is a hash of content, so that a file that was only touched, or an edit that was taken
back, leaves the warm process as it is. A model is told by its size and time instead: reading
hundreds of megabytes at every look would cost more than a process that starts again.

Nothing here has a thread. A look is a walk over small folders, some 40 µs; it is bounded, and made
before every call, but that it is not repeated before 50 times as long have passed as it took, or
50 ms: of calls without a pause it takes a fiftieth of the time, of the largest folders a quarter.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG
from time import monotonic
from typing import NamedTuple

from gpfn.errors import SetupError
from gpfn.hosts.funcfile import FUNC_FILES, find_func_file
from gpfn.local.folders import (
    FolderSurvey,
    LocalFunction,
    Readings,
    RefusedFolder,
    read_folder,
    survey_folder,
)

__all__ = ["FunctionChanges", "FunctionWatch", "Revisions"]

_FRESH = 50
"""A look is good for so many times what it took, but not longer than that:"""

_FRESH_SECONDS = 0.05
_MOST_FILES, _MOST_FOLDERS = 2000, 500
_MOST_HASHED = 1 << 20  # bytes of a file
_MOST_READ = 64 << 20  # bytes of a function's files together
_PASSED_OVER = ("__pycache__", "node_modules")
_VENV = "pyvenv.cfg"

_Stamp = tuple[int, int, int]


class Revisions:
    """Hashes of functions' files; a file that has not changed is not read again."""

    def __init__(self) -> None:
        self._digests: dict[str, tuple[_Stamp, bytes]] = {}
        self._trees: dict[Path, tuple[dict[str, _Stamp], str]] = {}

    def of(self, function: LocalFunction) -> str:
        """Return a function's revision: 16 hexadecimal digits."""
        folder = function.target.folder
        stamps = _stamps(folder)
        elsewhere = None if function.folder == folder else find_func_file(function.folder)
        for path in (function.target.file, elsewhere):
            if path is not None and (file := str(path)) not in stamps:
                with suppress(OSError):  # it is being replaced
                    _stamp(file, os.stat(file), stamps)
        before, revision = self._trees.get(function.folder, ({}, ""))
        if before != stamps:
            revision = self._hashed(folder, stamps)
            self._trees[function.folder] = (stamps, revision)
        return revision

    def _hashed(self, folder: Path, stamps: Mapping[str, _Stamp]) -> str:
        whole = hashlib.sha256()
        left = _MOST_READ
        for path in sorted(stamps):
            stamp = stamps[path]
            left -= stamp[1]
            whole.update(os.path.relpath(path, folder).encode(errors="surrogateescape") + b"\0")
            small = stamp[1] <= _MOST_HASHED and left >= 0
            whole.update(self._digest(path, stamp) if small else repr(stamp[:2]).encode())
        for path in [path for path in self._digests if path not in stamps and _gone(path)]:
            del self._digests[path]
        return whole.hexdigest()[:16]

    def _digest(self, path: str, stamp: _Stamp) -> bytes:
        known = self._digests.get(path)
        if not stamp[1]:  # nothing is read of what only says that it is empty, as in /proc
            return b""
        if known is None or known[0] != stamp:
            try:
                with open(path, "rb") as file:
                    digest = hashlib.sha256(file.read(_MOST_HASHED)).digest()
            except OSError as error:  # what the function's process will not read either
                digest = f"{error.errno}".encode()
            known = self._digests[path] = (stamp, digest)
        return known[1]


class FunctionChanges(NamedTuple):
    """What is not as it was at the look before; of ``added`` and ``changed`` how it is now.

    ``refused`` are those that are refused since then, for another reason than before.
    """

    added: tuple[LocalFunction, ...] = ()
    changed: tuple[LocalFunction, ...] = ()
    removed: tuple[LocalFunction, ...] = ()
    refused: tuple[RefusedFolder, ...] = ()


class FunctionWatch:
    """The functions of a folder, and of ``more`` folders, as they are on the disk.

    A function whose func.yaml is broken by an edit stays as it was, until it is mended or gone;
    its files count all the same. Raises SetupError when the folder cannot be read at the start.
    """

    def __init__(
        self,
        root: Path,
        more: Sequence[Path] = (),
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._root = root
        self._more = more
        self._clock = clock
        self._readings: Readings = {}
        self._others: Readings = {}
        self._revisions = Revisions()
        self._looked: dict[Path, tuple[float, str]] = {}  # until when, and what it was
        self._functions: dict[str, tuple[LocalFunction, str]] = {}
        self._refused: dict[Path, str] = {}
        self.mapped: dict[Path, LocalFunction] = {}
        self.looks = 0
        survey_folder(root, self._readings)

    @property
    def functions(self) -> tuple[LocalFunction, ...]:
        """Those that were found at the last look."""
        return tuple(function for function, _ in self._functions.values())

    @property
    def whole(self) -> bool:
        """Whether no folder was refused at the last look: who is not there has gone."""
        return not self._refused

    def revision(self, function: LocalFunction) -> str:
        """Return the revision that a function's files have now."""
        began = self._clock()
        until, revision = self._looked.get(function.folder, (began, ""))
        if began >= until:
            revision = self._revisions.of(function)
            took = self._clock() - began
            until = began + took + min(_FRESH * took, _FRESH_SECONDS)
            self._looked[function.folder] = (until, revision)
        return revision

    def look(self) -> FunctionChanges:
        """Look at everything, and say what has changed since the last time."""
        self.looks += 1
        try:
            survey = survey_folder(self._root, self._readings)
        except SetupError as error:
            survey = FolderSurvey((), (RefusedFolder(self._root, str(error)),))
        self._look_elsewhere()
        before, self._functions = self._functions, {}
        for function in (*survey.functions, *_kept(before, survey)):
            self._functions[function.name] = (function, self.revision(function))
        refused = {one.folder: one.told for one in survey.refused}
        told = tuple(one for one in survey.refused if self._refused.get(one.folder) != one.told)
        self._refused = refused
        return FunctionChanges(*_compared(before, self._functions), told)

    def _look_elsewhere(self) -> None:
        for folder in self._more:
            found = read_folder(folder, self._others)
            if isinstance(found, LocalFunction):
                self.mapped[folder] = found
            elif folder not in self.mapped:
                told = found.told if found else "has no func.yaml"
                raise SetupError(told, field=f"--map …={folder}")


_Functions = Mapping[str, tuple[LocalFunction, str]]


def _kept(before: _Functions, survey: FolderSurvey) -> Iterator[LocalFunction]:
    """Yield the functions whose folders are refused now, and were not."""
    names = {function.name for function in survey.functions}
    refused = {one.folder for one in survey.refused}
    for function, _ in before.values():
        if function.folder in refused and function.name not in names:
            yield function


def _compared(
    before: _Functions, now: _Functions
) -> tuple[tuple[LocalFunction, ...], tuple[LocalFunction, ...], tuple[LocalFunction, ...]]:
    added = tuple(now[name][0] for name in now if name not in before)
    changed = tuple(now[name][0] for name in now if name in before and now[name] != before[name])
    removed = tuple(before[name][0] for name in before if name not in now)
    return added, changed, removed


def _stamps(top: Path) -> dict[str, _Stamp]:
    """Return the files that a function's folder has, by their paths; links are followed."""
    found: dict[str, _Stamp] = {}
    left = [str(top)]
    seen: set[tuple[int, int]] = set()
    while left and len(found) < _MOST_FILES and len(seen) < _MOST_FOLDERS:
        folder = left.pop()
        with suppress(OSError):  # it is being replaced
            status = os.stat(folder)
            known = (status.st_dev, status.st_ino)
            if known not in seen:  # a link may lead back to where it lies
                seen.add(known)
                left += reversed(_add_files(folder, found))
    return found


def _add_files(folder: str, found: dict[str, _Stamp]) -> list[str]:
    """Add the files of one folder to those that were found; returns its subfolders that count."""
    with os.scandir(folder) as entries:
        there = sorted((entry for entry in entries if entry.name[0] != "."), key=_name_of)
    for entry in there:
        if len(found) >= _MOST_FILES:
            break
        with suppress(OSError):  # it is being replaced
            if not entry.is_dir():
                _stamp(entry.path, entry.stat(), found)
    return [entry.path for entry in there if _is_part(entry)]


def _name_of(entry: os.DirEntry[str]) -> str:
    return entry.name


def _is_part(entry: os.DirEntry[str]) -> bool:
    """Say whether it is a subfolder of the function: no cache, and no function of its own."""
    if entry.name in _PASSED_OVER or not entry.is_dir():
        return False
    return not any(os.path.exists(f"{entry.path}/{each}") for each in (_VENV, *FUNC_FILES))


def _stamp(path: str, status: os.stat_result, found: dict[str, _Stamp]) -> None:
    """Note how a file is; nothing of a pipe or a device, which whoever reads it waits for."""
    if S_ISREG(status.st_mode):
        found[path] = (status.st_mtime_ns, status.st_size, status.st_ino)


def _gone(path: str) -> bool:
    return not os.path.exists(path)
