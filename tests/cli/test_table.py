"""Tables: plain and aligned where programs read them, by rich on a terminal."""

import io
import re
import subprocess
import sys

import pytest

from gpfn.cli.progress import DownloadProgress
from gpfn.cli.table import STYLES, print_marked, print_table, show_progress, table_text

ROWS = [("", "size"), ("a", "1"), ("long name", "100 MB")]


class Terminal(io.StringIO):
    """What says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_plain_columns_are_aligned() -> None:
    assert table_text(ROWS, right=(1,)) == (
        "             size\na               1\nlong name  100 MB"
    )
    assert table_text(ROWS) == "           size\na          1\nlong name  100 MB"
    assert table_text([]) == ""


def test_where_no_terminal_is_a_row_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(ROWS[1:], ROWS[0])
    assert capsys.readouterr().out == table_text(ROWS) + "\n"
    print_table([])
    print_table([("a", "b")], indent=2)
    assert capsys.readouterr().out == "  a  b\n"
    print_marked("pass  A1")
    assert capsys.readouterr().out == "pass  A1\n"
    stream = io.StringIO()
    print_table([("[red]", "x" * 500)], stream=stream)
    assert stream.getvalue() == f"[red]  {'x' * 500}\n"


def test_facts_stay_whole_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    stream = Terminal()
    print_table([("path", "x" * 500)], stream=stream)
    assert [line.split() for line in stream.getvalue().splitlines()] == [["path", "x" * 500]]
    stream = Terminal()
    print_table([("path", "x" * 500)], ("what", "which"), stream=stream)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue())
    assert max(map(len, shown.splitlines())) <= 40


def test_rich_is_not_loaded_for_plain_text() -> None:
    code = "from gpfn.cli.table import *\nimport sys\nprint_table([('a', 'b')])\n"
    run = subprocess.run(
        [sys.executable, "-c", f"{code}print('rich' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "a  b\nFalse\n"


def test_a_terminal_has_styles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    print_table([("fails", "[red] is text")], ("level", "text"), stream=stream)
    shown = stream.getvalue()
    assert "\x1b[1;31mfails\x1b[0m" in shown
    assert "[red] is text" in shown
    assert "level" in shown
    monkeypatch.setattr(sys, "stdout", Terminal())
    print_marked("FAIL  A1   a check")
    assert sys.stdout.getvalue().startswith("\x1b[1;31mFAIL\x1b[0m  A1   a check")
    assert {"pass", "FAIL", "warns", "fails"} <= set(STYLES)


def test_a_terminal_without_rich_has_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    stream = Terminal()
    print_table([("fails", "x")], stream=stream)
    assert stream.getvalue() == "fails  x\n"
    stream = Terminal()
    DownloadProgress(stream)("m.tflite", 1000, 1000)
    assert stream.getvalue() == "m.tflite  100 % of 1 kB\n"


def test_progress_is_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    with show_progress("cold") as progress:
        for done in range(1, 4):
            progress(done, 3)
    assert "cold" in sys.stderr.getvalue()
    assert "3/3" in sys.stderr.getvalue()
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with show_progress("cold") as progress:
        progress(1, 3)
    assert sys.stderr.getvalue() == ""
