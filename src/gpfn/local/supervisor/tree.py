"""The processes that a function has started, found in /proc.

A process is one of the function's when it descends from its first process, is of its session,
or was given its host name, which each process here has alone, as a container has it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["PAGE", "descendants", "find_members", "has_ended", "resident", "threads"]

PAGE = os.sysconf("SC_PAGESIZE")
_KERNEL = 2  # who starts the kernel's own threads


class _Seen(NamedTuple):
    """What /proc tells of a process."""

    parent: int
    session: int
    state: str


def resident(process: int) -> int:
    """Return the bytes of memory that a process has now, 0 when it has ended."""
    try:
        with open(f"/proc/{process}/statm") as statm:
            return int(statm.read().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


def threads(process: int) -> int:
    """Return how many threads a process has."""
    try:
        return len(os.listdir(f"/proc/{process}/task"))
    except OSError:
        return 0


def descendants(process: int, most: int = 10_000) -> list[int]:
    """Return a process and those that descend from it, at most ``most``."""
    found, at = [process], 0
    while at < len(found) and len(found) < most:
        found += _children(found[at])
        at += 1
    return found[:most]


def _children(process: int) -> Iterator[int]:
    try:
        tasks = os.listdir(f"/proc/{process}/task")
    except OSError:
        return  # it has ended
    for task in tasks:
        try:
            with open(f"/proc/{process}/task/{task}/children") as children:
                yield from map(int, children.read().split())
        except OSError:  # the thread has ended
            continue


def has_ended(process: int) -> bool:
    """Say whether a process does nothing any more, also when nobody has waited for it."""
    seen = _look(process)
    return seen is None or seen.state in "ZX"


def find_members(leader: int, host_name: str) -> set[int]:
    """Return all processes of the function whose first one is or was ``leader``."""
    seen = {number: what for number in _numbers() if (what := _look(number)) is not None}
    found = {
        number
        for number, what in seen.items()
        if leader in (number, what.session) or _is_named(number, what, host_name)
    }
    while True:
        more = {number for number, what in seen.items() if what.parent in found} - found
        if not more:
            return {number for number in found if seen[number].state not in "ZX"}
        found |= more


def _is_named(number: int, what: _Seen, host_name: str) -> bool:
    """Say whether a process has the host name, whatever has become of who started it."""
    if what.parent == _KERNEL:
        return False
    try:
        with open(f"/proc/{number}/environ", "rb") as environ:
            return f"HOSTNAME={host_name}\0".encode() in environ.read(1 << 16)
    except OSError:  # another user's, or it has ended
        return False


def _numbers() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _look(process: int) -> _Seen | None:
    try:
        with open(f"/proc/{process}/stat", "rb") as stat:
            words = stat.read().rpartition(b")")[2].split()
    except OSError:
        return None
    if len(words) < 4:
        return None
    return _Seen(int(words[1]), int(words[3]), words[0].decode())
