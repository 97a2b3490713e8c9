"""The channels-first model is what it says it is, and a wrong one is not written."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import mobilenet_nchw
import numpy as np
import pytest
from numpy.testing import assert_allclose

from gpfn.images.preparation import prepare
from gpfn.models import Model, open_model
from gpfn.models.description import Description, read_description
from gpfn.models.labels import read_labels
from gpfn.models.onnx_guard import check_onnx
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

SCRIPT = ROOT / "training" / "mobilenet_nchw.py"
TFLITE = "mobilenet_v2_1.0_224_quant.tflite"
NAMES = ["imagenet_labels.txt", "mobilenet_v2_nchw.onnx", "model.toml"]
PHOTOS = {"burger.jpg": "cheeseburger", "cat_720p.jpg": "Egyptian cat", "mug.png": "coffee mug"}
PIXELS = 2_000_000


class Made(NamedTuple):
    """The folder that a run of the script has made, and what the run printed."""

    folder: Path
    run: subprocess.CompletedProcess[str]


def run(*words: str | Path, **variables: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the script as a process."""
    return subprocess.run(
        [sys.executable, SCRIPT, *words],
        cwd=ROOT,
        env={**os.environ, **{name: str(value) for name, value in variables.items()}},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def made(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """What comes of the real model, checked with three photos."""
    folder = tmp_path_factory.mktemp("made") / "nchw"
    photos = [shared / "data" / "images" / name for name in PHOTOS]
    return Made(
        folder,
        run("--model", shared / "data" / "models" / TFLITE, "--out", folder, "--sample", *photos),
    )


@pytest.fixture(scope="module")
def described(made: Made) -> Description:
    """What the description says that was made."""
    return read_description(made.folder / "model.toml")


@pytest.fixture(scope="module")
def model(made: Made) -> Iterator[Model]:
    """The model that was made."""
    opened = open_model(made.folder / "mobilenet_v2_nchw.onnx")
    yield opened
    opened.close()


def test_it_makes_three_files_and_tells_how_near_they_are(made: Made) -> None:
    assert made.run.returncode == 0, made.run.stderr
    assert made.run.stdout.splitlines() == ["wrote", *(f"  {made.folder / n}" for n in NAMES)]
    assert sorted(path.name for path in made.folder.iterdir()) == NAMES
    assert "converting it with tf2onnx" in made.run.stderr
    assert "burger.jpg: 0.0" in made.run.stderr
    assert made.run.stderr.splitlines()[-1].startswith("largest difference 0.0")


def test_the_description_fits_the_model(described: Description, model: Model, made: Made) -> None:
    assert (described.title[:12], described.licence) == ("MobileNet v2", "Apache-2.0")
    assert described.source.startswith("training/mobilenet_nchw.py, from https://")
    assert described.signature is not None
    assert described.signature.inputs == model.inputs
    assert described.signature.outputs == model.outputs
    (image,), (probabilities,) = model.inputs, model.outputs
    assert (image.name, image.dtype, image.shape) == ("image", "float32", (None, 3, 224, 224))
    assert (probabilities.dtype, probabilities.shape) == ("float32", (None, 1001))
    assert len(read_labels(made.folder / "imagenet_labels.txt")) == 1001
    assert described.image is not None
    assert described.image[:5] == (224, 224, "RGB", "NCHW", False)
    assert described.image.mean == described.image.std == (128, 128, 128)


@pytest.mark.parametrize("name", PHOTOS)
def test_photos(name: str, described: Description, model: Model, made: Made, shared: Path) -> None:
    labels = read_labels(made.folder / "imagenet_labels.txt")
    assert described.image is not None
    row = prepare((shared / "data/images" / name).read_bytes(), described.image, PIXELS)
    assert (row.shape, row.dtype) == ((1, 3, 224, 224), np.float32)
    probabilities = model({"image": row})["probabilities"]
    assert labels[probabilities.argmax()] == PHOTOS[name]
    assert_allclose(probabilities.sum(), 1, atol=1e-5)


def test_the_rows_of_a_batch_are_computed_apart(model: Model) -> None:
    rows = np.random.default_rng(3).uniform(-1, 1, (5, 3, 224, 224)).astype(np.float32)
    alone = np.concatenate([model({"image": row[None]})["probabilities"] for row in rows])
    assert np.abs(alone[0] - alone[1]).max() > 0.001
    for count in (1, 2, 5):
        together = model({"image": rows[:count]})["probabilities"]
        assert_allclose(together, alone[:count], rtol=0, atol=mobilenet_nchw.ROWS_APART)


def test_a_server_takes_it(made: Made) -> None:
    file = made.folder / "mobilenet_v2_nchw.onnx"
    check_onnx(memoryview(file.read_bytes()), str(file))


def test_the_catalogues_model_gives_the_same_bytes(
    made: Made, shared: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    mirror = shared / "data" / "models"
    done = run("--out", again, GPFN_CACHE_DIR=tmp_path / "cache", GPFN_MODEL_MIRROR=mirror)
    assert done.returncode == 0, done.stderr
    for name in NAMES:
        assert (again / name).read_bytes() == (made.folder / name).read_bytes(), name
    assert str(tmp_path).encode() not in (again / NAMES[1]).read_bytes()


def test_what_cannot_be_converted_is_one_line(shared: Path, tmp_path: Path) -> None:
    whole = (shared / "data" / "models" / TFLITE).read_bytes()
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(whole[: len(whole) // 2])
    other = ROOT / "models" / "digits.tflite"
    told = {damaged: "damaged", tmp_path / "absent.tflite": "no such file", other: "expected a"}
    for file, words in told.items():
        done = run("--model", file, "--out", tmp_path / "out")
        assert (done.returncode, done.stdout) == (1, "")
        last = done.stderr.splitlines()[-1]
        assert last.startswith("mobilenet_nchw: ")
        assert words in last
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("right", "wrong"),
    [('"RGB"', '"BGR"'), ("std = [128.0", "std = [255.0"), ("mean = [128.0", "mean = [0.0")],
)
def test_a_wrong_model_leaves_nothing_behind(
    right: str,
    wrong: str,
    made: Made,
    shared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = (made.folder / "model.toml").read_text()
    assert right in text
    monkeypatch.setattr(mobilenet_nchw, "_described", lambda *_: text.replace(right, wrong))
    monkeypatch.setattr(
        mobilenet_nchw,
        "convert",
        lambda _, target, **_names: shutil.copyfile(made.folder / target.name, target),
    )
    words = ["--model", str(shared / "data/models" / TFLITE), "--out", str(tmp_path / "out")]
    assert mobilenet_nchw.main(words) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("mobilenet_nchw: drawn-")
    assert line.endswith("from the original, over 0.05")
    assert not (tmp_path / "out").exists()


def test_help_has_examples() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert "--sample burger.jpg mug.png" in done.stdout
