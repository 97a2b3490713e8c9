"""The whole circle: files come, a candidate is pushed and promoted, a served model swaps."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpfn.cli.main import main
from gpfn.models.open import open_model
from tests.conftest import ROOT
from tests.e2e.models_served import tensor
from tests.e2e.repository_served import RepositoryServer, repository_served
from tests.serving.swapping import Answer, Crowd

CROWD = 40


class Watcher:
    """``gpfn train forecast --watch in`` beside a repository, and the events that it tells."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        (folder / "in").mkdir(exist_ok=True)
        self._log, self._err = folder / "events.jsonl", folder / "watch.err"

    def __enter__(self) -> "Watcher":
        words = ["--watch", "in", "--column", "value", "--time", "month", "--epochs", "3"]
        words += ["--hidden", "8", "--settle", "0.3", "--push", self.url, "--name", "sales"]
        with self._log.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gpfn", "train", "forecast", *words, "--json"],
                cwd=self.folder,
                stdout=out,
                stderr=err,
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGINT)
        try:
            assert self._process.wait(60) == 0, self._err.read_text()
        finally:
            self._process.kill()
            self._process.wait()
        assert self.events()[-1]["event"] == "stopped"

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def until(self, word: str, seconds: float = 120) -> dict[str, Any]:
        """Return the newest event when it is this one."""
        end = time.monotonic() + seconds
        while not (events := self.events()) or events[-1]["event"] != word:
            assert time.monotonic() < end, (events, self._err.read_text()[-2000:])
            assert self._process.poll() is None, self._err.read_text()
            time.sleep(0.05)
        return events[-1]

    def put(self, name: str, text: str) -> None:
        hidden = self.folder / "in" / f".{name}"
        hidden.write_text(text)
        hidden.rename(self.folder / "in" / name)

    def forecast(self, window: list[float]) -> float:
        """Return what the last good model on disk says."""
        model = open_model(self.folder / "in-forecast" / "current" / "forecast.tflite")
        found = float(model({"series": np.array([window], np.float32)})["forecast"][0, 0])
        model.close()
        return found


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RepositoryServer]:
    with repository_served(tmp_path) as served:
        yield served


@pytest.mark.timeout(400)
def test_files_come_and_a_served_model_swaps_under_load(
    server: RepositoryServer, tmp_path: Path
) -> None:
    rows = (ROOT / "training" / "sales.csv").read_text().splitlines(keepends=True)
    window = [float(line.split(",")[1]) for line in rows[-20:]]
    asked = {"inputs": [tensor("series", "FP32", [1, 20], window)]}
    url = f"http://127.0.0.1:{server.server.port}"
    promote = ["models", "tag", "sales@candidate", "stable", "--url", url]
    with Watcher(tmp_path, url) as watcher:
        watcher.put("2000.csv", "".join(rows[:100]))
        assert watcher.until("pushed")["version"] == 1
        first = watcher.forecast(window)
        assert main(promote) == 0
        path = "/v2/models/sales/versions/stable/infer"
        with Crowd(server.server.port, CROWD, path, asked) as crowd:
            crowd.until_answered_by("1")
            watcher.put("2008.csv", rows[0] + "much,ado\n")
            assert "2008.csv:2: column value: 'ado' is no number" in watcher.until("failed")["why"]
            watcher.put("2008.csv", rows[0] + "".join(rows[100:]))
            assert watcher.until("pushed")["version"] == 2
            second = watcher.forecast(window)
            assert {answer.version for answer in [*crowd.answers]} == {"1"}  # nobody promoted it
            assert main(promote) == 0
            crowd.until_answered_by("2")
            time.sleep(0.5)
    assert not crowd.errors
    assert abs(first - second) > 1e-3
    values = {version: value for version, (value,) in crowd.answers}
    assert values == {"1": pytest.approx(first, abs=1e-4), "2": pytest.approx(second, abs=1e-4)}
    assert set(crowd.answers) == {Answer(name, (value,)) for name, value in values.items()}
    tags = server.ask("/repository/models/sales")["tags"]
    assert (tags["candidate"], tags["stable"]) == (2, 2)


@pytest.mark.timeout(400)
def test_a_version_says_how_good_it_is_and_can_be_made_a_function(
    server: RepositoryServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    url = f"http://127.0.0.1:{server.server.port}"
    with Watcher(tmp_path, url) as watcher:
        watcher.put("sales.csv", (ROOT / "training" / "sales.csv").read_text())
        watcher.until("pushed")
    (version,) = server.ask("/repository/models/sales")["versions"]
    told = version["params"]["training"]
    assert told["metrics"]["beats_baseline"] is False
    assert "The network does not beat" in told["summary"]
    assert version["params"]["output_name"] == "forecast"
    assert main(["models", "pull", f"{url}/sales@candidate", "--output", "pulled"]) == 0
    assert main(["init", "again", "--from", "pulled"]) == 0
    sample = json.loads(Path("again/sample.json").read_text())["data"]
    assert sample == json.loads(Path("in-forecast/current/window.json").read_text())
    with Watcher(tmp_path, url) as watcher:
        watcher.until("trained before")
        time.sleep(1)
        assert [event["event"] for event in watcher.events()].count("training") == 0
    assert server.versions() == {"sales": [1]}
