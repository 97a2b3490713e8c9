"""``gpfn models import`` and ``gpfn models gc``."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gpfn.serving.repository.opening import open_store
from tests.serving.repository.onnx_files import scaled


def run(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "gpfn", "models", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder as TFaaS keeps models, and as TF Serving does."""
    here = tmp_path / "models"
    flat = here / "flat"
    flat.mkdir(parents=True)
    (flat / "m.onnx").write_bytes(scaled(1))
    (flat / "params.json").write_text('{"name": "flat", "model": "m.onnx", "labels": "l.txt"}')
    (flat / "l.txt").write_text("a\nb\nc\n")
    for number in (9, 10):
        (here / f"many/{number}").mkdir(parents=True)
        (here / f"many/{number}/m.onnx").write_bytes(scaled(number))
    return here


def test_all_versions_come_the_lowest_first_and_none_twice(tmp_path: Path, folder: Path) -> None:
    place = str(tmp_path / "store")
    for existed in (False, True):
        done = run("import", str(folder), "--repository", place, "--json")
        assert done.returncode == 0, done.stderr
        told = [(row["place"], row["version"], row["existed"]) for row in json.loads(done.stdout)]
        assert told == [("flat", 1, existed), ("many/9", 1, existed), ("many/10", 2, existed)]
    shelf = open_store(place).shelf("flat")
    assert shelf.find().labels == "l.txt"
    assert shelf.find().source == "import"


def test_what_cannot_be_a_version_is_told_and_keeps_no_other_from_it(
    tmp_path: Path, folder: Path
) -> None:
    (folder / "broken").mkdir()
    (folder / "broken/m.onnx").write_bytes(scaled(1)[:40])
    (folder / "no name").mkdir()
    (folder / "no name/m.onnx").write_bytes(scaled(1))
    done = run("import", str(folder), "--repository", str(tmp_path / "store"))
    assert done.returncode == 1
    assert "2 of 5" in done.stderr
    assert "broken: not imported" in done.stdout
    assert "many/10: is version 2 of many" in done.stdout
    assert not [*(tmp_path / "store/.incoming").iterdir()]


def test_the_trash_goes_when_its_time_is_over(tmp_path: Path, folder: Path) -> None:
    place = str(tmp_path / "store")
    run("import", str(folder), "--repository", place)
    store = open_store(place)
    store._clock = lambda: time.time() - 8 * 86400
    store.delete("many", 1)
    import os

    for kept in (tmp_path / "store/files").iterdir():
        os.utime(kept, (0, 0))
    assert "nothing to remove" in run("gc", "--repository", place, "--trash-days", "9").stdout
    assert "1 versions removed" in run("gc", "--repository", place, "--trash-days", "7").stdout
    assert len([*(tmp_path / "store/files").iterdir()]) == 2
