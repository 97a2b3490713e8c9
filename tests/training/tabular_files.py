"""Real and made-up tables as files, for the tests of training on tables."""

import csv
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer

from tests.conftest import ROOT

__all__ = ["QUICK", "cancer", "made", "run", "write_csv"]

QUICK = ["--epochs", "30", "--hidden", "16", "--learning-rate", "0.01", "--seed", "5"]


def run(*words: str, cwd: Path = ROOT) -> "subprocess.CompletedProcess[str]":
    """Run ``gpfn train tabular`` as users do."""
    command = [sys.executable, "-m", "gpfn", "train", "tabular", *words]
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False
    )


def write_csv(path: Path, names: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
    """Write a table as CSV."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([names, *rows])
    return path


def cancer(folder: Path) -> Path:
    """Write scikit-learn's breast cancer data: 569 rows, 30 columns, a text for the class."""
    data = load_breast_cancer()
    kinds = data.target_names[data.target]
    rows = [(*row, kind) for row, kind in zip(data.data, kinds, strict=True)]
    return write_csv(folder / "cancer.csv", [*data.feature_names, "kind"], rows)


def made(rows: int = 400, seed: int = 1) -> tuple[list[str], np.ndarray]:
    """Return names and a table of which the columns 0 and 1 decide the last, a number."""
    chance = np.random.default_rng(seed)
    values = chance.normal(10, 3, (rows, 4))
    target = 100 * values[:, 0] - 40 * values[:, 1] + chance.normal(0, 5, rows)
    return ["first", "second", "third", "fourth", "y"], np.column_stack([values, target])
