"""A function under Fn's contract: its own process behind a unix socket."""

import http.client
import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path

from gpfn.errors import BackendTimeout, BrokenReply, CannotConnect, MissingExtra
from gpfn.invoke.child import Child, Running
from gpfn.invoke.fnwire import call_id, decap, encode_request
from gpfn.invoke.platform import Answer, Request
from gpfn.invoke.target import Target

__all__ = ["Fdk", "Fn", "script"]

_START_SECONDS = 60.0  # Fn itself gives 5; a cold disk on a laptop may need more


class Fn:
    """The function as ``gpfn run fn`` serves it, called as a real Fn server calls."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._folder: str | None = None
        self._child: Running | None = None
        self._connection: socket.socket | None = None

    def command(self) -> list[str]:
        """Return what a container's ENTRYPOINT would be."""
        return [*script("gpfn"), "run", "fn", str(self.target.file), self.target.handler]

    def environ(self, listener: str) -> dict[str, str]:
        """Return the variables that Fn sets, over the function's config."""
        return {
            **self.target.environ(),
            "FN_LISTENER": f"unix:{listener}",
            "FN_FORMAT": "http-stream",
            "FN_TYPE": "sync",
            "FN_MEMORY": str(self.target.memory),
            "FN_FN_ID": call_id(),
            "FN_APP_ID": call_id(),
        }

    def start(self) -> float:
        """Start the process; it is ready when its socket has appeared."""
        self._folder = _short_folder()
        listener = self._listener()
        self._child = self._launch(listener)
        return self._child.wait_until(lambda: os.path.exists(listener), _START_SECONDS)

    def _launch(self, listener: str) -> Running:
        return Child(self.command(), self.target.folder, self.environ(listener))

    def _listener(self) -> str:
        return os.path.join(self._folder or "", "lsnr.sock")

    def call(self, request: Request) -> Answer:
        """Send one request down the socket, on a connection that is kept."""
        identifier = call_id()
        try:
            connection = self._connected()
            connection.settimeout(request.timeout + 1.0)  # it may say itself that it is late
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
        return decap(answer) if request.as_trigger else answer

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

    def memory(self) -> int:
        """Return the process's resident bytes."""
        return 0 if self._child is None else self._child.memory()

    def pid(self) -> int:
        """Return the id of its process; 0 before it is started."""
        return 0 if self._child is None else self._child.pid


class Fdk(Fn):
    """The function under the stock FDK, as ``runtime: python`` images start it."""

    def command(self) -> list[str]:
        """Return the stock image's ENTRYPOINT."""
        return [*script("fdk", extra="fdk"), str(self.target.file), self.target.handler]

    def environ(self, listener: str) -> dict[str, str]:
        """Add what the image sets so that modules beside func.py can be imported."""
        found = super().environ(listener)
        paths = [str(self.target.folder), found.get("PYTHONPATH", "")]
        return {**found, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def _short_folder() -> str:
    """Return a new folder in which a socket's path keeps to the system's 107 bytes."""
    usual = tempfile.gettempdir()
    return tempfile.mkdtemp(prefix="gpfn-iofs-", dir=usual if len(usual) <= 60 else "/tmp")  # noqa: S108


def script(name: str, *, extra: str = "") -> list[str]:
    """Return how to start a command of this environment: its script, or ``python -m gpfn``.

    Raises MissingExtra when it is of an ``extra`` that is not installed.
    """
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.is_file() else None if not extra else shutil.which(name)
    if found is None and extra:
        raise MissingExtra(name, extra)
    return [found] if found else [sys.executable, "-m", name]


def _send(connection: socket.socket, data: bytes) -> None:
    try:
        connection.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        return  # it may have refused the body before all of it came: the answer tells


def _read(connection: socket.socket, identifier: str) -> tuple[Answer, bool]:
    """Return the answer, and whether the server ends the connection after it."""
    response = http.client.HTTPResponse(connection, method="POST")
    try:
        response.begin()
        body = response.read()
    finally:
        response.close()
    headers = tuple((name.lower(), value) for name, value in response.getheaders())
    return Answer(response.status, body, headers, identifier), response.will_close
