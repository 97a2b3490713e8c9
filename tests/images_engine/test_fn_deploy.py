"""What ``fn deploy --local`` builds, from Dockerfiles and from ``runtime: python`` without one."""

import shutil
import subprocess
import sys
from pathlib import Path

from gpfn.build.stage.lock import constraints
from gpfn.hosts.container import sandbox_flags
from gpfn.hosts.engine import ContainerEngine
from tests.conftest import ROOT
from tests.images_engine.conftest import NETWORK, Build, Start
from tests.images_engine.wire import recorded, say, with_event

EVENT = (ROOT / "ce_samples" / "forecast.json").read_bytes()

# cli/langs/python.go and cli/common/common.go of fnproject/cli, word for word
GENERATED = """\
FROM fnproject/python:3.12-dev as build-stage
WORKDIR /function
ADD .pip_cache /function/.pip_cache
ADD requirements.txt /function/
RUN pip3 install --target /python/ --no-cache --no-cache-dir --no-index \
--find-links /function/.pip_cache -r requirements.txt &&\\
\t\t\t    rm -fr ~/.cache/pip /tmp* requirements.txt func.yaml Dockerfile .venv &&\\
\t\t\t    chmod -R o+r /python
ADD . /function/
RUN rm -fr /function/.pip_cache
FROM fnproject/python:3.12
WORKDIR /function
COPY --from=build-stage /python /python
COPY --from=build-stage /function /function
RUN chmod -R o+r /function
ENV PYTHONPATH=/function:/python
ENTRYPOINT ["/python/bin/fdk", "/function/func.py", "handler"]
"""

# stands in for Fn's build image, which no registry gives here: a Python with a pip3 of its own
DEV = """\
ARG BASE
FROM ${BASE}
RUN python3 -m venv /pip && printf '#!/bin/sh\\nPYTHONPATH=$(echo /pip/lib/python*/site-packages) \
exec python3 -m pip "$@"\\n' > /usr/local/bin/pip3 && chmod 755 /usr/local/bin/pip3
"""


def docker_build(folder: Path, tag: str, *options: str, dockerfile: str = "Dockerfile") -> None:
    """Build as ``fn deploy --local`` does: with the folder as context, and proxies passed on."""
    command = ["docker", "build", "-t", tag, "-f", dockerfile, "--network", NETWORK, *options]
    proxies = ["--build-arg", "HTTP_PROXY", "--build-arg", "HTTPS_PROXY"]
    before = unnamed()
    run = subprocess.run(
        [*command, *proxies, "."], cwd=folder, capture_output=True, text=True, check=False
    )
    for image in unnamed() - before:  # docker's old builder leaves first stages behind
        subprocess.run(["docker", "image", "rm", image], capture_output=True, check=False)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-2000:]


def unnamed() -> set[str]:
    """Return the images without a name."""
    listing = ["docker", "images", "--quiet", "--no-trunc", "--filter", "dangling=true"]
    return set(subprocess.run(listing, capture_output=True, text=True, check=True).stdout.split())


def answers(start: Start, image: str, folder: Path, shared: Path, memory: int = 128) -> None:
    """Check that the image gives the forecast in Fn's sandbox."""
    container = start(image, [*sandbox_flags("fn", memory, folder), "--network=none"])
    container.wait_until((folder / "lsnr.sock").exists, 5.0)
    reply = say(folder, with_event(recorded(shared)["invoke, 8 byte body"], EVENT))
    assert reply.status == 200, container.log()
    assert reply.json()["type"] == "com.example.forecast.response"
    assert container.threads() <= 20


def test_in_a_functions_folder(
    engine: ContainerEngine,
    build: Build,
    start: Start,
    folder: Path,
    shared: Path,
    models: str,
    tmp_path: Path,
) -> None:
    """The Dockerfile there stands on the runtime's image; its files may be their owner's alone."""
    runtime = f"RUNTIME_IMAGE={build('', 'fn', '--extra', 'images')}"
    tag = "gpfn-test/deployed:0.0.1"
    mirror = f"GPFN_MODEL_MIRROR={models}"
    docker_build(ROOT / "functions/classify", tag, "--build-arg", runtime, "--build-arg", mirror)
    private = tmp_path / "forecast"
    shutil.copytree(ROOT / "functions" / "forecast", private)
    for path in private.iterdir():
        path.chmod(0o700 if path.is_dir() else 0o600)
    docker_build(private, tag, "--build-arg", runtime)
    answers(start, tag, folder, shared)
    assert engine.labels(tag)["org.opencontainers.image.title"] == "forecast"


def test_in_the_root(base: str, start: Start, folder: Path, shared: Path) -> None:
    docker_build(ROOT, "gpfn-test/root:0.0.1", "--build-arg", f"BASE={base}")
    answers(start, "gpfn-test/root:0.0.1", folder, shared)


def test_runtime_python_without_a_dockerfile(
    engine: ContainerEngine, base: str, start: Start, folder: Path, shared: Path, tmp_path: Path
) -> None:
    """requirements.txt and func.py are enough; wheels in .pip_cache stand in for an index."""
    function = tmp_path / "forecast"
    ignored = shutil.ignore_patterns("Dockerfile", "__pycache__")
    shutil.copytree(ROOT / "functions" / "forecast", function, ignore=ignored)
    assert (function / "requirements.txt").is_file()
    locked = tmp_path / "locked.txt"
    locked.write_text(constraints((ROOT / "locks" / "all.lock").read_text()))
    wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "-w", str(function / ".pip_cache")]
    subprocess.run([*wheel, "-c", str(locked), ".", "fdk"], cwd=ROOT, check=True)
    (tmp_path / "Dockerfile").write_text(DEV)
    docker_build(tmp_path, "fnproject/python:3.12-dev", "--build-arg", f"BASE={base}")
    engine.run("tag", base, "fnproject/python:3.12")
    (function / "Dockerfile-fn-tmp1").write_text(GENERATED)
    tag = "gpfn-test/stock:0.0.1"
    try:
        docker_build(function, tag, dockerfile="Dockerfile-fn-tmp1")
        answers(start, tag, folder, shared)
    finally:
        for image in ("fnproject/python:3.12", "fnproject/python:3.12-dev"):
            engine.run("image", "rm", image, check=False)
