"""Two hosts: ``gpfn run http`` on a free port, and the function in this process.

The second has no server and no platform's contract: it is the one to debug with.
"""

from __future__ import annotations

import http.client
import os
import time

from gpfn.call.contract import Call
from gpfn.deadline import Deadline
from gpfn.errors import BackendTimeout, BrokenReply
from gpfn.hosts.child import Child, HostedProcess, ProcessHost
from gpfn.hosts.fn import call_id
from gpfn.hosts.host import Invocation, InvocationResult
from gpfn.hosts.log import listening_url
from gpfn.hosts.target import Target
from gpfn.message import Message
from gpfn.platforms.load import load_function

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gpfn.call.contract import Answering

__all__ = ["HttpHost", "InProcessHost"]

_START_SECONDS = 60.0


class HttpHost(ProcessHost):
    """The function as ``gpfn run http`` serves it, called over one kept connection."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._host, self._port = "127.0.0.1", 0
        self._connection: http.client.HTTPConnection | None = None

    def start(self) -> float:
        """Start the process; it is ready when it says where it listens."""
        self._child = self._launch()
        seconds = self._child.wait_until(self._listens, _START_SECONDS)
        self._connection = http.client.HTTPConnection(self._host, self._port)
        return seconds

    def _launch(self) -> HostedProcess:
        command = [*self.words(), "run", "http", str(self.target.file), "--port", "0"]
        return Child(command, self.target.folder, self.target.environ())

    def _listens(self) -> bool:
        url = listening_url(self.log())
        if url:
            host, _, port = url.removeprefix("http://").rpartition(":")
            self._host, self._port = host, int(port)
        return bool(url)

    def call(self, request: Invocation) -> InvocationResult:
        """POST one request."""
        assert self._connection is not None, "started"  # noqa: S101 - the seam's order
        connection, identifier = self._connection, call_id()
        connection.timeout = request.timeout + 1.0
        if connection.sock is not None:
            connection.sock.settimeout(connection.timeout)
        try:
            connection.putrequest("POST", "/")
            for name, value in self._headers(request, identifier):
                connection.putheader(name, value)
            connection.endheaders(request.body)
            response = connection.getresponse()
            body = response.read()
        except TimeoutError as error:
            connection.close()
            raise BackendTimeout(f"no answer within {request.timeout:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise BrokenReply(f"the function broke off: {error!r}") from error
        headers = tuple((name.lower(), value) for name, value in response.getheaders())
        return InvocationResult(response.status, body, headers, identifier)

    def _headers(self, request: Invocation, identifier: str) -> list[tuple[str, str]]:
        headers = [("Content-Length", str(len(request.body))), *request.headers]
        if request.content_type:
            headers.append(("Content-Type", request.content_type))
        return [*headers, ("X-Request-Id", identifier)]

    def stop(self) -> None:
        """End the process."""
        if self._connection is not None:
            self._connection.close()
        if self._child is not None:
            self._child.stop()

    def log(self) -> str:
        """Return what the process has written."""
        return "" if self._child is None else self._child.log()


class InProcessHost:
    """The function as a plain call, without a server."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._function: Answering | None = None

    def start(self) -> float:
        """Load the file and open the model."""
        began = time.perf_counter()
        for name, value in self.target.config.items():
            os.environ.setdefault(name, value)
        self._function = load_function(str(self.target.file), (self.target.handler,))
        self._function.open()
        return time.perf_counter() - began

    def call(self, request: Invocation) -> InvocationResult:
        """Answer one request."""
        assert self._function is not None, "started"  # noqa: S101 - the seam's order
        message = Message(request.body, request.content_type, _lowered(request.headers))
        identifier = call_id()
        call = Call(identifier, Deadline.after(request.timeout), "call")
        reply = self._function.answer(message, call)
        if reply.error is not None and reply.status >= 500:
            _trace(reply.error)
        headers = (("content-type", reply.message.content_type), *reply.message.headers)
        return InvocationResult(reply.status, bytes(reply.message.body), headers, identifier)

    def stop(self) -> None:
        """Leave the function to the garbage collector."""
        self._function = None

    def log(self) -> str:
        """Return nothing: what the function writes is on the terminal already."""
        return ""

    def memory(self) -> int:
        """Return this process's resident bytes."""
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def _lowered(headers: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    return tuple((name.lower(), value) for name, value in headers)


def _trace(error: BaseException) -> None:
    import sys
    from traceback import format_exception

    from gpfn.hidden import hidden

    sys.stderr.write(hidden("".join(format_exception(error))))
