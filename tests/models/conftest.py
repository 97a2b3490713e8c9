"""Tiny models in every format, made once for all tests of this folder."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what making.py makes, to be read only.

    The processes of one run share it: the first that asks makes it, the others wait.
    """
    base = tmp_path_factory.getbasetemp()
    common = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, made = common / "made", common / "made.done"
    with (common / "made.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            _make(folder)
            made.touch()
    return folder


def _make(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    program = Path(__file__).with_name("making.py")
    run = subprocess.run(
        [sys.executable, program, folder], capture_output=True, text=True, check=False, timeout=240
    )
    assert run.returncode == 0, run.stderr
