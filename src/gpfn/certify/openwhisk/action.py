"""An action's server under test, and the code that is sent to it.

The server is started, initialised and called, and its streams are read. The code is Python,
as OpenWhisk's own suites send it.
"""

import base64
import io
import json
import os
import socket
import tarfile
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from urllib.parse import urlsplit

from gpfn.certify.check import expect, not_applicable
from gpfn.certify.subject import (
    RunningServer,
    StartedSubject,
    Subject,
    SubjectContainer,
    SubjectProcess,
    docker,
)
from gpfn.certify.wire import ServerConnection, ServerReply
from gpfn.errors import BackendTimeout, SetupError
from gpfn.hosts.container import sandbox_flags

__all__ = [
    "CONTEXT",
    "ECHO",
    "HEADERS",
    "NAMED",
    "SENTINEL",
    "TALKING",
    "UNICODE",
    "VIRTUALENV",
    "ActionServer",
    "ActionServers",
    "tarred",
    "zipped",
]

SENTINEL = "XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX"
_START_SECONDS = 60.0
_SETTLE_SECONDS = 0.1  # OpenWhisk's own suite gives the streams that long
HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}
"""What the invoker sends with every request."""

_MEMORY = 256


ECHO = "def main(args):\n    return args\n"
NAMED = "def niam(args):\n    return args\n"
TALKING = """
from __future__ import print_function
import sys
def main(args):
    print('hello stdout')
    print('hello stderr', file=sys.stderr)
    return args
"""
UNICODE = """# encoding: utf-8
def main(args):
    sep = args['delimiter']
    text = sep + " ☃ " + sep
    print(text)
    return {"winter": text}
"""
CONTEXT = """
import os
def main(args):
    names = ("api_host", "api_key", "namespace", "action_name", "action_version",
             "activation_id", "deadline")
    return {name: os.environ["__OW_" + name.upper()] for name in names}
"""
_ACTIVATE = """
import os, site, sys
base = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
site.addsitedir(os.path.join(base, "site-packages"))
"""
VIRTUALENV = {
    "__main__.py": "import packed\ndef main(a):\n    return {'agent': packed.name}\nnaim = main\n",
    "virtualenv/bin/activate_this.py": _ACTIVATE,
    "virtualenv/site-packages/packed.py": "name = 'packed'\n",
}
"""A zip with a virtual environment, in short: what counts is its activate_this.py."""


class ActionServer:
    """One running server; every request goes over a connection of its own, as the invoker's."""

    def __init__(self, running: StartedSubject, address: tuple[str, int], timeout: float) -> None:
        self.running = running
        self.address = address
        self.timeout = timeout
        self._before = ("", "")  # what it had written when it was initialised

    def post(self, path: str, body: object, **headers: str) -> ServerReply:
        """POST a body: as JSON, unless it is bytes."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection = self.connect()
        try:
            return connection.ask(path, data, {**HEADERS, **headers})
        finally:
            connection.close()

    def connect(self) -> ServerConnection:
        """Return a connection that is not open yet."""
        return ServerConnection(self.address, self.timeout)

    def init(self, code: str | None = ECHO, **members: object) -> ServerReply:
        """Send /init, with members of its ``value`` besides the code."""
        value = {"name": "certify", "main": "main", "binary": False, "code": code, **members}
        return self.post("/init", {"value": value})

    def initialised(self, code: str = ECHO, **members: object) -> "ActionServer":
        """Send /init, which has to succeed."""
        reply = self.init(code, **members)
        expect(reply.status == 200, f"/init answered {reply.shown()}")
        if not isinstance(self.running, RunningServer):
            self._before = self.running.streams()
        return self

    def run(self, value: object, **context: object) -> ServerReply:
        """Send /run."""
        return self.post("/run", {"value": value, **context})

    def result(self, value: object, **context: object) -> object:
        """Send /run, which has to succeed, and return its result."""
        reply = self.run(value, **context)
        expect(reply.status == 200, f"/run answered {reply.shown()}")
        return reply.json()

    def streams(self) -> tuple[str, str]:
        """Return both streams, after the time that OpenWhisk's suite leaves them."""
        time.sleep(_SETTLE_SECONDS)
        return self.running.streams()

    def text(self) -> tuple[str, str]:
        """Return what came on both streams since /init, without the sentinels."""
        new = zip(self.streams(), self._before, strict=True)
        out, err = (now.removeprefix(old).replace(SENTINEL, "").strip() for now, old in new)
        return out, err

    def expect_sentinels(self, count: int) -> None:
        """Fail unless each stream has so many sentinels, each on a line of its own."""
        for name, text in zip(("stdout", "stderr"), self.streams(), strict=True):
            found = text.count(SENTINEL)
            expect(
                found == count, f"{found} sentinels on {name}, expected {count}: {text[-300:]!r}"
            )
            lines = sum(line == SENTINEL for line in text.split("\n"))
            expect(lines == count, f"a sentinel on {name} shares its line: {text[-300:]!r}")

    def expect_alive(self) -> None:
        """Fail unless it answers a call, after whatever it was sent before."""
        expect(self.running.alive(), "the process has ended")
        reply = self.run({})
        expect(reply.status != 500, f"the next call was answered {reply.shown()}")


class ActionServers:
    """Makes actions of a subject, fresh for each check where that can be."""

    def __init__(self, subject: Subject, timeout: float = 30.0) -> None:
        self.subject = subject
        self._timeout = timeout
        self._initialised = False

    @contextmanager
    def fresh(self, environ: Mapping[str, str] | None = None) -> Iterator[ActionServer]:
        """Start a server of its own; not applicable to one that runs already."""
        if self.subject.kind == "url":
            not_applicable("needs a fresh process, and this server runs already")
        running, address = self._start(environ or {})
        try:
            _wait(running, address)
            yield ActionServer(running, address, self._timeout)
        finally:
            running.stop()

    @contextmanager
    def echoing(self) -> Iterator[ActionServer]:
        """Give a server that was sent the echo action, or has one of its own.

        One that runs already is sent it once; it may have been initialised before.
        """
        if self.subject.kind != "url":
            with self.fresh() as action:
                yield action.initialised()
            return
        action = ActionServer(RunningServer(), _host_and_port(self.subject.text), self._timeout)
        if not self._initialised:
            action.init()
            self._initialised = True
        yield action

    def _start(self, environ: Mapping[str, str]) -> tuple[StartedSubject, tuple[str, int]]:
        if self.subject.kind == "command":
            port = _free_port()
            environ = {**environ, "PORT": str(port)}
            return SubjectProcess(self.subject.words, environ), ("127.0.0.1", port)
        variables = [f"--env={name}={value}" for name, value in environ.items()]
        flags = [*sandbox_flags("openwhisk", _MEMORY), "--publish=127.0.0.1::8080"]
        container = SubjectContainer([*flags, *variables], self.subject.text)
        place = docker("port", container.name, "8080/tcp").split()[0]
        return container, ("127.0.0.1", int(place.rpartition(":")[2]))


def _wait(running: StartedSubject, address: tuple[str, int]) -> None:
    """Wait until something listens, as the invoker does: by trying again and again."""
    end = time.monotonic() + _START_SECONDS
    while not _listens(address, through_proxy=isinstance(running, SubjectContainer)):
        if not running.alive():
            _, err = running.streams()
            raise SetupError(f"it ended before it listened on PORT: {err[-300:].strip()}")
        if time.monotonic() > end:
            raise BackendTimeout(f"it did not listen on PORT within {_START_SECONDS:g} s")
        time.sleep(0.02)


def _listens(address: tuple[str, int], *, through_proxy: bool) -> bool:
    """Try to connect; docker's proxy always accepts, and hangs up when nobody is behind it."""
    try:
        with socket.create_connection(address, 1.0) as connection:
            if not through_proxy:
                return True
            connection.settimeout(0.1)
            return bool(connection.recv(1))
    except TimeoutError:
        return True
    except OSError:
        return False


_FIRST_PORT, _PORTS = 20_000, 12_000
"""Below those that the kernel gives to who asks for any: checks start servers side by side."""
_picked = count()


def _free_port() -> int:
    """Return a port that nobody has, and that no other call of this process is given soon."""
    while True:
        port = _FIRST_PORT + (os.getpid() * 97 + next(_picked)) % _PORTS
        with socket.socket() as taken:
            try:
                taken.bind(("127.0.0.1", port))
            except OSError:  # somebody has it
                continue
            return port


def _host_and_port(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    if parts.hostname is None:
        raise SetupError(f"no host in {url!r}", field="subject")
    return parts.hostname, parts.port or 8080


def zipped(files: Mapping[str, str], modes: Mapping[str, int] | None = None) -> str:
    """Return a zip of files in base64."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (0o100000 | (modes or {}).get(name, 0o644)) << 16
            archive.writestr(info, content)
    return base64.b64encode(buffer.getvalue()).decode()


def tarred(files: Mapping[str, str]) -> str:
    """Return a tar.gz of files in base64."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content.encode())
            archive.addfile(info, io.BytesIO(content.encode()))
    return base64.b64encode(buffer.getvalue()).decode()
