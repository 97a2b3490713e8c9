"""Pipelines in containers: Classy as its compose file starts it, and the two toy stages."""

import http.server
import json
import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from gpfn.graphpipe.client import Client
from gpfn.hosts.container import sandbox_flags
from gpfn.hosts.engine import ContainerEngine
from tests.conftest import ROOT
from tests.images_engine.conftest import Build, Start, gpfn
from tests.images_engine.test_server_images import get, healthy

FILE = ROOT / "deploy" / "compose" / "classy.yaml"
PROJECT = "gpfn-classy-test"
STAGES = ("model", "prepare", "download")
BURGER = "image 0 is class 933: cheeseburger"
PHOTOS = 16
GRACE = 20.0
TABLE = np.arange(4, dtype=np.float32).reshape(2, 2)


class Classy(NamedTuple):
    """What runs: its services, and a server of pictures in the network of this machine."""

    compose: Callable[..., "subprocess.CompletedProcess[str]"]
    engine: ContainerEngine
    pictures: str

    def client(self, folder: Path, *sources: str) -> "subprocess.CompletedProcess[str]":
        """Run the client's one line in a folder."""
        return self.compose("run", "--rm", "-T", "classy", *sources, folder=folder)

    def inspect(self, service: str, form: str) -> str:
        """Return what the engine knows of a service's container."""
        name = f"{PROJECT}_{service}_1"
        return self.engine.run("inspect", "--format", form, name).stdout.strip()

    def read(self, service: str, *files: str) -> str:
        """Return what files of a service's container hold; one that is not there holds nothing."""
        name = f"{PROJECT}_{service}_1"
        return self.engine.run("exec", name, "cat", *files, check=False).stdout


@pytest.fixture(scope="module")
def classy(engine: ContainerEngine, build: Build, shared: Path) -> Iterator[Classy]:
    """All services, up for the module; images have the names that they get without a tag."""
    images = {name: build(f"functions/{name}", "server") for name in ("classify", "prepare")}
    images["download"] = _on("download", build("", "server", "--runtime", "litert"))
    names = {name: f"{name}-server:0.0.1" for name in images}
    for name, image in images.items():
        engine.run("tag", image, names[name])
    form = "{{(index .IPAM.Config 0).Subnet}}"  # a gateway is told from the second start on
    subnet = engine.run("network", "inspect", "--format", form, "bridge").stdout.strip()
    gateway = str(ip_network(subnet)[1])
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(shared / "data/images"))
    with http.server.ThreadingHTTPServer((gateway, 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"{gateway}:{server.server_port}"
        compose = partial(_compose, GPFN_DOWNLOAD_HOSTS=address)
        try:
            assert compose("up", "--detach").returncode == 0
            yield Classy(compose, engine, f"http://{address}")
        finally:
            compose("down", "--volumes")
            server.shutdown()
            engine.run("image", "rm", *names.values())


def _on(name: str, image: str) -> str:
    """Build a server of a function on the one without a model, in seconds; returns its name."""
    tag = f"gpfn-test/{name}-server:1"
    run = gpfn("build", f"functions/{name}", "--platform", "server", "--on", image, "--tag", tag)
    assert run.returncode == 0, run.stderr[-3000:]
    return tag


def _compose(
    *words: str, folder: Path = ROOT, **environ: str
) -> "subprocess.CompletedProcess[str]":
    """Run Debian's compose on the file as it is, in a folder."""
    variables = {"COMPOSE_PROJECT_NAME": PROJECT, "PWD": str(folder), **environ}
    return subprocess.run(
        ["docker-compose", "--no-ansi", "--file", str(FILE), *words],
        cwd=folder,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_clients_one_line_names_pictures(classy: Classy, shared: Path) -> None:
    folder = shared / "data" / "images"
    run = classy.client(folder, "burger.jpg", "cat_720p.jpg", "mug.png")
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == [
        BURGER,
        "image 1 is class 285: Egyptian cat",
        "image 2 is class 504: coffee mug",
    ]
    for stage in STAGES:  # by the check of its image, which the client waits for
        assert classy.inspect(stage, "{{.State.Health.Status}}") == "healthy"


def test_what_is_not_public_is_refused_and_the_others_are_answered(
    classy: Classy, shared: Path
) -> None:
    """The other services are in reach of the downloader, and are nobody's pictures."""
    inside = ["http://model/x.jpg", "http://169.254.169.254/", "http://prepare:9000/x.jpg"]
    named = f"{classy.pictures}/mug.png"
    run = classy.client(shared / "data" / "images", "burger.jpg", *inside, named)
    assert run.returncode == 1
    assert run.stdout.splitlines() == [BURGER, "image 4 is class 504: coffee mug"], run.stderr
    problems = [line for line in run.stderr.splitlines() if line.startswith("image ")]
    told = [line.partition("): ")[2] for line in problems]
    assert told == [
        "cannot be fetched: model is not a public address",
        "cannot be fetched: 169.254.169.254 is not a public address",
        "port 9000 is not fetched from",
    ]


def test_only_the_downloader_has_a_way_out(classy: Classy) -> None:
    closed = {f"{PROJECT}_inside": "true", f"{PROJECT}_outside": "false"}
    for name, internal in closed.items():
        form = "{{.Internal}}"
        found = classy.engine.run("network", "inspect", "--format", form, name).stdout.strip()
        assert found == internal
    form = "{{json .NetworkSettings.Networks}}"
    networks = {stage: {*json.loads(classy.inspect(stage, form))} for stage in STAGES}
    inside = {f"{PROJECT}_inside"}
    assert networks == {"model": inside, "prepare": inside, "download": {*closed}}


def test_photos_fit_the_memory(classy: Classy, shared: Path, tmp_path: Path) -> None:
    """Sixteen of twelve million pixels in one call, as a phone makes them."""
    cat = Image.open(shared / "data" / "images" / "cat_720p.jpg").resize((4000, 3000))
    cat.save(tmp_path / "photo.jpg", quality=97)
    for made in (tmp_path, tmp_path / "photo.jpg"):
        made.chmod(0o755)
    assert (tmp_path / "photo.jpg").stat().st_size > 1_500_000
    run = classy.client(tmp_path, *["photo.jpg"] * PHOTOS)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("Egyptian cat") == PHOTOS
    for stage in STAGES:
        limit, peak = int(classy.inspect(stage, "{{.HostConfig.Memory}}")), _peak(classy, stage)
        print(f"{stage}: {peak >> 20} of {limit >> 20} MiB")
        assert 0 < peak < limit * 3 / 4
        assert classy.inspect(stage, "{{.State.OOMKilled}} {{.RestartCount}}") == "false 0"


def _peak(classy: Classy, stage: str) -> int:
    """Return the most bytes that a service's cgroup has counted, of version 2 or 1."""
    files = ("memory.peak", "memory/memory.max_usage_in_bytes")
    found = classy.read(stage, *[f"/sys/fs/cgroup/{file}" for file in files]).split()
    return int(found[0])


def test_sigterm_ends_all_of_them(classy: Classy) -> None:
    began = time.monotonic()
    assert classy.compose("stop").returncode == 0
    assert time.monotonic() - began < GRACE
    for stage in STAGES:
        state = json.loads(classy.inspect(stage, "{{json .State}}"))
        assert (state["Running"], state["ExitCode"], state["OOMKilled"]) == (False, 0, False)
    assert classy.compose("start").returncode == 0


@pytest.fixture
def network(engine: ContainerEngine) -> Iterator[str]:
    """A network whose containers know each other by name."""
    name = "gpfn-test-toys"
    engine.run("network", "create", "--internal", name)
    yield name
    engine.run("network", "rm", name)


def test_one_server_of_a_function_goes_on_to_another(
    build: Build, network: str, start: Start
) -> None:
    base = build("", "server", "--runtime", "litert")
    flags = [*sandbox_flags("server", 128), f"--network={network}"]
    add = start(_on("add", base), [*flags, "--network-alias=add"])
    multiply = start(_on("multiply", base), flags, "--next", "http://add:9000")
    servers = {
        name: f"http://{each.address()}:9000"
        for name, each in (("add", add), ("multiply", multiply))
    }
    for name, url in servers.items():
        get(f"{url}/control/is_ready")
        get(f"{url}/v2/models/{name}/ready")  # its own name, not that of its file
    with Client(servers["multiply"]) as client:
        (answer,) = client.infer([TABLE])
    np.testing.assert_array_equal(answer, 2 * TABLE + 1)
    counted = get(f"{servers['add']}/metrics").decode()
    assert re.search(r'^gpfn_inference_requests_total{.*model="add".*} 1$', counted, re.M), counted
    healthy(multiply)
