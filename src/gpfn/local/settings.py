"""Where ``gpfn dev`` listens, which folder it serves, and where it keeps its state."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from gpfn.errors import SetupError
from gpfn.http.loop.process import is_loopback

__all__ = ["DevSettings"]

_STATE_FOLDER = ".gpfn"
_STATE_FILE = "dev.sqlite3"
_IGNORED = "# What gpfn dev keeps here is of this machine.\n*\n"


@dataclass(frozen=True, slots=True)
class DevSettings:
    """What ``gpfn dev`` was asked for.

    ``app`` is Fn's app that functions are deployed to, the folder's name without one. A port of
    0 takes a free one. ``maps`` are folders by names of images, ``engine`` is docker or podman
    where images without a folder are to be run. ``truth`` holds functions to what the platforms
    give. With ``memory`` nothing is kept. ``names`` are hosts that the servers are called by.
    ``bridge`` is where a bridge says how it is, for the console.
    """

    folder: Path = Path()
    app: str = ""
    host: str = "127.0.0.1"
    fn_port: int = 8080
    openwhisk_port: int = 3233
    maps: Mapping[str, Path] = field(default_factory=dict)
    most_per_function: int = 8
    truth: bool = True
    memory: bool = False
    engine: str = ""
    names: tuple[str, ...] = ()
    drain_seconds: float = 5.0
    bridge: str = ""

    @property
    def local(self) -> bool:
        """Whether only this machine reaches it."""
        return is_loopback(self.host)

    def own_names(self) -> tuple[str, ...]:
        """Return what callers may name as the host, besides the loopback and the address."""
        if self.local:
            return self.names
        name = socket.gethostname()
        found = [name, *self.names]
        with suppress(OSError):  # a machine whose name nobody knows has its addresses still
            addresses = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
            found += [str(address[4][0]) for address in addresses]
        return tuple(f"[{each}]" if ":" in each else each for each in dict.fromkeys(found))

    def state_file(self) -> Path | None:
        """Return where the state is kept, None for nowhere; its folder is made, and ignored by git.

        Raises SetupError when the folder cannot be made.
        """
        if self.memory:
            return None
        folder = self.folder / _STATE_FOLDER
        try:
            folder.mkdir(exist_ok=True)
            ignore = folder / ".gitignore"
            if not os.path.lexists(ignore):
                ignore.write_text(_IGNORED, encoding="utf-8")
        except OSError as error:
            told = f"cannot be written: {error.strerror}; gpfn dev --memory keeps nothing"
            raise SetupError(told, field=str(folder)) from None
        return folder / _STATE_FILE
