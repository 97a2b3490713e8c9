"""What a function needs of the catalogue is fetched before it starts, and nothing else."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gpfn.cli.resolve import pull_models
from gpfn.errors import DownloadFailed
from gpfn.hosts.target import find_target
from gpfn.models.catalogue import default_catalogue
from gpfn.models.files import cached_path


@pytest.fixture
def cache(tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GPFN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("GPFN_MODEL_MIRROR", str(shared / "data/models"))
    return tmp_path / "cache"


def here(name: str) -> bool:
    return all(cached_path(file) is not None for file in default_catalogue().get(name).files)


def test_the_model_and_its_labels_are_fetched(root: Path, cache: Path) -> None:
    pull_models(find_target(str(root / "functions/classify")))
    assert here("mobilenet_v2")
    assert not here("mobilenet_v1")


def test_another_model_is_fetched_when_it_is_asked_for(root: Path, cache: Path) -> None:
    pull_models(find_target(str(root / "functions/classify")), b'{"model": "mobilenet_v1"}')
    assert here("mobilenet_v1")
    assert here("mobilenet_v2")


def test_a_name_that_the_function_does_not_have_is_not(root: Path, cache: Path) -> None:
    pull_models(find_target(str(root / "functions/digits")), b'{"model": "mobilenet_v1"}')
    assert not cache.exists()


def test_functions_that_need_nothing_cost_nothing(
    tmp_path: Path, cache: Path, root: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    func = tmp_path / "func.py"
    func.write_text("model = 'catalogue:mobilenet_v2'\nraise SystemExit\n")
    pull_models(find_target(str(func)))
    folder = tmp_path / "beside"
    shutil.copytree(root / "functions/classify", folder)
    for file in default_catalogue().get("mobilenet_v2").files:
        shutil.copy(shared / "data/models" / file.name, folder)
    pull_models(find_target(str(folder)))
    assert not cache.exists()


def test_a_model_that_cannot_be_had_is_told(
    root: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPFN_MODEL_MIRROR", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(DownloadFailed, match="mobilenet_v2"):
        pull_models(find_target(str(root / "functions/classify")))


def test_invoke_fetches_shows_how_far_it_is_and_answers(
    root: Path, shared: Path, cache: Path
) -> None:
    gpfn = str(Path(sys.executable).parent / "gpfn")
    photo = str(shared / "data/images/burger.jpg")
    words = ["invoke", str(root / "functions/classify"), "--platform", "openwhisk"]
    run = subprocess.run(
        [gpfn, *words, "--image", photo], capture_output=True, text=True, check=True
    )
    assert run.stdout.startswith('{"results":[{"className":"cheeseburger"')
    assert run.stderr.splitlines()[0] == "mobilenet_v2_1.0_224_quant.tflite  100 % of 3.611 MB"
    again = subprocess.run([gpfn, *words, "--image", photo], capture_output=True, check=True)
    assert again.stderr == b""
