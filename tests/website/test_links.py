"""What the check of links finds in a site."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import ROOT

GOOD = """<html><head><link rel=stylesheet href=style.css></head><body id=top>
<a href="#top">x</a> <a href="deep/">x</a> <a href="deep/#here">x</a>
<a href="/deep/index.html">x</a>
<a href="https://example.com/nobody/asks">x</a> <a href="mailto:a@example.com">x</a>
<img src="a%20b.png?x=1"> <img src="data:image/png;base64,AAAA"></body></html>
"""
BAD = {
    '<a href="gone.html">': "gone.html: leads nowhere",
    '<a href="deep/#gone">': "deep/#gone: has no such anchor",
    '<a href="#gone">': "#gone: has no such anchor",
    '<a href="../../etc/passwd">': "../../etc/passwd: leads out of the site",
    '<img src="gone.png">': "gone.png: leads nowhere",
    '<img srcset="//h/a.png 2x">': "//h/a.png: asks another host",
    '<script src="https://example.com/a.js">': "https://example.com/a.js: asks another host",
    '<link rel=preconnect href="//example.com">': "//example.com: asks another host",
    "<style>@import 'http://h/a.css'</style>": "http://h/a.css: asks another host",
    '<p style="background: url(//h/a.png)">': "//h/a.png: asks another host",
    '<svg><use href="http://h/a.svg#x"/></svg>': "http://h/a.svg#x: asks another host",
}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    (folder / "deep").mkdir(parents=True)
    (folder / "index.html").write_text(GOOD)
    (folder / "style.css").write_text("p { background: url(a.png) }")
    (folder / "a b.png").touch()
    (folder / "deep" / "index.html").write_text("<a name=here href='..'>x</a>")
    return folder


def test_a_good_site_has_no_faults(site: Path, script: Callable[[str], ModuleType]) -> None:
    assert script("links").faults(site) == []


@pytest.mark.parametrize("html", BAD)
def test_a_fault_is_found(site: Path, script: Callable[[str], ModuleType], html: str) -> None:
    (site / "bad.html").write_text(html)
    assert script("links").faults(site) == [f"bad.html: {BAD[html]}"]


def test_style_sheets_and_drawings_are_read(
    site: Path, script: Callable[[str], ModuleType]
) -> None:
    (site / "style.css").write_text("@font-face { src: url('https://h/a.woff2') }")
    (site / "a.svg").write_text('<svg><image href="https://h/a.png"/></svg>')
    assert script("links").faults(site) == [
        "a.svg: https://h/a.png: asks another host",
        "style.css: https://h/a.woff2: asks another host",
    ]


def test_the_command_ends_with_1_and_a_line_for_each_fault(site: Path, tmp_path: Path) -> None:
    (site / "bad.html").write_text('<a href="gone.html">')
    command = [sys.executable, ROOT / "website" / "links.py"]
    done = subprocess.run([*command, site], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "bad.html: gone.html: leads nowhere\n")
    done = subprocess.run([*command, tmp_path / "x"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, f"{tmp_path / 'x'}: no pages\n")
