"""Programs that we compare ourselves with, each in an environment of its own.

Their pins would hold ours back, so ``make peers`` installs them under ``.venvs/``. A
test that needs one asks here, and a missing one is made, not passed over.
"""

import fcntl
import subprocess
from functools import cache
from pathlib import Path

from tests.conftest import ROOT

__all__ = ["graphpipe_python"]


@cache
def graphpipe_python() -> Path:
    """Return the interpreter that has PyPI's ``graphpipe`` 1.0.4."""
    environments = ROOT / ".venvs"
    environments.mkdir(exist_ok=True)
    with (environments / ".lock").open("w") as lock:  # tests may run in several processes
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = ["make", "--silent", "peers"]
        made = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    python = environments / "graphpipe" / "bin" / "python"
    assert made.returncode == 0, made.stderr.decode()
    assert python.is_file(), f"make peers did not make {python}"
    return python
