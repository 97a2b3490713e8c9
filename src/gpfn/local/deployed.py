"""What is deployed, and everything that a process of it needs to be started."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

__all__ = ["ActionCode", "Deployed", "MappedImage", "Resolve"]


class ActionCode(NamedTuple):
    """The code that OpenWhisk sends an action with ``/init``, or a zip of it in base64.

    Without a ``text`` only ``main`` is sent, to an image that brings its own. ``language`` is
    ``python``, or ``nodejs``.
    """

    text: str
    binary: bool
    main: str = "main"
    language: str = "python"


class Deployed(NamedTuple):
    """A function or an action as it is deployed now.

    ``key`` is its own for as long as it exists: Fn's id of the function, or OpenWhisk's
    ``guest/PACKAGE/ACTION``. ``revision`` changes with everything a running process knows: its
    files, code, environment and limits. A process of another revision is not asked again.

    Of ``file``, ``code`` and ``image`` one says what runs; an action may have ``code`` beside a
    file, as it may with an image. ``memory`` is in MB, ``timeout`` and ``idle_timeout`` in seconds.
    ``environ`` is what the platform sets: the configuration of the app and the function.
    ``instances`` bounds its processes at one time, None leaves that to the supervisor.
    """

    key: str
    platform: str
    name: str
    revision: str
    file: Path | None = None
    handler: str = "handler"
    code: ActionCode | None = None
    image: str = ""
    memory: int = 128
    timeout: float = 30.0
    idle_timeout: float = 30.0
    environ: Mapping[str, str] = {}
    instances: int | None = None


class MappedImage(NamedTuple):
    """What stands behind the name of an image: a function's file, or an image that is run.

    ``revision`` changes with the files, so that a process of the old ones is not asked again.
    ``config`` is func.yaml's: an action's environment, as that of an image would be. Fn has it
    from the function itself, where it may have been changed since.
    """

    revision: str
    file: Path | None = None
    handler: str = "handler"
    image: str = ""
    config: Mapping[str, str] = {}


Resolve = Callable[[str], MappedImage | None]
"""From an image's name to what is run for it; None when nobody has said."""
