"""The table of platforms: every row leads somewhere, and a row may come from outside."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpfn.errors import SetupError
from gpfn.platforms.row import Platform
from gpfn.platforms.table import PLATFORMS, find_platform, load_attribute, platforms_with
from tests.conftest import ROOT

GPFN = str(Path(sys.executable).parent / "gpfn")
REFERENCES = [
    (row.name, reference)
    for row in PLATFORMS.values()
    for reference in (
        row.runner,
        row.host,
        row.container,
        *((row.suite.starter, *row.suite.checks) if row.suite else ()),
    )
    if reference
]


@pytest.mark.parametrize(("name", "reference"), REFERENCES)
def test_what_a_row_names_is_there(name: str, reference: str) -> None:
    assert load_attribute(reference) is not None


def test_every_platform_has_its_folder_and_is_in_the_docs() -> None:
    for row in platforms_with("runner"):
        assert (ROOT / "src" / "gpfn" / "platforms" / row.name / "runner.py").is_file()
    for row in platforms_with("image"):
        assert (ROOT / "runtimes" / row.name / "Dockerfile").is_file()
        assert f"\n| `{row.name}` |" in (ROOT / "docs" / "images.md").read_text()
    for row in platforms_with("host"):
        assert f"\n| `{row.name}` " in (ROOT / "docs" / "invoke.md").read_text()


def test_a_name_that_is_not_known_is_told_with_those_that_are() -> None:
    with pytest.raises(SetupError, match="platform: expected one of fn, http, openwhisk, got 'fd"):
        find_platform("fdk", "runner")
    with pytest.raises(SetupError, match="got 'lambda'"):
        find_platform("lambda", "host")


def test_an_old_name_is_still_known() -> None:
    assert find_platform("graphpipe", "image") is PLATFORMS["server"]
    formerly = {row.formerly for row in PLATFORMS.values()} - {""}
    assert not formerly & set(PLATFORMS)


def test_a_known_name_asks_no_entry_points() -> None:
    code = (
        "import sys\nfrom gpfn.platforms.table import find_platform\n"
        "find_platform('fn', 'host')\n"
        "print(*(name for name in sys.modules if name.startswith(('gpfn.', 'importlib.meta'))))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(run.stdout.split()) == {
        "gpfn.errors",
        "gpfn.hidden",
        "gpfn.platforms",
        "gpfn.platforms.row",
        "gpfn.platforms.table",
    }


ROW = """
from gpfn.platforms.row import Platform

ROW = Platform(
    "toy",
    "Toy",
    "a toy",
    runner="toyplatform.runner:main",
    runner_help="that reads one line and writes one",
    handler="toy",
    host="toyplatform.host:ToyHost",
)
NOT_A_ROW = "toy"
"""

RUNNER = """
import sys
from gpfn.call.contract import Call
from gpfn.deadline import Deadline
from gpfn.platforms.load import load_function
from gpfn.message import Message


def main(path, name):
    function = load_function(path, (name,))
    message = Message(sys.stdin.buffer.read(), "application/json")
    reply = function.answer(message, Call("1", Deadline.after(9), "toy"))
    sys.stdout.buffer.write(bytes(reply.message.body))
    return 0
"""

HOST = """
import subprocess
from gpfn.hosts.host import InvocationResult


class ToyHost:
    def __init__(self, target):
        self.target = target

    def start(self):
        return 0.0

    def call(self, request):
        command = ["gpfn", "run", "toy", str(self.target.file)]
        run = subprocess.run(command, input=request.body, capture_output=True, check=True)
        return InvocationResult(200, run.stdout)

    def stop(self):
        pass

    def log(self):
        return ""

    def memory(self):
        return 0
"""

FUNCTION = """
from gpfn import Function

toy = Function(lambda message: bytes(message.body)[::-1], takes="message")
"""


@pytest.fixture
def outside(tmp_path: Path) -> dict[str, str]:
    """An installed package with a platform, and a function; returns the environment."""
    package, info = tmp_path / "toyplatform", tmp_path / "toyplatform-1.0.dist-info"
    package.mkdir()
    info.mkdir()
    for name, text in (("__init__", ""), ("row", ROW), ("runner", RUNNER), ("host", HOST)):
        (package / f"{name}.py").write_text(text)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toyplatform\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[gpfn.platforms]\ntoy = toyplatform.row:ROW\nbad = toyplatform.row:NOT_A_ROW\n"
    )
    (tmp_path / "func.py").write_text(FUNCTION)
    path = os.pathsep.join([str(Path(GPFN).parent), os.environ["PATH"]])
    return {**os.environ, "PYTHONPATH": str(tmp_path), "PATH": path}


def gpfn(*words: str, **more: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [GPFN, *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **more,  # type: ignore[call-overload]
    )


def test_a_platform_of_another_package_is_run_and_invoked(
    tmp_path: Path, outside: dict[str, str]
) -> None:
    func = str(tmp_path / "func.py")
    run = gpfn("run", "toy", func, input="abc", env=outside)
    assert (run.returncode, run.stdout) == (0, "cba"), run.stderr
    run = gpfn("run", "toy", "--help", env=outside)
    assert "Serve a function that reads one line and writes one." in run.stdout
    run = gpfn("invoke", func, "--platform", "toy", "--json", input="abc", env=outside)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["body"] == "cba"


def test_what_it_does_not_have_is_told(tmp_path: Path, outside: dict[str, str]) -> None:
    run = gpfn("build", str(tmp_path), "--platform", "toy", "--print", env=outside)
    assert run.returncode == 2
    assert "expected one of fn, http, openwhisk, server, got 'toy'" in run.stderr
    run = gpfn("invoke", str(tmp_path), "--platform", "bad", env=outside, input="")
    assert run.returncode == 2
    assert "toyplatform.row:NOT_A_ROW is no Platform called bad" in run.stderr
    run = gpfn("run", "nowhere", env=outside)
    assert run.returncode == 2
    assert "invalid choice: 'nowhere' (choose from" in run.stderr


def test_rows_are_values() -> None:
    assert all(isinstance(row, Platform) for row in PLATFORMS.values())
    assert [row.name for row in PLATFORMS.values()] == list(PLATFORMS)
