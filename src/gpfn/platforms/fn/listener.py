"""The socket through which Fn's agent reaches a container, made as the agent wants it.

The agent watches the folder for the name in FN_LISTENER and connects as soon as it
appears. So the socket is bound under another name, opened to every user, made to listen,
and only then linked to: a relative link without a folder, or the agent refuses it.
Source: fn-format.md of the Fn project.
"""

from __future__ import annotations

import os
from _socket import AF_UNIX, SOCK_STREAM, socket  # the socket module costs 3 ms of a cold start
from collections.abc import Mapping

from gpfn.errors import SetupError

__all__ = ["FnListener"]

_PATH_BYTES = 107  # sockaddr_un's 108 with the NUL behind
_BACKLOG = 128


class FnListener:
    """The listening socket and its two files."""

    __slots__ = ("_inode", "_phony", "path", "socket")

    def __init__(self, path: str) -> None:
        """Take the ``path`` that shall appear; raises SetupError when it cannot."""
        self.path = os.path.normpath(path)
        self._phony = _phony(self.path)
        self._inode = 0
        self.socket: socket | None = None

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> FnListener:
        """Return the one that FN_LISTENER and FN_FORMAT ask for; raises SetupError."""
        form = environ.get("FN_FORMAT")
        if form != "http-stream":
            raise SetupError(f"expected 'http-stream', got {form!r}", field="FN_FORMAT")
        value = environ.get("FN_LISTENER", "")
        if not value.startswith("unix:") or value == "unix:":
            raise SetupError(f"expected unix:PATH, got {value!r}", field="FN_LISTENER")
        return cls(value[len("unix:") :])

    def open(self) -> socket:
        """Make the socket appear; raises SetupError when the folder does not allow it."""
        listening = socket(AF_UNIX, SOCK_STREAM)
        try:
            self._remove()  # what a killed process left
            listening.bind(self._phony)
            self._inode = os.lstat(self._phony).st_ino
            os.chmod(self._phony, 0o666)  # noqa: S103 - the agent is another user
            listening.listen(_BACKLOG)
            os.symlink(os.path.basename(self._phony), self.path)
        except OSError as error:
            listening.close()
            self._remove_if_ours()
            raise SetupError(
                f"cannot listen on {self.path}: {error}", field="FN_LISTENER"
            ) from error
        self.socket = listening
        return listening

    def close(self) -> None:
        """Stop listening and remove both files; calling it twice is harmless."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None
        self._remove_if_ours()

    def _remove_if_ours(self) -> None:
        """Leave the files of a process that has taken the place alone."""
        try:
            ours = os.lstat(self._phony).st_ino == self._inode
        except OSError:
            return  # it is not there: nothing of ours to remove
        if ours:
            self._remove()

    def _remove(self) -> None:
        for path in (self.path, self._phony):
            try:
                os.unlink(path)
            except FileNotFoundError:
                continue  # removed already, which is what was wanted


def _phony(path: str) -> str:
    """Return the name to bind: FDK's phonyNAME, cut where a socket's path must end."""
    folder, name = os.path.split(path)
    if not name:
        raise SetupError(f"no file name in {path!r}", field="FN_LISTENER")
    size = len(os.fsencode(path))
    if size > _PATH_BYTES:
        raise SetupError(
            f"the path has {size} bytes, a socket's may have {_PATH_BYTES}: {path}",
            field="FN_LISTENER",
        )
    prefix = os.fsencode(os.path.join(folder, ""))
    phony = os.fsdecode((prefix + b"phony" + os.fsencode(name))[:_PATH_BYTES])
    if phony == path:
        raise SetupError(f"no room for a second name beside {path}", field="FN_LISTENER")
    return phony
