"""Workers that die or stand still are replaced; others, and the innocent, are left alone."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.http.loop.running import reply

PROGRAM = Path(__file__).with_name("supervised.py")


class Told(NamedTuple):
    """What a worker says of itself and of the board."""

    pid: int
    changes: int
    costs: list[int]


class Supervised:
    """A supervisor with its workers, in a process of their own."""

    def __init__(self, workers: int, stall: float) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, PROGRAM, str(workers), str(stall)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.popen.stdout
        self.port = int(self.popen.stdout.readline())
        self.lost: list[str] = []
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self) -> None:
        assert self.popen.stdout
        self.lost += (line.strip() for line in iter(self.popen.stdout.readline, ""))

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def ask(self, target: str, sock: socket.socket | None = None) -> Told:
        with sock or self.connect() as asked:
            asked.sendall(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            status, _, body = reply(asked)
        assert status == 200
        pid, changes, costs = body.decode().split(" ", 2)
        return Told(int(pid), int(changes), [int(cost) for cost in costs[1:-1].split(", ")])

    def kill_one(self, target: str) -> None:
        """Ask for what has no answer."""
        with self.connect() as sock:
            sock.sendall(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            with suppress(ConnectionError):  # the connection goes with the process
                assert sock.recv(10) == b""

    def begin(self, target: str) -> None:
        with self.connect() as sock:
            sock.sendall(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            assert reply(sock)[2] == b"begun"

    def workers(self) -> set[int]:
        pid = self.popen.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return {int(child) for child in children.split()}

    def wait_for_lost(self, count: int) -> None:
        until = time.monotonic() + 20
        while len(self.lost) < count and time.monotonic() < until:
            time.sleep(0.01)
        assert len(self.lost) == count, self.lost

    def stop(self) -> str:
        self.popen.terminate()
        self.popen.wait(20)
        self.reader.join(20)
        assert self.popen.stderr
        with self.popen.stderr, self.popen.stdout:  # type: ignore[union-attr]
            return self.popen.stderr.read()


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def pipes_of(pid: int) -> set[str]:
    links = [os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()]
    return {link for link in links if link.startswith("pipe:")}


@contextmanager
def supervised(workers: int, stall: float = 1.0) -> Iterator[Supervised]:
    running = Supervised(workers, stall)
    try:
        running.ask("/pid")
        yield running
    finally:
        with suppress(ProcessLookupError):  # it has ended
            os.killpg(running.popen.pid, signal.SIGCONT)
        running.log = running.stop()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("path", "loss"),
    [
        ("/segv", "signal"),
        ("/abort", "signal"),
        ("/leave", "exit"),
        ("/spin", "stall"),
        ("/sleep", "stall"),
        ("/hold", "stall"),
    ],
)
def test_a_single_worker_is_replaced(path: str, loss: str) -> None:
    with supervised(1) as running:
        before = running.ask("/pid")
        began = time.monotonic()
        running.kill_one(f"{path}?3")
        ended = time.monotonic() - began
        after = running.ask("/pid")
        waited = time.monotonic() - began
        assert after.pid != before.pid
        assert waited < 2.0
        assert (ended > 0.75) == (loss == "stall")
        assert after.costs == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]
        assert after.changes == 1
        assert running.lost == [f"lost 0 {loss} [3]"]
        assert len(running.workers()) == 1
    assert ("has not turned" in running.log) == (loss == "stall")  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", ["/segv", "/spin"])
def test_the_other_worker_goes_on(path: str) -> None:
    with supervised(2) as running:
        until = time.monotonic() + 10
        told = {running.ask("/pid").pid for _ in range(20)}
        while len(told) < 2:
            assert time.monotonic() < until
            told.add(running.ask("/pid").pid)
        kept: dict[int, socket.socket] = {}
        while len(kept) < 2:  # a connection to each
            sock = running.connect()
            sock.sendall(b"GET /pid HTTP/1.1\r\nHost: a\r\n\r\n")
            pid = int(reply(sock)[2].split()[0])
            if pid in kept:
                sock.close()
            else:
                kept[pid] = sock
            assert time.monotonic() < until
        (_, first), (other, second) = kept.items()
        first.sendall(f"GET {path}?7 HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        slowest = 0.0
        until = time.monotonic() + 2.5
        while time.monotonic() < until:
            began = time.monotonic()
            second.sendall(b"GET /pid HTTP/1.1\r\nHost: a\r\n\r\n")
            answer = reply(second)[2].decode()
            assert int(answer.split()[0]) == other
            slowest = max(slowest, time.monotonic() - began)
            time.sleep(0.01)
        assert slowest < 0.5
        assert "1 [0, 0, 0, 0, 0, 0, 0, 1, 0, 0]" in answer
        assert other in running.workers()
        assert len(running.workers()) == 2
        assert len(running.lost) == 1
        first.close()
        second.close()


def test_what_threads_compute_is_suspect_when_a_signal_ends_the_process() -> None:
    with supervised(1) as running:
        running.begin("/thread/wait?4")  # is done before
        time.sleep(0.5)
        running.begin("/thread/sleep?5")
        running.begin("/thread/segv?6")
        running.wait_for_lost(1)
        assert running.lost == ["lost 0 signal [5, 6]"]
        running.begin("/thread/sleep?5")
        running.kill_one("/sleep?2")
        running.wait_for_lost(2)
        assert running.lost[1] == "lost 0 stall [2]"
        running.begin("/thread/hold?8")
        running.wait_for_lost(3)
        assert running.lost[2] == "lost 0 stall [8]"
        assert running.ask("/pid").costs == [0, 0, 1, 0, 0, 1, 1, 0, 1, 0]


def test_a_worker_that_ends_in_order_blames_nobody() -> None:
    with supervised(1) as running:
        running.begin("/thread/sleep?5")
        os.kill(running.ask("/pid").pid, signal.SIGTERM)
        running.wait_for_lost(1)
        assert running.lost == ["lost 0 exit []"]
        assert running.ask("/pid").costs == [0] * 10


def test_the_stopped_and_the_patient_are_not_killed() -> None:
    with supervised(2, 0.6) as running:
        pids = running.workers()
        running.ask("/short?0.3")
        running.ask("/patient?1.5")
        os.killpg(running.popen.pid, signal.SIGSTOP)  # all of them, as when a machine stands still
        time.sleep(2)
        os.killpg(running.popen.pid, signal.SIGCONT)
        time.sleep(0.5)
        worker = min(pids)  # one of them, as a debugger does it
        os.kill(worker, signal.SIGSTOP)
        time.sleep(2)
        os.kill(worker, signal.SIGCONT)
        time.sleep(0.5)
        os.kill(running.popen.pid, signal.SIGSTOP)  # and the one that looks
        time.sleep(2)
        os.kill(running.popen.pid, signal.SIGCONT)
        time.sleep(1)
        assert running.workers() == pids
        assert running.lost == []
        running.kill_one("/sleep?1")  # and yet it is awake
        running.wait_for_lost(1)


def test_stopping_a_server_whose_worker_stands_still_ends() -> None:
    with supervised(1, 30.0) as running:
        began = time.monotonic()
        with running.connect() as sock:
            sock.sendall(b"GET /sleep?1 HTTP/1.1\r\nHost: a\r\n\r\n")
            time.sleep(0.2)
            running.popen.terminate()
            assert running.popen.wait(20) == 0
        assert 2.5 < time.monotonic() - began < 6
        assert running.lost == []


def test_the_workers_end_with_who_looks_after_them() -> None:
    with supervised(2) as running:
        pids = running.workers()
        running.begin("/thread/sleep?1")
        os.kill(running.popen.pid, signal.SIGKILL)
        until = time.monotonic() + 1
        while any(is_there(pid) for pid in pids):
            assert time.monotonic() < until
            time.sleep(0.01)


def test_nothing_piles_up_in_the_one_that_looks() -> None:
    with supervised(2) as running:
        folder = Path(f"/proc/{running.popen.pid}/fd")
        before = len(list(folder.iterdir()))
        for _ in range(4):
            running.kill_one("/leave?1")
        running.wait_for_lost(4)
        running.ask("/pid")
        time.sleep(1)
        assert len(list(folder.iterdir())) == before
        ours = pipes_of(running.popen.pid)
        assert len(ours) == 4  # standard output, standard error, and a life for each worker
        for pid in running.workers():
            assert len(pipes_of(pid) & ours) == 3  # its own life only
