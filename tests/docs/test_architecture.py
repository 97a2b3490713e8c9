"""docs/architecture.md and the README's folders say what is true of the code."""

import re

from tests.conftest import ROOT
from tests.test_import_rule import FLOORS

ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
MOST_WORDS = 40


def rows(text: str) -> list[list[str]]:
    """Return the cells of the tables in a text, without their heads."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines][1:]


def test_the_floors_are_those_of_the_import_rule() -> None:
    table = re.search("<!-- floors: begin -->(.*)<!-- floors: end -->", ARCHITECTURE, re.DOTALL)
    assert table
    described = [set(re.findall(r"`(\w+)`", cells[1])) for cells in rows(table[1])]
    real = [{name.partition(".")[0] for name in floor} for floor in FLOORS]
    assert described[::-1] == [floor for floor in real if floor != {"__main__"}]


def test_every_file_that_is_named_exists() -> None:
    """A path begins at the top or in src/gpfn; NAME stands for what is to be added."""
    named = re.findall(r"`(\w+(?:/\w+)*/(?:\w+\.\w+)?)`", ARCHITECTURE)
    there = [path for path in named if "NAME" not in path]
    assert len(there) > 30
    tops = (ROOT, ROOT / "src" / "gpfn")
    assert not [path for path in there if not any((top / path).exists() for top in tops)]


def test_the_glossary_is_short_and_sorted() -> None:
    words = [cells[0] for cells in rows(ARCHITECTURE.partition("## Words")[2])]
    assert 20 < len(words) <= MOST_WORDS
    assert words == sorted(words)


def test_the_readme_has_every_package() -> None:
    packages = [path.parent for path in (ROOT / "src" / "gpfn").glob("*/__init__.py")]
    missing = [
        package.name for package in packages if f"| `src/gpfn/{package.name}/` |" not in README
    ]
    assert not missing
    named = re.findall(r"\| `src/gpfn/(\w+)/` \|", README)
    assert sorted(named) == sorted(package.name for package in packages)
