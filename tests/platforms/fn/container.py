"""A runner as Fn's agent sees it: a process, a socket that appears, bytes down and up."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.alone import resident

__all__ = ["FDK", "OURS", "Container", "Reply", "call_bytes", "container", "read_reply", "trigger"]

BIN = Path(sys.executable).parent
OURS = [str(BIN / "gpfn"), "run", "fn"]
FDK = [str(BIN / "fdk")]
LATER = "2126-11-21T08:09:06Z"


class Reply(NamedTuple):
    """A reply from the socket; header names are lower-case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return the first value of a header."""
        return next((value for key, value in self.headers if key == name), None)

    def all(self, name: str) -> list[str]:
        """Return all values of a header."""
        return [value for key, value in self.headers if key == name]


class Container:
    """A started process and the folder of its socket."""

    def __init__(self, process: "subprocess.Popen[bytes]", listener: Path, log: Path) -> None:
        self.process = process
        self.listener = listener
        self._log = log

    @property
    def phony(self) -> Path:
        """The socket behind the link."""
        return self.listener.with_name("phony" + self.listener.name)

    @property
    def log(self) -> str:
        """What it wrote to stdout and stderr."""
        return self._log.read_text()

    def connect(self) -> socket.socket:
        """Dial the socket as the agent does."""
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(self.listener))
        connection.settimeout(30)
        return connection

    def wait(self, seconds: float = 30.0) -> None:
        """Wait until the socket has appeared."""
        until = time.monotonic() + seconds
        while not os.path.lexists(self.listener):
            assert self.process.poll() is None, self.log
            assert time.monotonic() < until, "no socket appeared"
            time.sleep(0.001)

    def call(self, data: bytes) -> Reply:
        """Send ``data`` on a connection of its own and return the one reply."""
        with self.connect() as connection:
            connection.sendall(data)
            return read_reply(connection)

    def resident(self) -> int:
        """Return the process's resident bytes."""
        return resident(self.process.pid)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(30)


@contextmanager
def container(
    function: Path,
    *arguments: str,
    command: list[str] = OURS,
    environ: Mapping[str, str] | None = None,
    listener: Path | None = None,
    wait: bool = True,
) -> Iterator[Container]:
    """Run a function's file under Fn's contract, as the image's ENTRYPOINT would."""
    with tempfile.TemporaryDirectory(prefix="iofs", dir="/tmp") as folder:
        path = listener or Path(folder) / "lsnr.sock"
        log = Path(folder) / "log"
        variables = {
            "PATH": os.environ["PATH"],
            "HOME": "/",
            "FN_LISTENER": f"unix:{path}",
            "FN_FORMAT": "http-stream",
            "FN_TYPE": "sync",
            "FN_MEMORY": "128",
            "FN_FN_ID": "01M7YJCN2BR00040J6M000001R",
            "FN_APP_ID": "01M7YJCN19R00040J6M000001Q",
            **(environ or {}),
        }
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, str(function), *arguments],
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        started = Container(process, path, log)
        try:
            if wait:
                started.wait()
            yield started
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def call_bytes(
    body: bytes = b"",
    *headers: str,
    content_type: str = "text/plain",
    deadline: str = LATER,
    start: str = "POST /call HTTP/1.1",
) -> bytes:
    """Return a request as the agent sends it: chunked when there is a body."""
    framing = "Transfer-Encoding: chunked" if body else "Content-Length: 0"
    lines = [
        start,
        "Host: localhost",
        "User-Agent: Go-http-client/1.1",
        framing,
        "Accept-Encoding: gzip",
        f"Content-Type: {content_type}",
        "Fn-Call-Id: 01M7YJCV41R00040J6M000001T",
        f"Fn-Deadline: {deadline}",
        *headers,
    ]
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    return head + (b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"")


def trigger(*headers: str, method: str = "POST", url: str = "http://h/t/a/f?x=1") -> list[str]:
    """Return the headers that an HTTP trigger adds, with the caller's wrapped."""
    return [
        *(f"Fn-Http-H-{header}" for header in headers),
        f"Fn-Http-Method: {method}",
        f"Fn-Http-Request-Url: {url}",
        "Fn-Intent: httprequest",
    ]


def read_reply(connection: socket.socket) -> Reply:
    """Read one reply with a Content-Length, and nothing behind it."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        assert part, f"closed after {data!r}"
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = [line.split(":", 1) for line in lines]
    headers = tuple((name.strip().lower(), value.strip()) for name, value in pairs)
    reply = Reply(int(first.split()[1]), headers, b"")
    size = int(reply.header("content-length") or 0)
    while len(body) < size:
        part = connection.recv(65536)
        assert part, "closed within the body"
        body += part
    assert len(body) == size
    return reply._replace(body=body)
