"""The restrictions under which the platforms run a container, as the engine's flags.

Fn: api/agent/drivers/docker and api/agent/config.go of fnproject/fn. OpenWhisk:
DockerContainer.scala and the invoker's application.conf of apache/openwhisk.
"""

from pathlib import Path

__all__ = ["FN_NOFILE", "FN_PIDS", "SOCKET_FOLDER", "fn_flags", "openwhisk_flags", "server_flags"]

FN_PIDS = 50
"""Processes and threads together."""
FN_NOFILE = 350
SOCKET_FOLDER = "/tmp/iofs"  # noqa: S108 - in the container, where Fn mounts it
_WHISK_PIDS, _WHISK_NOFILE = 1024, 1024


def fn_flags(folder: Path, memory: int) -> list[str]:
    """Return Fn's flags: ``folder`` is mounted for the socket, ``memory`` is in MB."""
    return [
        "--init",
        "--read-only",
        "--user=1000:1000",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        f"--pids-limit={FN_PIDS}",
        f"--ulimit=nofile={FN_NOFILE}:{FN_NOFILE}",
        "--ulimit=memlock=65536:65536",
        f"--memory={memory}m",
        f"--memory-swap={memory}m",
        "--tmpfs=/tmp:rw,noexec,nosuid,nodev",
        f"--volume={folder}:{SOCKET_FOLDER}",
        "--env=HOME=/",
        f"--env=FN_LISTENER=unix:{SOCKET_FOLDER}/lsnr.sock",
        "--env=FN_FORMAT=http-stream",
        "--env=FN_TYPE=sync",
        f"--env=FN_MEMORY={memory}",
    ]


def openwhisk_flags(memory: int) -> list[str]:
    """Return OpenWhisk's flags; ``memory`` is in MB. There is no swap, and nothing is read-only."""
    return [
        f"--memory={memory}m",
        f"--memory-swap={memory}m",
        "--cap-drop=NET_RAW",
        "--cap-drop=NET_ADMIN",
        f"--ulimit=nofile={_WHISK_NOFILE}:{_WHISK_NOFILE}",
        f"--pids-limit={_WHISK_PIDS}",
    ]


def server_flags(memory: int) -> list[str]:
    """Return what a careful Kubernetes cluster gives a server: its restricted profile."""
    return [
        "--read-only",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        f"--memory={memory}m",
        f"--memory-swap={memory}m",
        "--tmpfs=/tmp:rw,noexec,nosuid,nodev",
    ]
