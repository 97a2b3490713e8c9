"""Which folder the name of an image stands for."""

from pathlib import Path

import pytest

from gpfn.errors import SetupError
from gpfn.local.images import LocalImages, image_name, read_maps
from gpfn.local.watching import FunctionWatch
from tests.local.test_folders import make

NAMES = {
    "add": "add",
    "add:0.0.7": "add",
    "registry.example:5000/team/add:1": "add",
    "registry.example/me/add": "add",
    "add@sha256:0123": "add",
    "add-openwhisk:0.0.1": "add",
    "add-fn:0.0.1": "add",
    "other-fn:3": "other-fn",
    "mine:latest": "far",
    "mine": None,
    "team/theirs:9": "far",
    "add2": None,
    "-fn": None,
    "": None,
    "x" * 100_000: None,
}


def images(tmp_path: Path, engine: str = "") -> LocalImages:
    here = tmp_path / "here"
    make(here / "add", "name: add\nconfig: {A: b}\n")
    make(here / "other", "name: other-fn\n")
    far = make(tmp_path / "far", "name: far\n")
    maps = read_maps([f"mine:latest={far}", f"team/theirs={far}"])
    watch = FunctionWatch(here, [far])
    watch.look()
    return LocalImages(watch, maps, engine=engine)


@pytest.mark.parametrize("image", NAMES, ids=lambda name: name[:20])
def test_names(tmp_path: Path, image: str) -> None:
    found = images(tmp_path).function(image)
    assert (found.name if found else None) == NAMES[image]


def test_what_is_run(tmp_path: Path) -> None:
    here = images(tmp_path)
    source = here.resolve("add:1")
    assert source is not None
    assert source.file == tmp_path / "here" / "add" / "func.py"
    assert (source.config, len(source.revision), source.image) == ({"A": "b"}, 16, "")
    assert here.resolve("gone:1") is None
    told = here.unknown("gone:1")
    assert "--map gone:1=FOLDER" in told
    assert "add, other-fn" in told
    real = images(tmp_path, engine="docker").resolve("gone:1")
    assert real is not None
    assert (real.image, real.file) == ("gone:1", None)


@pytest.mark.parametrize("text", ["", "a", "=b", "a="])
def test_a_map_that_is_none(text: str) -> None:
    with pytest.raises(SetupError, match="expected IMAGE=FOLDER"):
        read_maps([text])


def test_the_last_part() -> None:
    assert image_name("host:5000/a/b:1@sha256:00") == "b"
