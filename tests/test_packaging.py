"""What a user gets who installs the package instead of cloning the repository."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (found,) = folder.glob("*.whl")
    return found


def test_the_wheel_holds_the_package_and_the_catalogue(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "gpfn/py.typed" in names
    assert "gpfn/models/bundled/catalogue.toml" in names
    assert "gpfn/models/bundled/forecast.tflite" in names
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"gpfn"}
    assert {"gpfn/" + str(p.relative_to(ROOT / "src/gpfn")) for p in sources()} <= names


def sources() -> list[Path]:
    """Return the package's own modules."""
    return list((ROOT / "src" / "gpfn").rglob("*.py"))


def test_an_installed_package_finds_its_models(wheel: Path, tmp_path: Path) -> None:
    """Unpacked is installed, for a pure Python wheel; the checkout is out of sight."""
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = (
        "import sys; sys.path.insert(0, 'site')\n"
        "import gpfn; from gpfn.models.catalogue import bundled_folder, default_catalogue\n"
        "from gpfn.models.store import obtain\n"
        "assert 'site' in gpfn.__file__, gpfn.__file__\n"
        "path = obtain(default_catalogue().get('forecast').model)\n"
        "assert path.parent == bundled_folder() and 'site' in str(path)\n"
        "print(path.stat().st_size)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) == (ROOT / "models" / "forecast.tflite").stat().st_size


def test_a_wheel_can_be_made_from_the_source_distribution(tmp_path: Path, wheel: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-d", str(tmp_path)]
    subprocess.run([*build, "-t", "sdist"], cwd=ROOT, check=True, capture_output=True)
    (archive,) = tmp_path.glob("*.tar.gz")
    subprocess.run(["tar", "-xf", archive, "-C", tmp_path], check=True)
    unpacked = tmp_path / archive.name.removesuffix(".tar.gz")
    subprocess.run([*build, "-t", "wheel"], cwd=unpacked, check=True, capture_output=True)
    (made,) = tmp_path.glob("*.whl")
    assert set(zipfile.ZipFile(made).namelist()) == set(zipfile.ZipFile(wheel).namelist())


def test_the_version_is_told_once(wheel: Path) -> None:
    import gpfn

    assert wheel.name.startswith(f"gpfn-{gpfn.__version__}-")
