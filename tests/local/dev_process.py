"""A real ``gpfn dev`` in a process of its own, and who calls it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import pytest

_PATIENCE = 60.0

ECHO = """\
VALUE = {value!r}
CALLS = 0


def handler(ctx, data=None):
    global CALLS
    CALLS += 1
    return {{"value": VALUE, "calls": CALLS}}


def main(args):
    return {{"value": VALUE, "args": args}}
"""


class Answered(NamedTuple):
    """An answer over HTTP; ``began`` is when it was asked for."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class DevProcess:
    """``gpfn dev --json`` with any free ports, and what it has printed."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._line = [sys.executable, "-m", "gpfn", "dev", str(folder), "--json", *options]
        self.events: list[dict[str, Any]] = []
        self._came = threading.Condition()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def start(self, fn_port: int = 0, openwhisk_port: int = 0) -> None:
        """Start it, and wait until it serves."""
        ports = ["--fn-port", str(fn_port), "--openwhisk-port", str(openwhisk_port)]
        self.events = []
        self.process = subprocess.Popen(
            [*self._line, *ports], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._errors: list[str] = []
        self._readers = [
            threading.Thread(target=self._read, daemon=True),
            threading.Thread(target=self._read_errors, daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        serving = self.wait_for("serving")
        self.app, self.fn, self.openwhisk = serving["app"], serving["fn"], serving["openwhisk"]
        self.auth = serving["auth"]

    def end(self, number: int = signal.SIGTERM) -> int:
        """Tell it to end, and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(_PATIENCE)
        for reader in self._readers:
            reader.join(_PATIENCE)
        return code

    def wait_for(self, event: str, **wanted: object) -> dict[str, Any]:
        """Return the next event that was not returned yet, of a kind and with these values."""
        until = time.monotonic() + _PATIENCE
        with self._came:
            while True:
                for index, found in enumerate(self.events):
                    if found["event"] == event and wanted.items() <= found.items():
                        return self.events.pop(index)
                left = until - time.monotonic()
                if left <= 0 or (self.process.poll() is not None and not self._alive()):
                    pytest.fail(f"no {event} {wanted}: {self.events} {self.errors}")
                self._came.wait(min(left, 0.2))

    @property
    def errors(self) -> str:
        """What it wrote to standard error."""
        return "".join(self._errors)

    def _alive(self) -> bool:
        return self._readers[0].is_alive()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._came:
                self.events.append(json.loads(line))
                self._came.notify_all()

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        self._errors.extend(self.process.stderr)

    # who calls it

    def invoke(self, name: str, body: bytes = b"{}", **headers: str) -> Answered:
        """Call a function by its id, as ``fn invoke`` does."""
        return self.post(self.endpoint(name), body, **headers)

    def endpoint(self, name: str) -> str:
        """Return the address that Fn says a function has."""
        (app,) = self.get(f"{self.fn}/v2/apps?name={self.app}").json()["items"]
        (fn,) = self.get(f"{self.fn}/v2/fns?app_id={app['id']}&name={name}").json()["items"]
        return str(fn["annotations"]["fnproject.io/fn/invokeEndpoint"])

    def activate(self, name: str, body: bytes = b"{}") -> Answered:
        """Call an action and wait for its result, as ``wsk`` does."""
        path = f"/api/v1/namespaces/_/actions/{name}?blocking=true&result=true"
        return self.post(f"{self.openwhisk}{path}", body, Authorization=self.basic())

    def basic(self) -> str:
        """Return the header that wsk sends."""
        import base64

        return f"Basic {base64.b64encode(self.auth.encode()).decode()}"

    def get(self, url: str, **headers: str) -> Answered:
        return ask("GET", url, None, headers)

    def post(self, url: str, body: bytes, **headers: str) -> Answered:
        given = {"Content-Type": "application/json", **headers}
        return ask("POST", url, body, given)


def ask(method: str, url: str, body: bytes | None, headers: dict[str, str]) -> Answered:
    """Send one request on a connection of its own."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=_PATIENCE)
    try:
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        connection.request(method, target, body, headers)
        answer = connection.getresponse()
        fields = {name.lower(): value for name, value in answer.getheaders()}
        return Answered(answer.status, fields, answer.read())
    finally:
        connection.close()


def write_function(folder: Path, value: object, more: str = "") -> Path:
    """Make or change a function that answers a value, and how often it was called."""
    folder.mkdir(parents=True, exist_ok=True)
    trigger = f"triggers:\n- {{name: {folder.name}, type: http, source: /{folder.name}}}\n"
    (folder / "func.yaml").write_text(f"name: {folder.name}\n{trigger}{more}")
    (folder / "func.py").write_text(ECHO.format(value=value))
    return folder


def children_of(pid: int) -> set[int]:
    """Return the processes that a process has started, and theirs."""
    found: set[int] = set()
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid:
                found |= {int(entry)} | children_of(int(entry))
    return found


@contextmanager
def dev(folder: Path, *options: str) -> Iterator[DevProcess]:
    """Run ``gpfn dev`` for a folder."""
    with DevProcess(folder, *options) as process:
        yield process
