"""A folder of models under `gpfn serve`: what comes, goes, and cannot be opened."""

import json
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gpfn.graphpipe import remote

from .test_v2 import Asked
from .test_workers import serving, wait_for

WINDOW = np.ones((1, 20, 1), np.float32)


def put(root: Path, folder: Path, name: str) -> None:
    folder.mkdir(parents=True)
    shutil.copy(root / "models" / name, folder / f"model{Path(name).suffix}")


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def states(ask: Asked) -> dict[tuple[str, str], str]:
    entries = json.loads(ask("/v2/repository/index", b"")[2])
    return {(entry["name"], entry.get("version", "")): entry["state"] for entry in entries}


@pytest.mark.parametrize("told", ["poll", "hangup", "load"])
def test_versions_come_and_go(root: Path, tmp_path: Path, told: str) -> None:
    models, log = tmp_path / "models", tmp_path / "log"
    put(root, models / "m" / "1", "forecast.tflite")
    poll = "0.2" if told == "poll" else "1000"
    with serving(log, "--models-dir", str(models), "--poll", poll) as (popen, url):
        wait_for(log, popen, "ready: ")
        ask = Asked(int(url.rpartition(":")[2]))

        def look() -> None:
            if told == "hangup":
                popen.send_signal(signal.SIGHUP)
            elif told == "load":
                assert ask("/v2/repository/models/m/load", {})[0] == 200

        assert remote(url, WINDOW).shape == (1, 20, 1)
        put(root, models / "m" / "2", "forecast.onnx")
        look()
        until(lambda: states(ask) == {("m", "2"): "READY"})
        assert ask("/v2/models/m/versions/1")[0] == 404
        shutil.rmtree(models / "m" / "2")
        look()
        until(lambda: states(ask) == {("m", "1"): "READY"})
        assert remote(url, WINDOW).shape == (1, 20, 1)


def test_what_is_damaged_is_listed_until_it_is_whole(root: Path, tmp_path: Path) -> None:
    models, log = tmp_path / "models", tmp_path / "log"
    put(root, models / "good" / "1", "forecast.tflite")
    put(root, models / "bad" / "1", "forecast.onnx")
    whole = (models / "bad" / "1" / "model.onnx").read_bytes()
    (models / "bad" / "1" / "model.onnx").write_bytes(whole[: len(whole) // 2])
    (models / "old" / "007").mkdir(parents=True)
    with serving(log, "--models-dir", str(models), "--poll", "0.2") as (popen, url):
        wait_for(log, popen, "ready: ")
        ask = Asked(int(url.rpartition(":")[2]))
        until(lambda: ("bad", "1") in states(ask))
        assert states(ask)["old", "007"] == "UNAVAILABLE"
        until(lambda: states(ask).get(("bad", "1")) == "UNAVAILABLE")
        assert ask("/v2/models/good/ready")[0] == 200
        assert ask("/v2/models/bad/ready")[0] in (404, 503)
        (models / "bad" / "1" / "model.onnx").write_bytes(whole)
        until(lambda: states(ask).get(("bad", "1")) == "READY")
        assert ask("/v2/models/bad/ready")[0] == 200
    assert "bad" in log.read_text()
    assert "007" in log.read_text()


def test_what_a_model_says_of_its_serving_is_heeded(root: Path, tmp_path: Path) -> None:
    models, log = tmp_path / "models", tmp_path / "log"
    for version in ("1", "2", "3"):
        put(root, models / "m" / version, "forecast.tflite")
    text = 'model = "model.tflite"\n[serving]\nkeep = 2\nmax_batch = 4\ntags = { old = 2 }\n'
    (models / "m" / "model.toml").write_text(text)
    with serving(log, "--models-dir", str(models)) as (popen, url):
        wait_for(log, popen, "ready: ", 2)
        ask = Asked(int(url.rpartition(":")[2]))
        assert states(ask) == {("m", "2"): "READY", ("m", "3"): "READY"}
        assert json.loads(ask("/v2/models/m/config")[2])["max_batch_size"] == 4
        status = json.loads(ask("/v1/models/m/labels/old")[2])
        assert [one["version"] for one in status["model_version_status"]] == ["2"]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with (
        pytest.raises(AssertionError, match="absent"),
        serving(log, "--models-dir", str(tmp_path / "absent")),
    ):
        pass
