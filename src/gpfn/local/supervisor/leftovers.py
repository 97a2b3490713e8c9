"""What a supervisor left that was killed: folders and control groups named after its process.

Its functions have ended with it (PR_SET_PDEATHSIG); what they have started may go on, in a
control group or with a folder in its environment that only they were given, and ends here.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from gpfn.local.supervisor.cgroup import left_groups

__all__ = ["is_running", "remove_leftovers"]

_FOLDER = re.compile(r"gpfn-dev-([0-9]{1,9})-\w+")
_GIVEN = re.compile(rb"(?:^|\0)(?:FN_LISTENER=unix:|TMPDIR=)/[^\0]*/gpfn-dev-([0-9]{1,9})-\w+/")
_ENVIRON_BYTES = 1 << 20


def remove_leftovers() -> None:
    """Remove what belongs to no process any more."""
    for number in _processes():
        with suppress(ProcessLookupError):  # it has just ended
            os.kill(number, signal.SIGKILL)
    for folder in _folders():
        shutil.rmtree(folder, ignore_errors=True)
    for pid, group in left_groups():
        if not is_running(pid):
            group.kill()
            group.remove()


def _folders() -> Iterator[Path]:
    for place in {tempfile.gettempdir(), "/tmp"}:  # noqa: S108 - where socket_folder makes them
        for folder in Path(place).glob("gpfn-dev-*"):
            named = _FOLDER.fullmatch(folder.name)
            ours = named is not None and not is_running(int(named[1]))
            if ours and not folder.is_symlink() and folder.stat().st_uid == os.geteuid():
                yield folder


def _processes() -> Iterator[int]:
    """Yield the processes of functions whose supervisor has ended.

    In a container the ids of processes are others: what lives there is none of ours.
    """
    here = os.readlink("/proc/self/ns/pid")
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as environ:
                given = _GIVEN.search(environ.read(_ENVIRON_BYTES))
            ours = os.stat(f"/proc/{name}").st_uid == os.geteuid()
            ours = ours and os.readlink(f"/proc/{name}/ns/pid") == here
        except OSError:  # another user's, or it has ended
            continue
        if given is not None and ours and not is_running(int(given[1])):
            yield int(name)


def is_running(pid: int) -> bool:
    """Say whether there is a process of that id."""
    return Path(f"/proc/{pid}").exists()
