"""The pages of a real repository, in Chromium: upload, try, tag, delete, and see the graph."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpfn.serving import Server, ServerSettings
from gpfn.serving.repository.settings import RepositorySettings
from tests.conftest import ROOT
from tests.serving.serving import Running

from .chromium import Tab, chromium
from .test_browser import ANSWERED, at, foreign


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Running]:
    place = RepositorySettings(str(tmp_path / "models.d"))
    with Server({}, ServerSettings(port=0, repository=place)) as server:
        yield Running(server, server.address[1])


@pytest.fixture
def tab(tmp_path: Path) -> Iterator[Tab]:
    with chromium(tmp_path / "profile") as tab:
        tab.look(1280, "light")
        yield tab


def test_a_model_from_its_upload_to_its_graph(tab: Tab, run: Running, tmp_path: Path) -> None:
    tab.open(at(run, "/"))
    assert "No models yet" in tab.text()
    for name in ("forecast", "digits"):
        tab.choose("form.drop input", ROOT / "models" / f"{name}.tflite")
        served = (
            f"[...document.querySelectorAll('#jobs a')].some(a => a.pathname.endsWith('{name}'))"
        )
        tab.until(served)

    tab.open(at(run, "/models/forecast"))
    tab.run("document.querySelectorAll('.num-in').forEach((cell, n) => { cell.value = 30 + n; })")
    tab.click(".btn.main")
    tab.until(ANSWERED)
    command = tab.run("[...document.querySelectorAll('pre')].at(-1).textContent")
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    shown = tab.run("document.querySelector('pre').textContent")
    first = re.search(r'"data":\[([-0-9.]+)', shown)
    assert first
    assert first[1] in ran.stdout, "the command gets what the page shows"

    tab.run("document.querySelector('#tag').value = 'stable'")
    tab.click("#tagging .btn")
    tab.until("document.querySelector('.flash')?.textContent.includes('stable is version 1 now')")
    assert run.ask("GET", "/v1/models/forecast/labels/stable")[0] == 200
    tab.open(at(run, "/models/forecast/delete?version=1"))
    tab.click("form .btn")
    tab.until("location.pathname === '/trash'")
    tab.click("td .btn")
    tab.until("document.querySelector('.flash')?.textContent.includes('is back')")
    assert "stable" in tab.run("document.querySelector('.title').textContent")

    tab.open(at(run, "/models/digits?view=image"))
    file = tmp_path / "seven.png"
    Image.fromarray(np.full((8, 8), 128, np.uint8)).save(file)
    tab.choose("input[name=image]", file)
    tab.click(".btn.main")
    tab.until("document.querySelector('#answer table, #answer [role=alert]')")
    assert "%" in tab.run("document.querySelector('#answer').textContent")
    tab.until("document.querySelector('[data-live=facts] dd').textContent.trim() !== '0'")
    assert foreign(tab, run) == []
    tab.open(tab.run("document.querySelector('iframe').src"))
    tab.until("document.querySelectorAll('svg .node').length > 5")
    assert foreign(tab, run) == []
