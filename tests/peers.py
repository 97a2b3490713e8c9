"""Programs that we compare ourselves with, each in an environment of its own.

Their pins would hold ours back, so ``make peers`` installs them under ``.venvs/``. A
test that needs one asks here, and a missing one is made, not passed over.
"""

import fcntl
import subprocess
from functools import cache
from pathlib import Path

from tests.conftest import ROOT

__all__ = ["client_environments", "graphpipe_python", "openwhisk_packages", "root_samples"]


@cache
def client_environments() -> Path:
    """Return the folder of the environments that ``make peers`` makes, once they are there."""
    return _make("peers")


def _make(target: str) -> Path:
    environments = ROOT / ".venvs"
    environments.mkdir(exist_ok=True)
    with (environments / ".lock").open("w") as lock:  # tests may run in several processes
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = ["make", "--silent", target]
        made = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert made.returncode == 0, made.stderr.decode()
    return environments


def graphpipe_python() -> Path:
    """Return the interpreter that has PyPI's ``graphpipe`` 1.0.4."""
    python = client_environments() / "graphpipe" / "bin" / "python"
    assert python.is_file(), f"make peers did not make {python}"
    return python


@cache
def openwhisk_packages() -> Path:
    """Return the folder with ``node`` and npm's ``openwhisk`` and ``@openwhisk/wskdebug``."""
    folder = _make(".venvs/.openwhisk") / "openwhisk"
    assert (folder / "node").exists(), f"make peers did not make {folder}"
    return folder


@cache
def root_samples() -> Path:
    """Return the folder of the real ROOT files of several experiments."""
    folder = _make(".venvs/.root-samples") / "root-samples"
    assert (folder / "LICENSE").is_file(), f"make peers did not make {folder}"
    return folder
