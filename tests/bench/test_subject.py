"""A server's processes and what it tells of its batches."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gpfn.bench.asking import AskedModel
from gpfn.bench.subject import Counts, Processes, counts, local_processes, started
from gpfn.errors import SetupError
from gpfn.http.address import Address
from tests.bench.servers import ok, replying

METRICS = b"""
# TYPE gpfn_inference_rows_total counter
gpfn_inference_rows_total{model="a",version="1"} 30
gpfn_inference_rows_total{model="b",version="1"} 1000
gpfn_inference_batches_total{model="a",version="1"} 10
gpfn_inference_batches_total{model="b",version="1"} 1
gpfn_inference_batch_rows_bucket{model="a",version="1",le="1"} 4
gpfn_inference_batch_rows_bucket{model="a",version="1",le="2"} 4
gpfn_inference_batch_rows_bucket{model="a",version="1",le="4"} 9
gpfn_inference_batch_rows_bucket{model="a",version="1",le="+Inf"} 10
gpfn_inference_batch_rows_count{model="a",version="1"} 10
gpfn_inference_compute_seconds_sum{model="a",version="1"} 0.6
gpfn_inference_compute_seconds_count{model="a",version="1"} 30
"""
STATISTICS = b"""{"model_stats": [{"name": "a", "version": "1", "inference_count": 30,
"execution_count": 10, "batch_stats": [
  {"batch_size": 2, "compute_infer": {"count": 5, "ns": 1000000000}},
  {"batch_size": 4, "compute_infer": {"count": 5, "ns": 3000000000}}]}]}"""


def answering(target: bytes, content: bytes) -> Counts | None:
    """Return the counts of a server that knows one target."""
    missing = b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n"
    asked = iter([b"metrics", b"stats"])
    with replying(lambda _: ok(content) if next(asked) == target else missing) as address:
        return counts(AskedModel("v2", address, "a"))


def test_gpfns_metrics() -> None:
    found = answering(b"metrics", METRICS)
    assert found == Counts(10, 30, pytest.approx(0.2), {1: 4, 2: 0, 4: 5, 8: 1})


def test_statistics_of_others() -> None:
    assert answering(b"stats", STATISTICS) == Counts(10, 30, 4.0, {2: 5, 4: 5})


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"model_stats": [{}]}', b"\xff", b"1"])
def test_a_server_that_tells_nothing(content: bytes) -> None:
    assert answering(b"stats", content) is None
    assert answering(b"metrics", content) is None


def test_the_difference() -> None:
    before, after = Counts(3, 5, 1.0, {1: 1, 4: 2}), Counts(6, 9, 1.5, {1: 1, 4: 4, 8: 1})
    assert after.since(before) == Counts(3, 4, 0.5, {4: 2, 8: 1})


def test_processor_time_of_a_process_and_its_children() -> None:
    spin = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass\n"
    code = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {spin + 'input()'!r}])"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    try:
        processes = Processes([process.pid])
        before = processes.each()
        until = time.monotonic() + 20
        while processes.seconds() < 0.3 and time.monotonic() < until:
            time.sleep(0.02)
        assert processes.seconds() >= 0.3
        assert len(processes.each()) == 2
        assert 1 <= processes.busy_since(before) <= 2
    finally:
        process.communicate(b"\n")
    assert processes.seconds() == 0


def test_who_listens_here_is_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        found = local_processes(Address("http", "localhost", port))
        assert found is not None
        assert os.getpid() in found.each()
    assert local_processes(Address("http", "127.0.0.1", port)) is None
    assert local_processes(Address("http", "198.51.100.1", port)) is None
    assert local_processes(Address("http", "a.example", port)) is None


def test_a_server_is_started_and_ended(root: Path) -> None:
    with started(str(root / "models" / "forecast.tflite"), []) as (address, processes):
        assert address.port
        pids = processes.each()
        assert pids
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(b"no model")
    with pytest.raises(SetupError, match=r"model\.tflite"):
        start(str(tmp_path / "model.tflite"))
    with pytest.raises(SetupError, match="--no-such-flag"):
        start("forecast", "--no-such-flag")


def start(model: str, *options: str) -> None:
    with started(model, options):
        pass
