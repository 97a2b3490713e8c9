"""An action served by ``gpfn run openwhisk``'s own process, called as OpenWhisk calls it."""

import base64
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

__all__ = ["SENTINEL", "Action", "Reply", "served", "zipped"]

GPFN = str(Path(sys.executable).parent / "gpfn")
_LISTENING = re.compile(r"listening on http://127\.0\.0\.1:(\d+)[\"\n]")
SENTINEL = "XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX"


class Reply(NamedTuple):
    """One response; that it is framed as OpenWhisk needs it has been checked."""

    status: int
    body: bytes

    def json(self) -> object:
        """Return the body parsed."""
        return json.loads(self.body)

    @property
    def error(self) -> object:
        """The member ``error``, which has to be the only one."""
        document = self.json()
        assert isinstance(document, dict)
        assert list(document) == ["error"], document
        return document["error"]


class Action(NamedTuple):
    """A running action."""

    popen: "subprocess.Popen[bytes]"
    port: int
    out: Path
    err: Path

    def connect(self, timeout: float = 30) -> HTTPConnection:
        """Return a connection to it."""
        return HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def post(self, path: str, body: object) -> Reply:
        """POST a body, JSON unless it is bytes, on a connection of its own."""
        connection = self.connect()
        try:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            connection.request("POST", path, data, {"Content-Type": "application/json"})
            return received(connection)
        finally:
            connection.close()

    def init(self, code: str | bytes | None = None, **members: object) -> Reply:
        """Send /init as the platform does; bytes go as base64."""
        value: dict[str, object] = {"name": "action", "main": "main", "binary": False, **members}
        if isinstance(code, bytes):
            value |= {"binary": True, "code": base64.b64encode(code).decode()}
        elif code is not None:
            value["code"] = code
        return self.post("/init", {"value": value})

    def run(self, value: object = None, **context: object) -> Reply:
        """Send /run."""
        return self.post("/run", {"value": {} if value is None else value, **context})

    def text(self, sentinels: int | None = None) -> tuple[str, str]:
        """Return stdout and stderr without the sentinels, of which there have to be so many."""
        found = []
        for file in (self.out, self.err):
            text = file.read_text()
            lines = text.splitlines(keepends=True)
            assert text.count(SENTINEL) == lines.count(f"{SENTINEL}\n"), f"glued: {text!r}"
            if sentinels is not None:
                assert text.count(SENTINEL) == sentinels, text
            told = (line for line in lines if not line.startswith(SENTINEL))
            found.append("".join(line for line in told if not _LISTENING.search(line)))
        return found[0], found[1]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal; return the exit code."""
        self.popen.send_signal(number)
        return self.popen.wait(30)


def received(connection: HTTPConnection) -> Reply:
    """Return the response that the connection waits for, after a look at its framing."""
    response = connection.getresponse()
    body = response.read()
    assert response.getheader("content-length") == str(len(body))
    assert response.getheader("transfer-encoding") is None
    assert response.getheader("content-encoding") is None
    assert response.getheader("content-type") == "application/json"
    return Reply(response.status, body)


@contextmanager
def served(
    folder: Path, *words: str, environ: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Iterator[Action]:
    """Serve an action on a free port until the block ends; its streams go into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    out, err = folder / "stdout", folder / "stderr"
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GPFN_", "GP_", "__OW_"))}
    kept["TMPDIR"] = str(folder)  # what a killed process leaves goes with the test's folder
    command = [GPFN, "run", "openwhisk", *words, "--host", "127.0.0.1", "--port", "0"]
    with out.open("wb") as stdout, err.open("wb") as stderr:
        popen = subprocess.Popen(
            command, stdout=stdout, stderr=stderr, env={**kept, **(environ or {})}, cwd=cwd
        )
    try:
        yield Action(popen, _port(popen, err), out, err)
    finally:
        popen.send_signal(signal.SIGCONT)
        popen.kill()
        popen.wait()


def _port(popen: "subprocess.Popen[bytes]", err: Path) -> int:
    """Wait until it says where it listens."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if found := _LISTENING.search(err.read_text()):
            return int(found[1])
        assert popen.poll() is None, err.read_text()
        time.sleep(0.005)
    raise AssertionError(err.read_text())


def zipped(files: Mapping[str, str | bytes]) -> bytes:
    """Return a zip of files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()
