"""The dispatcher: table, help, suggestions, exit codes, and what it does not load."""

import re
import signal
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

import pytest

import gpfn
from gpfn.cli.commands import COMMANDS, parser_of
from gpfn.cli.main import main

GPFN = str(Path(sys.executable).parent / "gpfn")


def gpfn_(*words: str, **more: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [GPFN, *words],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
        **more,  # type: ignore[call-overload]
    )


def test_version() -> None:
    assert gpfn_("--version").stdout == f"gpfn {gpfn.__version__}\n"
    assert main(["-V"]) == 0


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"], []])
def test_the_overview_lists_every_command(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == (0 if words else 2)
    out = capsys.readouterr().out
    for name in COMMANDS:
        assert re.search(rf"^  {name} +\S", out, re.MULTILINE), name
        assert f"gpfn {name}" in out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_what_the_table_needs(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    module = import_module(COMMANDS[name])
    assert "\n" not in module.SUMMARY
    assert len(module.SUMMARY) < 90
    assert parser_of(name, module).prog == f"gpfn {name}"
    assert main([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "examples:\n  " in shown
    for line in shown.partition("examples:\n")[2].splitlines():
        assert f"gpfn {name}" in line


def test_help_of_a_command_both_ways(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "run"]) == 0
    assert "usage: gpfn run" in capsys.readouterr().out


def test_an_unknown_command_is_guessed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["invke"]) == 2
    assert capsys.readouterr().err == "gpfn: no command 'invke'; did you mean invoke?\n"
    assert main(["qqq"]) == 2
    assert "commands: " in capsys.readouterr().err


def test_wrong_usage_is_2_and_a_failure_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["invoke"]) == 2
    assert main(["invoke", "--platfrm", "x"]) == 2
    assert main(["run", "fn"]) == 2
    assert main(["run", "http", "f.py", "--port", "70000"]) == 2
    capsys.readouterr()
    assert main(["invoke", "/absent", "--data", "/dev/null"]) == 1
    assert capsys.readouterr().err == (
        "gpfn: /absent: no such function: expected a folder, a func.py or a func.yaml\n"
    )


def test_errors_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["invoke", "/absent", "--json", "--data", "/dev/null"]) == 1
    assert '"type": "setup-error"' in capsys.readouterr().err


def test_python_m_gpfn() -> None:
    run = subprocess.run([sys.executable, "-m", "gpfn", "-V"], capture_output=True, check=True)
    assert run.stdout.startswith(b"gpfn ")


def test_a_reader_who_has_seen_enough() -> None:
    process = subprocess.Popen([GPFN, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(20) in (0, 1)
    process.stderr.close()


def test_run_fn_loads_no_argparse(tmp_path: Path) -> None:
    """The fast path: what a container starts, up to the function's own file."""
    heavy = ("argparse", "json", "dataclasses", "logging", "inspect", "asyncio", "numpy")
    file = tmp_path / "func.py"
    file.write_text(
        f"import sys\nprint('loaded', *[m for m in {heavy!r} if m in sys.modules])\nsys.exit(7)\n"
    )
    with tempfile.TemporaryDirectory(prefix="t-") as folder:
        environ = {"FN_LISTENER": f"unix:{folder}/lsnr.sock", "FN_FORMAT": "http-stream"}
        fast = gpfn_("run", "fn", str(file), env=environ)
        slow = gpfn_("run", "fn", str(file), "--", env=environ)
    assert fast.stdout == "loaded\n"
    assert fast.returncode == 1
    assert "SystemExit: 7 (line 3)" in fast.stderr
    assert "argparse" in slow.stdout


def test_a_file_that_cannot_be_loaded_is_traced_once(tmp_path: Path) -> None:
    file = tmp_path / "func.py"
    file.write_text("import absent_module\n")
    with tempfile.TemporaryDirectory(prefix="t-") as folder:
        environ = {"FN_LISTENER": f"unix:{folder}/lsnr.sock", "FN_FORMAT": "http-stream"}
        run = gpfn_("run", "fn", str(file), env=environ)
    assert run.returncode == 1
    assert run.stderr.count("ModuleNotFoundError: No module named") <= 3
    assert f"Z error cli - {file}: cannot be imported" in run.stderr.splitlines()[-1]
    assert all(re.match(r"20\S+Z error (fn|cli) ", line) for line in run.stderr.splitlines())


@pytest.mark.parametrize("platform", ["fn", "http"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_runner_ends_cleanly(platform: str, number: signal.Signals, tmp_path: Path) -> None:
    file = tmp_path / "func.py"
    file.write_text("from gpfn import Function\nhandler = Function(lambda p: p, takes='payload')\n")
    with tempfile.TemporaryDirectory(prefix="t-") as folder:
        environ = {"FN_LISTENER": f"unix:{folder}/lsnr.sock", "FN_FORMAT": "http-stream"}
        port = ["--port", "0"] if platform == "http" else []
        process = subprocess.Popen(
            [GPFN, "run", platform, str(file), *port], env=environ, stderr=subprocess.PIPE
        )
        assert process.stderr is not None
        try:
            while b"listening on" not in process.stderr.readline():
                assert process.poll() is None
            time.sleep(0.05)
            process.send_signal(number)
            assert process.wait(20) == 0
            assert list(Path(folder).iterdir()) == []
        finally:
            process.kill()
            process.wait()
            process.stderr.close()
