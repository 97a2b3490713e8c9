"""``gpfn train tabular`` on ROOT files: branches by a mapping, and by name."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
from agreement import ask
from tabular_folder import branches_toml

from gpfn.data.root import FEATURES, RootSource
from gpfn.models.description import read_branches, read_description
from tests.conftest import ROOT
from tests.training.tabular_files import QUICK, run

MAPPING = """\
[branches]
tree = ["Events"]
inputs = [
  "Jet_pt[0:3]",
  { branch = "Jet_eta[1:3]", padding = -9.0 },
  ["PuppiMET_pt", "MET_pt"],
  "nMuon",
  "count(Jet_pt)",
]
"""


def write_events(path: Path, events: int, seed: int, harder: float) -> None:
    """Write a tree as nanoAOD has them: some jets an event, a few without any."""
    chance = np.random.default_rng(seed)
    jets = chance.poisson(2, events)
    pt = chance.exponential(20 + harder, jets.sum()) + 15
    with uproot.recreate(path) as file:
        kinds = {"Jet_pt": "var * float32", "Jet_eta": "var * float32"}
        tree = file.mktree("Events", {**kinds, "MET_pt": "float32", "nMuon": "int32"})
        tree.extend({
            "Jet_pt": ak.unflatten(pt.astype(np.float32), jets),
            "Jet_eta": ak.unflatten(chance.normal(0, 2, jets.sum()).astype(np.float32), jets),
            "MET_pt": chance.exponential(30 + harder, events).astype(np.float32),
            "nMuon": chance.integers(0, 4, events).astype(np.int32),
        })  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two ROOT files and a mapping."""
    found = tmp_path_factory.mktemp("root")
    write_events(found / "higgs.root", 600, 1, harder=60)
    write_events(found / "top.root", 900, 2, harder=0)
    (found / "jets.toml").write_text(MAPPING)
    return found


@pytest.fixture(scope="module")
def facts(folder: Path) -> dict[str, Any]:
    files = ["--signal", "higgs.root", "--background", "top.root", "--mapping", "jets.toml"]
    cut = "Jet_pt[0] > 20 and count(Jet_pt) < 7"
    done = run(*files, "--signal-region", cut, *QUICK, "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_jagged_branches_become_a_vector_that_is_learnt_from(
    folder: Path, facts: dict[str, Any]
) -> None:
    assert facts["metrics"]["test"]["auc"] > 0.8
    assert facts["data"]["mapping"] == "jets.toml"
    names = ["Jet_pt[0]", "Jet_pt[1]", "Jet_pt[2]", "Jet_eta[1]", "Jet_eta[2]", "PuppiMET_pt"]
    assert facts["data"]["features"] == [*names, "nMuon", "count(Jet_pt)"]
    assert facts["files"][0] == str(folder / "higgs-tabular" / "model.tflite")


def test_the_signal_region_is_asked_of_branches(folder: Path, facts: dict[str, Any]) -> None:
    inside = 0
    for name in ("higgs.root", "top.root"):
        with uproot.open(folder / name) as file:
            pt = file["Events"]["Jet_pt"].array()
        first = ak.fill_none(ak.firsts(pt), 0)
        inside += int(ak.sum((first > 20) & (ak.num(pt) < 7)))
    counts = facts["data"]["rows"]
    assert counts["usable"] == inside
    assert counts["outside_region"] == 1500 - inside


def test_model_toml_has_the_mapping_so_that_files_are_scored(
    folder: Path, facts: dict[str, Any]
) -> None:
    described = read_description(folder / "higgs-tabular" / "model.toml")
    mapping = described.branches
    assert mapping is not None
    assert mapping.names == [column.name for column in described.columns]
    assert branches_toml(mapping).strip() == MAPPING.strip()
    assert branches_toml(read_branches(folder / "jets.toml")).strip() == MAPPING.strip()
    source = RootSource(str(folder / "higgs.root"), mapping=mapping)
    (chunk,) = source.chunks([FEATURES], 1000)
    source.close()
    model = folder / "higgs-tabular" / "model.tflite"
    answers = ask(model, "features", "probabilities", chunk.columns[FEATURES])
    assert answers.shape == (600, 2)
    words = ["score", str(model), str(folder / "higgs.root"), "-o", str(folder / "scored.root")]
    subprocess.run([sys.executable, "-m", "gpfn", *words], check=True, cwd=ROOT)
    with uproot.open(folder / "scored.root") as file:
        scored = file["Friend"]["probabilities"].array(library="np")
    assert np.abs(scored - answers).max() <= 1e-6
    assert answers[:, 1].mean() > 0.55  # of what is signal


def test_branches_are_features_and_targets_by_name(folder: Path) -> None:
    words = ["--target", "nMuon", "--features", "Jet_pt[0],MET_*,count(Jet_pt)", "--epochs", "1"]
    done = run("higgs.root", "top.root", *words, "--out", "muons", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["data"]["features"] == ["Jet_pt[0]", "MET_pt", "count(Jet_pt)"]
    assert found["data"]["classes"] == ["0", "1", "2", "3"]
    with uproot.open(folder / "higgs.root") as one, uproot.open(folder / "top.root") as other:
        empty = sum(int((file["Events"]["nJet_pt"].array() == 0).to_numpy().sum())
                    for file in (one, other))  # fmt: skip
    assert found["data"]["rows"]["with_missing"] == empty > 50


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--target", "nMuons"], "gpfn: higgs.root: no branch nMuons; there is"),
        (["--target", "nMuon", "--features", "Jet_pt"], "gpfn: higgs.root: Jet_pt: has several"),
        (["--target", "nMuon", "--mapping", "no.toml"], "gpfn: no.toml: cannot be read: No such"),
        (
            ["--target", "nMuon", "--mapping", "jets.toml", "--drop", "MET_pt"],
            "gpfn: --mapping: --mapping says which features there are; leave",
        ),
        (
            ["--target", "nMuon", "--mapping", "jets.toml"],
            "gpfn: --target: --mapping makes a feature of nMuon, which is to be learnt",
        ),
        (["--target", "nMuon", "--signal-region", "Jet_pt > 3"], "gpfn: --signal-region: no col"),
    ],
)
def test_what_is_no_branch_is_told_in_a_line(folder: Path, words: list[str], told: str) -> None:
    done = run("higgs.root", *words, "--out", "bad", cwd=folder)
    assert done.returncode == 1
    assert done.stderr.startswith(told), done.stderr
    assert done.stderr.count("\n") == 1
