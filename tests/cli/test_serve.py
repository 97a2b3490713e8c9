"""``gpfn serve``: graphpipe-tf's command lines, and a server that stands up and goes away."""

import hashlib
import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from gpfn.cli.main import main
from gpfn.cli.serve import ListenAddress
from gpfn.errors import SetupError
from gpfn.graphpipe import remote
from gpfn.models.parts import model_digest
from tests.cli.serving import clean_environ, serve
from tests.models.fileserver import file_server

WINDOW = np.linspace(20, 30, 20, dtype=np.float32).reshape(1, 20, 1)
ENV = clean_environ()


@pytest.fixture
def model(root: Path) -> str:
    return str(root / "models" / "forecast.tflite")


def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command line that is expected to end by itself.

    It takes a free port, when it comes that far: a page's example may have the usual one.
    """
    place = () if "-l" in words else ("-l", "127.0.0.1:0")
    return subprocess.run(
        [sys.executable, "-m", "gpfn.cli.main", "serve", *place, *words],
        env=clean_environ(**variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_answers_and_ends_with_0(model: str, tmp_path: Path, number: int) -> None:
    with serve(tmp_path, "--model", model, environ=ENV) as served:
        assert served.get("/control/is_ready") == b"ok\n"
        metadata = json.loads(served.get())
        assert metadata["Inputs"][0]["Name"] == "series"
        assert metadata["Outputs"][0]["Shape"] == [-1, 20, 1]
        answer = remote(served.url, WINDOW)
        assert answer.shape == (1, 20, 1)
        assert served.stop(number) == 0
    log = served.log.read_text()
    assert f" info serve forecast listening on {served.url}\n" in log
    assert re.search(r" ready: load 0\.\d+ s, warm-up 0\.\d+ s, rss ", log)
    assert f" MB (forecast 1: {model}, litert)\n" in log


def test_variables_stand_in_for_flags(root: Path, tmp_path: Path) -> None:
    """An old start script: no flags, everything in the environment."""
    environ = clean_environ(
        GP_MODEL=str(root / "models" / "rnn_ts_model.pb"),
        GP_INPUTS="series",
        GP_OUTPUTS="forecast:0",
        GP_CACHE="true",
        HOME=str(tmp_path),
    )
    with serve(tmp_path, environ=environ) as served:
        first, second = remote(served.url, WINDOW), remote(served.url, WINDOW)
        np.testing.assert_array_equal(first, second)
    (rows,) = (tmp_path / ".graphpipe").glob("*.rows")
    assert rows.stem == model_digest(root / "models" / "rnn_ts_model.pb")


def test_a_flag_goes_before_its_variable(model: str, tmp_path: Path) -> None:
    environ = clean_environ(GP_MODEL="/no/such/model.pb", GP_OUTPUTS="nothing")
    with serve(tmp_path, "-m", model, "-o", "forecast", environ=environ) as served:
        assert remote(served.url, WINDOW).shape == (1, 20, 1)


def test_the_row_cache_is_kept_and_used(model: str, tmp_path: Path) -> None:
    options = ("-m", model, "-c", "-d", str(tmp_path / "rows"), "--cache-bytes", "100000")
    with serve(tmp_path, *options, environ=ENV) as served:
        first = remote(served.url, WINDOW)
        assert served.stop() == 0
    with serve(tmp_path, *options, environ=ENV) as served:
        np.testing.assert_array_equal(remote(served.url, WINDOW), first)
    assert len(list((tmp_path / "rows").glob("*.rows"))) == 1


def test_a_model_from_a_url(model: str, tmp_path: Path) -> None:
    content = Path(model).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    environ = clean_environ(GPFN_CACHE_DIR=str(tmp_path / "cache"))
    with file_server() as files:
        url = files.put("/models/forecast.tflite", content)
        with serve(tmp_path, "-m", f"{url}#sha256={digest}", environ=environ) as served:
            assert remote(served.url, WINDOW).shape == (1, 20, 1)
        with serve(tmp_path, "-m", f"{url}#sha256={digest}", environ=environ):
            assert len(files.requests) == 1
        wrong = run("-m", f"{url}#sha256={'0' * 64}", GPFN_CACHE_DIR=str(tmp_path / "other"))
        assert wrong.returncode == 1
        assert f"has sha256 {digest}, expected 000" in wrong.stderr
        missing = run("-m", f"{files.url}/none.pb", GPFN_CACHE_DIR=str(tmp_path / "other"))
        assert missing.returncode == 1
        assert "/none.pb answered 404" in missing.stderr
        files.put("/large.pb", bytes(2000))
        limits = {"GPFN_MAX_MODEL_BYTES": "1000", "GPFN_CACHE_DIR": str(tmp_path / "other")}
        large = run("-m", f"{files.url}/large.pb", **limits)
        assert large.returncode == 1
        assert "over the limit of 1000" in large.stderr


def test_a_python_function_is_served(tmp_path: Path) -> None:
    (tmp_path / "doubling.py").write_text("def apply(x):\n    return x * 2\n")
    with serve(tmp_path, "-m", "doubling.py:apply", environ=ENV) as served:
        np.testing.assert_array_equal(remote(served.url, WINDOW), WINDOW * 2)


def test_a_function_cannot_be_cached(tmp_path: Path) -> None:
    failed = run("-m", "os.path:join", "-c", "-d", str(tmp_path))
    assert failed.returncode == 1
    assert "cache: the row cache needs a model file" in failed.stderr


def test_it_is_alive_before_it_is_ready(tmp_path: Path) -> None:
    """A probe of a platform must not kill a server that is still loading its model."""
    (tmp_path / "slow.py").write_text(
        "import pathlib, time\n"
        "while not pathlib.Path('go').exists():\n    time.sleep(0.02)\n"
        "def apply(x):\n    return x\n"
    )
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    command = [sys.executable, "-m", "gpfn.cli.main", "serve", "-m", "slow.py:apply"]
    process = subprocess.Popen(
        [*command, "-l", f"127.0.0.1:{port}"], cwd=tmp_path, env=ENV, stderr=subprocess.PIPE
    )
    try:
        assert status(port, "/control/is_alive", until=200) == 200
        assert status(port, "/control/is_ready") == 503
        (tmp_path / "go").touch()
        assert status(port, "/control/is_ready", until=200) == 200
    finally:
        process.terminate()
        process.communicate(timeout=20)
    assert process.returncode == 0


def status(port: int, path: str, *, until: int | None = None) -> int:
    """Return the status of GET, asked for again until it is the one that is awaited."""
    for _ in range(500):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                found = int(answer.status)
        except urllib.error.HTTPError as error:
            found = error.code
        except OSError:
            found = 0
        if until in (None, found):
            return found
        time.sleep(0.02)
    return found


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "--model is required"),
        (("-m", "m.pb", "more"), "unexpected argument 'more'"),
        (("-m", "/no/such.pb"), "/no/such.pb"),
        (("-m", "forecast", "-l", "9000"), "--listen: expected HOST:PORT, got '9000'"),
        (("-m", "forecast", "-l", "127.0.0.1:x"), "--listen: expected a whole number from 0 to"),
        (
            ("-m", "forecast", "--threads", "0"),
            "--threads: expected a whole number above 0 or auto",
        ),
        (
            ("-m", "forecast", "--workers", "-1"),
            "--workers: expected a whole number from 1 to 4096",
        ),
        (("-m", "forecast", "-o", "other", "-l", "127.0.0.1:0"), "other"),
        (("-m", "forecast", "-l", "0.0.0.0:0", "--allow-shutdown"), "loopback"),
    ],
)
def test_a_wrong_command_line_exits_with_1(words: tuple[str, ...], says: str) -> None:
    failed = run(*words)
    assert failed.returncode == 1
    assert says in failed.stderr
    assert "Traceback" not in failed.stderr


def test_a_taken_port_is_told(model: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        failed = run("-m", model, "-l", f"127.0.0.1:{port}")
    assert failed.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in failed.stderr


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    for flag in ("-V", "--version"):
        assert main(["serve", flag]) == 0
        assert capsys.readouterr().out.startswith("gpfn ")


def test_addresses() -> None:
    assert ListenAddress.parse("127.0.0.1:9000") == ("127.0.0.1", 9000)
    assert ListenAddress.parse(":9000") == ("0.0.0.0", 9000)
    assert ListenAddress.parse("[::1]:9000") == ("::1", 9000)
    for wrong in ("", ":", "host", "::1:9000", "h:65536", "h:-1", "h:٣"):
        with pytest.raises(
            SetupError, match=r"^--listen: expected (HOST:PORT|a whole number from 0 to 65535), got"
        ):
            ListenAddress.parse(wrong)
