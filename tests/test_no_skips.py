"""In CI a skipped or expectedly failing test fails the run, however it is skipped."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

PASSES = "def test_it():\n    assert True\n"
SKIPS = {
    "in the test": "import pytest\ndef test_it():\n    pytest.SKIP('no peer')\n",
    "by a mark": "import pytest\n@pytest.mark.SKIP\ndef test_it():\n    assert True\n",
    "as expected": "import pytest\n@pytest.mark.XFAIL\ndef test_it():\n    assert False\n",
    "the module": "import pytest\npytest.SKIP('no peer', allow_module_level=True)\n",
    "by an import": "import pytest\npytest.IMPORTOR('no_such')\ndef test_it():\n    assert True\n",
    "unexpectedly good": "import pytest\n@pytest.mark.XFAIL\ndef test_it():\n    assert True\n",
}


def run(folder: Path, code: str, ci: str) -> subprocess.CompletedProcess[str]:
    """Run one test file under our conftest."""
    code = code.replace("IMPORTOR", "importorskip").replace("XFAIL", "xfail")
    (folder / "test_one.py").write_text(code.replace("SKIP", "skip"))
    shutil.copy(ROOT / "tests" / "conftest.py", folder)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull]
    environ = {**os.environ, "CI": ci, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(
        [*command, f"--rootdir={folder}", str(folder)],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("how", sorted(SKIPS))
def test_a_skip_fails_in_ci_only(how: str, tmp_path: Path) -> None:
    in_ci = run(tmp_path, SKIPS[how], "true")
    assert in_ci.returncode in (1, 2), in_ci.stdout
    assert "which CI does not allow" in in_ci.stdout
    assert run(tmp_path, SKIPS[how], "").returncode in (0, 5)


def test_a_pass_passes(tmp_path: Path) -> None:
    assert run(tmp_path, PASSES, "true").returncode == 0


def test_absent_data_fail_and_say_what_to_do(tmp_path: Path) -> None:
    code = "def test_it(shared):\n    assert shared\n"
    failed = run(tmp_path, code, "true")
    assert failed.returncode == 1
    assert "put it beside the repository or name it in GPFN_SHARED" in failed.stdout
