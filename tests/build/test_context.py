"""The build context: what is in it, and that it goes."""

import shutil
import zipfile
from pathlib import Path

import pytest

from gpfn.build.context import LOCKS, folder_in_context, repack, staged
from gpfn.build.models import ask_models, catalogue_files, fetch_models
from gpfn.errors import DownloadFailed, SetupError
from tests.conftest import ROOT


@pytest.fixture
def mirror(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The model files in a folder, and an empty cache."""
    monkeypatch.setenv("GPFN_MODEL_MIRROR", str(shared / "data" / "models"))
    monkeypatch.setenv("GPFN_CACHE_DIR", str(tmp_path / "cache"))
    return shared / "data" / "models"


def test_everything_is_there_and_goes(mirror: Path) -> None:
    with staged(ROOT / "functions" / "classify") as context:
        for lock in LOCKS:
            assert (context / "locks" / lock).is_file()
        assert (context / "src/gpfn/build/stage/__main__.py").is_file()
        assert (context / "pyproject.toml").is_file()
        function = context / folder_in_context(ROOT / "functions" / "classify")
        names = {path.name for path in function.iterdir()}
        assert {"func.py", "mobilenet_v2_1.0_224_quant.tflite", "imagenet_labels.txt"} <= names
        assert not list(context.rglob("__pycache__"))
    assert not context.exists()


def test_it_goes_after_a_failure_too() -> None:
    def fail() -> None:
        with staged(None) as context:
            seen.append(context)
            raise SetupError("no")

    seen: list[Path] = []
    with pytest.raises(SetupError):
        fail()
    assert not seen[0].exists()


def test_the_models_of_a_function() -> None:
    models = ask_models(ROOT / "functions" / "classify" / "func.py")
    assert models == ("catalogue:mobilenet_v2", "catalogue:mobilenet_v1")
    names = [file.name for file in catalogue_files(models)]
    assert names == [
        "mobilenet_v2_1.0_224_quant.tflite",
        "imagenet_labels.txt",
        "mobilenet_v1_0.25_128_quant.tflite",
    ]
    assert catalogue_files(ask_models(ROOT / "functions" / "forecast" / "func.py")) == []


def test_a_model_with_a_wrong_hash(
    mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(mirror, tmp_path / "mirror")
    for path in (tmp_path / "mirror").glob("*.tflite"):
        path.write_bytes(path.read_bytes()[:-1] + b"!")
    monkeypatch.setenv("GPFN_MODEL_MIRROR", str(tmp_path / "mirror"))
    with pytest.raises(DownloadFailed, match=r"has sha256 .*, expected"):
        fetch_models(ROOT / "functions" / "classify" / "func.py")


def test_a_model_that_was_changed_in_the_cache(mirror: Path) -> None:
    (path, *_) = fetch_models(ROOT / "functions" / "classify" / "func.py")
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(DownloadFailed, match=r"has sha256 .*; remove it"):
        fetch_models(ROOT / "functions" / "classify" / "func.py")


def test_a_function_that_only_loads_in_its_image(tmp_path: Path) -> None:
    (tmp_path / "func.py").write_text("import what_only_the_image_has\n")
    assert fetch_models(tmp_path / "func.py") == []


def test_a_wheel_of_what_is_installed(tmp_path: Path) -> None:
    wheel = repack("httptools", tmp_path / "never")
    names = zipfile.ZipFile(wheel).namelist()
    assert "httptools/__init__.py" in names
    assert names[-1].endswith(".dist-info/RECORD")
    assert not [name for name in names if name.endswith((".pyc", "INSTALLER", "direct_url.json"))]


def test_an_editable_install_has_no_files_to_make_a_wheel_of(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="gpfn is installed from a folder"):
        repack("gpfn", tmp_path)
    with pytest.raises(SetupError, match="nothing-of-that-name is not installed"):
        repack("nothing-of-that-name", tmp_path)
