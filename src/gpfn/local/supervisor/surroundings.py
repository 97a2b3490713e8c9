"""What a function's process finds around itself: its folder, its environment, its limits.

The environment is made from nothing. There is what an image has and a container's engine
adds, then what the platform sets; of this process's own only what Python and this package
need to be found.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from gpfn.hosts.fn import socket_folder
from gpfn.local.deployed import Deployed
from gpfn.local.supervisor.cgroup import make_cgroup
from gpfn.local.supervisor.output import ProcessLog
from gpfn.local.supervisor.process import FunctionProcess
from gpfn.local.supervisor.sandbox import Confinement, find_means, is_private

__all__ = ["ACTION_RULES", "FN_RULES", "PlatformRules", "Surroundings", "surround"]

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MB = 1 << 20


class PlatformRules(NamedTuple):
    """What a platform gives a container: open files, processes with threads, bytes of log."""

    files: int
    processes: int
    log_bytes: int
    log_cut: str
    read_only: bool
    home: str


# fnproject/fn, api/agent/config.go and api/agent/func_logger.go
FN_RULES = PlatformRules(
    files=350,
    processes=50,
    log_bytes=_MB,
    log_cut="-----max log size 1048576 bytes exceeded, truncating log-----",
    read_only=True,
    home="/",
)
"""Fn's."""

# apache/openwhisk, DockerContainer.scala, FPCInvokerReactive.scala and ActivationResult's logs
ACTION_RULES = PlatformRules(
    files=1024,
    processes=1024,
    log_bytes=10 * _MB,
    log_cut="Logs were truncated because the total bytes size exceeds the limit of 10485760 bytes.",
    read_only=False,
    home="/root",
)
"""OpenWhisk's."""


class Surroundings(NamedTuple):
    """A process that is not started yet, its folder and where /tmp is for it."""

    process: FunctionProcess
    folder: Path
    private: bool
    environ: dict[str, str]


def surround(deployed: Deployed, rules: PlatformRules, *, truth: bool) -> Surroundings:
    """Make a folder, and what a process of ``deployed`` is held to. Raises OSError."""
    folder = Path(socket_folder(f"gpfn-dev-{os.getpid()}-"))
    for name in ("iofs", "tmp"):
        (folder / name).mkdir()
        (folder / name).chmod(0o777)
    host_name = secrets.token_hex(6)
    held = _held(deployed, rules, folder, host_name) if truth else Confinement(str(folder))
    process = FunctionProcess(host_name, held, ProcessLog(rules.log_bytes, rules.log_cut))
    environ = dict(_image_environ(host_name, rules.home))
    if not held.private:
        environ["TMPDIR"] = str(folder / "tmp")
    if not held.tree:
        # bytecode beside the code would be taken for that of an edit within the same second
        environ["PYTHONDONTWRITEBYTECODE"] = "1"
    return Surroundings(process, folder, held.private, environ)


def _held(deployed: Deployed, rules: PlatformRules, folder: Path, name: str) -> Confinement:
    tree = rules.read_only and find_means().mounts
    needed = [] if deployed.file is None else [deployed.file]
    memory = deployed.memory * _MB
    return Confinement(
        folder=str(folder),
        files=rules.files,
        processes=rules.processes,
        memory=memory,
        tree=tree,
        private=tree and is_private(needed),
        cgroup=make_cgroup(f"gpfn-{os.getpid()}-{name}", memory, rules.processes),
    )


def _image_environ(host_name: str, home: str) -> Iterator[tuple[str, str]]:
    yield "PATH", f"{Path(sys.executable).parent}:{_PATH}"
    yield "HOSTNAME", host_name
    yield "HOME", home
    yield "LANG", "C.UTF-8"
    yield from _needed_to_start(os.environ)


def _needed_to_start(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield what Python and this package need to be found, where they are not installed."""
    import gpfn

    if "LD_LIBRARY_PATH" in environ:
        yield "LD_LIBRARY_PATH", environ["LD_LIBRARY_PATH"]
    package = str(Path(gpfn.__file__).resolve().parents[1])
    if package in environ.get("PYTHONPATH", "").split(os.pathsep):
        yield "PYTHONPATH", package
