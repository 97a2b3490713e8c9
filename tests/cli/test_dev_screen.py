"""What gpfn dev prints: on a terminal, into a file, as JSON lines, and to nobody."""

import io
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gpfn.cli.dev_screen import DevScreen
from gpfn.cli.main import main
from gpfn.local.calls import CallBody, CallRecord, RunningCall
from gpfn.local.folders import survey_folder
from gpfn.local.service import DevServing
from tests.conftest import ROOT
from tests.local.dev_process import write_function
from tests.local.test_shown import RECORD, URLS

SERVING = DevServing("demo", *URLS, survey_folder(ROOT / "functions").functions)
FAILED = RECORD._replace(
    cold=False,
    status=502,
    failure="crashed",
    detail="ended by signal 9",
    log=((0.0, "stderr", "the last\x1b[31m line"),),
)


def printed(
    capsys: pytest.CaptureFixture[str], *calls: CallRecord | RunningCall, as_json: bool = False
) -> list[str]:
    with DevScreen(as_json=as_json, key="KEY") as screen:
        screen.began(SERVING)
        screen.say("add: changed")
        for call in calls:
            screen.call(call)
    return capsys.readouterr().out.splitlines()


def test_lines_for_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    running = RunningCall(*RECORD[:7])
    lines = printed(capsys, running, RECORD, FAILED)
    assert lines[0] == f"Fn at {URLS[0]}, the console at {URLS[0]}/ui"
    assert lines[1] == f"OpenWhisk at {URLS[1]}, its key KEY"
    assert lines[2].startswith("app demo: add, classify, ")
    assert lines[3] == "type next:"
    assert lines[7] == "or with gpfn alone:"
    said = lines.index("add: changed")
    head, first, second, *trouble = lines[said + 1 :]
    assert head.split() == [
        "time", "function", "caller", "via", "wait", "start", "init", "run", "ms", "status",
    ]  # fmt: skip
    assert first.split()[1:] == [
        "add", "curl", "trigger", "/t/demo/add", "cold", "-", "312.5", "-", "1.5", "314.0", "200",
    ]  # fmt: skip
    assert len(first) == len(second) == len(head)
    assert trouble[0] == "    crashed: ended by signal 9"
    assert trouble[1].startswith("    the last")


def test_no_text_of_a_call_looks_like_another_call(capsys: pytest.CaptureFixture[str]) -> None:
    fake = "x\n00:00:00 fake\r\x1b[2K"
    reply = CallBody("text/plain", fake.encode(), len(fake))
    failed = RECORD._replace(
        via=f"trigger /t/demo/{fake}", status=502, reply=reply, log=((0.0, "stdout", fake),)
    )
    lines = printed(capsys, failed)
    _, row, *trouble = lines[lines.index("add: changed") + 1 :]
    assert r"trigger /t/demo/x\n00:00:00 fake\r\x1b[2K" in row
    assert len(trouble) == 4
    assert all(line.startswith("    ") and line.isprintable() for line in trouble)


def test_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    events = [json.loads(line) for line in printed(capsys, RECORD, as_json=True)]
    assert [event["event"] for event in events] == ["serving", "said", "call"]
    assert events[0]["fn"] == URLS[0]
    assert len(events[0]["next"]) == 3
    assert events[2]["ms"]["start"] == 312.5


def test_nobody_reads_and_nothing_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    class Held(io.StringIO):
        """A pipe that is full until somebody reads."""

        def write(self, text: str) -> int:
            read.wait(30)
            return super().write(text)

    held, read = Held(), threading.Event()
    monkeypatch.setattr(sys, "stdout", held)
    with DevScreen(as_json=True, key="KEY") as screen:
        began = time.monotonic()
        for _ in range(8000):
            screen.call(RECORD)
        assert time.monotonic() - began < 2.0
        read.set()
        until = time.monotonic() + 30
        while held.getvalue().count("\n") < 5001 and time.monotonic() < until:
            time.sleep(0.01)
    told = [line for line in held.getvalue().splitlines() if "are not shown" in line]
    assert sum(int(json.loads(line)["text"].split()[0]) for line in told) in (2999, 3000)


def test_a_column_of_a_narrow_terminal_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "80")
    with DevScreen(as_json=False, key="KEY") as screen:
        screen.call(RECORD)
    lines = [
        line for line in re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue()).splitlines() if line
    ]
    assert [line.split() for line in lines] == [
        ["time", "function", "caller", "start", "run", "ms", "status"],
        [lines[1].split()[0], "add", "curl", "cold", "312.5", "1.5", "314.0", "200"],
    ]
    assert max(map(len, lines)) <= 80


def test_two_servers_on_one_port_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
    words = ["dev", str(ROOT / "functions"), "--memory", "--fn-port", port]
    assert main([*words, "--openwhisk-port", port]) == 2
    told = f"--fn-port and --openwhisk-port are both {port}; give each one of its own"
    assert capsys.readouterr().err == f"gpfn dev: {told}\n"


def test_an_engine_that_is_not_there_is_told_at_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    words = ["dev", str(tmp_path), "--memory", "--fn-port", "0", "--openwhisk-port", "0"]
    assert main([*words, "--engine", "docker"]) == 1
    assert "gpfn: --engine: docker is not installed; " in capsys.readouterr().err


def test_a_terminal_shows_a_table_in_colours(tmp_path: Path) -> None:
    write_function(tmp_path / "a", 1)
    ours, theirs = pty.openpty()
    ports = ["--fn-port", "0", "--openwhisk-port", "0", "--memory"]
    process = subprocess.Popen(
        [sys.executable, "-m", "gpfn", "dev", str(tmp_path), *ports],
        stdout=theirs, stderr=subprocess.DEVNULL, env={**os.environ, "TERM": "xterm-256color"},
    )  # fmt: skip
    os.close(theirs)
    text = ""
    try:
        while "gpfn invoke --at" not in text or "/t/" not in text.rpartition("--at")[2]:
            text += os.read(ours, 4096).decode()
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
        os.close(ours)
    assert process.returncode == 0
    assert "type next:" in text
    assert f"app {tmp_path.name}"[:12] in text
