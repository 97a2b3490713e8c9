"""``gpfn bench`` as a user types it, against real servers."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gpfn.bench.subject import Processes
from tests.bench.servers import replying
from tests.cli.serving import clean_environ, serve


def bench(*words: str, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "gpfn", "bench", *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=clean_environ(),
        cwd=cwd,
    )


QUICK = ("--seconds", "0.3", "--connections", "1,4")


def test_a_model_is_served_and_loaded(root: Path, tmp_path: Path) -> None:
    picture = tmp_path / "loads.png"
    model = str(root / "models" / "forecast.tflite")
    run = bench(model, *QUICK, "--check", "--plot", str(picture))
    assert (run.returncode, run.stderr) == (0, "")
    first, _, head, one, four, _, *limits = run.stdout.splitlines()
    assert first.startswith(f"{model}: graphpipe, ")
    assert head.split()[0] == "connections"
    assert one.split()[0] == "1"
    assert float(four.split()[1]) > 50, "requests a second"
    assert float(four.split()[5]) > 1, "µs of the server"
    assert [line.partition(" ")[0] for line in limits] == ["1", "4"]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_options_for_the_server(root: Path) -> None:
    model = str(root / "models" / "forecast.tflite")
    run = bench(model, *QUICK, "--json", "--serve", "--workers 2")
    assert (run.returncode, run.stderr) == (0, "")
    found = json.loads(run.stdout)
    assert found["protocol"] == "graphpipe"
    assert [load["connections"] for load in found["loads"]] == [1, 4]
    for load in found["loads"]:
        assert load["requests"] > 10
        assert load["failures"] == {}
        assert load["server_us"] > 1
        assert load["p50_ms"] <= load["p90_ms"] <= load["p99_ms"]


def test_a_server_of_this_machine_with_an_input(root: Path, tmp_path: Path) -> None:
    (tmp_path / "window.json").write_text(json.dumps([[[n / 20] for n in range(20)]] * 2))
    with serve(tmp_path, "--model", str(root / "models" / "forecast.tflite")) as served:
        words = (*QUICK, "--json", "--check", "--input", str(tmp_path / "window.json"))
        run = bench(served.url, *words)
    assert (run.returncode, run.stderr) == (0, "")
    found = json.loads(run.stdout)
    assert found["request_bytes"] > 160
    assert all(load["requests"] > 10 and not load["failures"] for load in found["loads"])
    assert all(load["server_us"] > 1 for load in found["loads"]), "its pid was found"


def test_what_cannot_be_measured_is_told(root: Path, tmp_path: Path) -> None:
    run = bench(str(tmp_path / "absent.tflite"), *QUICK)
    assert run.returncode == 1
    assert "absent.tflite" in run.stderr
    assert run.stderr.count("\n") == 1
    run = bench("http://127.0.0.1:1", *QUICK)
    assert run.returncode == 1
    assert run.stderr.startswith("gpfn: http://127.0.0.1:1: ")
    run = bench("http://127.0.0.1:1", *QUICK, "--serve", "--workers 2")
    assert "--serve: a server at an address runs already" in run.stderr
    for words in (["--connections", "0"], ["--connections", "a"], ["--seconds", "-1"]):
        assert bench("digits", *words).returncode == 2, words
    assert bench("digits", "--seconds", "0").returncode == 1
    assert bench("digits", "--protocol", "v3").returncode == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_server_ends_with_the_command(root: Path, number: int) -> None:
    words = [str(root / "models" / "forecast.tflite"), "--seconds", "60", "--connections", "2"]
    command = [sys.executable, "-m", "gpfn", "bench", *words]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=clean_environ())
    try:
        until = time.monotonic() + 60
        while not (children := below(process.pid)) or not loaded(children):
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(20) in (128 + signal.SIGINT, -signal.SIGINT)
    finally:
        process.kill()
        process.wait()
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]


def below(pid: int) -> list[int]:
    return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def loaded(pids: list[int]) -> bool:
    """Say whether the server has worked for longer than a start takes."""
    return Processes(pids).seconds() > 1.5


def test_a_server_that_never_answers_well_is_a_failure() -> None:
    with replying(lambda _: b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n") as address:
        run = bench(f"{address.shown}/v2/models/m", *QUICK)
    assert run.returncode == 1
    assert "503" in run.stderr


@pytest.mark.parametrize("protocol", ["graphpipe", "v2", "v2-json", "v1", "grpc"])
def test_every_protocol_with_a_name_of_the_catalogue(protocol: str) -> None:
    words = ("--seconds", "0.3", "--connections", "2", "--check", "--json")
    run = bench("digits", "--protocol", protocol, *words)
    assert (run.returncode, run.stderr) == (0, "")
    found = json.loads(run.stdout)
    assert found["protocol"] == protocol
    (load,) = found["loads"]
    assert load["failures"] == {}
    assert load["requests"] > 10
    assert 1 <= load["batch_rows"] <= 2
    assert load["model_cores"] > 0
