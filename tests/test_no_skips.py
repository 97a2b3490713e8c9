"""In CI a skipped or expectedly failing test fails the run, however it is skipped."""

import os
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from xml.etree import ElementTree

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


def run(folder: Path, ci: str, **codes: str) -> subprocess.CompletedProcess[str]:
    """Run test files under our conftest, each called test_NAME.py."""
    for name, text in codes.items():
        code = text.replace("IMPORTOR", "importorskip").replace("XFAIL", "xfail")
        (folder / f"test_{name}.py").write_text(code.replace("SKIP", "skip"))
    shutil.copy(ROOT / "tests" / "conftest.py", folder)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull]
    environ = {**os.environ, "CI": ci, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(
        [
            *command,
            "--continue-on-collection-errors",
            "--junitxml=report.xml",
            f"--rootdir={folder}",
            str(folder),
        ],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def in_ci(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What fails in CI, by the file's name: all ways to skip in one run."""
    folder = tmp_path_factory.mktemp("ci")
    done = run(folder, "true", **{name.replace(" ", "_"): code for name, code in SKIPS.items()})
    assert done.returncode in (1, 2), done.stdout
    cases = ElementTree.parse(folder / "report.xml").iter("testcase")
    return {
        f"{case.get('classname')}{case.get('name')}": fault.get("message", "") + (fault.text or "")
        for case in cases
        for fault in (*case.iter("failure"), *case.iter("error"))
    }


@pytest.mark.parametrize("how", sorted(SKIPS))
def test_a_skip_fails_in_ci(how: str, in_ci: dict[str, str]) -> None:
    (text,) = (text for name, text in in_ci.items() if f"test_{how.replace(' ', '_')}" in name)
    assert "which CI does not allow" in text


def test_a_skip_is_none_elsewhere(tmp_path: Path) -> None:
    codes = {name.replace(" ", "_"): code for name, code in SKIPS.items()}
    done = run(tmp_path, "", **codes)
    assert done.returncode == 0, done.stdout


def test_a_pass_passes(tmp_path: Path) -> None:
    assert run(tmp_path, "true", one=PASSES).returncode == 0


def test_absent_data_fail_and_say_what_to_do(tmp_path: Path) -> None:
    failed = run(tmp_path, "true", one="def test_it(shared):\n    assert shared\n")
    assert failed.returncode == 1
    assert "put it beside the repository or name it in GPFN_SHARED" in failed.stdout


def test_no_folder_of_tests_is_passed_over(pytestconfig: pytest.Config) -> None:
    """Pytest's own default has `build` among what is passed over, and says nothing of it."""
    patterns = pytestconfig.getini("norecursedirs")
    folders = {path.parent.relative_to(ROOT) for path in (ROOT / "tests").rglob("test_*.py")}
    for folder in folders:
        for part in folder.parts:
            assert not any(fnmatch(part, pattern) for pattern in patterns), folder
