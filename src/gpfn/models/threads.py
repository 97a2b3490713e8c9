"""How many threads and how much memory this process may really use: affinity and cgroups.

``os.cpu_count()`` counts the machine's processors. A container may be allowed half of one,
where a pool of 64 threads would only add switching. Reads cgroup v2 (``cpu.max``) and
v1 (``cpu.cfs_quota_us``), from this process's group up to the root, the lowest counts; and
likewise ``memory.max`` and ``memory.limit_in_bytes``.
"""

import os
from collections.abc import Iterator
from functools import cache
from typing import Literal

from gpfn.errors import SetupError
from gpfn.settings import read_size

__all__ = ["available_cpus", "memory_for_a_call", "memory_limit", "thread_count"]

_CALL_BYTES = 1 << 30


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


@cache
def memory_for_a_call() -> int:
    """Return the bytes that the tensors of one call may take together.

    Half of what the cgroup allows, at most 1 GiB; ``GPFN_MAX_CALL_BYTES`` overrides that.
    """
    allowed = min(_CALL_BYTES, memory_limit() // 2) or _CALL_BYTES
    return read_size("GPFN_MAX_CALL_BYTES", allowed)


def memory_limit(root: str = "/") -> int:
    """Return the bytes that this process's cgroups allow it, 0 when none has a limit."""
    limits = [int(text) for text in _memory_limits(root) if text.isdigit()]
    return min((limit for limit in limits if limit < 1 << 60), default=0)  # v1's "no limit"


def _memory_limits(root: str) -> Iterator[str]:
    version_1, version_2 = ("memory", "memory.limit_in_bytes"), ("", "memory.max")
    for controller, name in (version_1, version_2):
        for group in _groups(root, controller):
            yield _read(os.path.join(root, "sys/fs/cgroup", controller, group, name)).strip()


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
