"""How many threads this process may really use: CPU affinity and the cgroup's quota.

``os.cpu_count()`` counts the machine's processors. A container may be allowed half of one,
where a pool of 64 threads would only add switching. Reads cgroup v2 (``cpu.max``) and
v1 (``cpu.cfs_quota_us``), from this process's group up to the root, the lowest counts.
"""

import os
from collections.abc import Iterator
from typing import Literal

from gpfn.errors import SetupError

__all__ = ["available_cpus", "thread_count"]


def thread_count(threads: int | Literal["auto"]) -> int:
    """Return the number that ``threads`` asks for; ``auto`` is :func:`available_cpus`.

    Raises SetupError when it is neither ``auto`` nor a whole number above 0.
    """
    if threads == "auto":
        return available_cpus()
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise SetupError(f"expected a number above 0 or 'auto', got {threads!r}", field="threads")
    return threads


def available_cpus(root: str = "/") -> int:
    """Return the processors that this process may keep busy, at least 1.

    A quota of 1.5 processors counts as 1: a second thread would be stopped in the
    middle of its work. ``root`` is where ``proc`` and ``sys`` are found.
    """
    quotas = [*_v2_quotas(root), *_v1_quotas(root)]
    allowed = len(os.sched_getaffinity(0))
    return max(1, min([allowed, *(int(quota) for quota in quotas)]))


def _v2_quotas(root: str) -> Iterator[float]:
    for group in _groups(root, ""):
        words = _read(os.path.join(root, "sys/fs/cgroup", group, "cpu.max")).split()
        if len(words) == 2:
            yield from _ratio(*words)


def _v1_quotas(root: str) -> Iterator[float]:
    for group in _groups(root, "cpu"):
        for mount in ("cpu,cpuacct", "cpu"):
            folder = os.path.join(root, "sys/fs/cgroup", mount, group)
            quota = _read(os.path.join(folder, "cpu.cfs_quota_us")).strip()
            yield from _ratio(quota, _read(os.path.join(folder, "cpu.cfs_period_us")).strip())


def _groups(root: str, controller: str) -> Iterator[str]:
    """Give the group of this process and those above it, as relative paths, "" the last.

    Lines of /proc/self/cgroup read ``hierarchy:controllers:path``; v2 has no controllers.
    Inside a container the path may be the host's, which is not there: its top then is.
    """
    for line in _read(os.path.join(root, "proc/self/cgroup")).splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controller in controllers.split(","):
            parts = [part for part in path.split("/") if part not in ("", "..")]
            for length in range(len(parts), -1, -1):
                yield "/".join(parts[:length])


def _ratio(quota: str, period: str) -> Iterator[float]:
    if quota.isdigit() and period.isdigit() and int(period) > 0:  # neither "max" nor -1
        yield int(quota) / int(period)


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
