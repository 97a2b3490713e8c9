"""What a user gets who installs the package instead of cloning the repository."""

import json
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from packaging.metadata import Metadata
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from trove_classifiers import classifiers as known_classifiers

import gpfn
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
    assert "gpfn/scaffold/templates/func.yaml.txt" in names
    for asset in ("style.css", "page.js", "gpfn-frame.js"):
        assert f"gpfn/serving/pages/assets/{asset}" in names
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


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment into which pip has installed the wheel.

    The packages that it needs are those of this environment, without the checkout.
    """
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    pip = [sys.executable, "-m", "pip", "--python", f"{folder}/bin/python", "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", wheel], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "needs.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin"


@pytest.fixture
def run(installed: Path, tmp_path: Path) -> Callable[..., str]:
    """Run gpfn in an empty folder and return what it prints."""
    empty = tmp_path / "empty"
    empty.mkdir()

    def call(*words: str) -> str:
        done = subprocess.run(
            [installed / "gpfn", *words],
            cwd=empty,
            env={
                "PATH": f"{installed}:/usr/bin:/bin",
                **dict.fromkeys(("HOME", "TMPDIR"), str(tmp_path)),
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


def copied(dockerfile: str) -> list[str]:
    """Return what a Dockerfile copies out of its context."""
    lines = [line.split()[1:-1] for line in dockerfile.splitlines() if line.startswith("COPY ")]
    return [source for line in lines for source in line if not line[0].startswith("--from")]


def test_the_demonstration_needs_no_checkout(run: Callable[..., str], installed: Path) -> None:
    assert json.loads(run("demo", "--repeat", "1"))["type"].endswith(".response")
    command = [installed / "python", "-c", "import gpfn; print(gpfn.__file__)"]
    where = subprocess.check_output(command, env={})
    assert where.decode().startswith(str(installed.parent))


@pytest.mark.parametrize("platform", ["fn", "server"])
def test_an_image_is_built_from_a_folder_that_is_made(
    run: Callable[..., str], tmp_path: Path, platform: str
) -> None:
    function = tmp_path / "empty" / "my f"
    shutil.copytree(ROOT / "functions" / "forecast", function)
    shown = run("build", "my f", "--platform", platform, "--print")
    heads = shown.splitlines()[:2]
    command = f"gpfn build 'my f' --platform {platform}"
    assert heads[0] == f"# Made by: {command} --print"
    assert heads[1] == f"# Its context is made by: {command} --context FOLDER"
    assert "docker build --tag forecast" in run(*shlex.split(command)[1:], "--context", "here")
    context = tmp_path / "empty" / "here"
    assert (context / "Dockerfile").read_text() == shown
    assert len(copied(shown)) == 5
    assert not [path for path in copied(shown) if not (context / path).exists()]
    assert (context / "functions" / "my_f" / "func.py").is_file()
    (wheel,) = (context / "dist").glob("gpfn-*.whl")
    assert "gpfn/build/bundled/all.lock" in zipfile.ZipFile(wheel).namelist()


def test_a_function_is_packed_and_examined(run: Callable[..., str], tmp_path: Path) -> None:
    function = tmp_path / "empty" / "f"
    shutil.copytree(ROOT / "functions" / "forecast", function)
    assert run("package", "openwhisk", "f", "-o", "f.zip").startswith("f.zip: ")
    with zipfile.ZipFile(tmp_path / "empty" / "f.zip") as archive:
        assert {"func.py", "forecast.tflite", "gpfn/__init__.py"} <= set(archive.namelist())
    assert run("doctor", "f") == "no findings\n"


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
    assert wheel.name.startswith(f"gpfn-{gpfn.__version__}-")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == gpfn.__version__
    assert citation["license"] == "Apache-2.0"
    assert {"cff-version", "message", "title", "authors"} <= set(citation)


def test_the_metadata_are_whole(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(f"gpfn-{gpfn.__version__}.dist-info/METADATA")
    told = Metadata.from_email(text, validate=True)
    assert all((told.summary, told.description, told.keywords, told.author))
    assert told.description_content_type == "text/markdown"
    assert (told.license_expression, told.license_files) == ("Apache-2.0", ["LICENSE"])
    assert set(told.classifiers or ()) <= known_classifiers
    pythons = {name.rpartition(" ")[2] for name in told.classifiers or () if " 3." in name}
    allowed = told.requires_python or SpecifierSet()
    assert pythons == {f"3.{minor}" for minor in range(5, 30) if f"3.{minor}" in allowed}


def test_the_changelog_goes_by_version() -> None:
    """*Unreleased* first, then each version with its day, newest first."""
    heads = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert heads[0] == "Unreleased"
    form = re.compile(r"(\d+\.\d+\.\d+) - (\d{4}-\d\d-\d\d)")
    released = [form.fullmatch(head) for head in heads[1:]]
    assert all(released), heads
    versions = [Version(found[1]) for found in released if found]
    assert versions == sorted(set(versions), reverse=True)
    days = [found[2] for found in released if found]
    assert days == sorted(days, reverse=True)
    assert not versions or Version(gpfn.__version__) >= versions[0]


@pytest.mark.slow
def test_training_needs_no_checkout(run: Callable[..., str], tmp_path: Path) -> None:
    run("train", "forecast", "--epochs", "1")
    assert (tmp_path / "empty" / "models" / "forecast.tflite").is_file()
