"""The table of platforms: a row names everything of gpfn that belongs to a platform.

``gpfn run``, ``invoke``, ``build``, ``certify`` and ``doctor``, the hosts and the tests of
the docs read it, and reading it imports nothing of what it names. A new platform is a
folder in this package and a row here.

A platform from outside of gpfn is an entry point of the group ``gpfn.platforms``: its name
is the platform's, and it leads to a Platform. Entry points are looked at only when a name
is not in the table, so they cost nothing otherwise.
"""

from collections.abc import Mapping
from importlib import import_module

from gpfn.errors import SetupError
from gpfn.platforms.row import Column, Platform, PlatformImage, PlatformLimits, PlatformSuite

__all__ = ["PLATFORMS", "find_platform", "load_attribute", "platforms_with"]

_GROUP = "gpfn.platforms"

_SANDBOX_FN = (
    "--init",
    "--read-only",
    "--user=1000:1000",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--pids-limit=50",
    "--ulimit=nofile=350:350",
    "--ulimit=memlock=65536:65536",
    "--memory={memory}m",
    "--memory-swap={memory}m",
    "--tmpfs=/tmp:rw,noexec,nosuid,nodev",
    "--volume={folder}:/tmp/iofs",
    "--env=HOME=/",
    "--env=FN_LISTENER=unix:/tmp/iofs/lsnr.sock",
    "--env=FN_FORMAT=http-stream",
    "--env=FN_TYPE=sync",
    "--env=FN_MEMORY={memory}",
)
"""fnproject/fn, api/agent/drivers/docker and api/agent/config.go."""

_SANDBOX_OPENWHISK = (
    "--memory={memory}m",
    "--memory-swap={memory}m",
    "--cap-drop=NET_RAW",
    "--cap-drop=NET_ADMIN",
    "--ulimit=nofile=1024:1024",
    "--pids-limit=1024",
)
"""apache/openwhisk, DockerContainer.scala and the invoker's application.conf."""

_SANDBOX_SERVER = (
    "--read-only",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--memory={memory}m",
    "--memory-swap={memory}m",
    "--tmpfs=/tmp:rw,noexec,nosuid,nodev",
)
"""What the restricted profile of Kubernetes allows a server."""

_FN = Platform(
    "fn",
    "Fn",
    "gpfn's runner for Fn",
    runner="gpfn.platforms.fn.runner:main",
    runner_help="behind the unix socket that FN_LISTENER names (docs/fn.md)",
    host="gpfn.hosts.fn:FnHost",
    container="gpfn.hosts.image:FnImage",
    triggers=True,
    image=PlatformImage(
        "Fn function",
        ("run", "fn"),
        _SANDBOX_FN,
        next_step="fn create function APP {name} {tag} --memory {memory}",
    ),
    suite=PlatformSuite(
        "gpfn.certify.fn.container:FnContainers", ("gpfn.certify.fn.checks:CHECKS",)
    ),
    # fnproject/fn, api/agent/config.go and api/models/fn.go; deadlines lose their fraction
    limits=PlatformLimits(
        start_seconds=5.0, timeout_seconds=300.0, shortest_timeout=2.0, memory=8192, threads=50
    ),
)
_FDK = Platform(
    "fdk",
    "Fn's FDK",
    "Fn's stock FDK",
    host="gpfn.hosts.fn:FdkHost",
    triggers=True,
)
_HTTP = Platform(
    "http",
    "HTTP",
    "gpfn's HTTP server",
    runner="gpfn.platforms.http.runner:main",
    runner_help="with CloudEvents over HTTP, and health checks (docs/http.md)",
    handler="app",
    address=("127.0.0.1", 8080),
    many_connections=True,
    host="gpfn.hosts.http:HttpHost",
    container="gpfn.hosts.image:HttpImage",
    image=PlatformImage(
        "HTTP function",
        ("run", "http", "--host", "0.0.0.0", "--port", "8080"),
        _SANDBOX_SERVER,
        port=8080,
        health="/health/ready",
        next_step="{engine} run --rm -p 8080:8080 {tag}",
    ),
)
_OPENWHISK = Platform(
    "openwhisk",
    "OpenWhisk",
    "gpfn's runner for OpenWhisk",
    runner="gpfn.platforms.openwhisk.runner:main",
    runner_help="with /init and /run on port 8080 (docs/openwhisk.md)",
    handler="main",
    needs_file=False,
    address=("", None),
    host="gpfn.hosts.openwhisk:OpenWhiskHost",
    container="gpfn.hosts.image:OpenWhiskImage",
    image=PlatformImage(
        "OpenWhisk action",
        ("run", "openwhisk"),
        _SANDBOX_OPENWHISK,
        port=8080,
        next_step="wsk action create {name} --docker {tag} --memory {memory}",
        next_step_bare="wsk action create {name} FILE.py --docker {tag} --memory {memory}",
    ),
    suite=PlatformSuite(
        "gpfn.certify.openwhisk.action:ActionServers",
        (
            "gpfn.certify.openwhisk.basic:CHECKS",
            "gpfn.certify.openwhisk.python:CHECKS",
            "gpfn.certify.openwhisk.server:CHECKS",
            "gpfn.certify.openwhisk.kit:CHECKS",
        ),
    ),
    # apache/openwhisk, application.conf and Exec.scala; a zip is sent as base64
    limits=PlatformLimits(
        timeout_seconds=300.0,
        least_memory=128,
        memory=512,
        zip_bytes=36_000_000,
        payload_bytes=1 << 20,
    ),
)
_CALL = Platform("call", "this process", "this process", host="gpfn.hosts.http:InProcessHost")
_SERVER = Platform(
    "server",
    "the model server",
    "gpfn serve, a model server",
    formerly="graphpipe",
    image=PlatformImage(
        "Model server",
        ("serve", "--listen", "0.0.0.0:9000"),
        _SANDBOX_SERVER,
        takes_file=False,
        port=9000,
        health="/control/is_ready",
        extras=("server", "grpc", "forms"),
        next_step="{engine} run --rm -p 9000:9000 {tag}",
        next_step_bare="{engine} run --rm -p 9000:9000 {tag} --model FILE",
    ),
)

PLATFORMS: Mapping[str, Platform] = {
    row.name: row for row in (_FN, _FDK, _HTTP, _OPENWHISK, _CALL, _SERVER)
}
"""The rows by name."""

_FORMERLY = {row.formerly: row for row in PLATFORMS.values() if row.formerly}

_outside: dict[str, Platform] = {}  # rows of entry points that were asked for


def platforms_with(column: Column) -> tuple[Platform, ...]:
    """Return the rows that have a column, and those from outside that were found before."""
    rows = (*PLATFORMS.values(), *_outside.values())
    return tuple(row for row in rows if getattr(row, column))


def find_platform(name: str, column: Column) -> Platform:
    """Return the row of a platform that has a column; asks entry points for an unknown name.

    Raises SetupError with the names that are known.
    """
    row = PLATFORMS.get(name) or _FORMERLY.get(name) or _outside.get(name)
    row = row or _from_entry_point(name)
    if row is None or not getattr(row, column):
        known = ", ".join(row.name for row in platforms_with(column))
        raise SetupError(f"expected one of {known}, got {name!r}", field="platform")
    return row


def load_attribute(reference: str) -> object:
    """Import what ``module:attribute`` names."""
    module, _, attribute = reference.partition(":")
    return getattr(import_module(module), attribute)


def _from_entry_point(name: str) -> Platform | None:
    from importlib.metadata import entry_points

    for point in entry_points(group=_GROUP, name=name):
        row = point.load()
        if not isinstance(row, Platform) or row.name != name:
            raise SetupError(f"{point.value} is no Platform called {name}", field="platform")
        _outside[name] = row
        return row
    return None
