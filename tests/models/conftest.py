"""Tiny models in every format, made once for all tests of this folder."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what making.py makes, to be read only."""
    return _made_once(tmp_path_factory.getbasetemp(), "making")


@pytest.fixture(scope="session")
def made_rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what making_rows.py makes, to be read only."""
    return _made_once(tmp_path_factory.getbasetemp(), "making_rows")


@pytest.fixture(scope="session")
def made_guarded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what making_guarded.py makes, to be read only."""
    return _made_once(tmp_path_factory.getbasetemp(), "making_guarded")


def _made_once(base: Path, program: str) -> Path:
    """Return the program's folder.

    The processes of one run share it: the first that asks makes it, the others wait.
    """
    common = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, done = common / program, common / f"{program}.done"
    with (common / f"{program}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            _make(folder, program)
            done.touch()
    return folder


def _make(folder: Path, name: str) -> None:
    folder.mkdir(exist_ok=True)
    program = Path(__file__).with_name(f"{name}.py")
    run = subprocess.run(
        [sys.executable, program, folder], capture_output=True, text=True, check=False, timeout=240
    )
    assert run.returncode == 0, run.stderr
