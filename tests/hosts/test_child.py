"""A child process: waited for, read, and always ended."""

import os
import sys
import time
from pathlib import Path

import pytest

from gpfn.errors import BackendTimeout, SetupError
from gpfn.hosts.child import Child


def child(code: str) -> Child:
    return Child([sys.executable, "-u", "-c", code], Path.cwd(), os.environ)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_wait_read_and_stop() -> None:
    process = child("import time; print('ready', flush=True); time.sleep(60)")
    try:
        assert process.wait_until(lambda: "ready\n" in process.log(), 20) > 0
        assert process.memory() > 1e6
    finally:
        process.stop()
    assert gone(process.pid)
    assert process.log() == "ready\n"
    assert process.memory() == 0
    process.stop()


def test_one_that_ends_before_it_is_ready() -> None:
    process = child("import sys; sys.exit(3)")
    try:
        with pytest.raises(SetupError, match="ended with exit code 3 before it listened"):
            process.wait_until(lambda: False, 20)
    finally:
        process.stop()


def test_one_that_never_is_ready() -> None:
    process = child("import time; time.sleep(60)")
    try:
        with pytest.raises(BackendTimeout, match=r"within 0\.2 s"):
            process.wait_until(lambda: False, 0.2)
    finally:
        process.stop()
    assert gone(process.pid)


def test_one_that_ignores_sigterm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpfn.hosts.child._GRACE_SECONDS", 0.2)
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('on'); time.sleep(60)"
    process = child(code)
    process.wait_until(lambda: "on" in process.log(), 20)
    began = time.monotonic()
    process.stop()
    assert gone(process.pid)
    assert time.monotonic() - began < 10


def test_output_of_any_size_does_not_block() -> None:
    process = child("print('x' * 1_000_000); print('end')")
    try:
        process.wait_until(lambda: process.log().endswith("end\n"), 20)
        assert len(process.log()) == 1_000_005
    finally:
        process.stop()


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(SetupError, match="cannot start /absent"):
        Child(["/absent"], Path.cwd(), os.environ)
