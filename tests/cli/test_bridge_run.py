"""``gpfn bridge run`` as a process: what is shown of what begins, and of what cannot."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

FUNCTION = 'from gpfn import Function\nhandler = Function(lambda event: 1, takes="event").fn\n'
ROUTE = '[[route]]\ncall = "func.py"\nreply = { topic = "out.jsonl" }\n'
EVENT = '{"specversion":"1.0","id":"1","source":"/s","type":"t"}\n'
COMMAND = (sys.executable, "-m", "gpfn", "bridge", "run", "bridge.toml")

CANNOT = {
    "a file that is not there": ('[source]\nfile = "none.jsonl"\n', "none.jsonl: cannot be read"),
    "a queue that cannot be": (
        '[source]\nqueue = "/proc/none/q.db"\ntopics = ["a"]\n',
        "/proc/none/q.db: cannot be made",
    ),
    "a server that is away": (
        '[source]\nnats = "nats://127.0.0.1:9"\ntopics = ["a"]\n',
        "sink.nats: 127.0.0.1:9",
    ),
    "a sink that cannot be": (
        '[source]\nfile = "in.jsonl"\n[dead-letter]\ntopic = "/proc/none/x"\n',
        "/proc/none/x: cannot be written to",
    ),
}


def written(folder: Path, source: str) -> Path:
    (folder / "func.py").write_text(FUNCTION)
    (folder / "in.jsonl").write_text(EVENT)
    (folder / "bridge.toml").write_text(source + ROUTE)
    return folder


@pytest.mark.parametrize("options", [(), ("--json",)])
@pytest.mark.parametrize("name", CANNOT)
def test_a_start_that_fails_is_one_line(
    tmp_path: Path, name: str, options: tuple[str, ...]
) -> None:
    source, told = CANNOT[name]
    folder = written(tmp_path, source)
    run = subprocess.run(
        [*COMMAND, *options], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 1
    assert run.stdout == ""
    (line,) = run.stderr.splitlines()
    field, _, detail = told.partition(": ")
    if options:
        error = json.loads(line)["error"]
        line = f"gpfn: {error['field']}: {error['detail']}"
    assert line.startswith(f"gpfn: {field}: {detail}")


def test_what_begins_tells_what_it_did(tmp_path: Path) -> None:
    folder = written(tmp_path, '[source]\nfile = "in.jsonl"\n')
    run = subprocess.run(
        COMMAND, cwd=folder, capture_output=True, text=True, timeout=60, check=True
    )
    assert run.stdout.startswith("received 1  lag 0  in flight 0  replied 1  retries 0")


@pytest.mark.parametrize(("file", "code"), [("none.jsonl", 1), ("in.jsonl", 0)])
def test_a_terminal_has_a_table_of_what_began_alone(tmp_path: Path, file: str, code: int) -> None:
    folder = written(tmp_path, f'[source]\nfile = "{file}"\n')
    ours, theirs = pty.openpty()
    environ = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120"}
    run = subprocess.run(
        COMMAND, cwd=folder, stdout=theirs, stderr=subprocess.PIPE, env=environ, timeout=60,
        check=False,
    )  # fmt: skip
    os.set_blocking(ours, False)
    try:
        shown = os.read(ours, 1 << 16)
    except BlockingIOError:
        shown = b""
    os.close(theirs)
    os.close(ours)
    assert run.returncode == code
    assert (b"received 1" in shown) == (not code)
    assert (shown == b"") == bool(code)
    assert len(run.stderr.splitlines()) == code
