"""Branches to a vector: bit for bit what awkward's padding gives, on real files of experiments."""

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

from gpfn.errors import SetupError
from tests.data.root_files import FORTY_TWO, by_awkward, event_file, mapped, read, vectors
from tests.peers import root_samples

NANO = ["nano_dimuon", "nano_dy", "nano_tt_v12", "nano_tt_v15"]
SCOUTING = ["ScoutingPFJet_pt[0:8]", "ScoutingPFJet_eta[0:8]", "ScoutingMET_pt", "nScoutingPFJet"]
ATLAS = [
    "AnalysisJetsAuxDyn.pt[0:6]",
    "AnalysisMuonsAuxDyn.eta[0:2]",
    "EventInfoAuxDyn.mcEventWeights[0:1]",
]
DELPHES = ["Jet.PT[0:6]", "Jet.Eta[0:6]", "Muon.PT[1:3]", "MissingET.MET[0:1]", "Jet_size"]
TREES = {"scouting_nano": SCOUTING, "PHYSLITE_example": ATLAS, "delphes": DELPHES}


def tree_of(path: Path) -> Any:
    """Return the tree of a sample."""
    file = uproot.open(path)
    (name,) = {"Events", "Delphes", "CollectionTree"} & set(file.keys(cycle=False))
    return file[name]


@pytest.mark.parametrize("name", NANO)
def test_42_inputs_of_real_files_to_the_bit(name: str) -> None:
    path = root_samples() / f"{name}.root"
    wanted = by_awkward(tree_of(path), FORTY_TWO)
    for rows in (7, 1000):
        found = vectors(path, mapped(FORTY_TWO, tree="Events"), rows)
        assert found.shape == wanted.shape == (len(found), 42)
        assert found.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("name", ["nano_dimuon", "nano_dy"])
def test_an_rntuple_has_what_its_tree_has(name: str) -> None:
    wanted = by_awkward(tree_of(root_samples() / f"{name}.root"), FORTY_TWO)
    found = vectors(root_samples() / f"{name}_rntuple.root", mapped(FORTY_TWO, tree="Events"), 9)
    assert found.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("name", TREES)
def test_other_real_files_to_the_bit(name: str) -> None:
    path = root_samples() / f"{name}.root"
    tree = tree_of(path)
    wanted = by_awkward(tree, TREES[name], -1)
    found = vectors(path, mapped(TREES[name], padding=-1), 9)
    assert len(found) == tree.num_entries > 0
    assert found.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("name", ["nano_dy_empty", "nano_dy_empty_rntuple"])
def test_a_tree_without_events_gives_no_chunk(name: str) -> None:
    path = root_samples() / f"{name}.root"
    assert vectors(path, mapped(FORTY_TWO)).shape == (0, 42)


COUNTS = {
    "several": [[1.5, 2.5, 3.5], [], [4.5], [5.5, 6.5]],
    "others": [[9], [8, 7], [], [6, 5, 4, 3]],
    "empty": [[], [], [], []],
    "one": [0.5, np.nan, np.inf, -np.inf],
}


def counted(folder: Path) -> Path:
    """Write branches of different counts, of which one is empty everywhere."""
    empty = ak.values_astype(ak.Array(COUNTS["empty"]), np.float32)
    return event_file(folder / "counts.root", {**COUNTS, "empty": empty})


@pytest.mark.parametrize("rows", [1, 2, 4])
def test_branches_of_different_counts_each_by_its_own(tmp_path: Path, rows: int) -> None:
    inputs = ["several[0:2]", "others[0:2]", "empty[0:3]", "several[1:3]", "one", "others[3]"]
    path = counted(tmp_path)
    with pytest.raises(SetupError, match="is there twice"):
        mapped(inputs)
    inputs[3] = "several[2:3]"
    found = vectors(path, mapped(inputs, padding=-5), rows)
    pad = -5
    np.testing.assert_array_equal(
        found,
        [
            [1.5, 2.5, 9, pad, pad, pad, pad, 3.5, 0.5, pad],
            [pad, pad, 8, 7, pad, pad, pad, pad, np.nan, pad],
            [4.5, pad, pad, pad, pad, pad, pad, pad, np.inf, pad],
            [5.5, 6.5, 6, 5, pad, pad, pad, pad, -np.inf, 3],
        ],
    )


def test_paddings_and_counts(tmp_path: Path) -> None:
    inputs = [
        "several[0:2]",
        {"branch": ["no", "others[0]"], "padding": float("nan")},
        "count(several)",
        ["count(no)", "count(empty)"],
    ]
    found = vectors(counted(tmp_path), mapped([inputs[0], *inputs[2:], "others[0]"], padding=2))
    np.testing.assert_array_equal(found[:, 2:], [[3, 0, 9], [0, 0, 8], [1, 0, 2], [2, 0, 6]])
    with pytest.raises(SetupError, match="as many values"):
        mapped([inputs[0], {"branch": ["no", "others[0:2]"]}])
    found = vectors(counted(tmp_path), mapped(inputs[:2]))
    np.testing.assert_array_equal(found[:, 2], [9, 8, np.nan, 6])


def test_a_real_chunk_in_which_a_collection_is_empty_everywhere(tmp_path: Path) -> None:
    tree = tree_of(root_samples() / "nano_tt_v15.root")
    muons = tree["Muon_pt"].array()
    without = muons[ak.num(muons) == 0][:20]
    path = event_file(tmp_path / "no_muon.root", {"Muon_pt": without})
    assert vectors(path, mapped(["Muon_pt[0:2]"])).tolist() == [[0.0, 0.0]] * 20


LARGE = {
    "int32": [1 << 24, (1 << 24) + 2, -(1 << 30), (1 << 24) + 1],
    "uint32": [0, 1 << 31, (1 << 32) - 256, (1 << 32) - 1],
    "int64": [1 << 62, -(1 << 63), (1 << 53) - 1, (1 << 53) + 1],
    "uint64": [1 << 63, 0, 5, (1 << 64) - 1],
    "float64": [0.1, 3.4e38, float("inf"), 1e39],
    "int16": [32767, -32768, 0, 1],
    "uint8": [255, 0, 1, 2],
    "bool": [True, False, True, True],
}


@pytest.mark.parametrize("dtype", LARGE)
@pytest.mark.parametrize("several", [False, True])
def test_numbers_become_float32_or_are_faults(tmp_path: Path, dtype: str, several: bool) -> None:
    values = np.array(LARGE[dtype], dtype)
    content = values[:, None] if several else values
    flat = ak.Array(content)
    path = tmp_path / "x.root"
    event_file(path, {"x": ak.from_regular(flat) if several else flat})
    mapping = mapped(["x[0:2]" if several else "x"])
    found = vectors(path, mapping, 2)
    fits = dtype in ("int32", "uint32", "int16", "uint8", "bool")
    for number, chunk in enumerate(
        read(path, ["features", "count(x)" if several else "x"], 2, mapping=mapping)
    ):
        assert list(chunk.faults) == ([] if fits or number == 0 else [1])
        assert ("features" in chunk.missing) == bool(chunk.faults)
        for fault in chunk.faults.values():
            assert fault.reason.startswith(f"x: {values[3]}, ")
    right = len(values) if fits else 3
    np.testing.assert_array_equal(found[:right, 0], values[:right].astype(np.float32))


def test_only_what_is_picked_has_to_fit(tmp_path: Path) -> None:
    path = event_file(tmp_path / "x.root", {"x": [[1.0, 1e300], [2.0, 1e300, 5.0]]})
    assert vectors(path, mapped(["x[0]", "x[2]"])).tolist() == [[1, 0], [2, 5]]


def test_nan_and_infinite_pass(tmp_path: Path) -> None:
    values = np.array([np.nan, np.inf, -np.inf, -0.0], np.float32)
    path = event_file(tmp_path / "x.root", {"x": values, "y": values.astype(np.float64)})
    found = vectors(path, mapped(["x", "y"]))
    assert found[:, 0].tobytes() == values.tobytes() == found[:, 1].tobytes()


def test_arrays_of_one_length(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.int32).reshape(4, 3)
    path = tmp_path / "x.root"
    with uproot.recreate(path) as file:
        file.mktree("t", {"x": np.dtype(("i4", (3,)))}).extend({"x": values})
    found = vectors(path, mapped(["x[1:5]", "count(x)"], padding=-1), 3)
    np.testing.assert_array_equal(found[:, :2], values[:, 1:])
    assert found[:, 2:].tolist() == [[-1, -1, 3]] * 4
    (chunk,) = read(path, ["x", "x[1]"])
    np.testing.assert_array_equal(chunk.columns["x"], values)
    np.testing.assert_array_equal(chunk.columns["x[1]"], values[:, 1])
