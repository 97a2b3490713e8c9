"""Control groups of both versions: limits of memory and processes that hold for a whole tree.

Only root may make them. Version 2 has one tree, whose controllers have to be switched on for
the folders below; version 1 has a tree for each controller. Source: the kernel's
admin-guide/cgroup-v2.rst and cgroup-v1/{memory,pids}.rst.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

__all__ = ["Cgroup", "cgroup_version", "left_groups", "make_cgroup"]

_NEEDED = ("memory", "pids")


class _Trees(NamedTuple):
    """Where groups can be made: the version, and the folder of each controller."""

    version: int
    memory: Path
    pids: Path


class Cgroup:
    """One group; a process joins it by writing its id to each of ``joins``."""

    def __init__(self, version: int, folders: tuple[Path, ...]) -> None:
        self._version = version
        self._folders = folders

    @property
    def joins(self) -> tuple[str, ...]:
        """The files that take the id of a process which joins."""
        return tuple(str(folder / "cgroup.procs") for folder in self._folders)

    def members(self) -> set[int]:
        """Return the processes in it, those that have ended and were not waited for too."""
        found: set[int] = set()
        for join in self.joins:
            with suppress(OSError):  # it was removed
                found |= {int(line) for line in Path(join).read_text().split()}
        return found

    def kill(self) -> None:
        """Kill everything in it, forks that are under way too."""
        if self._version == 2:
            with suppress(OSError):  # before Linux 5.14, or removed: one by one
                (self._folders[0] / "cgroup.kill").write_text("1")
        for number in self.members():
            with suppress(ProcessLookupError):  # it has ended
                os.kill(number, signal.SIGKILL)

    def exhausted(self) -> bool:
        """Say whether the kernel has killed something in it for its memory."""
        name = "memory.events" if self._version == 2 else "memory.oom_control"
        with suppress(OSError):  # it was removed
            words = (self._folders[0] / name).read_text().split()
            return int(dict(zip(words[::2], words[1::2], strict=False)).get("oom_kill", "0")) > 0
        return False

    def remove(self) -> bool:
        """Remove it; False as long as something in it has not quite ended."""
        for folder in self._folders:
            try:
                folder.rmdir()
            except FileNotFoundError:
                continue  # removed before
            except OSError:
                return False
        return True


def cgroup_version() -> int:
    """Return which version can be used here, 0 for none."""
    trees = _trees()
    return 0 if trees is None else trees.version


def make_cgroup(name: str, memory: int, processes: int) -> Cgroup | None:
    """Make a group with at most ``memory`` bytes and ``processes`` threads; None without any."""
    trees = _trees()
    return None if trees is None else _make(trees, name, memory, processes)


def _make(trees: _Trees, name: str, memory: int, processes: int) -> Cgroup | None:
    folders = tuple(dict.fromkeys((trees.memory / name, trees.pids / name)))
    group = Cgroup(trees.version, folders)
    limits = _limits(trees.version, memory)
    try:
        for folder in folders:
            folder.mkdir()
        (folders[-1] / "pids.max").write_text(str(processes))
        for file, value, needed in limits:
            path = folders[0] / file
            if needed or path.exists():  # a kernel may have no account of swap
                path.write_text(value)
    except OSError:
        group.remove()
        return None
    return group


def _limits(version: int, memory: int) -> tuple[tuple[str, str, bool], ...]:
    """Return files, values and whether a kernel must have the file: memory without swap."""
    if version == 2:
        return (
            ("memory.max", str(memory), True),
            ("memory.swap.max", "0", False),
            ("memory.oom.group", "1", False),
        )
    return (
        ("memory.limit_in_bytes", str(memory), True),
        ("memory.memsw.limit_in_bytes", str(memory), False),
    )


@cache
def _trees() -> _Trees | None:
    """Find where groups can be made, by making one."""
    if os.geteuid() != 0:
        return None
    for trees in _candidates():
        group = _make(trees, f"gpfn-try-{os.getpid()}", 1 << 26, 50)
        if group is not None:
            group.remove()
            return trees
    return None


def _candidates() -> list[_Trees]:
    own = _own()
    found, first = [], {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        root, point = before.split()[3:5]
        kind, _, options = after.split()[:3]
        if kind == "cgroup2":
            ours = Path(point) / os.path.relpath(own.get("", "/"), root)
            found += [_Trees(2, place, place) for place in (ours, Path(point)) if _ready(place)]
        elif kind == "cgroup":
            for name in set(options.split(",")) & set(_NEEDED):
                first[name] = Path(point) / os.path.relpath(own.get(name, "/"), root)
    if len(first) == len(_NEEDED):
        found.append(_Trees(1, first["memory"], first["pids"]))
    return found


def _own() -> dict[str, str]:
    """Return this process's group by controller; version 2's has no name."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    rows = (line.split(":", 2) for line in lines)
    return {name: path for _, names, path in rows for name in names.split(",")}


def _ready(folder: Path) -> bool:
    try:
        switched = (folder / "cgroup.subtree_control").read_text().split()
    except OSError:
        return False
    return set(_NEEDED) <= set(switched)


def left_groups() -> Iterator[tuple[int, Cgroup]]:
    """Yield the groups that there are, with the id of the process that made each."""
    trees = _trees()
    if trees is None:
        return
    for folder in trees.memory.glob("gpfn-*-*"):
        pid = folder.name.split("-")[1]
        if pid.isdigit():
            folders = tuple(dict.fromkeys((folder, trees.pids / folder.name)))
            yield int(pid), Cgroup(trees.version, folders)
