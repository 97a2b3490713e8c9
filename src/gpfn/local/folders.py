"""Which functions a folder has: func.yaml in it, in ``functions/*/`` and in its subfolders.

What is wrong with one is told in a line, and the others are deployed all the same. A function
that two files speak of, as the func.yaml of a repository's root may do, counts once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from gpfn.errors import SetupError
from gpfn.hosts.funcfile import (
    FUNC_FILES,
    FuncFile,
    FuncTrigger,
    find_func_file,
    read_func_file,
)
from gpfn.hosts.target import Target, find_target

__all__ = [
    "FolderSurvey",
    "LocalFunction",
    "Readings",
    "RefusedFolder",
    "read_folder",
    "survey_folder",
]

_FUNCTIONS = "functions"
_MOST_FOLDERS = 500
_NO_VERSION = "0.0.1"  # as fnproject/cli has it (common/funcfile.go, INITIAL_VERSION)
_RANGES: Mapping[str, tuple[int, int, str]] = {
    "memory": (128, 8192, "MB"),
    "timeout": (30, 300, "seconds"),
    "idle_timeout": (30, 3600, "seconds"),
}
"""What Fn takes: its default, the most, and the unit (fnproject/fn, api/models/fn.go)."""

_Stamp = tuple[tuple[str, int, int], ...]
Readings = dict[Path, tuple[_Stamp, "LocalFunction | RefusedFolder"]]
"""What was found in a folder when its files had that stamp: nothing is read twice."""


class LocalFunction(NamedTuple):
    """A function in a folder, as its func.yaml has it. ``idle_timeout`` is in seconds."""

    folder: Path
    target: Target
    version: str
    idle_timeout: int
    triggers: tuple[FuncTrigger, ...] = ()

    @property
    def name(self) -> str:
        """What func.yaml calls it."""
        return self.target.name

    @property
    def image(self) -> str:
        """The image that ``fn deploy --local`` would build."""
        return f"{self.name}:{self.version}"


class RefusedFolder(NamedTuple):
    """A folder whose function is not deployed, and why, in one line."""

    folder: Path
    told: str


class FolderSurvey(NamedTuple):
    """What was found, each by its folder."""

    functions: tuple[LocalFunction, ...] = ()
    refused: tuple[RefusedFolder, ...] = ()


def survey_folder(root: Path, readings: Readings | None = None) -> FolderSurvey:
    """Return the functions of a folder; raises SetupError when it cannot be read itself.

    ``readings`` are those of the survey before, which are brought up to date.
    """
    readings = {} if readings is None else readings
    found: list[LocalFunction] = []
    refused: list[RefusedFolder] = []
    there = dict.fromkeys(_candidates(root))
    for folder in there:
        one = read_folder(folder, readings)
        if isinstance(one, LocalFunction):
            found.append(one)
        elif one is not None:
            refused.append(one)
    for gone in [folder for folder in readings if folder not in there]:
        del readings[gone]
    functions, twice = _named_once(_spoken_of_once(found))
    return FolderSurvey(tuple(functions), (*refused, *twice))


def read_folder(folder: Path, readings: Readings) -> LocalFunction | RefusedFolder | None:
    """Return the function in a folder, or why there is none; None when nothing hints at one."""
    stamp = _stamp(folder)
    if not stamp:
        return None
    before, one = readings.get(folder, ((), RefusedFolder(folder, "")))
    if before != stamp:
        one = _read(folder)
        readings[folder] = (stamp, one)
    return one


def _candidates(root: Path) -> Iterator[Path]:
    """Yield the folders that may hold a function, as many as can be looked at again and again."""
    yield root
    for place in (root / _FUNCTIONS, root):
        with suppress(FileNotFoundError, NotADirectoryError):  # no functions there
            names = sorted(entry.name for entry in _folders(place))
            yield from (place / name for name in names[:_MOST_FOLDERS])


def _folders(place: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(place) as entries:
            return [each for each in entries if each.name[0] not in "._" and each.is_dir()]
    except PermissionError as error:
        raise SetupError(f"cannot be read: {error.strerror}", field=str(place)) from None


def _stamp(folder: Path) -> _Stamp:
    """Return how the files are that say what the function is; nothing without any."""
    found = []
    for name in (*FUNC_FILES, "func.py"):
        with suppress(OSError):  # there is no such file
            status = os.stat(folder / name)
            found.append((name, status.st_mtime_ns, status.st_size))
    return tuple(found)


def _read(folder: Path) -> LocalFunction | RefusedFolder:
    file = find_func_file(folder)
    if file is None:
        return RefusedFolder(folder, "has a func.py and no func.yaml, which says its name")
    try:
        return _function(folder, file)
    except SetupError as error:
        return RefusedFolder(folder, " ".join(str(error).split()))


def _function(folder: Path, file: Path) -> LocalFunction:
    values = read_func_file(file)
    if not values.name:
        raise SetupError("is missing: what the function is called", field=values.place("name"))
    if "/" in values.name:
        raise SetupError("a function's name has no slashes", field=values.place("name"))
    _check_triggers(values)
    ranged = {key: values.whole(key, _RANGES[key][0]) for key in _RANGES}
    for key, (_, most, unit) in _RANGES.items():
        if ranged[key] > most:
            told = f"Fn takes at most {most} {unit}, got {ranged[key]}"
            raise SetupError(told, field=values.place(key))
    return LocalFunction(
        folder=folder,
        target=find_target(str(file)),
        version=values.version or _NO_VERSION,
        idle_timeout=ranged["idle_timeout"],
        triggers=values.triggers,
    )


def _check_triggers(values: FuncFile) -> None:
    """Raise SetupError for triggers that Fn would not take (fn, api/models/trigger.go)."""
    told = ""
    for at, trigger in enumerate(values.triggers):
        before = values.triggers[:at]
        if not trigger.name:
            told = f"the trigger {at + 1} has no name"
        elif trigger.type != "http":
            told = f"{trigger.name:.60}: expected type: http, got {trigger.type[:40]!r}"
        elif not trigger.source.startswith("/"):
            told = f"{trigger.name:.60}: a source begins with /, got {trigger.source[:60]!r}"
        elif any(trigger.name == each.name or trigger.source == each.source for each in before):
            told = f"{trigger.name:.60}: its name or its source is there twice"
        if told:
            raise SetupError(told, field=values.place("triggers"))


def _spoken_of_once(found: list[LocalFunction]) -> list[LocalFunction]:
    """Return each function once: of two func.yaml the one that lies with the code."""
    chosen: dict[tuple[str, Path, str], LocalFunction] = {}
    for one in found:
        key = (one.name, one.target.file, one.target.handler)
        if key not in chosen or one.folder == one.target.folder:
            chosen[key] = one
    return [one for one in found if one in chosen.values()]


def _named_once(found: list[LocalFunction]) -> tuple[list[LocalFunction], list[RefusedFolder]]:
    names: dict[str, LocalFunction] = {}
    refused = []
    for one in found:
        other = names.setdefault(one.name, one)
        if other is not one:
            told = f"the name {one.name} is that of the function in {other.folder} already"
            refused.append(RefusedFolder(one.folder, told))
    return list(names.values()), refused
