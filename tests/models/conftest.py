"""Tiny models in every format, made once for all tests of this folder."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what making.py makes."""
    folder = tmp_path_factory.mktemp("made")
    program = Path(__file__).with_name("making.py")
    run = subprocess.run(
        [sys.executable, program, folder], capture_output=True, text=True, check=False, timeout=240
    )
    assert run.returncode == 0, run.stderr
    return folder
