"""The converters' environments: made once and whole, made again when broken, removed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpfn.build.stage.lock import select
from gpfn.cli.main import main
from gpfn.convert.environments import (
    ENVIRONMENTS,
    environment,
    made_environments,
    remove_environment,
    used,
)
from gpfn.errors import SetupError
from tests.conftest import ROOT

LOCK = ROOT / "src" / "gpfn" / "convert" / "locks" / "keras.lock"
MAKES = (
    "import sys; from pathlib import Path; from gpfn.convert.environments import environment;"
    "print(environment('trees', lock=Path(sys.argv[1])))"
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("GPFN_CACHE_DIR", str(folder))
    return folder


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """A lock of one small package, out of a real one."""
    path = tmp_path / "small.lock"
    path.write_text(select(LOCK.read_text(), ["six"]))
    return path


def has_six(place: Path) -> bool:
    python = place / "bin" / "python"
    return subprocess.run([str(python), "-c", "import six"], check=False).returncode == 0


def parts(cache: Path) -> list[str]:
    """Return what is left of work under the cache."""
    return [path.name for path in (cache / "convert" / "trees").glob(".[mg]*")]


def test_it_is_made_once_with_its_progress(cache: Path, lock: Path) -> None:
    told: list[tuple[int, int]] = []
    place = environment("trees", lambda done, of: told.append((done, of)), lock=lock)
    assert has_six(place)
    assert told[-1] == (1, 1)
    stamp = (place / "pyvenv.cfg").stat().st_mtime_ns
    assert environment("trees", lock=lock) == place
    assert (place / "pyvenv.cfg").stat().st_mtime_ns == stamp
    assert parts(cache) == []


def test_two_processes_make_it_once(cache: Path, lock: Path) -> None:
    command = [sys.executable, "-c", MAKES, str(lock)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    places = {process.communicate(timeout=120)[0].strip() for process in both}
    assert [process.returncode for process in both] == [0, 0]
    (place,) = places
    assert has_six(Path(place))
    assert [each.folder for each in made_environments()] == [Path(place)]
    assert parts(cache) == []


def test_another_lock_makes_another_one(cache: Path, lock: Path) -> None:
    first = environment("trees", lock=lock)
    lock.write_text(select(LOCK.read_text(), ["six", "idna"]))
    second = environment("trees", lock=lock)
    assert first != second
    assert [each.current for each in made_environments()] == [False, False]


def test_a_broken_one_is_made_again(cache: Path, lock: Path) -> None:
    place = environment("trees", lock=lock)
    (place / "bin" / "python").unlink()
    (place / "bin" / "python").symlink_to("/no/such/python")
    (place.parent / ".made-left").mkdir()
    assert environment("trees", lock=lock) == place
    assert has_six(place)
    assert parts(cache) == []


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("no-such-package-of-gpfn==1.0 --hash=sha256:" + "0" * 64, "No matching distribution"),
        ("six==1.17.0 --hash=sha256:" + "0" * 64, "DO NOT MATCH THE HASHES"),
        ("six==1.17.0", "Hashes are required"),
    ],
)
def test_what_pip_refuses_is_one_line(cache: Path, lock: Path, content: str, told: str) -> None:
    lock.write_text(content + "\n")
    with pytest.raises(SetupError) as caught:
        environment("trees", lock=lock)
    line = str(caught.value)
    assert line.startswith("gpfn convert: cannot make the environment trees: ")
    assert told in line or "Could not find a version" in line
    assert "\n" not in line
    assert "--python names a Python that has the packages" in line
    assert made_environments() == []
    assert parts(cache) == []


def test_without_a_network(cache: Path, lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(SetupError, match=r"trees: .*six.*pip needs a network or a mirror"):
        environment("trees", lock=lock)
    assert made_environments() == []


def test_nothing_lets_pip_install_elsewhere(
    cache: Path, lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    for name in ("TARGET", "PREFIX", "ROOT", "LOG", "REPORT"):
        monkeypatch.setenv(f"PIP_{name}", str(elsewhere))
    monkeypatch.setenv("PIP_DRY_RUN", "1")
    monkeypatch.setenv("PIP_PYTHON", sys.executable)
    monkeypatch.setenv("PIP_USER", "1")
    assert has_six(environment("trees", lock=lock))
    assert not elsewhere.exists()


def test_settings_that_let_pip_install_elsewhere(
    cache: Path, lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    (home / "pip").mkdir(parents=True)
    (home / "pip" / "pip.conf").write_text(f"[install]\ntarget = {tmp_path / 'elsewhere'}\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    with pytest.raises(SetupError, match="into another place; pip config list"):
        environment("trees", lock=lock)
    assert made_environments() == []
    assert parts(cache) == []


def test_a_cache_that_cannot_be_written(
    tmp_path: Path, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GPFN_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(SetupError, match=r"Not a directory.*GPFN_CACHE_DIR"):
        environment("trees", lock=lock)


def test_a_disk_that_is_full(cache: Path, lock: Path) -> None:
    """Files may have as many bytes as a disk would still have room for."""
    code = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000)); {MAKES}"
    done = subprocess.run(
        [sys.executable, "-c", code, str(lock)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "SetupError: gpfn convert: cannot make the environment trees: " in done.stderr
    assert parts(cache) == []


def test_removing_and_listing(cache: Path, lock: Path, capsys) -> None:
    place = environment("trees", lock=lock)
    assert main(["convert", "--list"]) == 0
    listed = capsys.readouterr().out
    assert "outdated" in listed
    assert str(place) in listed
    assert "torch" in listed
    with used(place), pytest.raises(SetupError, match="trees is in use"):
        remove_environment("trees")
    assert has_six(place)
    assert main(["convert", "--remove", "trees", "--json"]) == 0
    assert capsys.readouterr().out.strip() == '{\n  "environments": []\n}'
    assert not place.exists()
    assert remove_environment("trees") == 0


def test_names_that_are_none(capsys) -> None:
    assert main(["convert", "--prepare", "kears"]) == 1
    assert "no environment 'kears'; there are keras, trees" in capsys.readouterr().err
    assert main(["convert", "--remove", "all,keras"]) == 1


def test_every_environment_has_a_lock_in_the_package() -> None:
    assert {path.stem for path in LOCK.parent.glob("*.lock")} == {*ENVIRONMENTS}
