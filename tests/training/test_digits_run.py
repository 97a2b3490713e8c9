"""A quick training run of the digits, end to end."""

import json
import subprocess
import sys
from pathlib import Path

import matplotlib.image

from tests.conftest import ROOT

WORDS = ["-m", "gpfn", "train", "digits", "--epochs", "2", "--seed", "5", "--json"]


def test_it_makes_every_file(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, *WORDS, "--out", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    document = json.loads(done.stdout)
    names = ["digits.tflite", "digits_labels.txt", "digits.json", "digits.md"]
    assert document["files"] == [str(tmp_path / name) for name in names]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*names, "plots"])
    assert document["settings"] == {"learning_rate": 0.002, "epochs": 2, "seed": 5}
    assert document["history"][1] < document["history"][0]
    assert document["metrics"]["test_accuracy"] > 0.2
    assert f"epoch     2  loss {document['history'][1]:.4f}" in done.stderr
    assert len(document["plots"]) == 2
    for name in document["plots"]:
        assert matplotlib.image.imread(name)[..., :3].std() > 0.05, name
