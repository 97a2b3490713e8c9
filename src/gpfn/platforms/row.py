"""What a row of the table of platforms has.

A row has texts and numbers only: what ``module:attribute`` names is imported when it is
asked for.
"""

from typing import Literal, NamedTuple

__all__ = ["Column", "Platform", "PlatformImage", "PlatformLimits", "PlatformSuite"]

Column = Literal["runner", "host", "container", "image", "suite", "limits"]
"""What only some platforms have."""


class PlatformImage(NamedTuple):
    """What ``gpfn build`` puts into the platform's image, and how the platform runs it.

    Its Dockerfile without a function lies in ``runtimes/NAME/``.
    """

    title: str
    """What the image's label calls it."""
    command: tuple[str, ...]
    """The words behind ``gpfn`` of its ENTRYPOINT; the function's file follows."""
    sandbox: tuple[str, ...]
    """The engine's flags; ``{memory}`` is in MB, ``{folder}`` where Fn's socket appears."""
    takes_file: bool = True
    """Whether the function's file is an argument of the command."""
    port: int = 0
    """Where it listens; 0: behind the socket that Fn names."""
    health: str = ""
    """A path that is answered with 200 when it is well; empty where the platform looks itself."""
    extras: tuple[str, ...] = ()
    """The extras of gpfn that it has, unless a build argument says otherwise."""
    next_step: str = ""
    """What to type after the build: ``{name}``, ``{tag}``, ``{memory}``, ``{engine}``."""
    next_step_bare: str = ""
    """The same for an image without a function."""


class PlatformLimits(NamedTuple):
    """What the platform allows a function, for ``gpfn doctor``; 0 is no limit."""

    start_seconds: float = 0.0
    """From the container's start until it listens."""
    timeout_seconds: float = 0.0
    """The longest time for a call that can be asked for."""
    shortest_timeout: float = 0.0
    """A shorter one may leave a call no time."""
    least_memory: int = 0
    """In MB."""
    memory: int = 0
    """In MB."""
    threads: int = 0
    """Processes and threads together."""
    zip_bytes: int = 0
    """Of the code, when it is no image."""
    payload_bytes: int = 0
    """Of a call's parameters."""


class PlatformSuite(NamedTuple):
    """What ``gpfn certify`` checks a server of the platform by."""

    starter: str
    """The class that starts a subject for a check: Starter(subject, timeout)."""
    checks: tuple[str, ...]
    """Lists of checks, ``module:CHECKS``, in order."""


class Platform(NamedTuple):
    """A row of the table. An empty column is something that the platform does not have."""

    name: str
    """The word for ``--platform`` and ``gpfn run``."""
    title: str
    """What it is called in sentences."""
    summary: str
    """What starts a function there, in a few words, for ``gpfn invoke --help``."""
    formerly: str = ""
    """The name that it had before: still known, and a second name of its images."""
    runner: str = ""
    """``module:main`` of ``gpfn run``: main(file, name), with host= and port= if it has a port."""
    runner_help: str = ""
    """What the runner does, in one line of ``gpfn run --help``."""
    handler: str = "handler"
    """The name that it looks for in the function's file."""
    needs_file: bool = True
    """Whether the runner needs a file; else the code may come later."""
    address: tuple[str, int | None] | None = None
    """Host and port that the runner listens on when nobody says; None: it has no port."""
    host: str = ""
    """The class of hosts that starts a function as a process: Host(target)."""
    container: str = ""
    """The class that starts its image in the sandbox: Host(target, engine, image)."""
    many_connections: bool = False
    """Whether the runner is a loop server: main takes unix=, tls_cert=, tls_key=, workers= and
    reload= as well."""
    triggers: bool = False
    """Whether requests may come by an HTTP trigger of Fn."""
    image: PlatformImage | None = None
    suite: PlatformSuite | None = None
    limits: PlatformLimits | None = None
