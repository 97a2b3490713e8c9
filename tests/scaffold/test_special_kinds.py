"""Folders of the kinds rows and image answer their samples, on every platform and in pytest."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gpfn.cli.main import main
from gpfn.hosts.host import Invocation, StartedFunction, make_host
from gpfn.hosts.target import find_target
from tests.scaffold.making import SPECIAL

PLATFORMS = ("fn", "fdk", "openwhisk", "http")


@pytest.mark.parametrize("name", SPECIAL)
def test_it_works_at_once(special: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["init", f"f-{name}", *SPECIAL[name]]) == 0
    folder = Path(f"f-{name}")
    sample = (folder / "sample.json").read_bytes()
    answers = []
    for platform in PLATFORMS:
        with StartedFunction(make_host(platform, find_target(str(folder)))) as running:
            answer = running.call(Invocation(sample, "text/plain"))
        assert not answer.failed, (platform, answer.body)
        answers.append(json.loads(answer.body)["data"])
    assert answers == [answers[0]] * len(PLATFORMS)
    code = [str(folder / "func.py"), str(folder / "test_func.py")]
    ruff = [sys.executable, "-m", "ruff"]
    subprocess.run([*ruff, "check", "--isolated", *code], check=True)
    subprocess.run(
        [*ruff, "format", "--isolated", "--check", "--line-length=100", *code], check=True
    )
    pytest_ = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio"]
    done = subprocess.run([*pytest_, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    capfd.readouterr()
    main(["doctor", str(folder)])
    assert "fails" not in capfd.readouterr().out
