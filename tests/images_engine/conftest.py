"""Images, built once a session, and containers that never outlive their test.

``GPFN_TEST_BASE`` names the base image, ``GPFN_TEST_NETWORK`` the network of builds.
"""

import atexit
import http.server
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

import pytest

from gpfn.build.recipe import BASE
from gpfn.hosts.container import LABEL, Container
from gpfn.hosts.engine import STAGE_LABEL, ContainerEngine
from tests.conftest import ROOT
from tests.images_engine.tags import tag_of

__all__ = ["Census", "census", "gpfn"]

NETWORK = os.environ.get("GPFN_TEST_NETWORK", "host")

Build = Callable[..., str]
Start = Callable[..., Container]


@pytest.fixture(scope="session")
def base() -> str:
    """The base image: the public one, or one made here where no registry can be reached."""
    return os.environ.get("GPFN_TEST_BASE", BASE)


@pytest.fixture(scope="session")
def engine() -> ContainerEngine:
    """Docker, which has to run."""
    found = ContainerEngine("docker")
    found.check()
    return found


@pytest.fixture(scope="session", autouse=True)
def models(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The catalogue's files at a URL that builds reach, and a cache of our own; returns the URL."""
    handler = partial(_Quiet, directory=str(shared / "data" / "models"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("GPFN_MODEL_MIRROR", url := f"http://127.0.0.1:{server.server_port}")
            patch.setenv("GPFN_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
            yield url
        server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing: requests are not what the tests are about."""


@pytest.fixture(scope="session")
def build(engine: ContainerEngine, base: str) -> Build:
    """Build ``gpfn build FUNCTION …`` once; returns the image's name."""

    @cache
    def built(function: str, platform: str, *options: str) -> str:
        tag = tag_of(function, platform, *options)
        where = ["--base", base, "--network", NETWORK, "--tag", tag]
        run = gpfn("build", *filter(None, [function]), "--platform", platform, *where, *options)
        assert run.returncode == 0, run.stderr[-3000:]
        return tag

    return built


@pytest.fixture
def start(engine: ContainerEngine) -> Iterator[Start]:
    """Start containers that are removed after the test."""
    started: list[Container] = []

    def run(image: str, flags: list[str], *command: str) -> Container:
        started.append(Container(engine, image, flags, command))
        return started[-1]

    yield run
    for container in started:
        container.stop()


@pytest.fixture
def folder() -> Iterator[Path]:
    """The folder that Fn's agent mounts for the socket; everybody may write in it."""
    with tempfile.TemporaryDirectory(prefix="iofs", dir="/tmp") as name:
        Path(name).chmod(0o777)
        yield Path(name)


@cache
def _temporary() -> str:
    """Return a folder for the temporary files of our commands alone, so that they count."""
    name = tempfile.mkdtemp(prefix="gpfn-", dir="/tmp")
    atexit.register(shutil.rmtree, name, ignore_errors=True)
    return name


def gpfn(*arguments: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does."""
    done = subprocess.run(
        [sys.executable, "-m", "gpfn", *arguments],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": _temporary()},
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        timeout=900,
        check=False,
    )
    out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    return subprocess.CompletedProcess(done.args, done.returncode, out, err)


Census = tuple[frozenset[str], frozenset[str], frozenset[Path]]


def census(engine: ContainerEngine) -> Census:
    """Count what could be left behind of ours: containers, images without a name too, folders.

    Containers have their image's labels; what else the engine's users do is not counted.
    """
    containers: set[str] = set()
    images: set[str] = set()
    for label in (LABEL, STAGE_LABEL, "gpfn.platform"):
        only = ("--quiet", "--no-trunc", "--filter", f"label={label}")
        containers.update(engine.run("ps", "--all", *only).stdout.split())
        images.update(engine.run("images", *only).stdout.split())
    folders = Path(_temporary()).iterdir()
    return frozenset(containers), frozenset(images), frozenset(folders)


@pytest.fixture(scope="session", autouse=True)
def nothing_runs_in_the_end(engine: ContainerEngine) -> Iterator[None]:
    """After all tests there is no container of ours."""
    yield
    assert engine.run("ps", "--all", "--quiet", "--filter", f"label={LABEL}").stdout == ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs the engine."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.engine)
            item.add_marker(pytest.mark.timeout(900))
