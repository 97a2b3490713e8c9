"""Every example in README.md, in docs/ and beside functions and samples runs as it stands."""

from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.docs.blocks import DOCS, PAGES, QUIET, RUN, Block, read_blocks
from tests.docs.session import of_a_reader, run_console, run_python

CONSOLE = [
    block
    for page in PAGES
    for block in read_blocks(page)
    if block.language == "console" and not block.needs
]


def name_of(item: Path | Block) -> str:
    """Return how a page or a block is called in the test's name."""
    if isinstance(item, Block):
        return f"{item.page.relative_to(ROOT)}:{item.line}"
    return str(item.relative_to(ROOT))


@pytest.fixture
def environ(tmp_path: Path, shared: Path) -> dict[str, str]:
    """A reader's environment."""
    return of_a_reader(tmp_path, shared)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_blocks_say_what_they_are(page: Path) -> None:
    wrong = [
        f"{page}:{block.line}: {block.language or 'no language'}"
        for block in read_blocks(page)
        if block.language not in RUN | QUIET or block.needs not in ("", "engine")
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
    if blocks:
        run_python(blocks, ROOT, environ)


@pytest.mark.parametrize("block", CONSOLE, ids=name_of)
def test_console_examples_run(block: Block, environ: dict[str, str]) -> None:
    run_console(block, ROOT, environ)
