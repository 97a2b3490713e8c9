"""What `gpfn run http` has of the loop server: TLS, unix sockets, workers, reload, metrics."""

import gzip
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.platforms.http.served import PROBE, Process, served, write_function

GPFN = str(Path(sys.executable).parent / "gpfn")


class Command:
    """``gpfn run http`` with options, and its log."""

    def __init__(self, folder: Path, *options: str, source: str = PROBE, **environ: str) -> None:
        self.file = write_function(folder, source)
        self.log = folder / "log"
        command = [GPFN, "run", "http", str(self.file), "--port", "0", *options]
        with self.log.open("wb") as stderr:
            self.popen = subprocess.Popen(command, stderr=stderr, env={**os.environ, **environ})

    def address(self) -> str:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            found = re.search(r"listening on (\S+)\n", self.log.read_text())
            if found:
                return found[1]
            assert self.popen.poll() is None, self.log.read_text()
            time.sleep(0.02)
        raise AssertionError(self.log.read_text())

    def wait_for(self, text: str, count: int = 1) -> None:
        until = time.monotonic() + 30
        while self.log.read_text().count(text) < count:
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.02)


@contextmanager
def command(folder: Path, *options: str, source: str = PROBE, **environ: str) -> Iterator[Command]:
    running = Command(folder, *options, source=source, **environ)
    try:
        yield running
    finally:
        running.popen.terminate()
        try:
            running.popen.wait(20)
        finally:
            running.popen.kill()


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


def ask(port: int, body: object, *, close: bool = True) -> dict[str, object]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    headers = {"content-type": "application/json"}
    connection.request("POST", "/", json.dumps(body), headers)
    answer: dict[str, object] = json.loads(connection.getresponse().read())
    if close:
        connection.close()
    return answer


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("probe")
    with served(write_function(folder), folder / "log", GPFN_MAX_BODY_BYTES="100000") as process:
        yield process


def test_a_compressed_body(probe: Process) -> None:
    body = gzip.compress(b'{"a": 1}')
    headers = {"content-encoding": "gzip", "content-type": "application/json"}
    answer = probe.ask(body=body, headers=headers)
    assert answer.status == 200
    assert answer.json() == {"pid": probe.popen.pid, "asked": {"a": 1}}
    bomb = gzip.compress(bytes(10 << 20))
    assert probe.ask(body=bomb, headers=headers).status == 413


def test_the_id_of_a_call_goes_back_with_the_answer(probe: Process) -> None:
    assert probe.ask(body={}, headers={"x-request-id": "mine"}).headers["x-request-id"] == "mine"
    first, second = (probe.ask(body={}).headers["x-request-id"] for _ in range(2))
    assert first != second
    assert probe.logged(f"call={second} 200 ")


def test_metrics(probe: Process) -> None:
    probe.ask(body={"raise": 1})
    answer = probe.ask("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = {f.name: f for f in text_string_to_metric_families(answer.body.decode())}
    codes = {sample.labels["code"]: sample.value for sample in families["gpfn_calls"].samples}
    assert codes["500"] >= 1
    assert "gpfn_call_duration_seconds" in families
    assert families["gpfn_connections"].samples[0].value >= 1
    assert probe.ask("POST", "/metrics").status == 405


def test_bodies_that_are_slow_to_come_keep_nobody_waiting(tmp_path: Path) -> None:
    """A call is counted once its body is there."""
    settings = {"GPFN_THREADS": "1", "GPFN_QUEUE": "1"}
    with served(write_function(tmp_path), tmp_path / "log", **settings) as process:
        slow = []
        for _ in range(75):
            sock = socket.create_connection(("127.0.0.1", process.port))
            sock.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{")
            slow.append(sock)
        assert process.ask(body={"a": 1}).status == 200
        for sock in slow:
            sock.close()


def test_without_uvicorn_and_uvloop(tmp_path: Path) -> None:
    source = (
        "import sys\nassert 'uvicorn' not in sys.modules\nsys.modules['uvicorn'] = None\n" + PROBE
    )
    with served(write_function(tmp_path, source), tmp_path / "log") as process:
        assert process.ask(body={}).status == 200
    blocked = "import sys; sys.modules['uvloop'] = None; from gpfn.cli.main import main; main()"
    file = write_function(tmp_path / "plain")
    log = tmp_path / "plain.log"
    with log.open("wb") as stderr:
        popen = subprocess.Popen(
            [sys.executable, "-c", blocked, "run", "http", str(file), "--port", "0"], stderr=stderr
        )
    try:
        until = time.monotonic() + 20
        while not (found := re.search(r"listening on http://127.0.0.1:(\d+)", log.read_text())):
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.02)
        assert ask(int(found[1]), {"a": 1})["asked"] == {"a": 1}
    finally:
        popen.terminate()
        assert popen.wait(20) == 0


def make_certificate(folder: Path, name: str) -> tuple[str, str]:
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
            ),
            *("-nodes", "-keyout", str(key), "-out", str(certificate), "-days", "2"),
            *("-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    return str(certificate), str(key)


def test_tls_and_a_new_certificate_while_it_runs(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, "first")
    with command(tmp_path / "f", "--tls-cert", certificate, "--tls-key", key) as running:
        address = running.address()
        assert address.startswith("https://127.0.0.1:")

        def common_name(trusted: str) -> bytes:
            context = ssl.create_default_context(cafile=trusted)
            connection = http.client.HTTPSConnection(
                "127.0.0.1", port_of(address), context=context, timeout=20
            )
            connection.request("POST", "/", json.dumps({"big": "x" * 300_000}))
            response = connection.getresponse()
            assert (response.status, len(response.read()) > 300_000) == (200, True)
            name = connection.sock.getpeercert()["subject"][0][0][1]
            connection.close()
            return name

        assert common_name(certificate) == "first"
        second = make_certificate(tmp_path, "second")
        Path(certificate).write_bytes(Path(second[0]).read_bytes())
        Path(key).write_bytes(Path(second[1]).read_bytes())
        running.popen.send_signal(signal.SIGHUP)
        running.wait_for("the certificate was read again")
        assert common_name(second[0]) == "second"
        Path(certificate).write_text("nonsense")
        running.popen.send_signal(signal.SIGHUP)
        running.wait_for("the certificate stays as it was")
        assert common_name(second[0]) == "second"
        with socket.create_connection(("127.0.0.1", port_of(address)), timeout=20) as plain:
            plain.sendall(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n")
            assert b"200" not in plain.recv(99), "no TLS, no answer"
        assert common_name(second[0]) == "second"
        assert "Traceback" not in running.log.read_text()


def test_files_that_are_no_certificate(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("nonsense")
    file = write_function(tmp_path)
    for words in (["--tls-cert", str(tmp_path / "x")], ["--tls-key", str(tmp_path / "x")]):
        done = subprocess.run(
            [GPFN, "run", "http", str(file), *words],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 1
        assert "--tls-cert" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    for _ in range(2):  # the second takes the place of one that was killed
        running = Command(tmp_path / "f", "--unix", str(path))
        assert running.address() == f"unix:{path}"
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(path))
            sock.sendall(b"GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            assert b'{"status":"live"}' in b"".join(iter(lambda: sock.recv(999), b""))
        running.popen.kill()
        running.popen.wait()
    with command(tmp_path / "f", "--unix", str(path)) as running:
        running.address()
        second = subprocess.run(
            [GPFN, "run", "http", str(running.file), "--unix", str(path)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert second.returncode == 1
        assert f"cannot listen on {path}" in second.stderr
    assert not path.exists()


def test_workers_share_the_address_and_a_dead_one_is_replaced(tmp_path: Path) -> None:
    with command(tmp_path / "f", "--workers", "2") as running:
        port = port_of(running.address())
        running.wait_for(" ready: ", 2)
        running.popen.send_signal(signal.SIGHUP)  # nothing to renew: nobody ends
        pids = {ask(port, {})["pid"] for _ in range(40)}
        assert len(pids) == 2
        assert running.popen.pid not in pids
        victim = int(str(pids.pop()))
        os.kill(victim, signal.SIGKILL)
        running.wait_for("a worker ended by signal 9; another one starts")
        running.wait_for(" ready: ", 3)
        found = {ask(port, {})["pid"] for _ in range(40)}
        assert len(found) == 2
        assert victim not in found
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        counted = re.search(r'gpfn_calls_total\{code="200"\} (\d+)', text)
        assert counted
        assert int(counted[1]) == 80, "also what the dead one had counted"
        connection.close()
        running.popen.send_signal(signal.SIGTERM)
        assert running.popen.wait(20) == 0
        for pid in found:
            assert not Path(f"/proc/{pid}").exists()


def test_workers_get_equal_shares(tmp_path: Path) -> None:
    with command(tmp_path / "f", "--workers", "4") as running:
        port = port_of(running.address())
        running.wait_for(" ready: ", 4)
        connections = []
        shares: dict[int, int] = {}
        for _ in range(200):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            connection.request("POST", "/", "{}")
            pid = json.loads(connection.getresponse().read())["pid"]
            shares[pid] = shares.get(pid, 0) + 1
            connections.append(connection)
        assert len(shares) == 4
        assert min(shares.values()) >= 30, shares  # each 15 to 35 %
        assert max(shares.values()) <= 70, shares
        for connection in connections:
            connection.close()


def test_running_calls_end_when_workers_are_stopped(tmp_path: Path) -> None:
    with command(tmp_path / "f", "--workers", "2") as running:
        port = port_of(running.address())
        running.wait_for(" ready: ", 2)
        answers: list[object] = []
        threads = [
            threading.Thread(target=lambda: answers.append(ask(port, {"sleep": 0.8})))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        time.sleep(0.4)
        running.popen.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join()
        assert len(answers) == 4
        assert running.popen.wait(20) == 0


def test_workers_that_cannot_begin_end_the_command(tmp_path: Path) -> None:
    with command(tmp_path / "f", "--workers", "2", source="import nothing_like_this\n") as running:
        assert running.popen.wait(30) == 1
        assert "nothing_like_this" in running.log.read_text()


def test_reload_takes_up_a_changed_file(tmp_path: Path) -> None:
    source = (
        "from gpfn import Function\napp = Function(lambda p: {answer!r}, takes='payload').asgi\n"
    )
    first = source.format(answer={"n": 1})
    with command(tmp_path / "f", "--reload", source=first) as running:
        port = port_of(running.address())
        running.wait_for(" ready: ")
        assert ask(port, {}) == {"n": 1}
        running.file.write_text("nonsense(\n")
        running.wait_for("SyntaxError")
        running.file.write_text(source.format(answer={"n": 2}))
        running.wait_for(" ready: ", 2)
        assert ask(port, {}) == {"n": 2}


BAD_REPLIES = """
from gpfn import Function
from gpfn.message import Message

REPLIES = {
    "split": Message(b"x", "text/plain\\r\\nx-evil: 1"),
    "quotes": Message(b"x", "text/plain; name=\u201cx\u201d"),
    "number": Message(b"x", "text/plain", (("x-a", 5),)),
    "text": Message("no bytes", "text/plain"),
}
app = Function(lambda payload: REPLIES[payload.json()], takes="payload", name="bad").asgi
"""


def test_a_reply_that_cannot_be_sent_is_a_500_at_once(tmp_path: Path) -> None:
    file = write_function(tmp_path, BAD_REPLIES)
    with served(file, tmp_path / "log", GPFN_REQUEST_TIMEOUT="3") as process:
        for kind in ("split", "quotes", "number", "text"):
            began = time.monotonic()
            answer = process.ask(body=kind)
            assert answer.status == 500, (kind, answer)
            assert "x-evil" not in answer.headers
            assert time.monotonic() - began < 2
