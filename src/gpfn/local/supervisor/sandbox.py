"""What a function's process is started in: limits, a tree that it cannot write, its own /tmp.

A shell sets them up and becomes the function, so the process started is the function's own
and nothing of this process is forked. What works is found out once, by trying it: root may
make mount namespaces and control groups; anybody else has the limits of a process.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from gpfn.local.supervisor.cgroup import Cgroup, cgroup_version

__all__ = ["Confinement", "Means", "confined_words", "find_means", "is_private", "writable_mounts"]

_UNSHARE = ("unshare", "--mount", "--propagation", "private")
_KEPT_FLAGS = frozenset(("nosuid", "nodev", "noexec"))
_OTHER_TREES = ("/proc", "/sys", "/dev")
_SPARE_DATA = 1 << 30


class Means(NamedTuple):
    """What this machine lets this user do."""

    mounts: bool
    cgroup: int
    privileges: bool
    """Whether there is setpriv: a function ends with the supervisor, and gains no rights."""


class Confinement(NamedTuple):
    """What a process is held to. ``files`` 0: the machine's own limits.

    ``folder`` has ``iofs``, where a socket may be made, and ``tmp``. ``tree`` makes the rest
    read-only, and with ``private`` the folder's tmp is /tmp there.
    """

    folder: str
    files: int = 0
    processes: int = 0
    memory: int = 0
    tree: bool = False
    private: bool = False
    cgroup: Cgroup | None = None


@cache
def find_means() -> Means:
    """Find out what can be done here; it takes some milliseconds, once."""
    mounts = os.geteuid() == 0 and _works([*_UNSHARE, "mount", "-o", "remount,bind,ro", "/"])
    privileges = _works(["setpriv", "--pdeathsig", "KILL", "--no-new-privs", "true"])
    return Means(mounts, cgroup_version(), privileges)


@cache
def _program(name: str) -> str:
    """Return where a program is: it is started with the function's PATH, which may be any."""
    return shutil.which(name) or name


def _works(words: Sequence[str]) -> bool:
    if shutil.which(words[0]) is None:
        return False
    try:
        done = subprocess.run(words, capture_output=True, timeout=5.0, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def is_private(paths: Sequence[Path]) -> bool:
    """Say whether a function can have a /tmp of its own: nothing that it needs is in this one."""
    import gpfn

    needed = [*paths, Path(sys.prefix), Path(sys.base_prefix), Path(gpfn.__file__)]
    return not any(path.resolve().is_relative_to("/tmp") for path in needed)  # noqa: S108


def confined_words(words: Sequence[str], means: Means, held: Confinement) -> list[str]:
    """Return the words that set everything up and then become ``words``."""
    lines = [*_joins(held.cgroup), *_mounts(held), *_limits(held)]
    inner = [*_privileges(means, held), *words]
    if not lines:
        return inner
    ours = "unset PWD OLDPWD SHLVL"  # which a shell adds to the environment
    script = "\n".join(["set -e", *lines, ours, 'exec "$@"'])
    outer = (_program(_UNSHARE[0]), *_UNSHARE[1:]) if held.tree else ()
    return [*outer, "/bin/sh", "-c", script, "sh", *inner]


def _privileges(means: Means, held: Confinement) -> list[str]:
    if not means.privileges:
        return []
    words = [_program("setpriv"), "--pdeathsig", "KILL"]
    if held.tree:  # or it could undo it; root's own files may be another user's
        words += ["--no-new-privs", "--inh-caps=-all", "--bounding-set=-all,+dac_read_search"]
    return words


def _joins(group: Cgroup | None) -> Iterator[str]:
    for join in group.joins if group is not None else ():
        yield f"echo $$ > {shlex.quote(join)}"


def _limits(held: Confinement) -> Iterator[str]:
    if held.files:
        yield f"ulimit -n {held.files} 2>/dev/null || :"
        yield "ulimit -c 0 2>/dev/null || :"
    if held.memory and held.cgroup is None:  # far over what it may have: that is watched
        yield f"ulimit -d {(held.memory + _SPARE_DATA) >> 10} 2>/dev/null || :"


def _mounts(held: Confinement) -> Iterator[str]:
    if not held.tree:
        return
    mount, mkdir = _program("mount"), _program("mkdir")
    tmp, iofs = (shlex.quote(os.path.join(held.folder, name)) for name in ("tmp", "iofs"))
    yield f"{mount} -t tmpfs -o nosuid,nodev,noexec,mode=1777 gpfn {tmp}"
    if held.private:
        yield f"{mkdir} {tmp}/iofs"
        yield f"{mount} --bind {iofs} {tmp}/iofs"
    else:
        yield f"{mount} --bind {iofs} {iofs}"
    if Path("/sys/fs/cgroup").is_dir():
        yield f"{mount} -t tmpfs -o ro gpfn /sys/fs/cgroup"
    for point, flags in writable_mounts(Path("/proc/self/mountinfo").read_text()):
        if not (held.private and Path(point).is_relative_to("/tmp")):  # noqa: S108
            # others are mounted and unmounted meanwhile, as an engine of containers does
            gone = "" if point == "/" else " 2>/dev/null || :"
            options = ",".join(("remount,bind,ro", *flags))
            yield f"{mount} -o {options} {shlex.quote(point)}{gone}"
    if held.private:
        yield f"{mount} --rbind {tmp} /tmp"


def writable_mounts(mountinfo: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the mounts that can be written, with the flags that they must keep.

    Those of the system's own trees are left out. Source: proc_pid_mountinfo(5).
    """
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        _, _, _, _, escaped, options = before.split()[:6]
        point = escaped.encode().decode("unicode_escape")
        flags = set(options.split(","))
        other = any(Path(point).is_relative_to(tree) for tree in _OTHER_TREES)
        if "rw" in flags and not other and after.split()[0] != "nsfs":
            yield point, tuple(sorted(flags & _KEPT_FLAGS))
