"""``gpfn pipeline up``: one log, a table on a terminal, restarts, and nobody left at its end."""

import fcntl
import json
import os
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from gpfn.errors import GpfnError
from gpfn.graphpipe.client import Client
from gpfn.pipelines.asking import is_listening
from tests.cli.serving import clean_environ
from tests.pipelines.toy import alive, toy_file, write_pipeline

TABLE = np.array([[0, 1], [2, 3]], np.float32)
COMMAND = [sys.executable, "-m", "gpfn.cli.main", "pipeline", "up"]
PID = re.compile(r"^(\w+) +\* starts as process (\d+)$", re.MULTILINE)
_SECONDS = 20.0


class Up:
    """The running command, and what it has printed so far."""

    def __init__(self, process: subprocess.Popen[bytes], output: int) -> None:
        self.process = process
        self.printed = ""
        self._output = output
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        with suppress(OSError):  # the other end of a terminal is closed
            while data := os.read(self._output, 65536):
                self.printed += data.decode(errors="replace").replace("\r\n", "\n")
        os.close(self._output)

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait until it has printed what fits."""
        until = time.monotonic() + _SECONDS
        while not (found := re.search(pattern, self.printed, re.MULTILINE)):
            assert time.monotonic() < until, self.printed
            time.sleep(0.01)
        return found

    def end(self, number: int = signal.SIGINT) -> int:
        """Send it a signal; returns its exit code once it has ended."""
        self.process.send_signal(number)
        code = self.process.wait(20)
        self._reader.join()
        return code

    @property
    def pids(self) -> dict[str, int]:
        """The last process of each stage."""
        return {name: int(pid) for name, pid in PID.findall(self.printed)}


@contextmanager
def up(file: Path, *options: str, terminal: bool = False) -> Iterator[Up]:
    ours, theirs = os.openpty() if terminal else os.pipe()
    if terminal:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 110, 0, 0))
    environ = clean_environ(TERM="xterm")
    process = subprocess.Popen(
        [*COMMAND, str(file), *options], stdout=theirs, stderr=theirs, env=environ
    )
    os.close(theirs)
    running = Up(process, ours)
    try:
        yield running
    finally:
        process.kill()
        process.wait()


def ends(done: Callable[[], bool]) -> bool:
    until = time.monotonic() + 5
    while not done() and time.monotonic() < until:
        time.sleep(0.01)
    return done()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_log_and_an_orderly_end(number: int, tmp_path: Path) -> None:
    file, first, second = toy_file(tmp_path, "server")
    with up(file) as running:
        running.wait_for(r"^multiply \* ready at ")
        with Client(f"http://127.0.0.1:{first}") as client:
            assert client.infer(TABLE)[0].tolist() == [[1, 3], [5, 7]]
        assert running.end(number) == 0
    assert not any(map(alive, running.pids.values()))
    assert not any(is_listening(f"http://127.0.0.1:{port}") for port in (first, second))
    lines = running.printed.splitlines()
    told = f"2 stages start; then type: gpfn predict http://127.0.0.1:{first} --input FILE"
    assert lines[0] == told
    assert all(re.match(r"(multiply|add     ) [|*] \S", line) for line in lines[1:])
    assert re.search(r"^add      \| 20\S+Z info serve add listening on ", running.printed, re.M)
    ended = [line for line in lines if line.endswith("* it ended with exit code 0")]
    assert [line.split()[0] for line in ended] == ["multiply", "add"]
    assert "\x1b" not in running.printed


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("client", "gpfn pipeline run .*toy.pipeline.toml --input FILE"),
        ("hybrid", "gpfn pipeline run"),
    ],
)
def test_it_says_what_to_type_next(place: str, says: str, tmp_path: Path) -> None:
    file, *_ = toy_file(tmp_path)
    with up(file, "--place", place) as running:
        running.wait_for(f"^2 stages start; then type: {says}")
        assert running.end() == 0  # while they start


def test_a_pipeline_that_downloads_is_typed_as_classy(tmp_path: Path) -> None:
    _, first, second = toy_file(tmp_path)
    source = "def f(x):\n    return x\n"
    (tmp_path / "m.py").write_text(source)
    names = {"download": first, "model": second}
    stages = {n: {"target": "./m.py:f", "listen": f"127.0.0.1:{p}"} for n, p in names.items()}
    with up(write_pipeline(tmp_path, stages), "--place", "hybrid") as running:
        at, to = (f"http://127.0.0.1:{port}" for port in (first, second))
        running.wait_for(f"^2 stages start; then type: gpfn classy IMAGE… --at {at} --next '{to}'$")
        assert running.end(signal.SIGTERM) == 0


def test_a_stage_that_is_killed_is_back_with_the_reason(tmp_path: Path) -> None:
    file, first, _ = toy_file(tmp_path, "server")
    with up(file) as running, Client(f"http://127.0.0.1:{first}") as client:
        running.wait_for(r"^multiply \* ready at ")
        client.infer(TABLE)
        killed = running.pids
        os.kill(killed["add"], signal.SIGKILL)
        running.wait_for(r"^add      \* it was ended by SIGKILL; it starts again in 0\.2 s$")
        running.wait_for(r"(?s)starts again.*^add      \* ready at ")
        assert answers_within(client, 1.0)
        assert running.pids["multiply"] == killed["multiply"]
        assert running.pids["add"] != killed["add"]
        assert running.end() == 0


def answers_within(client: Client, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            return bool(client.infer(TABLE)[0].tolist() == [[1, 3], [5, 7]])
        except GpfnError:
            time.sleep(0.01)
    return False


def test_when_it_is_killed_itself_nobody_is_left(tmp_path: Path) -> None:
    file, first, _ = toy_file(tmp_path, "server")
    with up(file) as running:
        running.wait_for(r"^multiply \* ready at ")
        assert running.end(signal.SIGKILL) == -signal.SIGKILL
    assert ends(lambda: not any(map(alive, running.pids.values())))
    assert ends(lambda: not is_listening(f"http://127.0.0.1:{first}"))


def test_a_stage_that_cannot_begin_ends_all(tmp_path: Path) -> None:
    file, *_ = toy_file(tmp_path, "server", multiply=tmp_path / "absent.py:f")
    with up(file) as running:
        assert running.process.wait(20) == 1
        running.wait_for(r"^gpfn: stages\.multiply: it ended with exit code 1: .*absent\.py")
    assert ends(lambda: not any(map(alive, running.pids.values())))


def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import time\n\ndef f(x):\n    time.sleep(30)\n")
    file, first, _ = toy_file(tmp_path, multiply=tmp_path / "slow.py:f")
    with up(file) as running:
        running.wait_for(r"^multiply \* ready at ")
        asking = threading.Thread(target=fails, args=(first,))
        asking.start()
        time.sleep(0.3)
        running.process.send_signal(signal.SIGINT)
        running.wait_for(r"^multiply \* is to end$")
        began = time.monotonic()
        assert running.end() == 0
        assert time.monotonic() - began < 3
        asking.join()
    assert "multiply * it was ended by SIGKILL" in running.printed


def fails(port: int) -> None:
    with Client(f"http://127.0.0.1:{port}") as client, pytest.raises(GpfnError):
        client.infer(TABLE)


def test_lines_for_machines(tmp_path: Path) -> None:
    file, first, _ = toy_file(tmp_path, "server")
    with up(file, "--json") as running:
        running.wait_for(r'"figures".*"ready".*"ready"')
        assert running.end() == 0
    records = [json.loads(line) for line in running.printed.splitlines()]
    assert {record["event"] for record in records} == {"said", "log", "state", "figures"}
    states = [(one["stage"], one["state"]) for one in records if one["event"] == "state"]
    assert states[:2] == [("add", "starting"), ("add", "ready")]
    assert states[-1] == ("add", "ended")
    figures = [one["stages"] for one in records if one["event"] == "figures"][-1]
    assert [one["stage"] for one in figures] == ["multiply", "add"]
    assert figures[0]["url"] == f"http://127.0.0.1:{first}"
    assert set(figures[0]) >= {"state", "pid", "restarts", "ms"}


def plain(text: str) -> str:
    """Return what a terminal shows, without styles and movements."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_a_live_table_on_a_terminal(tmp_path: Path) -> None:
    file, first, second = toy_file(tmp_path, "server")
    with up(file, terminal=True) as running:
        running.wait_for(r"multiply \* ready at ")
        with Client(f"http://127.0.0.1:{first}") as client:
            for _ in range(3):
                client.infer(TABLE)
        table = (
            r"stage +address +state +calls +failed +ms +RSS +restarts *\n"
            rf"multiply +127\.0\.0\.1:{first} +ready +3 +0 +[0-9.]+ +[0-9.]+ MB +0 *\n"
            rf"add +127\.0\.0\.1:{second} +ready +3 +0 +[0-9.]+ +[0-9.]+ MB +0 *"
        )
        assert ends(lambda: re.search(table, plain(running.printed)) is not None), running.printed
        before = len(running.printed)
        time.sleep(1.0)  # nothing happens: nothing but the time since the calls is drawn
        assert len(running.printed) - before < 5000
        assert running.end() == 0
    assert "\x1b[32mready" in running.printed
    assert running.printed.count("\x1b[?25l") == running.printed.count("\x1b[?25h")
    assert "multiply * it ended with exit code 0" in plain(running.printed)


def test_a_log_alone_on_a_terminal(tmp_path: Path) -> None:
    file, *_ = toy_file(tmp_path, "server")
    with up(file, "--log-only", terminal=True) as running:
        running.wait_for(r"^multiply \* ready at ")
        assert running.end() == 0
    assert "restarts" not in running.printed
    assert "\x1b" not in running.printed
