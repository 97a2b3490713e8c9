"""What differs between a function's process here and on its platform, row by row.

``gpfn dev --limits`` and the console show the rows. They say what is really done on this
machine for this user: a control group can be made by root alone, and so can a read-only tree.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from gpfn.local.supervisor.sandbox import Means, find_means
from gpfn.local.supervisor.surroundings import ACTION_RULES, FN_RULES

__all__ = ["EmulatedRow", "emulated", "emulated_with"]

_AS_CGROUP = "a control group (version {version}) for each process and all that it starts"
_NO_CGROUP = "only root can make control groups; RLIMIT_AS counts addresses, not memory"
_NO_COUNT = "only root can make control groups; RLIMIT_NPROC counts all processes of a user"
_SAME_MACHINE = "a process of this machine, not a container"


class EmulatedRow(NamedTuple):
    """One property of a function's surroundings; ``same`` says whether it is held here."""

    what: str
    fn: str
    openwhisk: str
    here: str
    reason: str
    same: bool


def emulated(*, truth: bool = True) -> tuple[EmulatedRow, ...]:
    """Return what is emulated on this machine for this user, and what is not.

    It starts some programs to find out, once; ``truth`` is the supervisor's setting.
    """
    return emulated_with(find_means(), truth=truth)


def emulated_with(means: Means, *, truth: bool) -> tuple[EmulatedRow, ...]:
    """Return the rows of a machine that has ``means``."""
    rows = (*_times(), *_limits(means), *_tree(means), *_always(means))
    return rows if truth else tuple(map(_lenient, rows))


_KEPT_LENIENT = ("time of a call", "log of a call", "calls at a time", "environment")


def _lenient(row: EmulatedRow) -> EmulatedRow:
    if row.what in _KEPT_LENIENT or not row.same:
        return row
    return row._replace(here="not held", reason="truth mode is off", same=False)


def _times() -> Iterator[EmulatedRow]:
    yield EmulatedRow(
        "time to listen",
        "5 s",
        "the action's timeout",
        "the same",
        "killed, and the call told",
        True,
    )
    yield EmulatedRow(
        "time of a call",
        "timeout; then SIGKILL and 504",
        "timeout, once for /init and once for /run",
        "the same",
        "the process is dead before the caller is told",
        True,
    )
    yield EmulatedRow(
        "calls at a time", "1 a process", "1 a process", "the same", "as the platforms do", True
    )
    yield EmulatedRow(
        "standing still",
        "50 ms after a call",
        "10 s after a call",
        "SIGSTOP to the process's group, SIGCONT before a call",
        "what has left the group and its session goes on",
        True,
    )
    yield EmulatedRow(
        "log of a call",
        f"{FN_RULES.log_bytes} bytes",
        f"{ACTION_RULES.log_bytes} bytes",
        "the same",
        "the rest is read and thrown away; what comes between calls is the next one's",
        True,
    )


def _limits(means: Means) -> Iterator[EmulatedRow]:
    held = bool(means.cgroup)
    group = _AS_CGROUP.format(version=means.cgroup)
    yield EmulatedRow(
        "memory",
        "a control group, without swap",
        "a control group, without swap",
        group if held else "resident memory of the tree, looked at every 50 ms; then killed",
        "the kernel kills what has more" if held else _NO_CGROUP,
        held,
    )
    yield EmulatedRow(
        "processes and threads",
        f"{FN_RULES.processes}",
        f"{ACTION_RULES.processes}",
        group if held else "counted every 50 ms; a function with more is killed, not refused",
        "fork fails, as there" if held else _NO_COUNT,
        held,
    )
    yield EmulatedRow(
        "size of a body",
        "no limit; hosted by Oracle: 6 MiB",
        "1 MiB",
        "OpenWhisk: the same; Fn: 64 MiB, with a warning over 6 MiB",
        "nothing here says whether your Fn is a hosted one",
        False,
    )
    yield EmulatedRow(
        "open files", f"{FN_RULES.files}", f"{ACTION_RULES.files}", "RLIMIT_NOFILE", "", True
    )


def _tree(means: Means) -> Iterator[EmulatedRow]:
    yield EmulatedRow(
        "files that can be written",
        "none but /tmp",
        "all of the image, until the container ends",
        "Fn: a read-only tree in a mount namespace; OpenWhisk: this machine's own"
        if means.mounts
        else "what you can write yourself",
        "an action's writes go to your disk" if means.mounts else "only root can mount",
        False,
    )
    yield EmulatedRow(
        "/tmp",  # noqa: S108 - the name of a row
        "a tmpfs that counts as memory, noexec",
        "the image's",
        "Fn: the same, as /tmp where the code is not in it, else as TMPDIR; OpenWhisk: TMPDIR"
        if means.mounts
        else "a folder of the process's own in TMPDIR",
        "" if means.mounts else "only root can mount",
        False,
    )


def _always(means: Means) -> Iterator[EmulatedRow]:
    yield EmulatedRow(
        "environment",
        "the image's, config, FN_…",
        "the image's, __OW_…",
        "the same; TMPDIR, PYTHONDONTWRITEBYTECODE where the tree can be written, and "
        "PYTHONPATH where gpfn is not installed",
        "an image has Python and gpfn in it",
        True,
    )
    rights = "no new rights, no capabilities but reading" if means.mounts else "yours"
    yield EmulatedRow(
        "user", "1000, no capabilities", "the image's, mostly root", f"you; {rights}",
        "another user could not read your files", False,
    )  # fmt: skip
    yield EmulatedRow(
        "files that can be read", "the image's", "the image's", "this machine's", _SAME_MACHINE,
        False,
    )  # fmt: skip
    yield EmulatedRow(
        "packages and system", "the image's", "the image's", "this environment's Python",
        _SAME_MACHINE, False,
    )  # fmt: skip
    yield EmulatedRow(
        "network and processes", "the container's", "the container's", "this machine's",
        _SAME_MACHINE, False,
    )  # fmt: skip
    yield EmulatedRow("CPU", "no limit", "shares by memory", "no limit", "", False)
    if not means.privileges:
        yield EmulatedRow(
            "end of the server", "ends the containers", "ends the containers",
            "kill -9 leaves functions running", "there is no setpriv", False,
        )  # fmt: skip
