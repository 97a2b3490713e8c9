"""Engines of a test's own: docker on a disk that is too small, docker as a swarm, and podman.

They are started here and leave nothing behind. The limits that podman sets by itself need
a capability which machines of CI lack, so its runtime is called through a script that
leaves that one setting out.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = ["podman", "small_docker", "swarm_docker"]

_STARTS_WITHIN = 30.0
_RUNTIME = """\
#!{python}
import json, os, sys
if "create" in sys.argv:
    path = os.path.join(sys.argv[sys.argv.index("--bundle") + 1], "config.json")
    document = json.load(open(path))
    limits = document["process"].get("rlimits", [])
    document["process"]["rlimits"] = [one for one in limits if one["type"] != "RLIMIT_NPROC"]
    json.dump(document, open(path, "w"))
os.execv({runc!r}, ["runc", *sys.argv[1:]])
"""
_CONTAINERS = """\
[containers]
default_ulimits = ["nofile=4096:4096"]
[engine]
runtime = "unlimited"
[engine.runtimes]
unlimited = ["{script}"]
"""
_STORAGE = """\
[storage]
driver = "overlay"
graphroot = "{folder}/root"
runroot = "{folder}/run"
"""


@contextmanager
def small_docker(base: str, megabytes: int) -> Iterator[dict[str, str]]:
    """Run a docker with so much room besides its base image; yields its environment."""
    with tempfile.TemporaryDirectory(prefix="engine-", dir="/tmp") as name:
        data = Path(name) / "data"
        data.mkdir()
        _do("mount", "-t", "tmpfs", "-o", "size=2g", "tmpfs", str(data))
        with _docker(Path(name), "small", "198.18.0.1/24") as environ:
            _copy(base, ["docker", "load"], environ)
            used = shutil.disk_usage(data).used
            _do("mount", "-o", f"remount,size={used + megabytes * 1_000_000}", str(data))
            yield environ


@contextmanager
def swarm_docker(image: str) -> Iterator[dict[str, str]]:
    """Run a docker that is a swarm of one node, and has an image; yields its environment."""
    with (
        tempfile.TemporaryDirectory(prefix="engine-", dir="/tmp") as name,
        _without_new_link("docker_gwbridge"),
        _docker(Path(name), "swarm", "198.18.2.1/24") as environ,
    ):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            listen = f"--listen-addr=127.0.0.1:{probe.getsockname()[1]}"
        _do("docker", "swarm", "init", "--advertise-addr=127.0.0.1", listen, environ=environ)
        _copy(image, ["docker", "load"], environ)
        yield environ


@contextmanager
def _without_new_link(name: str) -> Iterator[None]:
    """Remove a network link that was not there before."""
    link = Path("/sys/class/net", name)
    was_there = link.exists()
    try:
        yield
    finally:
        if link.exists() and not was_there:
            _do("ip", "link", "delete", name)


@contextmanager
def _docker(folder: Path, name: str, network: str) -> Iterator[dict[str, str]]:
    """Run a docker with its data in ``folder``; yields its environment."""
    host = f"unix://{folder}/docker.sock"
    where = [f"--host={host}", f"--data-root={folder}/data", f"--exec-root={folder}/exec"]
    # a bridge of its own: with none at all, dockerd removes the other engine's
    bridge = f"{name}{os.getpid()}"
    _do("ip", "link", "add", bridge, "type", "bridge")
    _do("ip", "address", "add", network, "dev", bridge)
    apart = [f"--pidfile={folder}/pid", f"--bridge={bridge}", "--iptables=false"]
    with (folder / "log").open("wb") as log:
        engine = subprocess.Popen(["dockerd", *where, *apart], stdout=log, stderr=log)
    environ = {"DOCKER_HOST": host}
    try:
        _wait(["docker", "version"], environ)
        yield environ
    finally:
        engine.terminate()
        engine.wait(60)
        _do("ip", "link", "delete", bridge)
        _unmount(folder)


@contextmanager
def podman(base: str) -> Iterator[dict[str, str]]:
    """Give podman a storage of its own with the base image in it; yields its environment."""
    with tempfile.TemporaryDirectory(prefix="engine-", dir="/tmp") as name:
        folder = Path(name)
        script = folder / "runtime"
        script.write_text(_RUNTIME.format(python=sys.executable, runc=shutil.which("runc")))
        script.chmod(0o755)
        (folder / "containers.conf").write_text(_CONTAINERS.format(script=script))
        (folder / "storage.conf").write_text(_STORAGE.format(folder=folder))
        environ = {
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
        }
        try:
            _copy(base, ["podman", "load"], environ)
            yield environ
        finally:
            _unmount(folder)


def _copy(image: str, load: Sequence[str], environ: dict[str, str]) -> None:
    """Copy an image from the tests' engine to another."""
    save = subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE)
    _do(*load, environ=environ, stdin=save.stdout)
    assert save.wait() == 0


def _wait(command: Sequence[str], environ: dict[str, str]) -> None:
    end = time.monotonic() + _STARTS_WITHIN
    environ = {**os.environ, **environ}
    while subprocess.run(command, env=environ, capture_output=True, check=False).returncode:
        assert time.monotonic() < end, "the engine does not start"
        time.sleep(0.1)


def _do(*command: str, environ: dict[str, str] | None = None, stdin: object = None) -> None:
    done = subprocess.run(
        command,
        env={**os.environ, **(environ or {})},
        stdin=stdin or subprocess.DEVNULL,  # type: ignore[call-overload]
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _unmount(folder: Path) -> None:
    """Unmount what an engine has mounted in its folder, the last mounted first."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    for place in reversed([line.split()[1] for line in lines]):
        if place.startswith(f"{folder}/"):
            _do("umount", "--lazy", place)
