"""Check a built site: each link leads somewhere, each anchor is there, no other host is asked.

    python website/links.py FOLDER

prints what is wrong, one line each, and ends with 1 when there is any. Links that a reader
follows may lead to other hosts and are not asked; what a browser loads by itself may not.
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urldefrag, urlsplit

__all__ = ["Found", "faults", "read_page"]

LOADED = {
    ("link", "href"),
    ("object", "data"),
    ("use", "href"),
    ("use", "xlink:href"),
    ("image", "href"),
    ("image", "xlink:href"),
    ("form", "action"),
}
"""What a browser loads without a click, besides every ``src``, ``srcset`` and ``poster``."""

_IN_CSS = re.compile(r"""url\(\s*['"]?([^'")]+)|@import\s+['"]([^'"]+)""")
_HOST = re.compile(r"^(?:[a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)
_NO_FILE = re.compile(r"^(?:data|mailto|javascript|blob):", re.IGNORECASE)


class Found(NamedTuple):
    """What a page has: names that anchors lead to, what is loaded, and links to follow."""

    anchors: frozenset[str]
    loaded: tuple[str, ...]
    links: tuple[str, ...]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self._style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._style = tag == "style"
        for name, value in attrs:
            if not value:
                continue
            if name == "id" or (tag == "a" and name == "name"):
                self.anchors.add(value)
            elif tag == "a" and name == "href":
                self.links.append(value)
            elif name == "srcset":
                self.loaded += [part.split()[0] for part in value.split(",") if part.split()]
            elif name in ("src", "poster") or (tag, name) in LOADED:
                self.loaded.append(value)
            elif name == "style":
                self.loaded += in_css(value)

    def handle_data(self, data: str) -> None:
        if self._style:
            self.loaded += in_css(data)

    def handle_endtag(self, tag: str) -> None:
        self._style = self._style and tag != "style"


def in_css(text: str) -> list[str]:
    """Return what a style sheet loads."""
    return [one or other for one, other in _IN_CSS.findall(text)]


def read_page(path: Path) -> Found:
    """Return what a page of HTML has."""
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    return Found(frozenset(reader.anchors), tuple(reader.loaded), tuple(reader.links))


def faults(site: Path) -> list[str]:
    """Return what is wrong with a site, one line each."""
    site = site.resolve()
    pages = {path: read_page(path) for path in sorted(site.rglob("*.html"))}
    found = [] if pages else [f"{site}: no pages"]
    for path, page in pages.items():
        for url in dict.fromkeys([*page.loaded, *page.links]):
            if _HOST.match(url):
                wrong = "asks another host" if url in page.loaded else ""
            else:
                wrong = _wrong(site, path, url, pages)
            if wrong:
                found.append(f"{path.relative_to(site)}: {url}: {wrong}")
    for path in sorted([*site.rglob("*.css"), *site.rglob("*.svg")]):
        urls = in_css(path.read_text(encoding="utf-8"))
        if path.suffix == ".svg":
            urls += read_page(path).loaded
        found += [
            f"{path.relative_to(site)}: {url}: asks another host"
            for url in urls
            if _HOST.match(url)
        ]
    return found


def _wrong(site: Path, path: Path, url: str, pages: dict[Path, Found]) -> str:
    """Return what is wrong with a link to the site itself, or nothing."""
    if _NO_FILE.match(url):
        return ""
    address, anchor = urldefrag(url)
    place = unquote(urlsplit(address).path)
    top = site if place.startswith("/") else path.parent
    target = (top / place.lstrip("/")).resolve() if place else path
    if target.is_dir():
        target /= "index.html"
    if not target.is_relative_to(site):
        return "leads out of the site"
    if not target.is_file():
        return "leads nowhere"
    if anchor and target in pages and unquote(anchor) not in pages[target].anchors:
        return "has no such anchor"
    return ""


def main() -> int:
    """Check the site in the folder that is named."""
    (folder,) = sys.argv[1:]
    wrong = faults(Path(folder))
    print(*wrong, sep="\n", end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
