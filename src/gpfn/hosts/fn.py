"""Hosts for Fn: a process behind a unix socket, and the bytes that an Fn server sends there.

The bytes equal recordings of a real server. Go's net/http writes the first headers in its
own order and sorts the others; a body's length is not known to it, so the body is chunked,
in the pieces that its buffers of 4 kB and 32 kB make.
"""

from __future__ import annotations

import http.client
import os
import re
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Iterable

from gpfn.errors import BackendTimeout, BrokenReply, CannotConnect
from gpfn.hosts.child import Child, HostedProcess, ProcessHost, command_line
from gpfn.hosts.host import Invocation, InvocationResult
from gpfn.hosts.target import Target

__all__ = ["FdkHost", "FnHost", "call_id", "encode_request", "unwrap_trigger"]

_FIRST_CHUNK, _NEXT_CHUNKS = 3916, 32768  # what is left of 4096 behind the head; io.Copy's buffer
_ULID = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_KEPT_BY_TRIGGERS = ("content-type", "fn-call-id")
_FORBIDDEN = re.compile(r"[\r\n\0]")
_START_SECONDS = 60.0  # Fn itself gives 5; a cold disk on a laptop may need more


def call_id() -> str:
    """Return a new id of the form that Fn gives to calls."""
    number = int(time.time() * 1000) << 80 | secrets.randbits(80)
    return "".join(_ULID[number >> shift & 31] for shift in range(125, -1, -5))


def encode_request(request: Invocation, identifier: str) -> bytes:
    """Return the bytes of ``POST /call`` as they go down the container's socket."""
    agent = "Go-http-client/1.1"
    headers = [(_canonical(name), value) for name, value in request.headers]
    if request.as_trigger:
        headers = [*_as_trigger(headers, request)]
    else:
        agent = next((v for name, v in headers if name == "User-Agent"), agent)
        headers = [pair for pair in headers if pair[0] != "User-Agent"]
        headers.append(("Accept-Encoding", "gzip"))
    if request.content_type:
        headers.append(("Content-Type", request.content_type))
    headers += [("Fn-Call-Id", identifier), ("Fn-Deadline", _deadline(request.timeout))]
    headers.sort(key=lambda pair: pair[0])
    length = ("Transfer-Encoding", "chunked") if request.body else ("Content-Length", "0")
    first = [("Host", "localhost"), ("User-Agent", agent), length]
    last = [("Accept-Encoding", "gzip")] if request.as_trigger else []
    head = "".join(f"{name}: {_line(value)}\r\n" for name, value in first + headers + last)
    return f"POST /call HTTP/1.1\r\n{head}\r\n".encode("latin-1") + _chunked(request.body)


def _as_trigger(
    headers: Iterable[tuple[str, str]], request: Invocation
) -> Iterable[tuple[str, str]]:
    """Wrap the caller's headers as an HTTP trigger does."""
    yield "Fn-Http-Method", "POST"
    yield "Fn-Http-Request-Url", "http://127.0.0.1:8080/t/app/trigger"
    yield "Fn-Intent", "httprequest"
    if request.body:
        yield "Fn-Http-H-Content-Length", str(len(request.body))
    yield from ((f"Fn-Http-H-{name}", value) for name, value in headers)


def unwrap_trigger(answer: InvocationResult) -> InvocationResult:
    """Return what the caller of an HTTP trigger gets for the container's reply."""
    status, headers = answer.status, []
    for name, value in answer.headers:
        if name == "fn-http-status" and len(value) == 3 and value.isascii() and value.isdigit():
            status = int(value)
        elif name.startswith("fn-http-h-"):
            headers.append((name.removeprefix("fn-http-h-"), value))
        elif name in _KEPT_BY_TRIGGERS:
            headers.append((name, value))
    return InvocationResult(status, answer.body, tuple(headers), answer.call_id)


def _canonical(name: str) -> str:
    """Spell a header's name as Go does: ``ce-id`` is ``Ce-Id``."""
    return "-".join(part.capitalize() for part in _line(name).split("-"))


def _line(text: str) -> str:
    if _FORBIDDEN.search(text):
        raise ValueError(f"a header cannot hold a line break: {text!r}")
    return text


def _deadline(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


def _chunked(body: bytes) -> bytes:
    if not body:
        return b""
    pieces, start, size = [], 0, _FIRST_CHUNK
    while start < len(body):
        piece = body[start : start + size]
        pieces += [b"%x\r\n" % len(piece), piece, b"\r\n"]
        start += size
        size = _NEXT_CHUNKS
    return b"".join([*pieces, b"0\r\n\r\n"])


class FnHost(ProcessHost):
    """The function as ``gpfn run fn`` serves it, called as a real Fn server calls."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._folder: str | None = None
        self._connection: socket.socket | None = None

    def command(self) -> list[str]:
        """Return what a container's ENTRYPOINT would be."""
        return [*self.words(), "run", "fn", str(self.target.file), self.target.handler]

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


def _short_folder() -> str:
    """Return a new folder in which a socket's path keeps to the system's 107 bytes."""
    usual = tempfile.gettempdir()
    return tempfile.mkdtemp(prefix="gpfn-iofs-", dir=usual if len(usual) <= 60 else "/tmp")  # noqa: S108


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
