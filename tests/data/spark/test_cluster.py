"""A standalone cluster of Spark, a master and a worker process: the model is carried to it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pyspark
import pytest

from tests.data.scored import ROOT, refusing, write

CLASS = Path(pyspark.__file__).parent / "bin" / "spark-class"
ENVIRON = {**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "PYTHONPATH": str(ROOT / "src")}


@contextmanager
def running(kind: str, log: Path, words: Sequence[str], ready: str) -> Iterator[None]:
    """Run a part of the cluster, from when its log says that it is ready."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(CLASS), f"org.apache.spark.deploy.{kind}", "--host", "127.0.0.1", *words],
            stdout=out,
            stderr=out,
            env=ENVIRON,
            cwd=log.parent,
            start_new_session=True,
        )
    try:
        until = time.monotonic() + 60
        while ready not in log.read_text() and time.monotonic() < until:
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        assert ready in log.read_text(), log.read_text()
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a cluster with one worker of two processors."""
    folder = tmp_path_factory.mktemp("cluster")
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    url = f"spark://127.0.0.1:{port}"
    ports = ["--port", str(port), "--webui-port", "0"]
    bounds = ["--cores", "2", "--memory", "1g", "--webui-port", "0"]
    worker = [*bounds, "--work-dir", str(folder / "work"), url]
    with (
        running("master.Master", folder / "master.log", ports, "I have been elected leader"),
        running("worker.Worker", folder / "worker.log", worker, "Successfully registered"),
    ):
        yield url


def score(folder: Path, *words: str) -> None:
    """Run the command in a folder."""
    ended = subprocess.run(
        [sys.executable, "-m", "gpfn", "score", *words],
        cwd=folder,
        env=ENVIRON,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr


def test_files_by_a_cluster_are_those_of_processes(master: str, tmp_path: Path) -> None:
    refusing(tmp_path)
    for number in range(3):
        np.save(tmp_path / f"{number}.npy", np.random.default_rng(number).random((500, 3), "f4"))
    names = [f"{number}.npy" for number in range(3)]
    score(tmp_path, "model.py:total", *names, "-o", "there", "--spark", master)
    score(tmp_path, "model.py:total", *names, "-o", "here", "--jobs", "2")
    for name in names:
        there, here = (tmp_path / folder / name for folder in ("there", "here"))
        assert there.read_bytes() == here.read_bytes()


def test_a_table_by_a_cluster(master: str, tmp_path: Path) -> None:
    refusing(tmp_path)
    rows = np.random.default_rng(1).random((1000, 3), "f4")
    write(tmp_path / "in.parquet", a=rows[:, 0], b=rows[:, 1], c=rows[:, 2], id=np.arange(1000))
    words = ["model.py:total", "in.parquet", "--keep", "id", "--features", "a,b,c"]
    score(tmp_path, *words, "-o", "there", "--spark", master)
    score(tmp_path, *words, "-o", "here.parquet")
    there = {row["id"]: row["y"] for row in pq.read_table(tmp_path / "there").to_pylist()}
    here = {row["id"]: row["y"] for row in pq.read_table(tmp_path / "here.parquet").to_pylist()}
    assert there == here
