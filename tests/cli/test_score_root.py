"""``gpfn score`` on ROOT files: real ones in, friend trees, Parquet and CSV out; and bad ones."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import uproot

from gpfn.cli.main import main
from gpfn.models.open import open_model
from tests.data.root_files import FORTY_TWO, by_awkward, event_file, mapped, vectors
from tests.peers import root_samples

MODEL = """
import numpy as np
from gpfn import TensorSpec
from gpfn.models import declare

one = TensorSpec("float32", (None,))
pair = TensorSpec("float32", (None, 2))
all_of_them = TensorSpec("float32", (None, 42))

@declare(inputs={"x": all_of_them}, outputs={"score": one, "low/high": pair})
def both(x):
    return {"score": x.sum(axis=1, dtype=np.float32), "low/high": np.stack([x.min(1), x.max(1)], 1)}

@declare(inputs={"x": one}, outputs={"score": one})
def single(x):
    return x * 2

@declare(inputs={"x": pair}, outputs={"score": one})
def two(x):
    return x[:, 0] + x[:, 1]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with models and the mapping to 42 inputs."""
    (tmp_path / "own.py").write_text(MODEL)
    inputs = json.dumps(FORTY_TWO)  # lists of text are the same in TOML
    (tmp_path / "map.toml").write_text(f'[branches]\ntree = "Events"\ninputs = {inputs}\n')
    return tmp_path


def score(folder: Path, source: Path, target: str, *words: str, model: str = "both") -> int:
    """Score a file by a model of the folder."""
    own, out = f"{folder / 'own.py'}:{model}", str(folder / target)
    mapping = [] if "--features" in words else ["--mapping", str(folder / "map.toml")]
    return main(["score", own, str(source), "-o", out, *mapping, *words])


def wanted(path: Path) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the vectors by awkward, and their sums."""
    with uproot.open(path) as file:
        found = by_awkward(file["Events"], FORTY_TWO)
    return found, found.sum(axis=1, dtype=np.float32)


def test_a_real_file_to_a_friend_tree(folder: Path) -> None:
    path = root_samples() / "nano_tt_v12.root"
    assert score(folder, path, "friend.root", "--keep", "run,event", "--chunk", "33") == 0
    found, sums = wanted(path)
    with uproot.open(folder / "friend.root") as file:
        friend = file["Friend"].arrays(library="np")
        types = file["Friend"].typenames()
    np.testing.assert_allclose(friend["score"], sums, rtol=1e-6)
    np.testing.assert_array_equal(friend["low_high"][:, 1], found.max(axis=1))
    np.testing.assert_array_equal(friend["entry"], np.arange(200))
    assert types == {
        "run": "uint32_t",
        "event": "uint64_t",
        "score": "float",
        "low_high": "float[2]",
        "entry": "int64_t",
    }


def test_a_real_file_to_parquet_and_csv(folder: Path) -> None:
    path = root_samples() / "nano_dimuon.root"
    _, sums = wanted(path)
    assert (
        score(folder, path, "scores.parquet", "--outputs", "score", "--keep", "luminosityBlock")
        == 0
    )
    table = pq.read_table(folder / "scores.parquet")
    assert table.column_names == ["luminosityBlock", "score"]
    np.testing.assert_allclose(table["score"].to_numpy(), sums, rtol=1e-6)
    assert score(folder, path, "scores.csv") == 0
    lines = (folder / "scores.csv").read_text().splitlines()
    assert lines[0].startswith("score,")
    np.testing.assert_allclose([float(line.split(",")[0]) for line in lines[1:]], sums, rtol=1e-5)


@pytest.mark.parametrize("target", ["friend.root", "scores.parquet"])
def test_a_real_tree_without_events_makes_an_empty_output(folder: Path, target: str) -> None:
    assert score(folder, root_samples() / "nano_dy_empty.root", target) == 0
    if target == "friend.root":
        with uproot.open(folder / target) as file:
            assert file["Friend"].num_entries == 0
            assert file["Friend"].keys() == ["score", "low_high", "entry"]
    else:
        assert pq.read_table(folder / target).column_names == ["score", "low/high"]


def test_the_mapping_of_a_model_toml(folder: Path, root: Path) -> None:
    """A network that takes a series of twenty values, padded from a branch."""
    shutil.copy(root / "models" / "forecast.tflite", folder / "sales.tflite")
    mapping = (folder / "map.toml").read_text().split("inputs")[0]
    text = f'model = "sales.tflite"\n{mapping}inputs = ["Jet_pt[0:20]"]\n'
    (folder / "model.toml").write_text(text)
    path, target = root_samples() / "nano_dimuon.root", folder / "out.root"
    assert main(["score", str(folder / "sales.tflite"), str(path), "-o", str(target)]) == 0
    series = vectors(path, mapped(["Jet_pt[0:20]"], tree="Events"))[:, :, None]
    told = open_model(str(folder / "sales.tflite"))({"series": series})["forecast"]
    with uproot.open(target) as file:
        np.testing.assert_array_equal(file["Friend"]["forecast"].array(library="np"), told)


def test_branches_as_columns_without_a_mapping(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = event_file(folder / "x.root", {"x": [1.5, 2.5], "other": [[1.0, 7.0], []]})
    own = f"{folder / 'own.py'}:single"
    assert main(["score", own, str(path), "-o", str(folder / "y.root")]) == 0
    with uproot.open(folder / "y.root") as file:
        assert file["Friend"]["score"].array().tolist() == [3, 5]
    assert score(folder, path, "z.root", "--features", "x,other", model="two") == 1
    told = "other: has several values an entry: ask for other[0], or for other[0:8] in a mapping"
    assert told in capsys.readouterr().err
    names = "x,count(other)"
    assert score(folder, path, "z.root", "--features", names, model="two") == 0
    with uproot.open(folder / "z.root") as file:
        assert file["Friend"]["score"].array().tolist() == [3.5, 2.5]


def test_entries_that_fail_are_set_aside(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = event_file(folder / "x.root", {"x": [1.0, 1e300, 3.0], "n": [1, 2, (1 << 53) + 1]})
    (folder / "map.toml").write_text('[branches]\ninputs = ["x", "n"]\n')
    assert score(folder, path, "y.root", model="two") == 0
    assert "2 of 3 rows" in capsys.readouterr().err
    with uproot.open(folder / "y.root") as file:
        np.testing.assert_array_equal(file["Friend"]["score"].array(), [2, np.nan, np.nan])
        assert file["Friend"]["entry"].array().tolist() == [0, 1, 2]
    failed = (folder / "y.root.failed.jsonl").read_text().splitlines()
    assert "x: 1e+300, which is too large for a float32" in failed[0]
    assert "n: 9007199254740993, beyond 2**53, which a float32 would round" in failed[1]


def test_16_files_by_two_processes_of_which_two_are_damaged(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = folder / "data"
    data.mkdir()
    for number in range(16):
        jets = [[float(number)] * (event % 3) for event in range(10 + number)]
        event_file(data / f"{number:02}.root", {"Jet_pt": jets})
    whole = (data / "03.root").read_bytes()
    (data / "03.root").write_bytes(whole[: len(whole) // 2])
    shutil.copy(root_samples() / "bad_delphes.root", data / "07.root")
    (folder / "map.toml").write_text('[branches]\ninputs = ["Jet_pt[0:2]"]\n')
    assert score(folder, data, "out", "--jobs", "2", "--json", model="two") == 1
    told = capsys.readouterr()
    reports = {Path(each["file"]).stem: each for each in json.loads(told.out)}
    assert len(reports) == 16
    assert {name for name, each in reports.items() if each["error"]} == {"03", "07"}
    assert "cut short" in reports["03"]["error"]
    assert "07.root: no tree in this file" in reports["07"]["error"]
    outputs = sorted(path.name for path in (folder / "out").glob("*.root"))
    assert outputs == [f"{number:02}.root" for number in range(16) if number not in (3, 7)]
    for number in (0, 15):
        with uproot.open(folder / "out" / f"{number:02}.root") as file:
            assert file["Friend"]["score"].array().tolist()[:3] == [0, number, 2 * number]
            assert file["Friend"].num_entries == 10 + number


WRONG = {
    "width": (
        ["Jet_pt[0:40]"],
        "both",
        "makes 40 values an entry, the model takes x float32 (any, 42)",
    ),
    "near": (["MET_pt", "MET_Phi"], "two", "no branch MET_Phi; there is MET_phi"),
    "objects": (["MET_pt", "MET_pt[0]"], "two", "MET_pt: has one value an entry"),
}


@pytest.mark.parametrize(("inputs", "model", "told"), WRONG.values(), ids=WRONG)
def test_mappings_that_do_not_fit(
    folder: Path, capsys: pytest.CaptureFixture[str], inputs: list[str], model: str, told: str
) -> None:
    text = f'[branches]\ntree = "Events"\ninputs = {json.dumps(inputs)}\n'
    (folder / "map.toml").write_text(text)
    path = root_samples() / "nano_dy_empty.root"
    assert score(folder, path, "y.root", model=model) == 1
    line = capsys.readouterr().err
    assert told in line
    assert line.startswith(f"gpfn: {path}: ")
    assert line.count("\n") == 1
    assert not (folder / "y.root").exists()


def test_options_that_do_not_fit(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "x.csv").write_text("x\n1\n")
    event_file(folder / "x.root", {"x": [1.0]})
    own, out = f"{folder / 'own.py'}:single", str(folder / "y.csv")
    for source, words, told in (
        (
            "x.csv",
            ["--mapping", str(folder / "map.toml")],
            "--mapping: is for ROOT files, and none is",
        ),
        ("x.csv", ["--tree", "t"], "--tree: is for ROOT files, and none is"),
        (
            "x.root",
            ["--mapping", "x", "--features", "x"],
            "--mapping: says what the input is made of, and",
        ),
    ):
        assert main(["score", own, str(folder / source), "-o", out, *words]) != 0
        assert told in capsys.readouterr().err


def test_a_tree_by_its_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = root_samples() / "nano_dy.root"
    words = ["--features", "run"]
    assert score(folder, path, "y.root", *words, model="single") == 1
    assert "2 trees, Events, Runs: say which is meant by --tree NAME" in capsys.readouterr().err
    assert score(folder, path, "y.root", *words, "--tree", "Runs", model="single") == 0
    with uproot.open(folder / "y.root") as file:
        assert file["Friend"].num_entries == 1


def limited() -> None:
    """Let files have a hundred kilobytes, as on a disk that is full."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


def test_a_disk_that_is_full_in_the_middle(folder: Path) -> None:
    numbers = np.random.default_rng(1).random(200_000, np.float32)
    path = event_file(folder / "x.root", {"x": numbers}, pieces=4)
    out = folder / "out"
    words = ["score", f"{folder / 'own.py'}:single", str(path), "-o", str(out / "y.root")]
    run = subprocess.run(
        [sys.executable, "-m", "gpfn", *words],
        preexec_fn=limited,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert run.returncode == 1
    assert f"{out / 'y.root'}: cannot write it: " in run.stderr
    assert [each.name for each in out.iterdir()] == []
