"""A function over HTTP: ``gpfn run http`` as its own process, called on a free port."""

import http.client
import re

from gpfn.errors import BackendTimeout, BrokenReply
from gpfn.invoke.child import Child, Running
from gpfn.invoke.fn import script
from gpfn.invoke.fnwire import call_id
from gpfn.invoke.platform import Answer, Request
from gpfn.invoke.target import Target

__all__ = ["Http"]

_START_SECONDS = 60.0
_LISTENING = re.compile(r"listening on http://([^\s:]+):(\d+)")


class Http:
    """The function as ``gpfn run http`` serves it, called over one kept connection."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._child: Running | None = None
        self._host, self._port = "127.0.0.1", 0
        self._connection: http.client.HTTPConnection | None = None

    def start(self) -> float:
        """Start the process; it is ready when it says where it listens."""
        self._child = self._launch()
        seconds = self._child.wait_until(self._listens, _START_SECONDS)
        self._connection = http.client.HTTPConnection(self._host, self._port)
        return seconds

    def _launch(self) -> Running:
        environ = {name: v for name, v in self.target.environ().items() if name != "GPFN_LOG"}
        command = [*script("gpfn"), "run", "http", str(self.target.file), "--port", "0"]
        return Child(command, self.target.folder, environ)

    def _listens(self) -> bool:
        place = _LISTENING.search(self.log())
        if place is not None:
            self._host, self._port = place[1], int(place[2])
        return place is not None

    def call(self, request: Request) -> Answer:
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
        return Answer(response.status, body, headers, identifier)

    def _headers(self, request: Request, identifier: str) -> list[tuple[str, str]]:
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

    def memory(self) -> int:
        """Return the process's resident bytes."""
        return 0 if self._child is None else self._child.memory()
