"""Packages, with their hashes, out of the lock file."""

import re
import tomllib

import pytest

from gpfn.build.stage.lock import (
    CORE,
    EXTRAS,
    RUNTIMES,
    constraints,
    select,
)
from tests.conftest import ROOT

LOCK = (ROOT / "locks" / "all.lock").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize("names", [CORE, *RUNTIMES.values(), *EXTRAS.values()], ids=str)
def test_every_package_of_an_image_is_locked(names: tuple[str, ...]) -> None:
    chosen = select(LOCK, names)
    for name in names:
        assert re.search(rf"^{name}==\S+.* \\$", chosen, re.MULTILINE), name
    assert chosen.count("--hash=sha256:") >= len(names)


def test_nothing_else_is_chosen() -> None:
    entries = re.findall(r"^([a-z][\w.-]*)==", select(LOCK, ("orjson", "numpy")), re.MULTILINE)
    assert set(entries) == {"numpy", "orjson"}


def test_both_numpys_are_chosen_for_pip_to_take_the_right_one() -> None:
    assert len(re.findall("^numpy==", select(LOCK, ("numpy",)), re.MULTILINE)) == 2


def test_names_are_the_same_however_they_are_spelled() -> None:
    assert select(LOCK, ("AI_Edge.LiteRT",)) == select(LOCK, ("ai-edge-litert",))


def test_a_package_that_is_not_locked() -> None:
    with pytest.raises(KeyError):
        select(LOCK, ("left-pad",))


def test_an_image_has_nothing_that_the_package_does_not_ask_for() -> None:
    """The closure of what pyproject names, by hand: what predicting imports."""
    named = {re.split(r"[\[<>=]", text)[0] for text in PROJECT["dependencies"]}
    commands = {"pyyaml", "rich"}  # what only commands on a laptop import
    assert set(CORE) | {"ai-edge-litert"} == named - commands


def test_the_extras_of_images_are_the_packages() -> None:
    for extra, packages in EXTRAS.items():
        asked = PROJECT["optional-dependencies"][extra]
        assert {re.split(r"[\[<>=]", text)[0] for text in asked} <= set(packages), extra


def test_constraints_have_versions_and_no_hashes() -> None:
    text = constraints(LOCK)
    assert "--hash" not in text
    assert "\\" not in text
    assert re.search(r"^numpy==\d", text, re.MULTILINE)


def test_constraints_leave_packages_out() -> None:
    text = constraints(LOCK, {"numpy", "pillow"})
    assert not re.search(r"^(numpy|pillow)==", text, re.MULTILINE)
    assert re.search(r"^orjson==\d", text, re.MULTILINE)
