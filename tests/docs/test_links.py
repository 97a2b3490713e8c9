"""Every link to a file of this repository leads to one, and every anchor to a heading."""

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.docs.blocks import read_blocks

PAGES = sorted(
    page
    for pattern in ("*.md", "docs/*.md", "functions/*/*.md", "ce_samples/*.md", "models/*.md")
    for page in ROOT.glob(pattern)
)
LINK = re.compile(r"\]\((?P<path>[^()#\s]*)(?:#(?P<anchor>[^()\s]+))?\)")


def anchors(page: Path) -> set[str]:
    """Return what a page's headings are called in links, as GitHub spells them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    words = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {word.strip().replace(" ", "-") for word in words}


def broken_links(page: Path) -> list[str]:
    """Return the links of a page that lead nowhere."""
    text = page.read_text(encoding="utf-8")
    for block in read_blocks(page):
        text = text.replace(block.code, "")
    found = []
    for link in LINK.finditer(text):
        if "://" in link["path"]:
            continue
        target = (page.parent / link["path"]).resolve() if link["path"] else page
        missing = (
            link["anchor"] and target.suffix == ".md" and link["anchor"] not in anchors(target)
        )
        if not target.exists() or missing:
            found.append(link[0])
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert not broken_links(page)


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A `b` c\n[x](page.md) [y](gone.md) [z](#a-b-c) [w](page.md#no)\n")
    assert broken_links(page) == ["](gone.md)", "](page.md#no)"]
