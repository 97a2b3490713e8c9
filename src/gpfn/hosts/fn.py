"""Hosts for Fn: a process behind a unix socket, which is asked as an Fn server asks it."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from gpfn.errors import BackendTimeout, BrokenReply, CannotConnect
from gpfn.hosts.child import Child, HostedProcess, ProcessHost, command_line
from gpfn.hosts.fn_request import encode_request
from gpfn.hosts.host import Invocation, InvocationResult
from gpfn.hosts.target import Target

__all__ = [
    "FdkHost",
    "FnHost",
    "call_id",
    "fn_variables",
    "fn_words",
    "socket_folder",
    "unwrap_trigger",
]

_ULID = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [high + low for high in _ULID for low in _ULID]
_TAIL_SHIFTS = range(70, -1, -10)
_KEPT_BY_TRIGGERS = ("content-type", "fn-call-id")
_START_SECONDS = 60.0  # Fn itself gives 5; a cold disk on a laptop may need more


def call_id() -> str:
    """Return a new id of the form that Fn gives to calls."""
    number = int.from_bytes(os.urandom(10))
    tail = "".join([_PAIRS[number >> shift & 1023] for shift in _TAIL_SHIFTS])
    return _id_time(int(time.time() * 1000)) + tail


@lru_cache(maxsize=1)
def _id_time(milliseconds: int) -> str:
    """Return the part of an id that says when it was made."""
    return "".join([_PAIRS[milliseconds >> shift & 1023] for shift in range(40, -1, -10)])


def unwrap_trigger(answer: InvocationResult) -> InvocationResult:
    """Return what the caller of an HTTP trigger gets for the container's reply."""
    status, headers = answer.status, []
    for name, value in answer.headers:
        if name == "fn-http-status" and len(value) == 3 and value.isascii() and value.isdigit():
            status = int(value)
        elif name.startswith("fn-http-h-") and name != "fn-http-h-":
            headers.append((name.removeprefix("fn-http-h-"), value))
        elif name in _KEPT_BY_TRIGGERS:
            headers.append((name, value))
    return InvocationResult(status, answer.body, tuple(headers), answer.call_id)


def fn_words(words: Iterable[str], file: Path, handler: str) -> list[str]:
    """Return what a container's ENTRYPOINT would be; ``words`` start ``gpfn``."""
    return [*words, "run", "fn", str(file), handler]


def fn_variables(listener: str, memory: int, function: str, app: str) -> dict[str, str]:
    """Return the variables that Fn sets over the configuration; ``memory`` in MB, two ids."""
    return {
        "FN_LISTENER": f"unix:{listener}",
        "FN_FORMAT": "http-stream",
        "FN_TYPE": "sync",
        "FN_MEMORY": str(memory),
        "FN_FN_ID": function,
        "FN_APP_ID": app,
    }


class FnHost(ProcessHost):
    """The function as ``gpfn run fn`` serves it, called as a real Fn server calls."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._folder: str | None = None
        self._connection: socket.socket | None = None

    def command(self) -> list[str]:
        """Return what a container's ENTRYPOINT would be."""
        return fn_words(self.words(), self.target.file, self.target.handler)

    def environ(self, listener: str) -> dict[str, str]:
        """Return the variables that Fn sets, over the function's config."""
        variables = fn_variables(listener, self.target.memory, call_id(), call_id())
        return {**self.target.environ(), **variables}

    def start(self) -> float:
        """Start the process; it is ready when its socket has appeared."""
        self._folder = socket_folder("gpfn-iofs-")
        listener = self._listener()
        self._child = self._launch(listener)
        return self._child.wait_until(lambda: os.path.exists(listener), _START_SECONDS)

    def _launch(self, listener: str) -> HostedProcess:
        return Child(self.command(), self.target.folder, self.environ(listener))

    def _listener(self) -> str:
        return os.path.join(self._folder or "", "lsnr.sock")

    def call(self, request: Invocation) -> InvocationResult:
        """Send one request down the socket, on a connection that is kept."""
        identifier = call_id()
        try:
            connection = self._connected()
            connection.settimeout(request.timeout + 1.0)  # it may still answer that time is over
            _send(connection, encode_request(request, identifier))
            answer, closing = _read(connection, identifier)
            if closing:
                self._disconnect()
        except TimeoutError as error:
            self._disconnect()
            raise BackendTimeout(f"no answer within {request.timeout:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            self._disconnect()
            raise BrokenReply(f"the function broke off: {error}") from error
        return unwrap_trigger(answer) if request.as_trigger else answer

    def _connected(self) -> socket.socket:
        if self._connection is None:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(self._listener())
            except OSError as error:
                connection.close()
                raise CannotConnect(f"the function does not listen: {error}") from error
            self._connection = connection
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def stop(self) -> None:
        """End the process and remove the socket's folder."""
        self._disconnect()
        if self._child is not None:
            self._child.stop()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def log(self) -> str:
        """Return what the function has written."""
        return "" if self._child is None else self._child.log()


class FdkHost(FnHost):
    """The function under the stock FDK, as ``runtime: python`` images start it."""

    def command(self) -> list[str]:
        """Return the stock image's ENTRYPOINT."""
        return [*command_line("fdk", extra="fdk"), str(self.target.file), self.target.handler]

    def environ(self, listener: str) -> dict[str, str]:
        """Add what the image sets so that modules beside func.py can be imported."""
        found = super().environ(listener)
        paths = [str(self.target.folder), found.get("PYTHONPATH", "")]
        return {**found, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def socket_folder(prefix: str) -> str:
    """Make a folder in which a socket's path keeps to the system's 107 bytes."""
    usual = tempfile.gettempdir()
    return tempfile.mkdtemp(prefix=prefix, dir=usual if len(usual) <= 60 else "/tmp")  # noqa: S108


def _send(connection: socket.socket, data: bytes) -> None:
    try:
        connection.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        return  # it may refuse a body before all of it has come; its reply says so


def _read(connection: socket.socket, identifier: str) -> tuple[InvocationResult, bool]:
    """Return the answer, and whether the server ends the connection after it."""
    response = http.client.HTTPResponse(connection, method="POST")
    try:
        response.begin()
        body = response.read()
    finally:
        response.close()
    headers = tuple((name.lower(), value) for name, value in response.getheaders())
    return InvocationResult(response.status, body, headers, identifier), response.will_close
