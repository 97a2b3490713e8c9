"""A folder with models as a new user has them."""

import shutil
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.scaffold.making import affine, two_inputs, words

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
    (tmp_path / "apart").mkdir()
    affine(tmp_path / "apart" / "large.onnx", outside="large.weights")
    (tmp_path / "model.py").write_text(PYTHON)
    (tmp_path / "measure.py").write_text(MEASURE)
    shutil.copy(ROOT / "models" / "forecast.tflite", tmp_path)
    shutil.copytree(ROOT / "models" / "forecast_savedmodel", tmp_path / "saved")
    monkeypatch.chdir(tmp_path)
    return tmp_path
