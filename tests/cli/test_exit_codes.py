"""docs/commands.md has every command, and each keeps to the page's exit codes."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gpfn.cli.commands import COMMANDS, load_command
from gpfn.cli.main import main
from tests.cli.serving import serve
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
NOWHERE = "http://127.0.0.1:9"
FAILING = {
    "bench": [f"{NOWHERE}/v2/models/m"],
    "bridge": ["check", "absent.toml"],
    "build": ["absent"],
    "certify": ["unix:absent", "--only", "A4", "--timeout", "1"],
    "classy": ["absent.png"],
    "coldstart": ["absent"],
    "convert": ["absent.keras", "-o", "model.onnx"],
    "config": ["absent"],
    "demo": ["--function", "absent"],
    "deploy": ["fn", "absent"],
    "dev": ["absent"],
    "doctor": ["absent"],
    "image": ["params", "absent.png"],
    "init": ["own", "--from", "absent.onnx"],
    "invoke": ["absent"],
    "models": ["show", "absent"],
    "package": ["openwhisk", "absent", "-o", "out.zip"],
    "pipeline": ["show", "absent.pipeline.toml"],
    "predict": ["absent.onnx", "--row", "a=1"],
    "run": ["http", "absent.py"],
    "score": ["absent.onnx", "absent.csv", "-o", "out.csv"],
    "serve": ["--model", "absent.tflite", "--listen", "127.0.0.1:0"],
    "tfaas": ["--url", NOWHERE, "--models"],
    "tokens": ["list", "--file", "absent"],
    "train": ["digits", "--quick", "--out", "/dev/null/absent"],
}
"""What each command fails at; nothing makes ``completion`` fail but wrong usage."""


def test_the_page_has_every_command_with_its_summary() -> None:
    rows = re.findall(r"^\| \[`(\w+)`\]\(\S+\) \| (.*) \|$", PAGE, re.MULTILINE)
    assert dict(rows) == {name: load_command(name).SUMMARY for name in COMMANDS}


def test_the_page_has_the_codes() -> None:
    codes = re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)
    assert codes == ["0", "1", "2", "130", "143"]
    assert set(COMMANDS) == {*FAILING, "completion"}


@pytest.mark.parametrize("name", COMMANDS)
def test_0_is_done_and_2_is_wrong_usage(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    capsys.readouterr()
    assert main([name, "--no-such-option"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"usage: gpfn {name}")
    assert main(["help", name]) == 0


@pytest.mark.parametrize("name", FAILING)
def test_1_is_a_failure_that_is_told(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    shared: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GPFN_MODEL_MIRROR", str(shared / "data" / "models"))
    assert main([name, *FAILING[name]]) == 1
    assert "absent" in (told := "".join(capfd.readouterr())) or NOWHERE in told
    assert "Traceback" not in told
    assert list(tmp_path.iterdir()) == [], "nothing half-written"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_call(number: signal.Signals, code: int, tmp_path: Path) -> None:
    (tmp_path / "func.py").write_text(
        "import time\nfrom gpfn import Function\n"
        "def wait(_):\n    open('called', 'w').close()\n    time.sleep(60)\n"
        "handler = Function(wait, takes='payload')\n"
    )
    command = [sys.executable, "-m", "gpfn", "invoke", str(tmp_path), "--text", "x"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE)
    end = time.monotonic() + 30
    while not (tmp_path / "called").exists() and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(number)
    assert process.wait(20) == code
    assert process.stderr is not None
    process.stderr.close()


def test_a_server_that_is_told_to_stop_is_done(tmp_path: Path) -> None:
    with serve(tmp_path, "--model", str(ROOT / "models" / "forecast.tflite")) as served:
        assert served.stop() == 0
