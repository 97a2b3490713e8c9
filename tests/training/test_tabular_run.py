"""``gpfn train tabular`` on real files, end to end: what is made, and what it is good for."""

import csv
import json
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from agreement import ask
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score
from tabular import APART, EXPORTS
from tabular_rows import DataFile, Wanted, read_rows
from tabular_target import find_target, split

from tests.cli.serving import LISTENING, Served, serve
from tests.conftest import ROOT
from tests.training.tabular_files import QUICK, cancer, made, run, write_csv

PLOTS = {"tabular-importance.png", "tabular-loss.png", "tabular-roc.png", "tabular-scores.png"}


class Made:
    """A finished run: its folder, what it printed, and the data that it had."""

    def __init__(self, data: Path, out: Path, *words: str) -> None:
        self.data, self.out = data, out
        done = run(str(data), *words, *QUICK, "--out", str(out), "--json")
        assert done.returncode == 0, done.stderr
        self.facts: dict[str, Any] = json.loads(done.stdout)
        self.told = done.stderr

    def test_part(self, target: str) -> tuple[np.ndarray, np.ndarray]:
        """Return values and targets of the rows held out, read and cut anew."""
        rows = read_rows([DataFile(self.data)], Wanted(target=target), lambda *_: None)
        found = find_target(rows.targets, target)
        chosen = split(found, 5).test
        return rows.values[chosen], found.values[chosen]


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A classifier of real data."""
    folder = tmp_path_factory.mktemp("kinds")
    return Made(cancer(folder), folder / "cancer", "--target", "kind")


@pytest.fixture(scope="module")
def number(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A network that predicts a number."""
    folder = tmp_path_factory.mktemp("number")
    names, rows = made()
    return Made(write_csv(folder / "made.csv", names, rows), folder / "out", "--target", "y")


def test_every_file_is_made_and_named(kinds: Made) -> None:
    beside = ["model.toml", "params.json", "labels.txt", "sample.npy", "tabular.json", "tabular.md"]
    names = [*EXPORTS, *beside]
    assert kinds.facts["files"] == [str(kinds.out / name) for name in names]
    assert sorted(path.name for path in kinds.out.iterdir()) == sorted([*names, "plots"])
    assert {path.name for path in (kinds.out / "plots").iterdir()} == PLOTS
    assert (kinds.out / "labels.txt").read_text() == "benign\nmalignant\n"


def test_progress_is_told(kinds: Made) -> None:
    first = kinds.facts["history"][0]
    assert "epoch     1  validation loss " in kinds.told
    assert first > kinds.facts["history"][-1]


@pytest.mark.parametrize("name", EXPORTS)
def test_the_exports_agree_and_take_raw_values(kinds: Made, name: str) -> None:
    values, _ = kinds.test_part("kind")
    answers = [ask(kinds.out / each, "features", "probabilities", values) for each in
               (EXPORTS[0], name)]  # fmt: skip
    assert np.abs(answers[0] - answers[1]).max() <= APART
    assert answers[1].shape == (len(values), 2)
    assert kinds.facts["metrics"]["exports_apart"] <= APART


def test_the_figures_are_scikit_learns_on_the_rows_held_out(kinds: Made) -> None:
    values, targets = kinds.test_part("kind")
    answers = ask(kinds.out / "model.onnx", "features", "probabilities", values)
    told = kinds.facts["metrics"]["test"]
    assert told["rows"] == len(values) == 86
    assert told["auc"] == pytest.approx(roc_auc_score(targets, answers[:, 1]), abs=1e-9)
    assert told["accuracy"] == accuracy_score(targets, answers.argmax(axis=1))
    exact = answers / answers.sum(axis=1, keepdims=True, dtype=float)
    assert told["log_loss"] == pytest.approx(log_loss(targets, exact), abs=1e-5)
    assert told["auc"] > 0.98
    assert kinds.facts["metrics"]["beats_baseline"] is True


def test_scaling_and_weights_are_of_the_training_rows_alone(kinds: Made) -> None:
    rows = read_rows([DataFile(kinds.data)], Wanted(target="kind"), lambda *_: None)
    found = find_target(rows.targets, "kind")
    chosen = split(found, 5).training
    learned = rows.values[chosen].astype(np.float64)
    columns = kinds.facts["data"]["columns"]
    assert [column["mean"] for column in columns] == pytest.approx(learned.mean(axis=0), rel=1e-6)
    assert [c["deviation"] for c in columns] == pytest.approx(learned.std(axis=0), rel=1e-6)
    counts = np.bincount(found.values[chosen])
    weights = [each["weight"] for each in kinds.facts["data"]["class_table"]]
    assert weights == pytest.approx(len(chosen) / (2 * counts))


def test_the_same_seed_gives_the_same_model_again(kinds: Made, tmp_path: Path) -> None:
    again = Made(kinds.data, tmp_path / "again", "--target", "kind", "--name", "cancer")
    for name in ("model.tflite", "tabular.md", "labels.txt", "sample.npy"):
        assert (again.out / name).read_bytes() == (kinds.out / name).read_bytes(), name


def test_the_pictures_show_something(kinds: Made, number: Made) -> None:
    assert len(kinds.facts["plots"]) == len(number.facts["plots"]) == 4
    for name in (*kinds.facts["plots"], *number.facts["plots"]):
        pixels = matplotlib.image.imread(name)
        assert min(pixels.shape[:2]) >= 250
        assert pixels[..., :3].std() > 0.05, name


def test_the_card_shows_the_pictures_and_says_what_the_facts_say(kinds: Made) -> None:
    card = (kinds.out / "tabular.md").read_text()
    for name in PLOTS:
        assert f"(plots/{name})" in card
    assert f"**{kinds.facts['metrics']['test']['auc']:.4f}**" in card
    assert "Of 569 rows 569 can be used" in card
    assert "It beats the baseline above." in card


def test_model_toml_names_the_columns_in_order(kinds: Made) -> None:
    told = tomllib.loads((kinds.out / "model.toml").read_text())
    with kinds.data.open() as file:
        names = next(csv.reader(file))
    assert [column["name"] for column in told["columns"]] == names[:-1]
    assert told["labels"] == "labels.txt"


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_what_was_trained_on_can_be_scored_with_truth_values(tmp_path: Path, suffix: str) -> None:
    """The same file, with a gap that the commonest value stands for, and the function's row."""
    data = tmp_path / f"flags.{suffix}"
    rows = [(at / 60, at % 3 > 0, at % 3 + at / 60) for at in range(60)]
    names = ["a", "flag", "y"]
    columns = {name: [row[at] for row in rows] for at, name in enumerate(names)}
    columns["flag"][7] = None
    if suffix == "csv":
        write_csv(data, names, [*zip(*columns.values(), strict=True)])
    else:
        pq.write_table(pa.table(columns), data)
    done = run(
        *(str(data), "--target", "y", "--epochs", "1", "--missing", "median", "--out", "out"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    told = tomllib.loads((tmp_path / "out" / "model.toml").read_text())["columns"]
    assert (told[1]["dtype"], told[1]["default"], "dtype" in told[0]) == ("bool", True, False)
    words = [sys.executable, "-m", "gpfn"]
    asked = [*words, "score", "out/model.tflite", str(data), "-o", "out.jsonl"]
    subprocess.run(asked, cwd=tmp_path, check=True)
    assert not (tmp_path / "out.jsonl.failed.jsonl").exists()
    subprocess.run([*words, "init", "made", "--from", "out"], cwd=tmp_path, check=True)
    row = json.dumps({"a": 0.5, "flag": True})
    asked = [*words, "invoke", "made", "--content-type", "application/json"]
    assert subprocess.run(asked, cwd=tmp_path, input=row, text=True, check=False).returncode == 0


def test_a_number_is_predicted_in_its_own_units(number: Made) -> None:
    values, targets = number.test_part("y")
    answers = ask(number.out / "model.tflite", "features", "prediction", values)[:, 0]
    told = number.facts["metrics"]["test"]
    assert told["rmse"] == pytest.approx(np.sqrt(np.mean((answers - targets) ** 2)), rel=1e-4)
    assert told["r2"] > 0.9
    columns = number.facts["data"]["columns"]
    order = sorted(columns, key=lambda column: -column["importance"])
    assert [column["name"] for column in order[:2]] == ["first", "second"]
    assert {path.name for path in (number.out / "plots").iterdir()} == {
        "tabular-importance.png",
        "tabular-loss.png",
        "tabular-predicted.png",
        "tabular-residuals.png",
    }


def test_init_makes_a_function_that_takes_rows_by_name(kinds: Made, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "gpfn"]
    subprocess.run([*words, "init", "kinds", "--from", str(kinds.out)], cwd=tmp_path, check=True)
    with kinds.data.open() as file:
        row = next(csv.DictReader(file))
    kind = row.pop("kind")
    (tmp_path / "row.json").write_text(json.dumps({name: float(row[name]) for name in sorted(row)}))
    asked = [*words, "invoke", "kinds", "--content-type", "application/json"]
    with (tmp_path / "row.json").open() as file:
        answer = subprocess.check_output(asked, cwd=tmp_path, stdin=file)
    probabilities = json.loads(answer)["probabilities"]
    assert max(probabilities, key=probabilities.__getitem__) == kind == "malignant"


def test_pictures_of_a_former_training_of_another_kind_go(tmp_path: Path) -> None:
    names, rows = made(60)
    data = write_csv(tmp_path / "made.csv", names, rows.tolist())
    (tmp_path / "made-tabular" / "plots").mkdir(parents=True)
    for name in ("tabular-roc.png", "other.png"):
        (tmp_path / "made-tabular" / "plots" / name).write_text("old")
    done = run(str(data), "--target", "y", "--epochs", "1", "--json", cwd=tmp_path)
    plots = {path.name for path in (tmp_path / "made-tabular" / "plots").iterdir()}
    assert "other.png" in plots
    assert "tabular-roc.png" not in plots
    assert [Path(name).name for name in json.loads(done.stdout)["plots"]] == sorted(
        plots - {"other.png"}
    )


def test_a_full_disk_is_told_in_a_line_and_leaves_nothing(tmp_path: Path) -> None:
    """A bound on the size of files is what a process meets first of those that a disk has."""
    names, rows = made(60)
    write_csv(tmp_path / "made.csv", names, rows.tolist())
    words = "-m gpfn train tabular made.csv --target y --epochs 1 --out out"
    command = f"ulimit -f 8; exec {sys.executable} {words}"
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "gpfn: out: cannot be written: File too large" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_two_files_are_signal_and_background(tmp_path: Path) -> None:
    """With gaps that medians stand for, a constant column, and a region that selects."""
    chance = np.random.default_rng(2)
    for name, middle in (("signal", 125.0), ("background", 105.0)):
        mass = chance.normal(middle, 8, 300)
        columns = {"mass": mass, "pt": chance.exponential(20, 300), "one": np.ones(300)}
        table = pa.table({key: pa.array(value) for key, value in columns.items()})
        gaps = pa.array(np.arange(300) % 10 == 0)
        table = table.set_column(1, "pt", pa.compute.if_else(gaps, None, table["pt"]))
        pq.write_table(table, tmp_path / f"{name}.parquet")
    files = ["--signal", "signal.parquet", "--background", "background.parquet"]
    options = ["--missing", "median", "--signal-region", "mass > 100 & mass < 140"]
    done = run(*files, *options, *QUICK, "--out", "higgs", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["data"]["classes"] == ["background", "signal"]
    assert facts["data"]["constant"] == ["one"]
    assert facts["data"]["rows"]["outside_region"] > 10
    assert facts["metrics"]["test"]["auc"] > 0.8
    for told in ("outside of the signal region", "the column's median stands", "constant"):
        assert f"{told}" in done.stderr
        assert told in (tmp_path / "higgs" / "tabular.md").read_text()
    described = tomllib.loads((tmp_path / "higgs" / "model.toml").read_text())
    defaults = [column["default"] for column in described["columns"]]
    assert defaults[1] == facts["data"]["columns"][1]["default"]
    assert 5 < defaults[1] < 30


def test_bad_options_are_told_in_a_line(tmp_path: Path) -> None:
    names, rows = made(50)
    write_csv(tmp_path / "data.csv", names, rows)
    cases = {
        (): "gpfn: DATA: no files; give some with --target COLUMN, or --signal FILE and",
        ("data.csv",): "gpfn: --target: which column is to be learnt? Name it",
        ("--signal", "data.csv"): "gpfn: DATA: give both --signal FILE and --background FILE",
        ("data.csv", "--target", "y", "--hidden", "0"): "gpfn: --hidden: expected up to 10",
        ("data.csv", "--target", "y", "--signal-region", "a >"): "gpfn: --signal-region: expected",
        ("nothing.csv", "--target", "y"): "gpfn: nothing.csv: cannot read it: No such file",
        ("data.csv", "--target", "z"): "gpfn: data.csv: no column z; there is first, second",
    }
    for words, told in cases.items():
        done = run(*words, "--out", "out", cwd=tmp_path)
        assert done.returncode == 1
        assert done.stderr.startswith(told), done.stderr
        assert done.stderr.count("\n") == 1
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_a_run_that_is_stopped_leaves_the_old_files(kinds: Made, tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_text("old")
    words = ["--target", "kind", "--epochs", "1000000", "--patience", "1000000"]
    command = [sys.executable, "-m", "gpfn", "train", "tabular", str(kinds.data), *words]
    process = subprocess.Popen([*command, "--out", str(tmp_path)], stderr=subprocess.PIPE)
    assert process.stderr is not None
    while b"epoch" not in process.stderr.readline():
        assert process.poll() is None
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    process.stderr.close()
    assert process.wait(60) != 0
    assert [path.name for path in tmp_path.iterdir()] == ["model.tflite"]
    assert (tmp_path / "model.tflite").read_text() == "old"


def test_sigterm_while_it_writes_leaves_nothing_half_written(kinds: Made, tmp_path: Path) -> None:
    words = ["--target", "kind", "--epochs", "1", "--out", str(tmp_path)]
    command = [sys.executable, "-m", "gpfn", "train", "tabular", str(kinds.data), *words]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not [*tmp_path.glob(".training-*")]:
        assert process.poll() is None
        time.sleep(0.01)
    process.terminate()
    assert process.wait(60) == 128 + signal.SIGTERM
    assert [*tmp_path.iterdir()] == []


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A model server with an empty repository."""
    folder = tmp_path_factory.mktemp("server")
    with serve(folder, "--repository", str(folder / "store"), told=LISTENING) as served:
        yield served


def test_it_is_pushed_to_a_repository_and_answers(kinds: Made, server: Served) -> None:
    words = [sys.executable, "-m", "gpfn", "models", "push", str(kinds.out / "model.tflite")]
    words += ["--to", server.url, "--name", "cancer", "--params", str(kinds.out / "params.json")]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "cancer@1 is new" in done.stdout
    check_asked(kinds, server, "cancer")


def test_tfaas_takes_the_frozen_graph_with_its_parameters(kinds: Made, server: Served) -> None:
    params = json.loads((kinds.out / "params.json").read_text())
    assert params["model"] == "model.pb"
    (kinds.out / "upload.json").write_text(
        json.dumps({
            "name": "cancer",
            "model": str(kinds.out / "model.pb"),
            "labels": str(kinds.out / "labels.txt"),
            "params": str(kinds.out / "params.json"),
        })
    )  # fmt: skip
    words = [sys.executable, "-m", "gpfn", "tfaas", "--url", server.url, "--upload"]
    try:
        subprocess.run([*words, str(kinds.out / "upload.json")], check=True, cwd=ROOT)
    finally:
        (kinds.out / "upload.json").unlink()
    check_asked(kinds, server, "cancer")


def test_a_watched_folder_is_trained_on_and_pushed(server: Served, tmp_path: Path) -> None:
    names, rows = made(60)
    (tmp_path / "new-rows").mkdir()
    for number, part in enumerate(np.split(rows, 2)):
        write_csv(tmp_path / "new-rows" / f"{number}.csv", names, part.tolist())
    words = ["--watch", "new-rows", "--target", "y", "--once", "--settle", "100ms"]
    done = run(*words, "--push", server.url, "--epochs", "2", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr + done.stdout
    told = {line["event"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert told["pushed"]["name"] == "new-rows"
    models = json.loads(server.get("/repository/models"))["models"]
    assert {"new-rows": {"candidate": 1}}.items() <= {m["name"]: m["tags"] for m in models}.items()
    out = tmp_path / "new-rows-tabular"
    facts = json.loads(next(out.rglob("tabular.json")).read_text())
    assert facts["data"]["rows"]["read"] == 60


def check_asked(kinds: Made, server: Served, name: str) -> None:
    """Ask as a client of TFaaS does: keys in another order than the columns."""
    values, _ = kinds.test_part("kind")
    expected = ask(kinds.out / "model.tflite", "features", "probabilities", values[:1])[0]
    features = json.loads((kinds.out / "params.json").read_text())["features"]
    row = {"keys": features[::-1], "values": values[0, ::-1].tolist(), "model": name}
    (kinds.data.parent / "row.json").write_text(json.dumps(row))
    words = [sys.executable, "-m", "gpfn", "tfaas", "--url", server.url, "--predict"]
    answer = subprocess.check_output([*words, str(kinds.data.parent / "row.json")], cwd=ROOT)
    assert json.loads(answer) == pytest.approx(expected.tolist(), abs=1e-6)
