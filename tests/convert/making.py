"""Models that frameworks have made, with what they answer: made in the converters' environments.

The answers are the frameworks' own, written down before anything is converted, so the tests do
not take the word of the comparison that they test.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpfn.cli.main import main
from gpfn.convert.environments import environment
from gpfn.models.open import open_model

__all__ = ["answers_of", "convert", "made_by", "refused"]


def made_by(name: str, script: str, folder: Path) -> Path:
    """Run a script of this folder in a converter's environment, in a folder; returns the folder."""
    python = environment(name) / "bin" / "python"
    done = subprocess.run(
        [str(python), "-W", "ignore", str(Path(__file__).with_name(script))],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def convert(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """Run ``gpfn convert`` with ``--json`` and return what it says; it has to succeed."""
    code = main(["convert", *words, "--json"])
    told = capsys.readouterr()
    assert code == 0, told.err
    report: dict[str, Any] = json.loads(told.out)
    return report


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Run ``gpfn convert``, which has to fail with one line, and return that."""
    code = main(["convert", *words])
    line = capsys.readouterr().err.strip()
    assert code == 1, line
    lines = [each for each in line.splitlines() if each.startswith("gpfn: ")]
    assert len(lines) == 1, line
    assert "\x1b" not in line
    return lines[0].removeprefix("gpfn: ")


def answers_of(path: Path, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return what a converted model answers, by the runtime that serves it."""
    model = open_model(str(path))
    try:
        return dict(model(inputs))
    finally:
        model.close()
