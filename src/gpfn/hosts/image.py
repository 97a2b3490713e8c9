"""Hosts that start a function's image in its platform's sandbox, for the same calls."""

import os
import shlex
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from gpfn.errors import BackendError, BrokenReply, SetupError
from gpfn.hosts.container import Container, sandbox_flags
from gpfn.hosts.engine import ContainerEngine
from gpfn.hosts.fn import FnHost
from gpfn.hosts.host import Host, Invocation, InvocationResult
from gpfn.hosts.http import HttpHost
from gpfn.hosts.openwhisk import OpenWhiskHost
from gpfn.hosts.target import Target
from gpfn.platforms.table import find_platform, load_attribute
from gpfn.secrets import PREFIX, secrets_folder

__all__ = ["FnImage", "HttpImage", "OpenWhiskImage", "answers_http", "make_image_host"]

_ImageHost = Callable[[Target, ContainerEngine, str], Host]

_ASK = b"GET /health/ready HTTP/1.1\r\nHost: function\r\nConnection: close\r\n\r\n"
_ASK_SECONDS = 1.0
_OPENWHISK_MEMORY = 128  # MB, the least that it gives
_ENDING_SECONDS = 1.0  # its socket closes before the engine knows that it has ended


class _InContainer:
    """A host whose process is a container, which may end when it reaches a limit."""

    def __init__(self, target: Target, engine: ContainerEngine, image: str) -> None:
        self.target, self.engine, self.image = target, engine, image
        self._container: Container | None = None

    def _run(self, flags: list[str]) -> Container:
        values = {**self.target.config, "GPFN_LOG": "json"}
        config = [f"--env={name}={value}" for name, value in values.items() if value]
        flags = [*flags, *config, *_secrets_of(values)]
        self._container = Container(self.engine, self.image, flags)
        return self._container

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Add to an error how the container ended, when it has."""
        try:
            yield
        except BackendError as error:
            state = (
                None if self._container is None else self._container.wait_for_end(_ENDING_SECONDS)
            )
            if state is None or state.running:
                raise
            limit = f"; its limit is {self.target.memory} MB" if state.killed else ""
            raise BrokenReply(f"the container ended: {state}{limit}") from error


def _secrets_of(values: Mapping[str, str]) -> list[str]:
    """Return the flags that mount this machine's secrets where the container looks for them."""
    folder = os.path.realpath(secrets_folder())
    if not os.path.isdir(folder) or not any(text.startswith(PREFIX) for text in values.values()):
        return []
    place = values.get("GPFN_SECRETS_DIR") or secrets_folder({})
    return [f"--volume={folder}:{place}:ro"]


class FnImage(_InContainer, FnHost):
    """The image in Fn's sandbox; it has a network only when its config has values."""

    def __init__(self, target: Target, engine: ContainerEngine, image: str) -> None:
        _InContainer.__init__(self, target, engine, image)
        FnHost.__init__(self, target)

    def call(self, request: Invocation) -> InvocationResult:
        """Call it once; when no answer comes, say how the container ended."""
        with self._explained():
            return super().call(request)

    def _launch(self, listener: str) -> Container:
        folder = Path(listener).parent
        folder.chmod(0o777)
        network = "bridge" if any(self.target.config.values()) else "none"
        return self._run([*sandbox_flags("fn", self.target.memory, folder), f"--network={network}"])


class OpenWhiskImage(_InContainer, OpenWhiskHost):
    """The image in OpenWhisk's sandbox, reached by its published port."""

    def __init__(self, target: Target, engine: ContainerEngine, image: str) -> None:
        _InContainer.__init__(self, target, engine, image)
        OpenWhiskHost.__init__(self, target)

    def call(self, request: Invocation) -> InvocationResult:
        """Call it once; when no answer comes, say how the container ended."""
        with self._explained():
            return super().call(request)

    def _launch(self) -> Container:
        flags = [
            *sandbox_flags("openwhisk", max(_OPENWHISK_MEMORY, self.target.memory)),
            "--publish=127.0.0.1::8080",
        ]
        container = self._run(flags)
        self._port = container.published(8080)
        return container

    def _listens(self) -> bool:
        return answers_http(self._port)


class HttpImage(_InContainer, HttpHost):
    """The image in a server's sandbox, which can write to /tmp alone; by its published port."""

    def __init__(self, target: Target, engine: ContainerEngine, image: str) -> None:
        _InContainer.__init__(self, target, engine, image)
        HttpHost.__init__(self, target)

    def call(self, request: Invocation) -> InvocationResult:
        """Call it once; when no answer comes, say how the container ended."""
        with self._explained():
            return super().call(request)

    def _launch(self) -> Container:
        flags = [*sandbox_flags("http", self.target.memory), "--publish=127.0.0.1::8080"]
        container = self._run(flags)
        self._port = container.published(8080)
        return container

    def _listens(self) -> bool:
        return answers_http(self._port)


def make_image_host(platform: str, target: Target, engine: ContainerEngine, image: str) -> Host:
    """Return what starts an image in a platform's sandbox; it is not started yet.

    Raises SetupError when the platform has no images, or there is no such image here.
    """
    row = find_platform(platform, "container")
    engine.check()
    if not engine.image_id(image):
        raise SetupError(
            f"no image {image} here; build it with: gpfn build "
            f"{shlex.quote(os.path.relpath(target.folder))} --platform {platform}",
            field="--container",
        )
    return cast("_ImageHost", load_attribute(row.container))(target, engine, image)


def answers_http(port: int) -> bool:
    """Return whether what is behind a published port answers over HTTP.

    That a connection opens tells nothing: the engine's proxy accepts it before the
    container listens.
    """
    if not port:
        return False
    try:
        with socket.create_connection(("127.0.0.1", port), _ASK_SECONDS) as connection:
            connection.sendall(_ASK)
            return connection.recv(5) == b"HTTP/"
    except OSError:
        return False
