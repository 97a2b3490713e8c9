"""The examples of the documentation that need a container engine, run as they stand."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpfn.build.recipe import BASE
from gpfn.hosts.engine import ContainerEngine
from tests.conftest import ROOT
from tests.docs.blocks import PAGES, Block, read_blocks
from tests.docs.session import of_a_reader, pulled, run_console
from tests.images_engine.conftest import NETWORK

BLOCKS = [block for page in PAGES for block in read_blocks(page) if block.needs == "engine"]

# what a reader's network has by itself: the way to packages and models
DOCKER = """\
#!/bin/sh
if [ "$1" = build ]; then
  shift
  set -- build --network {network} --build-arg GPFN_MODEL_MIRROR={models} "$@"
fi
exec {docker} "$@"
"""

_ENGINE = ("DOCKER_", "CONTAINERS_", "XDG_")  # where it runs: .ci/images starts its own


@pytest.fixture
def environ(
    engine: ContainerEngine, base: str, models: str, tmp_path: Path, shared: Path
) -> Iterator[dict[str, str]]:
    """A reader's environment, with our base image under the name of the public one."""
    command = tmp_path / "docker"
    command.write_text(DOCKER.format(network=NETWORK, models=models, docker=shutil.which("docker")))
    command.chmod(0o755)
    if base != BASE:
        engine.run("tag", base, BASE)
    (tmp_path / "models").mkdir()
    cache = pulled(tmp_path / "models", shared)
    reader = of_a_reader(tmp_path, cache, Path(sys.executable).parent)
    engines = {name: text for name, text in os.environ.items() if name.startswith(_ENGINE)}
    yield {**reader, **engines, "PATH": f"{tmp_path}{os.pathsep}{reader['PATH']}"}
    if base != BASE:
        engine.run("image", "rm", BASE)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"{block.page.name}:{block.line}")
def test_console_examples_run(block: Block, environ: dict[str, str]) -> None:
    run_console(block, ROOT, environ)


def test_there_are_some() -> None:
    assert len(BLOCKS) > 1
