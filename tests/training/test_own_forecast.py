"""Trainings on a user's own series, end to end, as users start them."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.image
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from agreement import ask
from own_forecast import EXPORTS, SAMPLE
from own_forecast_card import FILES
from own_series import own_series

from gpfn.models.description import read_description
from gpfn.tfaas.parameters import read_parameters
from tests.conftest import ROOT

FEW = ["--hidden", "24", "--learning-rate", "0.01", "--seed", "3"]


class Run(NamedTuple):
    """A training's folder, and what it has printed."""

    folder: Path
    told: dict[str, Any]


def gpfn(*words: str, cwd: Path, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "gpfn", *words],
        cwd=cwd,
        input=given,
        capture_output=True,
        check=False,
        timeout=300,
    )


def trained(folder: Path, *words: str) -> Run:
    done = gpfn("train", "forecast", *words, *FEW, "--json", cwd=folder)
    assert done.returncode == 0, done.stderr.decode()
    told = json.loads(done.stdout)
    return Run(folder / Path(told["files"][0]).parent, told)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A season in large numbers, with no noise; the folder has the usual name."""
    folder = tmp_path_factory.mktemp("clean")
    month = np.arange(120)
    values = 4e5 + 1e5 * np.sin(2 * np.pi * month / 12) + 3e4 * np.sin(4 * np.pi * month / 12 + 1)
    rows = [f"{2010 + at // 12}-{at % 12 + 1:02d},{value:.0f}" for at, value in enumerate(values)]
    (folder / "sold.csv").write_text("\n".join(["month,units", *rows]))
    words = ["--data", "sold.csv", "--column", "units", "--time", "month", "--season", "0"]
    return trained(folder, *words, "--epochs", "250", "--window", "12")


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Noise in tiny numbers, which nothing forecasts: Parquet without times, three ahead."""
    folder = tmp_path_factory.mktemp("noise")
    values = 1e-6 * np.random.default_rng(1).standard_normal(90).cumsum()
    pq.write_table(pa.table({"walk": values}), folder / "walk.parquet")
    words = ["--data", "walk.parquet", "--horizon", "3", "--epochs", "3", "--out", "made"]
    return trained(folder, *words)


def test_the_folder_has_all_of_it(clean: Run, noise: Run) -> None:
    assert clean.folder.name == "sold-forecast"
    for run in (clean, noise):
        names = {path.name for path in run.folder.iterdir()}
        assert names == {*EXPORTS, *FILES, SAMPLE, "plots"}
        assert len(run.told["plots"]) == 3
        for name in run.told["plots"]:
            assert matplotlib.image.imread(run.folder.parent / name)[..., :3].std() > 0.05


def test_on_a_clean_season_it_beats_the_last_value(clean: Run) -> None:
    metrics = clean.told["metrics"]
    assert metrics["beats_baseline"] is True
    assert metrics["margin"] > 5
    assert metrics["mse"] < 0.1 * metrics["baselines"]["naive"]["mse"]
    assert "seasonal_naive" not in metrics["baselines"]
    assert "The network beats every baseline" in (clean.folder / "forecast.md").read_text()


def test_on_noise_it_says_that_it_does_not_beat_anything(noise: Run) -> None:
    assert noise.told["metrics"]["beats_baseline"] is False
    card = (noise.folder / "forecast.md").read_text()
    assert 'The network does not beat "last value again"; use that instead' in card
    assert noise.told["data"]["step"] == "row"


def test_the_figures_are_those_of_the_exported_model(clean: Run, noise: Run) -> None:
    """Computed anew from the files: the last fifth, each forecast from a window of raw values."""
    series = own_series([clean.folder.parent / "sold.csv"], "units", "month").values
    walk = own_series([noise.folder.parent / "walk.parquet"], "walk", "").values
    for run, values, window, horizon in ((clean, series, 12, 1), (noise, walk, 20, 3)):
        begin = len(values) - round(len(values) / 5)
        at = range(begin, len(values) - horizon + 1)
        windows = np.array([values[each - window : each] for each in at], np.float32)
        targets = np.array([values[each : each + horizon] for each in at])
        naive = np.square(windows[:, -1:] - targets).mean()
        told = run.told["metrics"]
        assert told["baselines"]["naive"]["mse"] == pytest.approx(naive, rel=1e-5)
        for name in EXPORTS:
            answer = ask(run.folder / name, "series", "forecast", windows)
            assert np.square(answer - targets).mean() == pytest.approx(told["mse"], rel=1e-3), name


def test_the_exports_agree(clean: Run, noise: Run) -> None:
    for run in (clean, noise):
        scale = run.told["scaling"]["scale"]
        window = run.told["settings"]["window"]
        values = np.random.default_rng(5).standard_normal((7, window)) * scale
        windows = (values + run.told["scaling"]["mean"]).astype(np.float32)
        answers = [ask(run.folder / name, "series", "forecast", windows) for name in EXPORTS]
        for answer in answers:
            assert answer.shape == (7, run.told["settings"]["horizon"])
            assert np.abs(answer - answers[0]).max() / scale < 1e-5


def test_the_scaling_is_of_what_is_learned_from_alone(clean: Run) -> None:
    values = own_series([clean.folder.parent / "sold.csv"], "units", "month").values
    learned = values[: clean.told["data"]["learned_values"]]
    assert len(learned) == 84
    assert clean.told["scaling"]["mean"] == pytest.approx(learned.mean())
    assert clean.told["scaling"]["scale"] == pytest.approx(learned.std())


def test_a_function_of_it_answers_in_the_units_of_the_series(clean: Run, noise: Run) -> None:
    for run in (clean, noise):
        home = run.folder.parent
        made = gpfn("init", "units", "--from", run.folder.name, "--json", cwd=home)
        assert made.returncode == 0, made.stderr.decode()
        sample = json.loads((home / "units" / "sample.json").read_text())
        assert sample["data"] == [run.told["example"]["series"]]
        reply = gpfn("invoke", "units", cwd=home, given=json.dumps(sample).encode())
        assert reply.returncode == 0, reply.stderr.decode()
        (answer,) = json.loads(reply.stdout)["data"]
        wanted = run.told["example"]["forecast"]
        assert answer == pytest.approx(wanted, abs=1e-5 * run.told["scaling"]["scale"])


def test_what_comes_next_is_named(clean: Run) -> None:
    example = clean.told["example"]
    assert example["forecast_for"] == ["2020-01"]
    season = 4e5 + 3e4 * np.sin(1)
    assert abs(example["forecast"][0] - season) < 0.5 * clean.told["scaling"]["scale"]


def test_its_descriptions_are_read(clean: Run) -> None:
    found = read_description(clean.folder / "model.toml")
    assert (found.model.name, found.serving.warmup) == (EXPORTS[0], (SAMPLE,))
    assert found.signature is not None
    assert [spec.shape for spec in found.signature.inputs] == [(None, 12)]
    params = read_parameters((clean.folder / "params.json").read_bytes())
    assert (params.model, params.input, params.output) == (EXPORTS[0], "series", "forecast")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--column", "value"], "--column: is for a series of your own; name its file with"),
        (["--data", "s.csv", "--windows", "9"], "--windows: is for the series that is made; "),
        (["--data", "s.csv", "--sort"], "--sort: needs --time, which says the order"),
        (["--data", "none.csv"], "none.csv: no such file; --data takes files such as"),
        (["--data", "s.csv"], "s.csv: which column? --column is one of 'day', 'value', 'same'"),
        (["--data", "s.csv", "--column", "value"], "--data: column value: 3 values; windows of"),
        (["--data", "s.csv", "--column", "day"], "s.csv:2: column day: '2020-01-01' is no number"),
        (["--data", "long.csv", "--column", "same"], "--data: column same: all 100 values are 1: "),
        (["--data", "long.csv", "--column", "value", "--season", "80"],
         "--season: 80 values are more than the 70 that are learned from"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_line_before_anything_is_written(
    tmp_path: Path, words: list[str], told: str
) -> None:
    rows = "2020-01-01,1,1\n2020-01-02,2,1\n2020-01-03,3,1\n"
    (tmp_path / "s.csv").write_text(f"day,value,same\n{rows}")
    long = "".join(f"{number % 7},1\n" for number in range(100))
    (tmp_path / "long.csv").write_text(f"value,same\n{long}")
    done = gpfn("train", "forecast", *words, "--out", "made", cwd=tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith(f"gpfn: {told}")
    assert not (tmp_path / "made").exists()


def test_no_figure_is_of_values_that_were_put_in(tmp_path: Path) -> None:
    values = np.random.default_rng(5).standard_normal(100)
    texts = ["" if 0 < at < 99 and at % 4 == 3 else f"{value}" for at, value in enumerate(values)]
    name = os.fsdecode(b"s\xff.csv")  # a name that is no text
    (tmp_path / name).write_text("\n".join(["value,x", *(f"{text},1" for text in texts)]))
    words = ["--data", name, "--column", "value", "--epochs", "2", "--season", "0", "--out", "made"]
    told = trained(tmp_path, *words, "--fill", "linear").told
    assert told["data"]["files"] == ["s\ufffd.csv"]
    pairs = [(at, at + 1) for at in range(79, 99) if texts[at] and texts[at + 1]]
    assert told["data"]["held_out_forecasts"] == len(pairs) == 11
    naive = np.mean([(values[at] - values[after]) ** 2 for at, after in pairs])
    assert told["metrics"]["baselines"]["naive"]["mse"] == pytest.approx(naive)
    card = (tmp_path / "made" / "forecast.md").read_text()
    assert "24 of them were not there and were put in (linear). No forecast is judged by" in card


def test_a_part_that_was_put_in_as_a_whole_cannot_judge(tmp_path: Path) -> None:
    texts = [f"{at % 7}" if at < 80 or at == 99 else "" for at in range(100)]
    (tmp_path / "s.csv").write_text("\n".join(["value,x", *(f"{text},1" for text in texts)]))
    words = ["train", "forecast", "--data", "s.csv", "--column", "value", "--out", "made"]
    done = gpfn(*words, "--fill", "linear", cwd=tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("gpfn: --fill: from row 81 on hardly a value was there")
    assert not (tmp_path / "made").exists()


def test_a_run_that_fails_leaves_the_folder_as_it_was(noise: Run, tmp_path: Path) -> None:
    shutil.copytree(noise.folder, tmp_path / "made")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "made").rglob("*")}
    (tmp_path / "s.csv").write_text("value\n1\nx\n")
    assert gpfn("train", "forecast", "--data", "s.csv", "--out", "made", cwd=tmp_path).returncode
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "made").rglob("*")} == before


def test_a_run_that_is_ended_leaves_nothing(tmp_path: Path) -> None:
    words = ["--data", str(ROOT / "training" / "sales.csv"), "--column", "value", "--out", "made"]
    process = subprocess.Popen(
        [sys.executable, "-m", "gpfn", "train", "forecast", *words, "--epochs", "100000"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    with process.stderr as told:
        assert any(line.startswith(b"epoch     1") for line in told)
        process.terminate()
        told.read()
    assert process.wait(60) == 128 + signal.SIGTERM
    assert not (tmp_path / "made").exists()
