"""What is wrong before Spark is begun, each on one line, and what Spark says, as one line."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gpfn.data.spark.failure import spark_error
from gpfn.data.spark.session import SparkMaster, spark_session
from gpfn.errors import CannotConnect, ModelUnreadable, SetupError


def refused(url: str, **settings: str) -> str:
    """Return what is said of a master that cannot be used."""
    with pytest.raises(SetupError) as found, spark_session(SparkMaster(url, settings)):
        raise AssertionError("it began")
    assert "\n" not in str(found.value)
    return str(found.value)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("local[0]", "expected local[N], local[*], spark://HOST:PORT"),
        ("local[two]", "expected local[N]"),
        ("sc://127.0.0.1:15002", "expected local[N]"),
        ("http://127.0.0.1:7077", "expected local[N]"),
        ("spark://127.0.0.1", "expected HOST:PORT, got '127.0.0.1'"),
        ("spark://127.0.0.1:99999", "expected HOST:PORT, got '127.0.0.1:99999'"),
        ("spark://:7077", "expected HOST:PORT"),
    ],
)
def test_a_master_that_is_none(url: str, told: str) -> None:
    assert refused(url).startswith(f"--spark: {told}")


def test_a_master_where_nothing_listens_is_told_at_once() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # and does not listen
        port = held.getsockname()[1]
        url = f"spark://127.0.0.1:{port}"
        with pytest.raises(CannotConnect) as found, spark_session(SparkMaster(url)):
            raise AssertionError("it began")
    assert str(found.value) == f"--spark: no master of Spark answers at {url}: Connection refused"


def test_no_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    told = refused("local[2]")
    assert "there is no java on the path" in told
    assert "openjdk-17-jre-headless" in told
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert refused("local[2]").startswith(f"JAVA_HOME: no bin/java in {tmp_path}")


def test_a_java_that_ends_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho 'class file version 61.0' >&2\nexit 1\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    told = refused("local[2]")
    assert told.startswith("--spark: Java ended before it was ready; Spark needs Java 17 or newer")
    log = Path(told.rpartition(" ")[2])
    assert "class file version 61.0" in log.read_text()
    log.unlink()


def test_a_setting_that_spark_refuses() -> None:
    told = refused("local[2]", **{"spark.executor.memory": "1m", "spark.testing.memory": "1"})
    assert "1" in told
    assert "memory" in told.lower()
    Path(told.rpartition(" ")[2]).unlink()


def test_no_pyspark() -> None:
    code = (
        "import importlib.util as util\n"
        "real = util.find_spec\n"
        "util.find_spec = lambda name, *more: None if name == 'pyspark' else real(name, *more)\n"
        "from gpfn.data.spark.session import SparkMaster, spark_session\n"
        "from gpfn.errors import MissingExtra\n"
        "try:\n"
        "    with spark_session(SparkMaster('local[2]')): pass\n"
        "except MissingExtra as error: print(error)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    wanted = "pyspark, which --spark needs, is not installed; run: pip install 'gpfn[spark]'\n"
    assert run.stdout == wanted


TRACE = """An error occurred while calling o1.collect.
: org.apache.spark.SparkException: Job aborted due to stage failure: Task 0 failed 4 times
Traceback (most recent call last):
  File "/opt/worker.py", line 1, in main
{}

\tat org.apache.spark.api.python.BasePythonRunner.handle(PythonRunner.scala:1)
Driver stacktrace:
"""


@pytest.mark.parametrize(
    ("last", "told"),
    [
        ("ModuleNotFoundError: No module named 'gpfn'", "the Python of the workers has no gpfn"),
        ("ValueError: what it is", "ValueError: what it is; Spark's words are in "),
        ("OSError: [Errno 28] No space left on device", "no space left on the device; "),
    ],
)
def test_what_spark_says_is_one_line(tmp_path: Path, last: str, told: str) -> None:
    error = spark_error(RuntimeError(TRACE.format(last)), tmp_path / "absent.log")
    assert str(error).startswith(f"--spark: {told}")
    assert "\n" not in str(error)


def test_an_error_of_ours_in_a_task_is_that_error(tmp_path: Path) -> None:
    trace = TRACE.format("gpfn.errors.ModelUnreadable: m.onnx: truncated")
    error = spark_error(RuntimeError(trace), tmp_path / "absent.log")
    assert type(error) is ModelUnreadable
    assert str(error) == "m.onnx: truncated"
    other = spark_error(RuntimeError(TRACE.format("gpfn.errors.MissingExtra: x")), tmp_path)
    assert (type(other), str(other)) == (SetupError, "x")
