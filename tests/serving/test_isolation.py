"""Models that end or hold up the process that computes them, under `gpfn serve`."""

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from gpfn.errors import GpfnError
from gpfn.graphpipe import remote

from .test_v2 import Asked, tensor
from .test_workers import GPFN, serving, wait_for

MODEL = """
import ctypes, os, time
import numpy as np

def apply(x):
    what = float(np.ravel(x)[0])
    if what == 666.0:
        os.abort()
    if what == 667.0:
        ctypes.string_at(0)
    if what == 668.0:
        ctypes.PyDLL(None).sleep(60)  # with the interpreter's lock: no other thread turns
    return x * 2
"""
ONE = np.ones(1, np.float32)


@contextmanager
def killers(folder: Path, *words: str) -> Iterator[tuple["subprocess.Popen[bytes]", str, Path]]:
    (folder / "m.py").write_text(MODEL)
    (folder / "n.py").write_text("def apply(x):\n    return x + 1\n")
    log = folder / "log"
    models = ["-m", f"bad={folder}/m.py:apply", "-m", f"good={folder}/n.py:apply"]
    with serving(log, *models, *words) as (popen, url):
        wait_for(log, popen, "ready: ", 2)
        yield popen, url, log


@pytest.mark.parametrize("number", [666.0, 667.0, 668.0])
def test_what_ends_a_worker_gets_processes_of_its_own(tmp_path: Path, number: float) -> None:
    with killers(tmp_path) as (popen, url, log):
        np.testing.assert_array_equal(remote(url, ONE), ONE * 2)
        with pytest.raises(GpfnError):
            remote(url, ONE * np.float32(number))
        wait_for(log, popen, "ready: ", 4)
        np.testing.assert_array_equal(remote(url, ONE), ONE * 2)
        children = Path(f"/proc/{popen.pid}/task/{popen.pid}/children").read_text().split()
        began = time.monotonic()
        body = {"inputs": [tensor("x", "FP32", [1], [number])]}
        ask = Asked(int(url.rpartition(":")[2]))
        status, _, told = ask("/v2/models/bad/infer", body, x_timeout="2")
        assert (status, time.monotonic() - began < 5) == (504 if number == 668 else 502, True), told
        np.testing.assert_array_equal(remote(f"{url}/graphpipe/good", ONE), ONE + 1)
        np.testing.assert_array_equal(remote(url, ONE), ONE * 2)
        now = Path(f"/proc/{popen.pid}/task/{popen.pid}/children").read_text().split()
        assert now == children, "the worker lives"
    assert "gets processes of its own" in log.read_text()


def test_a_killed_worker_is_replaced_and_nothing_is_blamed(tmp_path: Path) -> None:
    with killers(tmp_path) as (popen, url, log):
        (worker,) = Path(f"/proc/{popen.pid}/task/{popen.pid}/children").read_text().split()
        os.kill(int(worker), signal.SIGKILL)
        wait_for(log, popen, "ready: ", 4)
        np.testing.assert_array_equal(remote(url, ONE), ONE * 2)
    assert "of its own" not in log.read_text()


def test_a_model_that_cannot_be_opened_is_told_by_the_command(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(b"no model")
    command = [GPFN, "serve", "-l", "127.0.0.1:0", "-m", str(tmp_path / "m.tflite"), "--json"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    error = json.loads(done.stdout or done.stderr.splitlines()[-1])
    assert error["error"]["type"] == "model-unreadable"
    assert "worker ended" not in done.stderr


def test_an_address_of_grpc_that_is_taken_is_told_by_the_command(root: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        model = str(root / "models" / "forecast.tflite")
        command = [GPFN, "serve", "-l", "127.0.0.1:0", "-m", model, "--grpc", f"127.0.0.1:{port}"]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr


def test_load_and_unload_reach_all_workers(tmp_path: Path, root: Path) -> None:
    folder = tmp_path / "models" / "forecast" / "1"
    folder.mkdir(parents=True)
    (folder / "model.tflite").write_bytes((root / "models" / "forecast.tflite").read_bytes())
    log = tmp_path / "log"
    with serving(log, "--models-dir", str(tmp_path / "models"), "--workers", "2") as (popen, url):
        wait_for(log, popen, "ready: ", 2)
        ask = Asked(int(url.rpartition(":")[2]))
        for path, statuses in (("unload", {404}), ("load", {200})):
            assert ask(f"/v2/repository/models/forecast/{path}", {})[0] == 200
            found = {ask("/v2/models/forecast/ready")[0] for _ in range(40)}
            assert found == statuses
        ready = re.findall(r"gpfn_model_ready\{.*\} (\d+)", ask("/metrics")[2].decode())
        assert ready == ["2"]
