"""An Fn container under test: started, and called through its socket as the agent calls."""

import os
import socket
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gpfn.certify.check import expect, not_applicable
from gpfn.certify.subject import (
    RunningServer,
    StartedSubject,
    Subject,
    SubjectContainer,
    SubjectProcess,
)
from gpfn.certify.wire import ServerConnection, ServerReply
from gpfn.errors import BackendTimeout, BrokenReply, SetupError
from gpfn.hosts.container import sandbox_flags
from gpfn.hosts.fn import call_id
from gpfn.hosts.fn_request import encode_request
from gpfn.hosts.host import Invocation

__all__ = [
    "START_SECONDS",
    "STATUSES",
    "FnContainer",
    "FnContainers",
    "connects",
    "is_socket",
    "wait_for_socket",
]

START_SECONDS = 5.0
"""How long the agent waits for the socket (FN_HOT_START_TIMEOUT_MSECS)."""

STATUSES = (200, 502, 504)
"""What the agent knows; over any other it kills the container."""

_NAME = "lsnr.sock"
_MEMORY = 128


class FnContainer:
    """A running container, and the one connection that the agent keeps to it."""

    def __init__(self, running: StartedSubject, path: str, timeout: float) -> None:
        self.running = running
        self.path = path
        self.timeout = timeout
        self._connection: ServerConnection | None = None

    def call(self, request: Invocation) -> ServerReply:
        """Send a request as the agent does; raises BackendError when no reply comes."""
        connection = self.connection()
        try:
            connection.sock.sendall(encode_request(request, call_id()))
        except OSError as error:
            raise BrokenReply(f"the request was not taken: {error!r}") from None
        return connection.raw_reply()

    def connection(self) -> ServerConnection:
        """Return the kept connection, connected."""
        if self._connection is None:
            self._connection = ServerConnection(self.path, self.timeout)
            self._connection.connect()
        return self._connection

    def disconnect(self) -> None:
        """Close the kept connection, as the agent does after a second without calls."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def expect_known(self, what: str, request: Invocation) -> ServerReply:
        """Send a request, whose status the agent has to know."""
        reply = self.call(request)
        expect(
            reply.status in STATUSES,
            f"{what} was answered {reply.shown()}; the agent would kill it",
        )
        return reply


class FnContainers:
    """Makes containers of a subject, fresh for each check where that can be."""

    def __init__(self, subject: Subject, timeout: float = 30.0) -> None:
        self.subject = subject
        self._timeout = timeout

    @contextmanager
    def starting(self) -> Iterator[tuple[StartedSubject, Path]]:
        """Start one that nobody has waited for; not applicable to one that runs already."""
        if self.subject.kind == "url":
            not_applicable("needs a fresh process, and this server runs already")
        with tempfile.TemporaryDirectory(prefix="fn-", dir=_short()) as folder:
            os.chmod(folder, 0o777)  # noqa: S103 - as the agent makes it: another user writes
            running = self._start(folder)
            try:
                yield running, Path(folder) / _NAME
            finally:
                running.stop()

    @contextmanager
    def ready(self) -> Iterator[FnContainer]:
        """Give a container whose socket has appeared."""
        if self.subject.kind == "url":
            yield FnContainer(
                RunningServer(), self.subject.text.removeprefix("unix:"), self._timeout
            )
            return
        with self.starting() as (running, path):
            wait_for_socket(running, path)
            called = FnContainer(running, str(path), self._timeout)
            try:
                yield called
            finally:
                called.disconnect()

    def _start(self, folder: str) -> StartedSubject:
        numbers = {"FN_FN_ID": call_id(), "FN_APP_ID": call_id()}
        if self.subject.kind == "command":
            environ = {
                "FN_FORMAT": "http-stream",
                "FN_TYPE": "sync",
                "FN_MEMORY": str(_MEMORY),
                "FN_LISTENER": f"unix:{folder}/{_NAME}",
            }
            return SubjectProcess(self.subject.words, environ | numbers)
        variables = [f"--env={name}={value}" for name, value in numbers.items()]
        return SubjectContainer(
            [*sandbox_flags("fn", _MEMORY, Path(folder)), *variables], self.subject.text
        )


def wait_for_socket(running: StartedSubject, path: Path) -> float:
    """Wait until the socket's name appears, looking 2,000 times a second; returns the seconds.

    Raises SetupError when it ends before that, BackendTimeout when the agent would give up.
    """
    began = time.monotonic()
    while not os.path.lexists(path):
        if not running.alive():
            _, err = running.streams()
            raise SetupError(f"it ended before its socket appeared: {err[-300:].strip()}")
        if time.monotonic() - began > START_SECONDS:
            raise BackendTimeout(f"no socket within {START_SECONDS:g} s; the agent gives up")
        time.sleep(0.0005)
    return time.monotonic() - began


def is_socket(path: Path) -> bool:
    """Say whether the path leads to a socket."""
    return stat.S_ISSOCK(path.stat().st_mode)


def connects(path: Path) -> bool:
    """Say whether a connection is accepted at once."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(1.0)
        try:
            connection.connect(str(path))
        except OSError:
            return False
        return True


def _short() -> str:
    """Return a folder in which a socket's path keeps to the system's 107 bytes."""
    usual = tempfile.gettempdir()
    return usual if len(usual) <= 60 else "/tmp"  # noqa: S108
