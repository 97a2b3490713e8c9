"""Models that are wrong, behind `gpfn serve`: who asks them is told, and nobody else notices."""

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.models_served import ModelServer, Prober, put_functions, served, tensor

ROWS = [[0.25, 2], [3, 4]]
WRONG = ("raises", "leaves", "bent", "lone", "strange")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return put_functions(tmp_path / "models", "double")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    folder = tmp_path_factory.mktemp("models")
    put_functions(folder, "double", *WRONG)
    log = folder.parent / "bad-models.log"
    with served(log, "--models-dir", str(folder)) as running, Prober(running):
        yield running


@pytest.mark.parametrize("name", WRONG)
def test_a_model_that_fails_is_told_of_and_no_secret_is(server: ModelServer, name: str) -> None:
    for _ in range(3):
        reply = server.infer(name, ROWS)
        assert reply.status in (500, 502), reply
        assert reply.error
        one = server.ask(f"/v1/models/{name}:predict", {"instances": ROWS})
        assert one.status == 500
        assert json.loads(one.body)["error"]
        for told in (reply, one):
            assert b"secret" not in told.body
            assert b"/etc" not in told.body
            assert str(server.log.parent).encode() not in told.body, "no path of the server"
    if name in ("raises", "leaves"):
        server.wait("secret" if name == "raises" else "SystemExit: 3")
    else:
        assert "y" in reply.error, "the output is named"
    assert server.rows("double", ROWS) == [[0.5, 4], [6, 8]]


def test_many_failures_leave_no_memory(server: ModelServer) -> None:
    rows = [[1.0, 2.0]] * 20_000

    def fail(times: int) -> None:
        for _ in range(times):
            assert server.infer("raises", rows).status == 500

    fail(10)
    before = server.resident()
    fail(60)
    assert server.resident() - before < 16 << 20


def counted_memory(server: ModelServer) -> float:
    text = server.ask("/metrics").body.decode()
    lines = [line for line in text.splitlines() if line.startswith("process_resident_mem")]
    return float(lines[0].split()[-1])


def test_a_model_that_grows_is_counted_among_what_the_server_takes(
    folder: Path, tmp_path: Path
) -> None:
    put_functions(folder, "grows")
    with served(tmp_path / "log", "--models-dir", str(folder)) as server, Prober(server):
        before = server.resident(), counted_memory(server)
        for _ in range(4):
            assert server.infer("grows", [[32, 0]]).status == 200
        assert server.resident() - before[0] > 100 << 20
        assert counted_memory(server) - before[1] > 100 << 20


def test_a_model_that_hangs_costs_its_own_callers_only(folder: Path, tmp_path: Path) -> None:
    """Their time is up when it is; the queue is bounded; and the server can be ended."""
    put_functions(folder, "hangs", timeout=1.0, queue=3, replicas=2)
    words = ("--models-dir", str(folder))
    with served(tmp_path / "log", *words) as server, Prober(server) as prober:
        began = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            replies = list(pool.map(lambda _: server.infer("hangs", [[30, 0]]), range(8)))
        assert time.monotonic() - began < 5
        statuses = sorted(reply.status for reply in replies)
        assert {*statuses} == {503, 504}, statuses
        for reply in replies:
            assert reply.error
            assert (reply.status == 503) == ("retry-after" in reply.headers)
        assert prober.slowest < 2
        assert server.ask("/v2/health/live").status == 200
        told = server.infer("hangs", [[0, 0]], x_timeout="0.2")
        assert told.status in (200, 503, 504)
        began = time.monotonic()
    assert time.monotonic() - began < 45, "it ends although a thread hangs"


def test_a_model_that_ends_its_process_ends_that_alone(folder: Path, tmp_path: Path) -> None:
    put_functions(folder, "dies", processes=True, replicas=1)
    with served(tmp_path / "log", "--models-dir", str(folder)) as server, Prober(server):
        for _ in range(3):
            reply = server.infer("dies", [[666, 0]])
            assert reply.status in (500, 502, 503), reply
            assert reply.error
            until(lambda: server.infer("dies", [[1, 2]]).status == 200)
        assert server.rows("dies", [[1, 2]]) == [[1, 2]]


def index(server: ModelServer) -> dict[str, Any]:
    found = json.loads(server.ask("/v2/repository/index", b"").body)
    return {f"{one['name']}/{one.get('version', '')}": one for one in found}


def until(true: Any, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


FORECAST = "/v2/models/forecast/infer"
WINDOW = {"inputs": [tensor("series", shape=[1, 20, 1], data=[0.5] * 20)]}


def version_of(server: ModelServer) -> str:
    reply = server.ask(FORECAST, WINDOW)
    assert reply.status == 200, reply
    return str(json.loads(reply.body)["model_version"])


def test_a_folder_that_is_half_written_replaces_nothing(
    folder: Path, tmp_path: Path, root: Path
) -> None:
    """Half a file, an empty one, an empty folder, another file: the old one answers."""
    good = (root / "models" / "forecast.tflite").read_bytes()
    first = folder / "forecast" / "1"
    first.mkdir(parents=True)
    (first / "model.tflite").write_bytes(good)
    spoilt = {"2": good[: len(good) // 2], "3": b"", "4": good[:8] + bytes(100), "5": b"<html>"}
    with (
        served(tmp_path / "log", "--models-dir", str(folder), "--poll", "0.1") as server,
        Prober(server),
    ):
        for version, content in spoilt.items():
            home = folder / "forecast" / version
            home.mkdir()
            (home / "model.tflite").write_bytes(content)
        (folder / "forecast" / "6").mkdir()
        (folder / "forecast" / "007").mkdir()
        until(lambda: all(f"forecast/{each}" in index(server) for each in ("3", "4", "5")))
        until(lambda: "reason" in index(server)["forecast/4"])
        assert version_of(server) == "1"
        assert index(server)["forecast/1"]["state"] == "READY", "as long as it answers"
        assert server.ask("/v2/health/ready").status == 200
        for version in ("3", "4", "5"):
            entry = index(server)[f"forecast/{version}"]
            assert entry["state"] == "UNAVAILABLE"
            assert "model.tflite" in entry["reason"]
            assert str(tmp_path) not in entry["reason"]
        assert server.ask(f"{FORECAST[:-6]}/versions/4/ready").status == 503
        (folder / "forecast" / "4" / "model.tflite").write_bytes(good)
        until(lambda: version_of(server) == "4")
        until(lambda: "forecast/1" not in index(server))


def test_a_file_that_is_written_for_ever_keeps_no_other_from_being_loaded(
    folder: Path, tmp_path: Path
) -> None:
    words = ("--models-dir", str(folder), "--poll", "60")
    with served(tmp_path / "log", *words) as server, ThreadPoolExecutor(1) as pool:
        home = folder / "slow" / "1"
        home.mkdir(parents=True)
        stop = threading.Event()

        def write() -> None:
            with (home / "model.tflite").open("wb", buffering=0) as file:
                while not stop.wait(0.05):
                    file.write(b"x")

        writing = pool.submit(write)
        try:
            put_functions(folder, "both")
            began = time.monotonic()
            assert server.ask("/v2/repository/models/both/load", {}).status == 200
            assert time.monotonic() - began < 20
            assert server.rows("both", ROWS) == [[0.5, 4], [6, 8]]
            assert server.ask("/v2/models/slow/ready").status in (404, 503)
        finally:
            stop.set()
            writing.result()


def test_links_out_and_other_owners_are_refused(folder: Path, tmp_path: Path, root: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    shutil.copy(root / "models" / "forecast.tflite", outside / "model.tflite")
    (folder / "linked").symlink_to(outside)
    (folder / "versioned").mkdir()
    (folder / "versioned" / "1").symlink_to(outside)
    (folder / "filed" / "1").mkdir(parents=True)
    (folder / "filed" / "1" / "model.tflite").symlink_to(outside / "model.tflite")
    (folder / "looped").symlink_to(folder)
    (folder / "pipe" / "1").mkdir(parents=True)
    os.mkfifo(folder / "pipe" / "1" / "model.tflite")
    names = ["linked", "versioned", "filed", "looped", "pipe"]
    if os.geteuid() == 0:
        (folder / "owned" / "1").mkdir(parents=True)
        shutil.copy(outside / "model.tflite", folder / "owned" / "1")
        os.chown(folder / "owned" / "1" / "model.tflite", 12345, 12345)
        names.append("owned")
    with served(tmp_path / "log", "--models-dir", str(folder)) as server, Prober(server):
        for name in names:
            reply = server.ask(f"/v2/models/{name}/ready")
            assert reply.status in (404, 503), (name, reply)
            assert reply.error
        known = {key.partition("/")[0]: one for key, one in index(server).items()}
        for name in names:
            assert known[name]["state"] == "UNAVAILABLE", name
            assert known[name]["reason"]
        assert server.ask("/v2/health/ready").status == 200


def test_a_file_that_ends_whoever_opens_it_ends_nobody(folder: Path, tmp_path: Path) -> None:
    """One that comes while the server runs is tried in a process of its own first."""
    with (
        served(tmp_path / "log", "--models-dir", str(folder), "--poll", "0.1") as server,
        Prober(server),
    ):
        for name, line in {"exits": "os._exit(7)", "kills": "os.kill(os.getpid(), 9)"}.items():
            home = folder / name / "1"
            home.mkdir(parents=True)
            (home / "func.py").write_text(
                f"import os\n\n{line}\n\n\ndef {name}(x):\n    return x\n"
            )
            (home / "model.toml").write_text(f'model = "func.py:{name}"\n')
        until(
            lambda: {"exits/1", "kills/1"} <= {k for k, o in index(server).items() if "reason" in o}
        )
        assert server.process.poll() is None
        for name in ("exits", "kills"):
            assert index(server)[f"{name}/1"]["state"] == "UNAVAILABLE"


def test_sigterm_ends_it_while_everything_is_wrong(folder: Path, tmp_path: Path) -> None:
    put_functions(folder, *WRONG, "hangs")
    with served(tmp_path / "log", "--models-dir", str(folder), ends_well=False) as server:
        for name in WRONG:
            server.infer(name, ROWS)
        with ThreadPoolExecutor(2) as pool:
            hanging = pool.submit(server.infer, "hangs", [[3, 0]])
            time.sleep(0.3)
            server.process.send_signal(signal.SIGTERM)
            assert hanging.result().status == 200, "what was asked before is answered"
        assert server.process.wait(30) == 0
