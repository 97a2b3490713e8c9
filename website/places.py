"""Where each file of the repository is in the site, and the links between them.

Pages are written for readers of the repository: a link leads to a file beside the page or
elsewhere in the checkout. In the site README.md is the first page, what is in docs/ is at the
top, and everything else that a page links to is below ``repository/``: Markdown and pictures as
they are, any other text as a page that shows it.
"""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from tests.docs.blocks import fences

__all__ = ["ROOT", "linked", "place_of", "relinked", "shown"]

ROOT = Path(__file__).resolve().parents[1]
AS_IT_IS = frozenset({".md", ".png", ".svg"})

_LINK = re.compile(r"(?<=\]\()(?P<path>[^()#\s:]+)(?=[#)])")
_NEEDS = re.compile(r"^( *`{3,}\w+) .*$")  # "console engine": the second word is for the tests


def place_of(path: str) -> str:
    """Return where a file of the repository is among the sources of the site."""
    if path == "README.md":
        return "index.md"
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    place = "repository/" + path.lstrip(".")  # a site has no hidden folders
    return place if posixpath.splitext(path)[1] in AS_IT_IS else f"{place}.md"


def linked(path: str, text: str) -> Iterator[str]:
    """Find the files of the repository that a page links to."""
    code = _code_lines(path, text)
    for number, line in enumerate(text.splitlines(), 1):
        if number not in code:
            for link in _LINK.finditer(line):
                yield _target(path, link["path"])


def relinked(path: str, text: str) -> str:
    """Return a page with its links as they have to be in the site."""
    code = _code_lines(path, text)
    here = posixpath.dirname(place_of(path))

    def moved(link: re.Match[str]) -> str:
        return posixpath.relpath(place_of(_target(path, link["path"])), here or ".")

    lines = text.splitlines()
    for index, line in enumerate(lines):
        if index + 1 not in code:
            lines[index] = _NEEDS.sub(r"\1", _LINK.sub(moved, line))
    return "\n".join(lines) + "\n"


def shown(path: str, text: str) -> str:
    """Return the page that shows a file which is no page."""
    language = posixpath.splitext(path)[1].lstrip(".") or "text"
    return f"# {path}\n\n``````{language}\n{text.rstrip()}\n``````\n"


def _target(path: str, link: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), link))


def _code_lines(path: str, text: str) -> set[int]:
    """Return the numbers of the lines within fenced blocks."""
    blocks = fences(Path(path), text)
    return {block.line + n for block in blocks for n in range(block.code.count("\n"))}
