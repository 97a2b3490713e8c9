"""As much of Docker's REST as wskdebug asks for, with a process of this machine as the container.

wskdebug runs the action that it debugs in a container and speaks OpenWhisk's own /init and /run
with it. Here a container is what its command starts; a port inside is the port outside.
"""

import json
import os
import re
import signal
import socketserver
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

__all__ = ["Container", "DockerEngine", "docker_engine"]

_INSIDE = "8080"


class Container:
    """What was asked for, and the process that stands for it."""

    def __init__(self, number: int, asked: dict[str, Any]) -> None:
        self.id = f"{number:064x}"
        self.asked = asked
        self.removed = False
        self._attached = threading.Event()

    def start(self) -> None:
        """Run its command."""
        bindings = self.asked["HostConfig"]["PortBindings"]
        outside = bindings[f"{_INSIDE}/tcp"][0]["HostPort"]
        words = [word.replace(_INSIDE, outside) for word in self.asked["Cmd"]]
        self.process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
        self._attached.set()

    def output(self) -> Iterator[bytes]:
        """Yield what it writes, in the frames of an attached stream."""
        self._attached.wait(60)
        assert self.process.stdout is not None
        for line in self.process.stdout:
            yield struct.pack(">BxxxI", 1, len(line)) + line

    def remove(self) -> None:
        """End it and everything of it."""
        if not self.removed:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.removed = True


class DockerEngine(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """The engine on a unix socket."""

    daemon_threads = True

    def __init__(self, socket: Path) -> None:
        super().__init__(str(socket), _Answers)
        self.containers: list[Container] = []
        self.asked: list[str] = []

    def create(self, asked: dict[str, Any]) -> Container:
        """Make a container that is not started yet."""
        container = Container(len(self.containers) + 1, asked)
        self.containers.append(container)
        return container


class _Answers(BaseHTTPRequestHandler):
    server: DockerEngine
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer a ping, what is known of an image, and the list of containers."""
        self._noted()
        self._reply(200, [] if self.path.startswith("/containers/json") else {})

    def do_POST(self) -> None:
        """Create, attach and start."""
        self._noted()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith("/containers/create"):
            self._reply(201, {"Id": self.server.create(json.loads(body)).id, "Warnings": []})
        elif "/attach" in self.path:
            self._attach(self._container())
        else:
            self._container().start()
            self._reply(204, None)

    def do_DELETE(self) -> None:
        """Remove."""
        self._noted()
        self._container().remove()
        self._reply(204, None)

    def _noted(self) -> None:
        self.server.asked.append(f"{self.command} {self.path.partition('?')[0]}")

    def _container(self) -> Container:
        found = re.match(r"/containers/([0-9a-f]{64})", self.path)
        assert found, self.path
        (container,) = (each for each in self.server.containers if each.id == found[1])
        return container

    def _attach(self, container: Container) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.docker.raw-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        for frame in container.output():
            self.wfile.write(frame)

    def _reply(self, status: int, value: object) -> None:
        body = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        """Return a name for who asks: a unix socket has none."""
        return "local"

    def log_message(self, *_: object) -> None:
        """Write nothing."""


@contextmanager
def docker_engine(folder: Path) -> Iterator[DockerEngine]:
    """Serve an engine on ``folder``/docker.sock, and end what is left of its containers."""
    with DockerEngine(folder / "docker.sock") as engine:
        thread = threading.Thread(target=engine.serve_forever)
        thread.start()
        try:
            yield engine
        finally:
            engine.shutdown()
            thread.join()
            for container in engine.containers:
                container.remove()
