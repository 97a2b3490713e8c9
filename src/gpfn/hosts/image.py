"""A function's image as a platform of ``gpfn invoke``: the same calls, in the real sandbox."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gpfn.errors import BackendError, BrokenReply, SetupError
from gpfn.hosts.container import Container, fn_flags, openwhisk_flags, server_flags
from gpfn.hosts.engine import Engine
from gpfn.hosts.fn import Fn
from gpfn.hosts.host import Answer, Platform, Request
from gpfn.hosts.http import Http
from gpfn.hosts.openwhisk import OpenWhisk
from gpfn.hosts.target import Target

__all__ = ["IN_CONTAINERS", "FnImage", "HttpImage", "OpenWhiskImage", "answers", "start_image"]

_ASK = b"GET /health/ready HTTP/1.1\r\nHost: function\r\nConnection: close\r\n\r\n"
_ASK_SECONDS = 1.0
_ENDING_SECONDS = 1.0  # its socket closes before the engine knows that it has ended


class _InContainer:
    """What the three have in common: a container that may end, and the limit it ran into."""

    def __init__(self, target: Target, engine: Engine, image: str) -> None:
        self.target, self.engine, self.image = target, engine, image
        self._container: Container | None = None

    def _run(self, flags: list[str]) -> Container:
        config = [f"--env={name}={value}" for name, value in self.target.config.items() if value]
        self._container = Container(self.engine, self.image, [*flags, *config])
        return self._container

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say of a call that got no answer how the container ended, if it has."""
        try:
            yield
        except BackendError as error:
            state = None if self._container is None else self._container.ending(_ENDING_SECONDS)
            if state is None or state.running:
                raise
            limit = f"; its limit is {self.target.memory} MB" if state.killed else ""
            raise BrokenReply(f"the container ended: {state}{limit}") from error


class FnImage(_InContainer, Fn):
    """The image in Fn's sandbox: no network either, since only the socket is used."""

    def __init__(self, target: Target, engine: Engine, image: str) -> None:
        _InContainer.__init__(self, target, engine, image)
        Fn.__init__(self, target)

    def call(self, request: Request) -> Answer:
        """Call it once; when no answer comes, say how the container ended."""
        with self._explained():
            return super().call(request)

    def _launch(self, listener: str) -> Container:
        folder = Path(listener).parent
        folder.chmod(0o777)
        network = "bridge" if any(self.target.config.values()) else "none"
        return self._run([*fn_flags(folder, self.target.memory), f"--network={network}"])


class OpenWhiskImage(_InContainer, OpenWhisk):
    """The image in OpenWhisk's sandbox, reached by its published port."""

    def __init__(self, target: Target, engine: Engine, image: str) -> None:
        _InContainer.__init__(self, target, engine, image)
        OpenWhisk.__init__(self, target)

    def call(self, request: Request) -> Answer:
        """Call it once; when no answer comes, say how the container ended."""
        with self._explained():
            return super().call(request)

    def _launch(self) -> Container:
        flags = [*openwhisk_flags(max(128, self.target.memory)), "--publish=127.0.0.1::8080"]
        container = self._run(flags)
        self._port = container.published(8080)
        return container

    def _listens(self) -> bool:
        return answers(self._port)


class HttpImage(_InContainer, Http):
    """The image with nothing to write to but /tmp, reached by its published port."""

    def __init__(self, target: Target, engine: Engine, image: str) -> None:
        _InContainer.__init__(self, target, engine, image)
        Http.__init__(self, target)

    def call(self, request: Request) -> Answer:
        """Call it once; when no answer comes, say how the container ended."""
        with self._explained():
            return super().call(request)

    def _launch(self) -> Container:
        flags = [*server_flags(self.target.memory), "--publish=127.0.0.1::8080"]
        container = self._run(flags)
        self._port = container.published(8080)
        return container

    def _listens(self) -> bool:
        return answers(self._port)


IN_CONTAINERS: dict[str, Callable[[Target, Engine, str], Platform]] = {
    "fn": FnImage,
    "openwhisk": OpenWhiskImage,
    "http": HttpImage,
}
"""The platforms that an image can be invoked on."""


def start_image(name: str, target: Target, engine: Engine, image: str) -> Platform:
    """Return the platform ``name`` for an image; raises SetupError when there is no such image."""
    if name not in IN_CONTAINERS:
        known = ", ".join(IN_CONTAINERS)
        raise SetupError(f"with --engine it is one of {known}, not {name}", field="--platform")
    engine.check()
    if not engine.image_id(image):
        raise SetupError(
            f"no image {image} here; build it with: gpfn build {os.path.relpath(target.folder)} "
            f"--platform {name}",
            field="--container",
        )
    return IN_CONTAINERS[name](target, engine, image)


def answers(port: int) -> bool:
    """Say whether something behind a published port speaks HTTP.

    A connection says nothing: the engine's own proxy takes it before the container listens.
    """
    if not port:
        return False
    try:
        with socket.create_connection(("127.0.0.1", port), _ASK_SECONDS) as connection:
            connection.sendall(_ASK)
            return connection.recv(5) == b"HTTP/"
    except OSError:
        return False
