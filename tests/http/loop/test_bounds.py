"""Bounds on connections, time and memory, and what happens at each."""

import os
import resource
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.http.loop.running import LOOPS, read_all, reply, running
from tests.http.loop.test_requests import post

EVERY_LOOP = pytest.mark.parametrize("loop", LOOPS)


@EVERY_LOOP
def test_the_connection_idle_for_longest_gives_way(loop: str) -> None:
    with running(loop, connections=3) as run:
        held = [run.connect() for _ in range(3)]
        for sock in held:
            sock.sendall(post("/a", b""))
            reply(sock)
            time.sleep(0.05)
        held[0].sendall(post("/later?0.5", b"busy"))
        run.wait_for(lambda: len(run.script.seen) == 4)
        with run.connect() as sock:
            sock.sendall(post("/b", b"new"))
            assert reply(sock)[2] == b"POST /b new"
        assert reply(held[0])[2] == b"POST /later busy"
        assert _is_closed(held[1]) or _is_closed(held[2])
        for sock in held:
            sock.close()


def _is_closed(sock: socket.socket) -> bool:
    sock.settimeout(0.2)
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


@EVERY_LOOP
def test_who_sends_slowly_gives_way_when_nobody_is_idle(loop: str) -> None:
    with running(loop, connections=4) as run:
        slow = [run.connect() for _ in range(4)]
        for sock in slow:
            sock.sendall(b"POST / HTTP/1.1\r\nHo")
        run.wait_for(lambda: run.server.connections == 4)
        for _ in range(3):
            with run.connect() as sock:
                sock.sendall(post("/b", b"new"))
                assert reply(sock)[2] == b"POST /b new"
        for sock in slow:
            sock.close()


@EVERY_LOOP
def test_in_a_full_house_health_is_answered_and_nothing_else(loop: str) -> None:
    with running(loop, connections=2, drain_seconds=0.1) as run:
        busy = [run.connect() for _ in range(2)]
        for sock in busy:
            sock.sendall(post("/never", b""))
        run.wait_for(lambda: len(run.script.seen) == 2)
        with run.connect() as sock:
            sock.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            assert reply(sock)[2] == b"alive"
            sock.sendall(post("/a", b""))
            status, headers, _ = reply(sock)
            assert (status, headers["retry-after"]) == (503, "1")
        assert len(run.script.seen) == 2
        for sock in busy:
            sock.close()


@EVERY_LOOP
def test_each_part_of_a_request_has_its_time(loop: str) -> None:
    bounds = {"head_seconds": 0.3, "body_seconds": 0.3, "idle_seconds": 0.3}
    with running(loop, **bounds) as run:
        with run.connect() as sock:
            assert read_all(sock) == b"", "silent"
        for begin, part in ((b"POST / HT", b"head"), (post("/a", b"body")[:-1], b"body")):
            with run.connect() as sock:
                sock.sendall(begin)
                answer = read_all(sock)
                assert answer.startswith(b"HTTP/1.1 408 ")
                assert part + b" took over 0.3 s" in answer


@EVERY_LOOP
def test_a_client_that_drips_is_given_up_all_the_same(loop: str) -> None:
    with running(loop, head_seconds=0.4) as run, run.connect() as sock:
        began = time.monotonic()
        sock.settimeout(0.05)
        while time.monotonic() - began < 5:
            try:
                sock.sendall(b"a")
                if sock.recv(1):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        assert time.monotonic() - began < 2


@EVERY_LOOP
def test_a_client_that_reads_nothing_is_given_up(loop: str) -> None:
    with running(loop, write_seconds=0.3, head_seconds=1) as run, run.connect() as sock:
        sock.sendall(b"GET /big?50000000 HTTP/1.1\r\nHost: x\r\n\r\n")
        run.wait_for(lambda: bool(run.script.seen))
        run.wait_for(lambda: run.server.connections == 0)


@EVERY_LOOP
def test_bodies_in_flight_have_one_budget(loop: str) -> None:
    """It counts what has come, not what was announced."""
    half = post("/a", bytes(1 << 20))[: -(1 << 19)]
    with running(loop, body_bytes=3 << 20) as run:
        announced = [run.connect() for _ in range(5)]
        for sock in announced:
            sock.sendall(post("/a", bytes(60 << 20))[:100_000])
        waiting = [run.connect() for _ in range(2)]
        for sock in waiting:
            sock.sendall(half)
        run.wait_for(lambda: run.server.budget.used > 1_500_000)
        with run.connect() as sock:
            sock.sendall(post("/a", bytes(2 << 20)))
            status, headers, body = reply(sock)
            assert (status, headers["retry-after"]) == (503, "1")
            assert b"GPFN_MAX_INFLIGHT_BYTES" in body
        for sock in waiting:
            sock.sendall(bytes(1 << 19))
            assert reply(sock)[0] == 200
            run.on_loop(run.script.seen.clear)  # who has an exchange has its body
        for sock in (*announced, *waiting):
            sock.close()
        run.wait_for(lambda: run.server.budget.used == 0)


@EVERY_LOOP
@pytest.mark.parametrize("size", [100, 1 << 20])
def test_the_budget_is_given_back_however_it_ends(loop: str, size: int) -> None:
    with running(loop, drain_seconds=0.1) as run:
        for data in (
            post("/a", bytes(size)),
            post("/a", bytes(size))[:-1],
            post("/never", bytes(size)),
        ):
            with run.connect() as sock:
                sock.sendall(data)
                time.sleep(0.02)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        run.wait_for(lambda: run.server.connections == 0)
        run.on_loop(run.script.seen.clear)  # who has an exchange has its body
        run.wait_for(lambda: run.server.budget.used == 0)


_FEW_FILES = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
sys.path.insert(0, sys.argv[1])
from tests.http.loop.running import Running, LOOPS
run = Running(LOOPS[sys.argv[2]])
print(run.address[1], flush=True)
sys.stdin.read()
run.stop()
print(len([line for line in run.log if "cannot accept" in line]))
"""


@EVERY_LOOP
def test_running_out_of_descriptors_is_one_line_and_no_spinning(loop: str, root: Path) -> None:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert limit[0] > 400
    command = [sys.executable, "-c", _FEW_FILES, str(root), loop]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root
    ) as process:
        assert process.stdout
        assert process.stdin
        port = int(process.stdout.readline())
        clients = [_try(port) for _ in range(200)]
        before = _cpu(process.pid)
        time.sleep(1)
        assert _cpu(process.pid) - before < 0.3, "it spins"
        for client in clients:
            client.close()
        end = time.monotonic() + 10
        while b"POST /a x" not in _ask(port):
            assert time.monotonic() < end, "it does not recover"
            time.sleep(0.1)
        process.stdin.close()
        assert process.stdout.read() == "1\n"


def _try(port: int) -> socket.socket:
    sock = socket.socket()
    sock.settimeout(5)
    sock.connect(("127.0.0.1", port))
    return sock


def _ask(port: int) -> bytes:
    try:
        with _try(port) as sock:
            sock.sendall(post("/a", b"x", "Connection: close"))
            return read_all(sock)
    except OSError:
        return b""


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@EVERY_LOOP
def test_the_last_answer_waits_for_a_slow_reader(loop: str) -> None:
    with running(loop) as run, run.connect() as sock:
        sock.sendall(b"GET /big?20000000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        time.sleep(3.5)  # longer than the rest of a refused request is read
        assert len(reply(sock)[2]) == 20_000_000


@EVERY_LOOP
def test_a_body_is_counted_as_long_as_somebody_works_on_it(loop: str) -> None:
    with running(loop, body_bytes=1 << 20) as run:
        sock = run.connect()
        sock.sendall(post("/never", bytes(700_000)))
        run.wait_for(lambda: bool(run.script.seen))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()
        run.wait_for(lambda: run.server.connections == 0)
        assert run.on_loop(lambda: run.server.budget.used) == 700_000
        assert run.ask(post("/a", bytes(700_000))).startswith(b"HTTP/1.1 503 ")
        run.on_loop(run.script.seen.clear)
        assert run.on_loop(lambda: run.server.budget.used) == 0
        assert run.ask(post("/a", bytes(700_000))).startswith(b"HTTP/1.1 200 ")


@EVERY_LOOP
def test_small_bodies_that_are_worked_on_are_counted_as_well(loop: str) -> None:
    with running(loop, body_bytes=1 << 20, drain_seconds=0.1) as run:
        held = [run.connect() for _ in range(30)]
        for sock in held:
            sock.sendall(post("/never", bytes(60_000)))
        run.wait_for(lambda: len(run.script.seen) == 17)
        run.wait_for(lambda: run.server.budget.used == 17 * 60_000)
        assert sum(_is_refused(sock) for sock in held) == 13
        for sock in held:
            sock.close()


def _is_refused(sock: socket.socket) -> bool:
    sock.settimeout(0.2)
    try:
        return sock.recv(999).startswith(b"HTTP/1.1 503 ")
    except TimeoutError:
        return False


@EVERY_LOOP
def test_a_head_alone_is_refused_without_a_body(loop: str) -> None:
    with running(loop) as run:
        data = run.ask(b"HEAD /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
        assert data.startswith(b"HTTP/1.1 404 ")
        assert data.endswith(b"\r\n\r\n")
