"""A real S3 server with conditional writes, and what may stand between it and us.

The server is versitygw 1.8.0 over a folder, which ``make peers`` builds from its Go module
(``.ci/s3-server``): each folder in its root is a bucket, each object a file.
"""

import hashlib
import hmac
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from tests.peers import client_environments

__all__ = ["ACCESS", "SECRET", "Relay", "S3Server", "environment", "forget_conditions", "s3_server"]

ACCESS, SECRET = "tests-access", "tests-secret-of-the-server"


@cache
def _program() -> Path:
    program = client_environments() / "s3-server" / "versitygw"
    assert program.is_file(), f"make peers did not make {program}"
    return program


class S3Server:
    """A running server with an empty bucket ``models``."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        (self.root / "models").mkdir(parents=True)
        (folder / "attributes").mkdir()
        self._folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.process = self._start()

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.port}"

    def path(self, key: str) -> Path:
        """Return the file of an object, its key with the bucket in front."""
        return self.root / key

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Start it again on the same port, unless it runs."""
        if self.process.poll() is not None:
            self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [
            str(_program()), "--port", f"127.0.0.1:{self.port}", "--quiet",
            "posix", "--sidecar", str(self._folder / "attributes"), str(self.root),
        ]  # fmt: skip
        environ = {**os.environ, "ROOT_ACCESS_KEY": ACCESS, "ROOT_SECRET_KEY": SECRET}
        with (self._folder / "log").open("ab") as log:
            process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
        until = time.monotonic() + 60
        while not _listens(self.port):
            assert process.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < until
            time.sleep(0.02)
        return process


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False


@contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    """Start a server with its data below ``folder``; it is ended with the block."""
    server = S3Server(folder)
    try:
        yield server
    finally:
        server.kill()


def environment(endpoint: str) -> dict[str, str]:
    """Return what has to stand in the environment for a server at ``endpoint``."""
    return {
        "AWS_ACCESS_KEY_ID": ACCESS,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": "us-east-1",
    }


def forget_conditions(data: bytes) -> bytes:
    """Take If-None-Match out of a request, as some proxies do, and sign it again."""
    head, end, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    if not end or not re.fullmatch(r"[A-Z]+ \S+ HTTP/1.1", lines[0]):
        return data
    kept = [line for line in lines[1:] if not line.lower().startswith("if-none-match:")]
    headers = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in kept)}
    method, target, _ = lines[0].split(" ")
    signature = _authorization(method, target, headers)
    kept = [line for line in kept if not line.lower().startswith("authorization:")]
    lines = [lines[0], *kept, f"authorization: {signature}"]
    return "\r\n".join(lines).encode("latin-1") + end + body


def _authorization(method: str, target: str, headers: Mapping[str, str]) -> str:
    """Sign a request as S3 has it: AWS Signature, version 4."""
    path, _, query = target.partition("?")
    asked = sorted(each if "=" in each else f"{each}=" for each in filter(None, query.split("&")))
    names = sorted(name for name in headers if name == "host" or name.startswith("x-amz-"))
    listed = "".join(f"{name}:{headers[name]}\n" for name in names)
    request = [
        method,
        path,
        "&".join(asked),
        listed,
        ";".join(names),
        headers["x-amz-content-sha256"],
    ]
    digest = hashlib.sha256("\n".join(request).encode()).hexdigest()
    when = headers["x-amz-date"]
    scope = [when[:8], "us-east-1", "s3", "aws4_request"]
    key = f"AWS4{SECRET}".encode()
    for part in (*scope, "\n".join(["AWS4-HMAC-SHA256", when, "/".join(scope), digest])):
        key = hmac.digest(key, part.encode(), "sha256")
    return (
        f"AWS4-HMAC-SHA256 Credential={ACCESS}/{'/'.join(scope)},"
        f" SignedHeaders={';'.join(names)}, Signature={key.hex()}"
    )


class Relay:
    """A port that hands everything on to another one, changed or not, until it is held.

    ``request`` and ``answer`` make of what comes what goes on; None cuts the connection.
    """

    def __init__(
        self,
        port: int,
        request: Callable[[bytes], bytes | None] = lambda data: data,
        answer: Callable[[bytes], bytes | None] = lambda data: data,
    ) -> None:
        self._target, self._request, self._answer = port, request, answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.passing = threading.Event()
        self.passing.set()
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> "Relay":
        return self

    def __exit__(self, *_: object) -> None:
        self.passing.set()
        for one in (self._listener, *self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self.connections += 1
                far = socket.create_connection(("127.0.0.1", self._target))
                self._open += [near, far]
                for ends in ((near, far, self._request), (far, near, self._answer)):
                    threading.Thread(target=self._copy, args=ends, daemon=True).start()

    def _copy(
        self, source: socket.socket, target: socket.socket, change: Callable[[bytes], bytes | None]
    ) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self.passing.wait()
                changed = change(data)
                if changed is None:
                    break
                target.sendall(changed)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR if end is source else socket.SHUT_WR)
