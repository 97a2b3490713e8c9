"""A quick training run end to end, as users start it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
import series
from agreement import TOLERANCE, ask
from forecast import EXPORTS

from tests.conftest import ROOT

FEW = ["--epochs", "3", "--seed", "5", "--hidden", "10", "--windows", "9"]


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str]:
    """Run ``gpfn train forecast``; return its folder, its JSON and its standard error."""
    out = tmp_path_factory.mktemp("command")
    words = ["-m", "gpfn", "train", "forecast", *FEW, "--out", str(out), "--json"]
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    return out, json.loads(done.stdout), done.stderr


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Run ``python training/forecast.py`` in a copy of the checkout; return copy and output."""
    checkout = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "training", checkout / "training")
    (checkout / "functions" / "forecast").mkdir(parents=True)
    words = [str(checkout / "training" / "forecast.py"), *FEW]
    done = subprocess.run(
        [sys.executable, *words], cwd=checkout, capture_output=True, text=True, check=True
    )
    return checkout, done.stdout


def test_every_file_is_made_and_named(command: tuple[Path, dict[str, Any], str]) -> None:
    out, document, _ = command
    names = [*EXPORTS, "forecast.json", "forecast.md"]
    assert document["files"] == [str(out / name) for name in names]
    assert sorted(path.name for path in out.iterdir()) == sorted([*names, "plots"])


def test_the_exports_agree(command: tuple[Path, dict[str, Any], str]) -> None:
    out, document, _ = command
    assert document["metrics"]["exports_apart"] <= TOLERANCE
    values = series.windows(series.monthly(60, 1))[0]
    answers = [ask(out / name, "series", "forecast", values) for name in EXPORTS]
    assert all(np.abs(answer - answers[0]).max() <= TOLERANCE for answer in answers)


def test_the_options_are_used_and_recorded(command: tuple[Path, dict[str, Any], str]) -> None:
    out, document, _ = command
    chosen = {"hidden": 10, "learning_rate": 0.001, "epochs": 3, "windows": 9, "seed": 5}
    assert document["settings"] == chosen
    assert json.loads((out / "forecast.json").read_text())["settings"] == chosen
    assert document["data"]["training_windows"] == 8 * 20 - 20
    assert len(document["history"]) == 3
    assert document["history"][-1] < document["history"][0]


def test_the_error_is_shown_as_it_falls(command: tuple[Path, dict[str, Any], str]) -> None:
    _, document, shown = command
    for epoch in (1, 3):
        assert f"epoch     {epoch}  MSE {document['history'][epoch - 1]:.4f}" in shown
    assert "3/3" in shown


def test_the_pictures_show_something(command: tuple[Path, dict[str, Any], str]) -> None:
    _, document, _ = command
    assert len(document["plots"]) == 3
    for name in document["plots"]:
        pixels = matplotlib.image.imread(name)
        assert pixels.shape == (400, 800, 4)
        assert pixels[..., :3].std() > 0.05, name
    actual = matplotlib.image.imread(document["plots"][0])[..., :3]
    for colour in ((0, 0, 1), (1, 0, 0)):
        dots = (np.abs(actual - colour) < 0.01).all(axis=-1).sum()
        assert dots > 20 * 10, f"20 dots of {colour}"


def test_the_same_seed_gives_the_same_model(
    command: tuple[Path, dict[str, Any], str], script: tuple[Path, str]
) -> None:
    made = (command[0] / "forecast.tflite").read_bytes()
    assert (script[0] / "models" / "forecast.tflite").read_bytes() == made


def test_the_script_writes_to_its_own_checkout(script: tuple[Path, str]) -> None:
    checkout, shown = script
    models = checkout / "models"
    copy = checkout / "functions" / "forecast" / "forecast.tflite"
    assert copy.read_bytes() == (models / "forecast.tflite").read_bytes()
    assert shown.startswith("held-out MSE ")
    assert str(models / "rnn_ts_model.pb") in shown
