"""HTTP towards a server that is checked: one request, one reply, and how that is framed."""

import http.client
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

from gpfn.certify.check import expect
from gpfn.errors import BackendTimeout, BrokenReply, CannotConnect

__all__ = ["ServerAddress", "ServerConnection", "ServerReply"]

ServerAddress = tuple[str, int] | str
"""Host and port, or the path of a unix socket."""


@dataclass(frozen=True, slots=True)
class ServerReply:
    """One response; ``framing`` says how its end was told: ``length``, ``chunked`` or ``close``."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    framing: str = "length"
    version: int = 11

    def json(self) -> object:
        """Return the body parsed; a body that is not JSON fails the check."""
        try:
            return json.loads(self.body, parse_constant=_no_constant)
        except ValueError as error:
            expect(False, f"the reply is not JSON ({error}): {self.shown()}")
            raise

    def shown(self) -> str:
        """Return it in short, for the reason of a failure."""
        text = self.body[:200].decode(errors="replace")
        return f"{self.status} {text!r}{'…' if len(self.body) > 200 else ''}"


class ServerConnection(http.client.HTTPConnection):
    """One connection; errors of the network are the server's failures."""

    def __init__(self, address: ServerAddress, timeout: float) -> None:
        host, port = address if isinstance(address, tuple) else ("localhost", 80)
        super().__init__(host, port, timeout=timeout)
        self._path = address if isinstance(address, str) else None

    def connect(self) -> None:
        """Connect; raises CannotConnect."""
        try:
            if self._path is None:
                super().connect()
            else:
                self.sock = socket.socket(socket.AF_UNIX)
                self.sock.settimeout(self.timeout)
                self.sock.connect(self._path)
        except OSError as error:
            raise CannotConnect(f"nothing listens there: {error}") from None

    def ask(self, path: str, body: bytes, headers: Mapping[str, str]) -> ServerReply:
        """POST one request and return its reply; raises like its two halves."""
        self.post(path, body, headers)
        return self.reply()

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Send one request; raises BrokenReply when the server does not take it."""
        try:
            self.request("POST", path, body, dict(headers))
        except OSError as error:
            raise BrokenReply(f"{path} was not taken: {error!r}") from None

    def reply(self) -> ServerReply:
        """Return the next response.

        Raises BrokenReply when the server breaks off, BackendTimeout when it says nothing.
        """
        try:
            return _reply(self.getresponse())
        except TimeoutError:
            raise BackendTimeout(f"no answer within {self.timeout:g} s") from None
        except (OSError, http.client.HTTPException) as error:
            raise BrokenReply(f"no answer: {error!r}") from None

    def raw_reply(self) -> ServerReply:
        """Return the response to what was sent past http.client; raises like reply()."""
        response = http.client.HTTPResponse(self.sock, method="POST")
        try:
            response.begin()
            return _reply(response)
        except TimeoutError:
            raise BackendTimeout(f"no answer within {self.timeout:g} s") from None
        except (OSError, http.client.HTTPException) as error:
            raise BrokenReply(f"no answer: {error!r}") from None
        finally:
            response.close()


def _reply(response: http.client.HTTPResponse) -> ServerReply:
    framing = "chunked" if response.chunked else "close" if response.length is None else "length"
    body = response.read()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return ServerReply(response.status, body, headers, framing, response.version)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")
