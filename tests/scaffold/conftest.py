"""A folder with models as a new user has them."""

import shutil
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.scaffold.making import affine, classifier, columns, letters, lines, two_inputs, words

PYTHON = """\
import measure
import yaml

from gpfn import TensorSpec
from gpfn.models import declare


@declare(
    inputs={"x": TensorSpec("float32", (None, 3))},
    outputs={"y": TensorSpec("float32", (None,))},
)
def predict(x):
    return measure.length(x) + len(yaml.__name__) - 4


def bare(x):
    return x
"""
MEASURE = """\
import numpy as np


def length(x):
    return np.linalg.norm(x, axis=1).astype("float32")
"""


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that a command runs in: models in it, and nothing else."""
    affine(tmp_path / "affine.onnx")
    two_inputs(tmp_path / "two.onnx")
    words(tmp_path / "words.onnx")
    letters(tmp_path / "letters.onnx")
    lines(tmp_path / "lines.onnx")
    (tmp_path / "apart").mkdir()
    affine(tmp_path / "apart" / "large.onnx", outside="large.weights")
    (tmp_path / "model.py").write_text(PYTHON)
    (tmp_path / "measure.py").write_text(MEASURE)
    shutil.copy(ROOT / "models" / "forecast.tflite", tmp_path)
    shutil.copytree(ROOT / "models" / "forecast_savedmodel", tmp_path / "saved")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def special(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Models of images and of rows, with what lies beside them."""
    affine(tmp_path / "matrix.onnx")
    columns(tmp_path / "columns.onnx")
    classifier(tmp_path / "first.onnx", ["n", 3, 6, 8])
    classifier(tmp_path / "last.onnx", ["n", 6, 8, 3], softmax=True)
    (tmp_path / "labels.txt").write_text("red\ngreen\nblue\n")
    shutil.copy(ROOT / "models" / "digits.tflite", tmp_path)
    shutil.copy(ROOT / "models" / "digits_labels.txt", tmp_path)
    (tmp_path / "described").mkdir()
    classifier(tmp_path / "described" / "shades.onnx", ["n", 6, 8, 3], softmax=True)
    shutil.copy(tmp_path / "labels.txt", tmp_path / "described")
    (tmp_path / "described" / "model.toml").write_text(
        'model = "shades.onnx"\nlabels = "labels.txt"\n[image]\nheight = 6\nwidth = 8\n'
        'channels = "RGB"\nlayout = "NHWC"\nfit = "crop"\nquantised = false\n'
        "mean = [0, 0, 0]\nstd = [255, 255, 255]\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path
