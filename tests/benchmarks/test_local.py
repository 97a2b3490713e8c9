"""The figures of functions under the supervisor: short, and those that a goal is set for."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.mark.timing
def test_six_clients_on_one_function_are_answered_in_time(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    words = [sys.executable, str(ROOT / "benchmarks/local.py"), "--quick", "--json", str(file)]
    subprocess.run(words, check=True, capture_output=True, timeout=120)
    figures = {figure["what"]: figure for figure in json.loads(file.read_text())}
    assert len(figures) == 4
    assert all(figure["value"] > 0 for figure in figures.values())
    assert figures["gpfn dev, 6 clients on one function, p99"]["value"] <= 50
