"""200 connections while versions come and go in a models folder of `gpfn serve`."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest

from tests.e2e.models_served import ModelServer, served, tensor
from tests.serving.swapping import Crowd

ROWS = [[1.0, 10.0], [2.0, 20.0]]
DOUBLE = {"inputs": [tensor(shape=[2, 2], data=[1, 10, 2, 20])]}
CODE = """
import numpy as np

from gpfn.models.python import declare
from gpfn.tensors.spec import TensorSpec

X = TensorSpec("float32", (None, 2), "x")


@declare({{"x": X}}, {{"y": X}})
def times(x):
    return x * {number}
"""


def put_times(folder: Path, number: int, more: str = "") -> None:
    """Put a version that multiplies by its number; it appears at once and whole."""
    home = folder / "times" / f".{number}"
    home.mkdir(parents=True)
    (home / "func.py").write_text(CODE.format(number=number))
    (home / "model.toml").write_text(f'model = "func.py:times"\n[serving]\nmax_batch = 64\n{more}')
    home.rename(folder / "times" / str(number))


def remove(folder: Path, number: int) -> None:
    shutil.rmtree(folder / "times" / str(number), ignore_errors=True)


def until(true: Callable[[], object], server: ModelServer, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, server.log.read_text()[-3000:]
        time.sleep(0.02)


def versions(server: ModelServer, name: str = "times") -> list[str]:
    reply = server.ask(f"/v2/models/{name}")
    return list(json.loads(reply.body)["versions"]) if reply.status == 200 else []


def load(server: ModelServer, name: str = "times") -> None:
    """Have the folder looked at until what is there is served, by all workers."""
    assert server.ask(f"/v2/repository/models/{name}/load", {}).status == 200


def check_each_from_one_version(crowd: Crowd) -> None:
    assert crowd.errors == []
    for answer in crowd.answers:
        number = float(answer.version)
        want = tuple(number * value for row in ROWS for value in row)
        assert answer.values == want, "of one version, and the one that it names"


def until_served(server: ModelServer, version: str) -> None:
    until(lambda: versions(server) == [version], server)


def until_refused(server: ModelServer, version: str) -> None:
    until(lambda: "reason" in entry(server, version), server)


def swap(server: ModelServer, folder: Path, numbers: range) -> None:
    for number in numbers:
        put_times(folder, number)
        load(server)
        until_served(server, str(number))
        remove(folder, number - 1)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_fifty_swaps_lose_no_answer_and_mix_none(tmp_path: Path, workers: str) -> None:
    folder = tmp_path / "models"
    put_times(folder, 1)
    words = ("--models-dir", str(folder), "--poll", "60", "--workers", workers)
    with served(tmp_path / "log", *words) as server:
        load(server)
        with Crowd(server.port, 200, "/v2/models/times/infer", DOUBLE) as crowd:
            swap(server, folder, range(2, 52 if workers == "1" else 12))
        check_each_from_one_version(crowd)
        seen = {answer.version for answer in crowd.answers}
        assert len(seen) > (25 if workers == "1" else 5)
        total = sum(crowd.answers.values())
        (line,) = [
            line
            for line in server.ask("/metrics").body.decode().splitlines()
            if line.startswith('gpfn_requests_total{code="200"}')
        ]
        assert float(line.split()[-1]) >= total, "of all workers"


def test_a_version_that_cannot_be_opened_replaces_none_under_load(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    put_times(folder, 1)
    with served(tmp_path / "log", "--models-dir", str(folder), "--poll", "0.1") as server:
        with Crowd(server.port, 50, "/v2/models/times/infer", DOUBLE) as crowd:
            for number, line in {
                2: "raise ValueError('no')",
                3: "1 +",
                4: "import nothing",
            }.items():
                home = folder / "times" / str(number)
                home.mkdir()
                (home / "func.py").write_text(line + "\n\n\ndef times(x):\n    return x\n")
                (home / "model.toml").write_text('model = "func.py:times"\n')
                until_refused(server, str(number))
                assert entry(server, str(number))["state"] == "UNAVAILABLE"
                assert entry(server, "1")["state"] == "READY"
            # one that takes a call and fails the warm-up sample of its owner is not the right one
            put_times(folder, 5, 'warmup = ["sample.json"]\n')
            until_refused(server, "5")
            put_times(folder, 6)
            until_served(server, "6")
            crowd.until_answered_by("6")
        check_each_from_one_version(crowd)
        assert {answer.version for answer in crowd.answers} == {"1", "6"}


def entry(server: ModelServer, version: str) -> dict[str, str]:
    index = json.loads(server.ask("/v2/repository/index", b"").body)
    return next((one for one in index if one.get("version") == version), {})


def test_unload_first_answers_503_in_between_and_nothing_wrong(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    put_times(folder, 1)
    words = ("--models-dir", str(folder), "--poll", "60", "--swap", "unload-first")
    with served(tmp_path / "log", *words) as server:
        load(server)
        with Crowd(server.port, 20, "/v2/models/times/infer", DOUBLE) as crowd:
            swap(server, folder, range(2, 8))
        assert crowd.answers
        assert all(error.startswith("HTTP/1.1 503 ") for error in crowd.errors), crowd.errors[:3]
        crowd.errors.clear()
        check_each_from_one_version(crowd)


def test_load_unload_and_statistics_act_across_all_workers(tmp_path: Path, root: Path) -> None:
    words = ("-m", f"forecast={root / 'models' / 'forecast.tflite'}", "--workers", "2")
    window = {"inputs": [tensor("series", shape=[1, 20, 1], data=[0.5] * 20)]}
    path = "/v2/models/forecast"
    with served(tmp_path / "log", *words) as server:
        until(lambda: server.log.read_text().count(" ready: ") >= 2, server)

        def statuses() -> set[int]:
            """Ask on many connections, which both workers have."""
            return {server.ask(f"{path}/ready").status for _ in range(40)}

        def counted() -> int:
            (one,) = json.loads(server.ask(f"{path}/stats").body)["model_stats"]
            return int(one["inference_count"])

        for _ in range(3):
            assert statuses() == {200}
            assert server.ask("/v2/repository/models/forecast/unload", {}).status == 200
            assert statuses() == {404}, "in each of them, as soon as the answer is there"
            assert server.ask("/v2/repository/models/forecast/load", {}).status == 200
        before = counted()
        for _ in range(60):
            assert server.ask(f"{path}/infer", window).status == 200
        assert {counted() - before for _ in range(20)} == {60}, "each tells of both"


SWAPPER = """
import gc
import re
import sys
import time
from pathlib import Path

from gpfn.serving import Server, ServerSettings

_, model, swaps = sys.argv


def resident():
    gc.collect()  # circles of a closed version wait for it, be it the fifth or the fiftieth
    text = Path("/proc/self/smaps_rollup").read_text()
    return int(re.search(r"^Rss:\\s+(\\d+)", text, re.MULTILINE)[1])


def resting():
    # Batches of every size have come to every replica when it grows no more.
    readings = [resident()]
    while len(readings) < 8 or readings[-8] < max(readings[-7:]):
        time.sleep(0.1)
        readings.append(resident())
    return readings[-1]


with Server({"model": model}, ServerSettings(port=0, threads=2)) as server:
    print(server.address[1], flush=True)
    library = server.service.library
    resident()  # the first reading costs half a megabyte itself
    for number in range(1, int(swaps) + 1):
        server.put("model", model)
        while library.find("model").source.stamp != str(number):
            time.sleep(0.005)
        time.sleep(0.05)  # for the old one to be closed, and the new one to be asked
        if 5 <= number < 8 or number > int(swaps) - 3:
            print(resting(), flush=True)
    sys.stdin.read()
"""


@pytest.mark.timing
@pytest.mark.parametrize("file", ["forecast.tflite", "forecast.onnx"])
def test_memory_after_fifty_swaps_is_that_after_five(file: str, root: Path) -> None:
    window = {"inputs": [tensor("series", shape=[1, 20, 1], data=[0.5] * 20)]}
    command = [sys.executable, "-c", SWAPPER, str(root / "models" / file), "50"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with Crowd(port, 20, "/v2/models/model/infer", window) as crowd:
            readings = [int(process.stdout.readline()) for _ in range(6)]
        process.communicate("", 60)
    assert process.returncode == 0
    assert crowd.errors == []
    assert len({answer.values for answer in crowd.answers}) == 1
    after_five, after_fifty = median(readings[:3]), median(readings[3:])
    assert after_fifty <= 1.05 * after_five
