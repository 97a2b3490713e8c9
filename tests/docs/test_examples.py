"""Every example in README.md, in docs/ and beside functions and samples runs as it stands.

The README's run in one shell at the top of a fresh checkout, with what ``make install``
installs and nothing else; those of the other pages with all extras, each block in a shell of
its own.
"""

import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gpfn.bridge.kafka.broker import Broker
from gpfn.bridge.kafka.jars import kafka_jars
from gpfn.convert.environments import environment
from tests.conftest import ROOT
from tests.docs.blocks import (
    BROKERS,
    DOCS,
    PAGES,
    QUIET,
    RUN,
    Block,
    at_port,
    one_session,
    read_blocks,
)
from tests.docs.session import checkout, of_a_reader, pulled, run_console, run_python

README = ROOT / "README.md"
ENVIRONMENTS = ROOT / os.environ.get("PEERS", ".venvs")
CONSOLE = [
    block
    for page in PAGES
    for block in read_blocks(page)
    if block.language == "console" and block.needs in ("", *BROKERS) and page != README
]


def name_of(item: Path | Block) -> str:
    """Return how a page or a block is called in the test's name."""
    if isinstance(item, Block):
        return f"{item.page.relative_to(ROOT)}:{item.line}"
    return str(item.relative_to(ROOT))


@pytest.fixture(scope="session")
def cache(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of models into which those of the catalogue were pulled: no network is needed."""
    return pulled(tmp_path_factory.mktemp("cache"), shared)


@pytest.fixture
def environ(tmp_path: Path, cache: Path) -> dict[str, str]:
    """The environment of a reader who has installed everything."""
    return of_a_reader(tmp_path, cache, Path(sys.executable).parent)


@pytest.fixture(scope="session")
def light() -> Path:
    """The environment that ``make install`` makes."""
    ENVIRONMENTS.mkdir(exist_ok=True)
    with (ENVIRONMENTS / ".lock").open("w") as lock:  # tests may run in several processes
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = subprocess.run(
            ["make", "--silent", "light"], cwd=ROOT, capture_output=True, check=False
        )
    assert made.returncode == 0, made.stderr.decode()
    return ENVIRONMENTS / "light"


@pytest.fixture
def fresh(light: Path, tmp_path: Path) -> Path:
    """The top of a checkout, after ``make install``."""
    top = checkout(tmp_path / "gpfn")
    (top / ".venv").symlink_to(light.resolve())
    return top


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_blocks_say_what_they_are(page: Path) -> None:
    wrong = [
        f"{page}:{block.line}: {block.language or 'no language'}"
        for block in read_blocks(page)
        if block.language not in RUN | QUIET or block.needs not in ("", "engine", "fresh", *BROKERS)
    ]
    assert not wrong, f"{', '.join(wrong)}; these run: {sorted(RUN)}, these do not: {sorted(QUIET)}"


@pytest.mark.parametrize("page", DOCS, ids=name_of)
def test_a_page_begins_with_a_runnable_example(page: Path) -> None:
    blocks = read_blocks(page)
    assert blocks, f"{page} has no example"
    assert blocks[0].language in RUN, f"{page} begins with {blocks[0].language}"
    before = page.read_text().splitlines()[: blocks[0].line]
    assert not [line for line in before if line.startswith("## ")], f"{page}: example too late"


@pytest.mark.parametrize("page", DOCS, ids=name_of)
def test_the_readme_leads_to_every_page(page: Path) -> None:
    assert f"]({page.relative_to(ROOT)})" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_examples_run(page: Path, environ: dict[str, str]) -> None:
    blocks = [block for block in read_blocks(page) if block.language == "python"]
    if blocks and page != README:
        run_python(blocks, ROOT, environ)


@pytest.mark.parametrize("block", CONSOLE, ids=name_of)
def test_console_examples_run(
    block: Block, environ: dict[str, str], cache: Path, tmp_path: Path
) -> None:
    if block.needs == "kafka":
        with_kafka(cache)
    if "gpfn convert" in block.code:
        with_converters(cache)
    if block.needs in BROKERS:
        block = at_port(block, free_port())
    try:
        run_console(block, ROOT, environ)
    finally:
        for place in tmp_path.rglob("kafka.json"):  # a broker that a failed example has left
            Broker(place.parent).kill()


def with_kafka(cache: Path) -> None:
    """Put the broker's jars into a reader's cache: they are fetched once a machine."""
    folder = kafka_jars(print)[0].parents[1]
    if not (cache / folder.name).exists():
        (cache / folder.name).symlink_to(folder)


def with_converters(cache: Path) -> None:
    """Put the converters' environments into a reader's cache: they are made once a machine."""
    folders = [environment(name).parents[1] for name in ("keras", "trees")]
    if not (cache / "convert").exists():
        (cache / "convert").symlink_to(folders[0])


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_readme_runs_after_make_install_alone(fresh: Path, tmp_path: Path, cache: Path) -> None:
    environ = of_a_reader(tmp_path, cache)
    blocks = read_blocks(README)
    console = [block for block in blocks if block.language == "console"]
    run_console(one_session(console), fresh, environ)
    python = [block for block in blocks if block.language == "python"]
    run_python(python, fresh, environ, str(fresh / ".venv" / "bin" / "python"))


def test_that_environment_has_no_extra(light: Path) -> None:
    packages = {path.name.lower() for path in light.glob("lib/python*/site-packages/*")}
    assert {"numpy", "ai_edge_litert"} <= packages
    assert not {"pil", "uvicorn", "tensorflow", "onnxruntime", "pytest"} & packages


def test_no_example_leans_on_a_variable_that_only_the_tests_have() -> None:
    names = ("TMPDIR", "GPFN_SHARED", "$GPFN_MODEL_MIRROR", "PEERS")
    leaning = [
        f"{block.page}:{block.line}: {name}"
        for page in PAGES
        for block in read_blocks(page)
        for name in names
        if block.language in RUN and name in block.code
    ]
    assert not leaning
