"""The two streams: whole lines, whole logs, and the sentinel once after each activation."""

import os
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.platforms.openwhisk.served import GPFN, Action, served

TALKING = """
import sys
def main(args):
    print('hello stdout')
    print('hello stderr', file=sys.stderr)
    return args
"""


@pytest.mark.parametrize(
    "call",
    ["sys.stdout.write('no end'); sys.stderr.write('no end')",
     "sys.stdout.buffer.write(b'no end'); sys.stderr.buffer.write(b'no end')",
     "sys.__stdout__.write('no end'); sys.__stderr__.write('no end')",
     "print('no end', end=''); print('no end', end='', file=sys.stderr)"],
)  # fmt: skip
def test_text_without_a_line_break_is_not_lost(tmp_path: Path, call: str) -> None:
    with served(tmp_path) as action:
        assert (
            action.init(f"import sys\ndef main(args):\n    {call}\n    return {{}}").status == 200
        )
        for _ in range(2):
            assert action.run().status == 200
        assert action.text(sentinels=2) == ("no end\n" * 2, "no end\n" * 2)


def test_text_of_a_thread_that_is_late(tmp_path: Path) -> None:
    code = """
import sys, threading, time
def late():
    for _ in range(300):
        sys.stdout.write("late")
        time.sleep(0.001)
def main(args):
    if args:
        threading.Thread(target=late).start()
    return {}
"""
    with served(tmp_path) as action:
        assert action.init(code).status == 200
        action.run({"a": 1})
        for _ in range(20):
            action.run()
            time.sleep(0.01)
        time.sleep(0.3)
        action.run()
        out, _ = action.text(sentinels=22)
        assert out.replace("\n", "") == "late" * 300


@pytest.mark.parametrize(
    "harm",
    ["sys.stdout = None; sys.stderr = None", "sys.stdout.close(); sys.stderr.close()",
     "sys.stdout.detach(); sys.stderr.detach()", "sys.stdout = io.StringIO()",
     "sys.stdout = io.TextIOWrapper(sys.stdout.buffer, 'ascii')", "sys.stdin.close()",
     "del os.environ['PATH']", "os.chdir('/')", "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
     "print(sys.stdin.read(), input.__name__)", "os.system('cat')"],
)  # fmt: skip
def test_harm_that_a_call_may_do(tmp_path: Path, harm: str) -> None:
    code = f"import io, os, signal, sys\ndef main(args):\n    {harm}\n    return args"
    with served(tmp_path) as action:
        assert action.init(code).status == 200
        first = action.run({"a": 1})
        assert first.status == 200
        assert action.run({"a": 2}).status == 200
        action.text(sentinels=2)


def test_child_processes_write_to_the_same_log(tmp_path: Path) -> None:
    code = """
import multiprocessing, os, subprocess
def child():
    print("forked")
def main(args):
    print("before")
    subprocess.run(["echo", "from a child"])
    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join()
    return {"exit": process.exitcode}
"""
    with served(tmp_path) as action:
        assert action.init(code).status == 200
        assert action.run().json() == {"exit": 0}
        assert action.text(sentinels=1) == ("before\nfrom a child\nforked\n", "")


def test_heavy_logging_arrives_whole(tmp_path: Path) -> None:
    code = "def main(args):\n    for n in range(20000):\n        print(n, 'x' * 80)\n    return {}"
    with served(tmp_path) as action:
        assert action.init(code).status == 200
        assert action.run().status == 200
        out, _ = action.text(sentinels=1)
        assert [line.split()[0] for line in out.splitlines()] == [str(n) for n in range(20000)]


def test_what_is_printed_while_importing_is_in_the_first_activations_log(tmp_path: Path) -> None:
    code = "import os\nprint('importing', os.getenv('X'))\ndef main(args):\n    return {}"
    with served(tmp_path) as action:
        assert action.init(code, env={"X": "xyz"}).status == 200
        assert action.text(sentinels=0) == ("importing xyz\n", "")
        action.run()
        assert action.text(sentinels=1) == ("importing xyz\n", "")


def test_the_log_is_never_in_the_way_of_an_answer(tmp_path: Path) -> None:
    """Nobody reads the pipes any more, as when a log driver has died."""
    port = free_port()
    read_out, write_out = os.pipe()
    popen = subprocess.Popen(
        [GPFN, "run", "openwhisk", "--host", "127.0.0.1", "--port", str(port)],
        stdout=write_out,
        stderr=write_out,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    os.close(write_out)
    try:
        action = Action(popen, port, tmp_path, tmp_path)
        until = time.monotonic() + 20
        while time.monotonic() < until:
            try:
                assert action.init(TALKING).status == 200
                break
            except ConnectionRefusedError:
                time.sleep(0.01)
        os.close(read_out)
        for number in range(3):
            assert action.run({"n": number}).json() == {"n": number}
    finally:
        popen.kill()
        popen.wait()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
