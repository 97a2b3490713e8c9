"""The documentation as a site: it is built, every link holds, and no other host is asked."""

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import gpfn
from tests.conftest import ROOT
from tests.serving.pages.chromium import Tab, chromium

DOCS = sorted(ROOT.glob("docs/*.md"))
SCRIPT = re.compile(r"<(?:script|img|source|iframe|video)\b[^>]*\bsrc=[\"']?([^\"'\s>]+)")
LINKED = re.compile(r"<link\b[^>]*\bhref=[\"']?([^\"'\s>]+)")


class Quiet(SimpleHTTPRequestHandler):
    """A server of files that tells nothing."""

    def log_message(self, *_: object) -> None:
        """Tell nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, as `make site` builds it; its own check of all links is part of that."""
    folder = tmp_path_factory.mktemp("site") / "site"
    build = [sys.executable, "website/build.py", folder]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with chromium(tmp_path_factory.mktemp("chromium")) as tab:
        tab.look(1280, "light")
        yield tab


def asked(tab: Tab) -> set[str]:
    """Return the hosts that the open page has asked."""
    urls = [
        event["params"]["request"]["url"]
        for event in tab.events
        if event["method"] == "Network.requestWillBeSent"
    ]
    return {urlsplit(url).netloc for url in urls if not url.startswith(("data:", "blob:"))}


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_every_page_is_there_and_in_the_navigation(site: Path, page: Path) -> None:
    assert (site / page.stem / "index.html").is_file()
    navigation = (ROOT / "website" / "mkdocs.yml").read_text().partition("\nnav:")[2]
    assert f": {page.name}\n" in navigation, "give it a line in the nav of website/mkdocs.yml"


def test_no_asset_is_on_another_host(site: Path) -> None:
    pages = [path for path in site.rglob("*") if path.suffix in (".html", ".svg")]
    text = {path: path.read_text(encoding="utf-8") for path in pages}
    foreign = [
        (path.relative_to(site), url)
        for path in pages
        for url in [*SCRIPT.findall(text[path]), *LINKED.findall(text[path])]
        if url.startswith(("http:", "https:", "//"))
    ]
    assert not foreign
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(?:https?:)?//|@import", style.read_text()), style


@pytest.mark.parametrize("page", ["", "tour/", "reference/gpfn/", "repository/models/forecast/"])
def test_a_browser_asks_no_other_host(tab: Tab, address: str, page: str) -> None:
    tab.open(f"{address}/{page}")
    tab.until("document.fonts.status === 'loaded'")
    assert asked(tab) == {urlsplit(address).netloc}
    broken = "[...document.images].filter(image => image.complete && !image.naturalWidth).length"
    assert tab.run(broken) == 0


def test_a_word_is_found(tab: Tab, address: str) -> None:
    tab.open(f"{address}/")
    tab.run("document.querySelector('[data-md-component=search-query]').focus()")
    tab.call("Input.insertText", text="GP_SERVER_URL")
    found = "document.querySelectorAll('.md-search-result__item a').length"
    assert tab.until(found) > 0
    assert asked(tab) == {urlsplit(address).netloc}


def test_it_is_light_and_dark_as_the_reader_has_it(tab: Tab, address: str) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    shown = "[...document.images].filter(image => image.offsetWidth).map(image => image.src)"
    seen = {}
    for scheme, other in (("light", "dark"), ("dark", "light")):
        tab.look(1280, scheme)
        tab.open(f"{address}/tour/")
        seen[scheme] = sum(int(part) for part in re.findall(r"\d+", tab.run(ground))[:3])
        pictures = tab.run(shown)
        assert len(pictures) == 9
        assert not [url for url in pictures if f"-{other}." in url]
    assert seen["light"] > 3 * 200 > 3 * 60 > seen["dark"]


def test_code_of_a_hundred_characters_is_seen_without_scrolling(tab: Tab, address: str) -> None:
    tab.look(1920, "light")
    tab.open(f"{address}/coming-from/")
    hidden = (
        "[...document.querySelectorAll('pre > code')].filter(c => c.scrollWidth > c.clientWidth)"
    )
    assert tab.run(f"{hidden}.length") == 0


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    page = (site / "reference" / "gpfn" / "index.html").read_text(encoding="utf-8")
    assert [name for name in gpfn.__all__ if f'id="gpfn.{name}"' not in page] == []
    assert ":class:" not in page


def test_a_file_that_a_page_links_to_is_shown(site: Path) -> None:
    page = site / "repository" / "models" / "catalogue.toml" / "index.html"
    assert "mobilenet_v1" in page.read_text(encoding="utf-8")
