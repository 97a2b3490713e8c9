"""A function file served by ``gpfn run http``'s own process, and plain HTTP towards it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

__all__ = ["PROBE", "Answer", "Process", "document", "served", "write_function"]

_RUN = (
    "import sys; from gpfn.platforms.http.runner import main;"
    "sys.exit(main(sys.argv[1], port=int(sys.argv[2])))"
)

PROBE = '''
"""A function that does what its caller says."""

import os
import time

from gpfn import Function, Payload
from gpfn.errors import ModelFailed
from gpfn.message import Message

order = []


def probe(payload):
    asked = payload.json()
    if "sleep" in asked:
        order.append("begun")
        time.sleep(asked["sleep"])
    if "raise" in asked:
        raise KeyError("a secret of ours")
    if "break" in asked:
        raise ModelFailed("the library says no")
    if "exit" in asked:
        raise SystemExit(3)
    if "headers" in asked:
        return Message(b"seen", "text/plain", tuple(map(tuple, asked["headers"])))
    if "nothing" in asked:
        return None
    if "seen" in asked:
        return {"order": order, "headers": [list(pair) for pair in payload.headers]}
    return {"pid": os.getpid(), "asked": asked}


app = Function(probe, takes="payload").asgi
'''


class Answer(NamedTuple):
    """One response, its body whole."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> object:
        """Return the body parsed; its media type has to say JSON."""
        assert "json" in self.headers["content-type"], self
        return json.loads(self.body)


class Process(NamedTuple):
    """A running server."""

    popen: "subprocess.Popen[bytes]"
    port: int
    log: Path

    def connect(self, timeout: float = 20) -> HTTPConnection:
        """Return a connection to it."""
        return HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def ask(
        self,
        method: str = "POST",
        path: str = "/",
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request on a connection of its own; anything but bytes goes as JSON."""
        given = {"content-type": "application/json"} if body is not None else {}
        data = body if isinstance(body, bytes | type(None)) else json.dumps(body).encode()
        connection = self.connect()
        try:
            connection.request(method, path, data, {**given, **(headers or {})})
            return received(connection)
        finally:
            connection.close()

    def logged(self, text: str) -> bool:
        """Say whether the log has ``text``, or gets it soon: it is written after the answer."""
        until = time.monotonic() + 5
        while text not in self.log.read_text() and time.monotonic() < until:
            time.sleep(0.01)
        return text in self.log.read_text()

    def stop(self) -> int:
        """Send SIGTERM; return the exit code."""
        self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(30)


def received(connection: HTTPConnection) -> Answer:
    """Return the response that the connection waits for."""
    response = connection.getresponse()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, response.read())


@contextmanager
def served(file: Path, log: Path, *, wait: float = 30, **environ: str) -> Iterator[Process]:
    """Serve a function file on a free port until the block ends."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GPFN_", "GP_"))}
    with log.open("wb") as stderr:
        popen = subprocess.Popen(
            [sys.executable, "-c", _RUN, str(file), "0"], stderr=stderr, env={**kept, **environ}
        )
    try:
        yield Process(popen, _port(popen, log, wait), log)
    finally:
        popen.kill()
        popen.wait()


def _port(popen: "subprocess.Popen[bytes]", log: Path, wait: float) -> int:
    until = time.monotonic() + wait
    while time.monotonic() < until:
        found = re.search(r"listening on http://127\.0\.0\.1:(\d+)\n", log.read_text())
        if found:
            return int(found[1])
        assert popen.poll() is None, log.read_text()
        time.sleep(0.01)
    raise AssertionError(f"not listening after {wait} s: {log.read_text()}")


def write_function(folder: Path, source: str = PROBE) -> Path:
    """Write a function's file; returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "func.py"
    file.write_text(source)
    return file


def document(answer: Answer) -> dict[str, object]:
    """Return the error in a response, after its form has been checked."""
    assert answer.headers["content-type"] == "application/problem+json", answer
    whole = answer.json()
    assert isinstance(whole, dict)
    assert list(whole) == ["error"]
    error = whole["error"]
    assert (
        {"status", "type", "title", "detail"}
        <= set(error)
        <= {
            "status",
            "type",
            "title",
            "detail",
            "field",
        }
    )
    assert error.pop("status") == answer.status
    assert all(isinstance(value, str) and value for value in error.values()), error
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", error["type"])
    return dict(error)
