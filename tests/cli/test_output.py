"""What commands print: printable, all of it written, or one line and exit code 1."""

import io
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from gpfn.cli.invoke import _print_body
from gpfn.cli.main import main
from gpfn.cli.output import command_streams

GPFN = str(Path(sys.executable).parent / "gpfn")
FULL, CLOSED = "No space left on device", "Bad file descriptor"
COMMANDS = [
    "--version",
    "--help",
    "models list",
    "models list --json",
    "models show forecast",
    "serve --help",
    "serve --version",
    "run --help",
    "run http --help",
    "invoke --help",
    "build functions/forecast --print",
]


def shell(line: str) -> "subprocess.CompletedProcess[str]":
    """Run a line of bash in which $GPFN is the command."""
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"],
        env={"GPFN": GPFN, "PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_output_that_cannot_be_written_is_one_line(command: str) -> None:
    for redirection, reason in ((">/dev/full", FULL), (">&-", CLOSED)):
        done = shell(f"$GPFN {command} {redirection}")
        assert done.stderr == f"gpfn: cannot write standard output: {reason}\n"
        assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.parametrize("command", COMMANDS)
def test_nobody_left_to_tell(command: str) -> None:
    done = shell(f"$GPFN {command} | :")
    assert done.stderr == ""
    for redirection in (">/dev/full 2>/dev/full", ">&- 2>&-"):
        done = shell(f"$GPFN {command} {redirection}")
        assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def test_a_failure_keeps_its_own_code_and_line() -> None:
    for redirection in (">/dev/full", ">&-", "| :"):
        done = shell(f"$GPFN nosuch {redirection}")
        assert done.returncode == 2
        assert done.stderr.startswith("gpfn: no command 'nosuch'")
    assert shell("$GPFN models show nosuch >/dev/full 2>/dev/full").returncode == 1


def test_no_file_takes_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    """The log of a server is written to number 2, whatever that is."""
    code = (
        "import os, sys; from gpfn.cli.main import main; main(['--version']);"
        "numbers = [os.path.realpath(f'/proc/self/fd/{n}') for n in range(3)];"
        f"open({str(tmp_path / 'found')!r}, 'w').write(' '.join(numbers))"
    )
    shell(f"{sys.executable} -c {shlex.quote(code)} <&- >&- 2>&-")
    assert (tmp_path / "found").read_text() == "/dev/null /dev/null /dev/null"


HOSTILE = "a\x1b[31m\x9b1m\x07\x7f\r\u202eb\u2028\U000e0001\ud800"


def test_what_is_printed_is_printable(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stdout, sys.stderr
    with command_streams():
        print(HOSTILE, "ü\tü😀")
        print(json.dumps({"a": HOSTILE[:-1]}, ensure_ascii=False))
        print(HOSTILE, file=sys.stderr)
    assert (sys.stdout, sys.stderr) == before
    out, err = capsys.readouterr()
    first, second, *rest = out.split("\n")
    escapes = r"a\u001b[31m\u009b1m\u0007\u007f\u000d\u202eb\u2028\udb40\udc01\ud800"
    assert first == f"{escapes} ü\tü😀"
    assert json.loads(second)["a"] == HOSTILE[:-1]
    assert rest == [""]
    assert err == f"{escapes}\n"


def test_a_failures_text_is_printable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "func.py").write_text("raise ValueError('\\x1b[31mred')")
    assert main(["doctor", str(tmp_path / "\x1b[2J")]) == 1
    assert main(["run", "fn", str(tmp_path / "func.py")]) == 1
    assert "\x1b" not in "".join(capsys.readouterr())


class Terminal(io.TextIOWrapper):
    """Says that it is one."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("kind", [io.TextIOWrapper, Terminal])
def test_a_reply_comes_as_it_is_except_to_a_terminal(
    kind: type[io.TextIOWrapper], monkeypatch: pytest.MonkeyPatch
) -> None:
    body = b"\x89PNG\x1b[2J\xff\n"
    monkeypatch.setattr("sys.stdout", kind(written := io.BytesIO(), encoding="utf-8"))
    with command_streams():
        print("before")
        _print_body(body, failed=False)
    shown = b"\\x89PNG\\u001b[2J\\xff\n" if kind is Terminal else body
    assert written.getvalue() == b"before\n" + shown


def test_an_encoding_that_lacks_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written := io.BytesIO(), encoding="ascii"))
    with command_streams():
        print("n ü")
    assert written.getvalue() == b"n \\xfc\n"
