"""Listening on a port, and by whom it is taken when it is.

Who has a port stands in ``/proc``: ``net/tcp`` has the inode of the socket that listens, and the
``fd`` folders of the processes link to it. Those of other users cannot be read; then the port is
taken, and nobody says by whom.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from gpfn.errors import SetupError, escaped
from gpfn.http.loop.process import Endpoint, listen

__all__ = ["PortHolder", "find_holder", "listen_on"]

_LISTENING = "0A"
_LONGEST = 60
_PROGRAM = 2
"""Words that may be paths: an interpreter and its program. Their folders tell nobody more."""


class PortHolder(NamedTuple):
    """A process that listens on a port: its id and its command line."""

    pid: int
    command: str


def listen_on(host: str, port: int, flag: str) -> socket.socket:
    """Return a socket that listens at the address; a port of 0 takes a free one.

    Raises SetupError; for a port in use it says by whom, and with ``flag`` how to take another.
    It listens at once, as two sockets may have one address until one of them does.
    """
    try:
        return _listening(Endpoint(host, port))
    except (SetupError, OSError) as error:
        if os.strerror(errno.EADDRINUSE) not in str(error):
            raise SetupError(str(error), field="--listen") from None
    holder = find_holder(port)
    by = f" by {holder.command!r} (process {holder.pid})" if holder else ""
    raise SetupError(f"port {port} is in use{by}; another one: {flag} N, or 0 for any", field=flag)


def _listening(endpoint: Endpoint) -> socket.socket:
    sock = listen(endpoint)
    try:
        sock.listen(socket.SOMAXCONN)
    except OSError:
        sock.close()
        raise
    return sock


def find_holder(port: int) -> PortHolder | None:
    """Return who listens on a port; None when nobody does, or nobody that may be looked at."""
    wanted = {f"socket:[{inode}]" for inode in _inodes(port)}
    for folder in Path("/proc").iterdir() if wanted else ():
        if folder.name.isdigit() and _has(folder / "fd", wanted):
            return PortHolder(int(folder.name), _command(folder))
    return None


def _inodes(port: int) -> Iterator[str]:
    """Yield the inodes of sockets that listen on a port (proc_net_tcp of the Linux kernel)."""
    for name in ("tcp", "tcp6"):
        with suppress(OSError):  # a machine without IPv6 has only one
            for line in Path("/proc/net", name).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    yield fields[9]


def _has(folder: Path, wanted: set[str]) -> bool:
    with suppress(OSError):  # another user's, or it has ended
        for entry in os.scandir(folder):
            with suppress(OSError):  # it was closed meanwhile
                if os.readlink(entry.path) in wanted:
                    return True
    return False


def _command(folder: Path) -> str:
    with suppress(OSError):  # it has ended
        words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        shown = [*map(os.path.basename, words[:_PROGRAM]), *words[_PROGRAM:]]
        return escaped(" ".join(shown).strip())[:_LONGEST].rstrip()
    return ""
