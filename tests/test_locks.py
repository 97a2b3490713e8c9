"""The lock files pin what pyproject asks for, by hash, and name no host."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT

LOCKS = sorted([*(ROOT / "locks").glob("*.lock"), *(ROOT / "src").rglob("*.lock")])
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
PYTHONS = ("3.11", "3.12", "3.13")


def pins(lock: Path) -> list[Requirement]:
    """Return the pinned requirements of a lock file."""
    lines = re.findall(r"^([A-Za-z0-9][^\\\n]*)", lock.read_text(), re.MULTILINE)
    return [Requirement(line.strip()) for line in lines]


def pinned(lock: Path, name: str, python: str) -> str:
    """Return the one version of a package that is pinned for a version of Python."""
    surroundings = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": "linux",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    versions = [
        str(pin.specifier).removeprefix("==")
        for pin in pins(lock)
        if canonicalize_name(pin.name) == canonicalize_name(name)
        and (pin.marker is None or pin.marker.evaluate(surroundings))
    ]
    assert len(versions) == 1, f"{lock.name} has {versions} of {name} for Python {python}"
    return versions[0]


def asked(texts: list[str]) -> list[Requirement]:
    """Return requirements without those on our own extras."""
    wanted = [Requirement(text) for text in texts]
    return [requirement for requirement in wanted if requirement.name != "gpfn"]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_pin_has_a_version_and_hashes(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text, "names a host"
    assert "--index" not in text
    assert "--find-links" not in text
    for pin in pins(lock):
        assert [specifier.operator for specifier in pin.specifier] == ["=="], pin
    entries = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)
    for entry in filter(None, entries):
        assert "--hash=sha256:" in entry, entry


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("lock", ["default.lock", "all.lock"])
def test_the_default_is_locked(lock: str, python: str) -> None:
    for requirement in asked(PROJECT["dependencies"]):
        version = pinned(ROOT / "locks" / lock, requirement.name, python)
        assert requirement.specifier.contains(version), f"make lock: {requirement} is {version}"


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("extra", sorted(EXTRAS))
def test_every_extra_is_locked(extra: str, python: str) -> None:
    for requirement in asked(EXTRAS[extra]):
        version = pinned(ROOT / "locks" / "all.lock", requirement.name, python)
        assert requirement.specifier.contains(version), f"make lock: {requirement} is {version}"


def test_the_locks_agree() -> None:
    """What the default installs, the tests do not replace."""
    everything = {(pin.name, str(pin.specifier), str(pin.marker)) for pin in pins(LOCKS[0])}
    for name in ("default.lock", "build.lock"):
        for pin in pins(ROOT / "locks" / name):
            found = {version for other, version, _ in everything if other == pin.name}
            assert str(pin.specifier) in found, f"{name}: {pin}"


def test_the_light_default_is_light() -> None:
    """No TensorFlow, and what there is can be counted."""
    names = {pin.name for pin in pins(ROOT / "locks" / "default.lock")}
    assert not {name for name in names if "tensorflow" in name or "onnx" in name}
    # sixteen for predicting; rich brings three, and PyYAML is one
    assert len(names) <= 20, sorted(names)


def test_all_has_every_extra_but_the_tools() -> None:
    (everything,) = [Requirement(text) for text in EXTRAS["all"]]
    assert everything.extras == set(EXTRAS) - {"all", "dev", "site"}


def test_extras_have_lower_bounds_only() -> None:
    for requirement in asked([*PROJECT["dependencies"], *(r for e in EXTRAS.values() for r in e)]):
        operators = {specifier.operator for specifier in requirement.specifier}
        assert operators == {">="}, requirement


def test_the_s3_server_is_pinned_by_hash() -> None:
    """Its go.sum, which this covers, pins what it needs."""
    line = (ROOT / "locks" / "s3-server.module").read_text()
    assert re.fullmatch(r"github\.com/\S+ v\d+\.\d+\.\d+ h1:[A-Za-z0-9+/]{43}=\n", line)


def test_the_packages_of_node_are_pinned_by_hash() -> None:
    folder = ROOT / "locks" / "openwhisk"
    text = (folder / "package-lock.json").read_text()
    assert "://" not in text, "names a host"
    packages: dict[str, dict[str, Any]] = json.loads(text)["packages"]
    wanted: dict[str, str] = json.loads((folder / "package.json").read_text())["dependencies"]
    assert packages.pop("")["dependencies"] == wanted
    for name, package in packages.items():
        assert re.fullmatch(r"sha512-[A-Za-z0-9+/]{86}==", package["integrity"]), name
        assert "resolved" not in package, name
    for name, version in wanted.items():
        assert packages[f"node_modules/{name}"]["version"] == version
    installing = (ROOT / ".ci" / "openwhisk").read_text()
    assert "--ignore-scripts" in installing, "what is installed would run on the way"
