"""What mkdocs asks while it builds the site: further pages, their links, the reference."""

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from places import ROOT, linked, place_of, relinked, shown
from tests.docs.blocks import read_blocks

PAGES = ROOT / "website" / "pages"
SHOTS = ROOT / "build" / "shots"
BEGINNINGS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "deploy/README.md")
"""Pages outside of docs/ that are there even if no page links to them."""

_IMPORT = re.compile(r"^from (gpfn[\w.]*) import |^import (gpfn[\w.]*)", re.MULTILINE)


def imported_modules() -> list[str]:
    """Return the modules that an example of a page imports from: they make the reference."""
    found = {"gpfn"}
    for page in (ROOT / "README.md", *ROOT.glob("docs/*.md")):
        for block in read_blocks(page):
            if block.language == "python":
                found |= {one or other for one, other in _IMPORT.findall(block.code)}
    return sorted(found)


def reference(module: str) -> str:
    """Return the page of a module: what it is, and each of its public names."""
    names = "".join(f"        - {name}\n" for name in importlib.import_module(module).__all__)
    return f"# {module}\n\n::: {module}\n    options:\n      members:\n{names}"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the reference's pages behind the others of the last tab."""
    pages = [{module: f"reference/{module}.md"} for module in imported_modules()]
    assert config.nav
    (tab,) = config.nav[-1].values()
    tab.append({"Python": pages})
    return config


def outside(docs: list[Path]) -> Iterator[str]:
    """Find the files outside of docs/ that pages lead to, and those that these lead to."""
    waiting = [str(page.relative_to(ROOT)) for page in docs] + list(BEGINNINGS)
    seen: set[str] = set()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        if not path.startswith("docs/"):
            yield path
        if path.endswith(".md"):
            waiting += linked(path, (ROOT / path).read_text(encoding="utf-8"))


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is not in docs/."""

    def add(uri: str, *, text: str | None = None, path: Path | None = None) -> None:
        if path:
            files.append(File.generated(config, uri, abs_src_path=str(path)))
        else:
            files.append(File.generated(config, uri, content=text))

    for path in outside(sorted(ROOT.glob("docs/*.md"))):
        place, file = place_of(path), ROOT / path
        if not place.endswith(".md"):
            add(place, path=file)
        elif file.suffix == ".md":
            add(place, text=relinked(path, file.read_text(encoding="utf-8")))
        else:
            add(place, text=shown(path, file.read_text(encoding="utf-8")))
    for module in imported_modules():
        add(f"reference/{module}.md", text=reference(module))
    for page in PAGES.iterdir():
        add(page.name, text=page.read_text(encoding="utf-8"))
    for shot in SHOTS.iterdir():
        add(f"shots/{shot.name}", path=shot)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let the links of a page of docs/ lead to where their files are in the site."""
    del config, files
    if page.file.generated_by:
        return markdown
    return relinked(f"docs/{page.file.src_uri}", markdown)
