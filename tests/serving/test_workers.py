"""`gpfn serve` by several processes."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import pytest

from gpfn.graphpipe import remote

GPFN = str(Path(sys.executable).parent / "gpfn")
WINDOW = np.linspace(20, 30, 20, dtype=np.float32).reshape(1, 20, 1)


@contextmanager
def serving(log: Path, *words: str) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    with log.open("wb") as stderr:
        command = [GPFN, "serve", "-l", "127.0.0.1:0", *words]
        popen = subprocess.Popen(command, stderr=stderr, env=os.environ)
    try:
        wait_for(log, popen, "listening on ")
        found = re.search(r"listening on (http\S+)", log.read_text())
        assert found
        yield popen, found[1]
    finally:
        popen.terminate()
        popen.wait(30)


def wait_for(log: Path, popen: "subprocess.Popen[bytes]", text: str, count: int = 1) -> None:
    until = time.monotonic() + 30
    while log.read_text().count(text) < count:
        assert popen.poll() is None, log.read_text()
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.02)


@pytest.mark.parametrize("model", ["models/forecast.tflite", "models/forecast.onnx"])
def test_two_workers_answer_and_a_dead_one_is_replaced(tmp_path: Path, model: str) -> None:
    log = tmp_path / "log"
    with serving(log, "-m", model, "--workers", "2") as (popen, url):
        wait_for(log, popen, " ready: ", 2)
        first = remote(url, WINDOW)
        for _ in range(20):
            np.testing.assert_array_equal(remote(url, WINDOW), first)
        children = Path(f"/proc/{popen.pid}/task/{popen.pid}/children").read_text().split()
        assert len(children) == 2
        os.kill(int(children[0]), signal.SIGKILL)
        wait_for(log, popen, "another one starts")
        wait_for(log, popen, " ready: ", 3)
        for _ in range(20):
            np.testing.assert_array_equal(remote(url, WINDOW), first)
        connection = HTTPConnection(url.removeprefix("http://"), timeout=20)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        counted = re.search(r'gpfn_requests_total\{code="200"\} (\d+)', text)
        assert counted
        assert int(counted[1]) == 41
        popen.terminate()
        assert popen.wait(30) == 0


def test_a_model_that_cannot_be_opened_ends_all_of_them(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(b"no model")
    for workers in ("1", "2"):
        done = subprocess.run(
            [GPFN, "serve", "-l", "127.0.0.1:0", "-m", tmp_path / "m.tflite", "--workers", workers],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 1, done.stderr
        assert "m.tflite" in done.stderr
        assert "Traceback" not in done.stderr


def test_why_nobody_could_begin_is_told_however_long_it_is(tmp_path: Path) -> None:
    """Workers tell the process that started them in a place of 4 KiB."""
    (tmp_path / "wordy.py").write_text("raise ValueError('no ' + chr(7) * 9_000)\n")
    command = [GPFN, "serve", "-l", "127.0.0.1:0", "-m", "wordy.py:f", "--workers", "2"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "ValueError: no" in done.stderr
    assert "no worker could begin" not in done.stderr


def test_a_function_that_exits_is_a_500_and_a_trace(tmp_path: Path) -> None:
    (tmp_path / "leaves.py").write_text(
        "import sys\n\n\ndef leave(x):\n    if x[0] > 1:\n        sys.exit(3)\n    return x\n"
    )
    log = tmp_path / "log"
    with serving(log, "-m", f"{tmp_path / 'leaves.py'}:leave") as (popen, url):
        wait_for(log, popen, " ready: ")
        with pytest.raises(Exception, match="500"):
            remote(url, np.array([2.0]))
        np.testing.assert_array_equal(remote(url, np.array([1.0])), [1.0])
        assert "SystemExit: 3" in log.read_text()


def test_steady_callers_lose_nothing_at_sigterm(tmp_path: Path) -> None:
    """What was sent before an answer that says "close" is answered."""
    import threading

    from gpfn.graphpipe import InferRequest, encode_request

    body = b"".join(encode_request(InferRequest(tensors=(WINDOW,))))
    log = tmp_path / "log"
    lost: list[str] = []
    answered: list[int] = []
    with serving(log, "-m", "models/forecast.tflite") as (popen, url):
        wait_for(log, popen, " ready: ")

        def call() -> None:
            connection = HTTPConnection(url.removeprefix("http://"), timeout=20)
            connection.auto_open = False
            connection.connect()
            while True:
                try:
                    connection.request("POST", "/", body)
                    response = connection.getresponse()
                    response.read()
                except Exception as error:
                    lost.append(repr(error))
                    return
                answered.append(response.status)
                if response.getheader("connection") == "close":
                    return

        threads = [threading.Thread(target=call) for _ in range(16)]
        for thread in threads:
            thread.start()
        while len(answered) < 500:
            time.sleep(0.01)
        popen.terminate()
        for thread in threads:
            thread.join(20)
        assert popen.wait(20) == 0
    assert lost == []
    assert set(answered) == {200}
