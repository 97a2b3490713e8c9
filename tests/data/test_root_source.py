"""ROOT files that are read: columns by name, bounded chunks, and every way that one is wrong."""

import random
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

from gpfn.data.formats import open_source
from gpfn.data.root import RootSource
from gpfn.errors import SetupError
from gpfn.models.branches import BranchMapping
from tests.data.root_files import FORTY_TWO, event_file, mapped, read, vectors
from tests.peers import root_samples

MAPPING = mapped(FORTY_TWO, tree="Events")


def told(path: Path, mapping: BranchMapping | None = None, wanted: list[str] | None = None) -> str:
    """Return the one line that reading a file raises."""
    with pytest.raises(SetupError) as caught:
        read(path, wanted, mapping=mapping)
    text = str(caught.value)
    assert "\n" not in text
    assert str(path) in text
    return text.replace(f"{path}: ", "", 1)


def simple(folder: Path, rows: int = 6, **options: Any) -> Path:
    """Write a small tree with a branch of each kind."""
    counts = np.arange(rows) % 3
    branches = {
        "x": np.arange(rows, dtype=np.float32),
        "run": np.arange(rows, dtype=np.int64) + (1 << 40),
        "good": np.arange(rows) % 2 == 0,
        "Jet_pt": ak.unflatten(np.arange(counts.sum(), dtype=np.float32), counts),
    }
    return event_file(folder / "small.root", branches, **options)


def test_columns_by_name_in_their_dtypes(tmp_path: Path) -> None:
    path = simple(tmp_path)
    source = open_source(path)
    assert source.names == ("x", "run", "good", "nJet_pt")
    assert source.rows == 6
    assert source.extent == (0, 6)
    first, second = source.chunks(["run", "good", "Jet_pt[1]", "count(Jet_pt)"], 4)
    assert source.extent == (6, 6)
    source.close()
    assert (first.first, first.rows, second.first, second.rows) == (0, 4, 4, 2)
    assert first.columns["run"].dtype == np.int64
    assert first.columns["good"].dtype == np.bool_
    assert first.columns["Jet_pt[1]"].tolist() == [0, 0, 2, 0]
    assert first.missing["Jet_pt[1]"].tolist() == [True, True, False, True]
    assert second.columns["count(Jet_pt)"].tolist() == [1, 2]
    (chunk,) = read(path)
    assert list(chunk.columns) == ["x", "run", "good", "nJet_pt"]


def test_the_vector_and_columns_together(tmp_path: Path) -> None:
    mapping = mapped(["Jet_pt[0:2]", "x"])
    (chunk,) = read(simple(tmp_path), ["run", "features"], mapping=mapping)
    assert chunk.columns["features"].shape == (6, 3)
    assert chunk.columns["run"][5] == 5 + (1 << 40)
    assert read(simple(tmp_path), mapping=mapping)[0].columns.keys() >= {"features", "x"}


def test_other_names_of_files_and_branches(tmp_path: Path) -> None:
    folder = tmp_path / "a::b c?" / "http:"
    folder.mkdir(parents=True)
    written = event_file(tmp_path / "x.root", {"a b": [1.0, 2.0], "x+1": [3.0, 4.0]})
    path = written.rename(folder / "x:Events*.root")
    assert vectors(path, mapped(["a b", "x+1"])).tolist() == [[1, 3], [2, 4]]


def test_nothing_is_computed_that_a_name_says(tmp_path: Path) -> None:
    path = simple(tmp_path)
    for name in ("x+1", "numpy.sqrt(x)", "__import__('os').getcwd()", "Jet_pt[:, 0]", "*"):
        assert f"no branch {name}; " in told(path, None, [name])


# Trees.


def test_several_trees_are_named(tmp_path: Path) -> None:
    samples = root_samples()
    wanted = "2 trees, Events, Runs: say which is meant by --tree NAME"
    assert told(samples / "nano_dy.root", mapped(FORTY_TWO)) == wanted
    found = told(samples / "nano_dy.root", mapped(FORTY_TWO, tree="events"))
    assert found.startswith("no tree events; there is Events, Runs: say which")
    found = told(samples / "nano_dy.root", mapped(FORTY_TWO, tree=["a", "b"]))
    assert found.startswith("no tree a or b; ")
    mapping = mapped(["run"], tree=["tree", "Runs"])
    assert vectors(samples / "nano_dy.root", mapping).shape == (1, 1)


def test_the_only_tree_needs_no_name(tmp_path: Path) -> None:
    assert vectors(root_samples() / "scouting_nano.root", mapped(["nScoutingPFJet"])).shape == (
        40,
        1,
    )
    path = tmp_path / "deep.root"
    with uproot.recreate(path) as file:
        file.mktree("folder/inner/t", {"x": "f4"}).extend({"x": np.ones(3, np.float32)})
    assert vectors(path, mapped(["x"])).shape == (3, 1)
    assert vectors(path, mapped(["x"], tree="folder/inner/t")).shape == (3, 1)


def test_files_without_a_tree(tmp_path: Path) -> None:
    assert told(root_samples() / "bad_delphes.root") == "no tree in this file"
    path = tmp_path / "histogram.root"
    with uproot.recreate(path) as file:
        file["h"] = np.histogram(np.arange(9))
    assert told(path, mapped(["x"], tree="Events")) == "no tree in this file"


@pytest.mark.parametrize("content", [b"x,y\n1,2\n", b"PK\3\4", b"root", b"roo", b"root" * 500])
def test_files_that_are_no_root_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.root"
    path.write_bytes(content)
    found = told(path)
    wanted = "no ROOT file: it does"
    if content[:4] == b"root":
        wanted = "is cut short: it has " if len(content) < 9 else "is cut short: it has 2000 bytes"
    assert found.startswith(wanted)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    assert told(tmp_path / "no.root") == "cannot read it: No such file or directory"
    (tmp_path / "empty.root").touch()
    assert told(tmp_path / "empty.root") == "an empty file"
    assert "Is a directory" in told(tmp_path)


# Branches.


def test_missing_branches_are_named_with_near_ones() -> None:
    path = root_samples() / "nano_tt_v15.root"
    found = told(path, mapped(["Jet_pt[0:8]", "MET_pt"], tree="Events"))
    assert found.startswith("no branch MET_pt; there is ")
    assert "PFMET_pt" in found or "PuppiMET_pt" in found
    assert "and 2656 in all (asked for by branches.inputs[1])" in found
    path = root_samples() / "nano_dy_empty.root"
    found = told(path, mapped([["Jet_PT[0:8]", "jet_pt[0:8]"]], tree="Events"))
    assert found.startswith("no branch Jet_PT or jet_pt; there is Jet_")
    found = told(path, mapped(["~"], tree="Events"))
    assert found.startswith("no branch ~; there are ")
    assert "and 1491 more" in found


KINDS = [
    ("PHYSLITE_example", "METAssoc_AnalysisMETAux.calpx", "std::vector<std::vector<float>>"),
    ("PHYSLITE_example", "AnalysisTrigMatch_HLT_2e12_lhloose_nod0_mu10", "DataVector<xAOD"),
    ("delphes", "GenJet.SoftDroppedJet", "TLorentzVector[]"),
    ("delphes", "Track.Particle", "TRef[]"),
]


@pytest.mark.parametrize(("sample", "branch", "kind"), KINDS)
def test_branches_of_other_types_are_named_with_them(sample: str, branch: str, kind: str) -> None:
    path = root_samples() / f"{sample}.root"
    tree = "Delphes" if sample == "delphes" else "CollectionTree"
    found = told(path, mapped([f"{branch}[0:2]"], tree=tree))
    assert found.startswith(f"{branch}: is of the type {kind}")
    assert found.endswith("; a branch of numbers is needed, or of lists of them")


def test_text_and_nested_lists_of_an_rntuple(tmp_path: Path) -> None:
    path = tmp_path / "n.root"
    with uproot.recreate(path) as file:
        nested = ak.Array([[[1.0], []], [[2.0, 3.0]]])
        file.mkrntuple("n", {"s": ak.Array(["a", "b"]), "x": nested, "y": ak.Array([1, 2])})
    for name in ("s", "s[0]", "x[0:2]"):
        assert "is of the type" in told(path, mapped([name]))
    assert vectors(path, mapped(["y"])).tolist() == [[1], [2]]


def test_one_value_and_several_are_not_mixed_up(tmp_path: Path) -> None:
    path = simple(tmp_path)
    found = told(path, mapped(["x[0:2]"]))
    assert found == "x: has one value an entry: ask for x as it is"
    assert told(path, mapped(["count(x)"])).startswith("x: has one value an entry")
    found = told(path, mapped(["Jet_pt"]))
    assert found.startswith("Jet_pt: has several values an entry: ask for Jet_pt[0:8]")
    assert told(path, None, ["Jet_pt"]).startswith("Jet_pt: has several values")
    assert told(path, None, ["Jet_pt[0:2]"]).startswith("no branch Jet_pt[0:2]; ")


def test_two_inputs_that_are_one_branch_in_a_file(tmp_path: Path) -> None:
    path = simple(tmp_path)
    found = told(path, mapped(["x", ["run", "y"], ["y", "run"]]))
    assert found.startswith("branches.inputs[2] and branches.inputs[1] are both run in this file")


# Damage.


def test_a_file_that_is_cut_short_is_an_error_everywhere(tmp_path: Path) -> None:
    whole = (root_samples() / "scouting_nano.root").read_bytes()
    mapping = mapped(["ScoutingPFJet_pt[0:8]", "ScoutingMET_pt"])
    path = tmp_path / "cut.root"
    for part in range(1, 40):
        path.write_bytes(whole[: len(whole) * part // 40])
        assert told(path, mapping).startswith(f"is cut short: it has {path.stat().st_size} bytes")


HOSTILE = """
import random, resource, sys
from pathlib import Path
import numpy as np
from gpfn.errors import SetupError
from tests.data.root_files import FORTY_TWO, mapped, vectors

resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
whole, path, chance = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2]), random.Random(17)
mapping, ends = mapped(["Jet_pt[0:8]", "x"]), {"read": 0, "refused": 0}
for _ in range(200):
    damaged = bytearray(whole)
    for _ in range(chance.choice((2, 20, 100))):
        at = chance.randrange(4, len(damaged))
        damaged[at] = chance.choice((0, 255, 127, 128, damaged[at] ^ 1 << chance.randrange(8)))
    path.write_bytes(damaged)
    try:
        vectors(path, mapping)
        ends["read"] += 1
    except SetupError as error:
        assert "\\n" not in str(error), error
        ends["refused"] += 1
print(ends)
assert min(ends.values()) > 10
"""


def test_damage_is_an_error_or_harmless_and_never_hangs(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOSTILE, str(simple(tmp_path)), str(tmp_path / "x.root")]
    run = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_entries_of_a_different_number_than_the_tree(tmp_path: Path) -> None:
    """The numbers of entries in the file are changed, one after the other."""
    rows = 12345
    path = simple(tmp_path, rows)
    whole = path.read_bytes()
    wanted = vectors(path, mapped(["Jet_pt[0:2]", "x"]))
    number = rows.to_bytes(8, "big")
    places = [at for at in range(len(whole)) if whole.startswith(number, at)]
    assert len(places) > 5
    seen = set()
    for at in places:
        path.write_bytes(whole[:at] + (rows - 1).to_bytes(8, "big") + whole[at + 8 :])
        try:
            found = vectors(path, mapped(["Jet_pt[0:2]", "x"]))
        except SetupError as error:
            seen.add(error.detail)
        else:
            assert found.tobytes() == wanted.tobytes()
    assert any(
        "has 12344 entries, its tree has 12345: the file is damaged" in each for each in seen
    )
    assert any(
        "has 12345 entries, its tree has 12344: the file is damaged" in each for each in seen
    )


# Memory.


def test_a_basket_that_would_fill_the_memory_is_refused_before_it_is_read(tmp_path: Path) -> None:
    rows = 34_000_000
    path = event_file(
        tmp_path / "bomb.root",
        {"x": ak.unflatten(np.zeros(rows, np.float32), [rows, 0])},
        compression=uproot.ZSTD(1),
    )
    assert path.stat().st_size < 1 << 20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = told(path, mapped(["x[0:2]"]))
    assert found == "x: a basket has 129 MiB, more than 128 MiB; write it with smaller ones"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 << 10


def test_chunks_are_small_where_events_are_large(tmp_path: Path) -> None:
    counts = [10] * 900 + [100_000] * 100
    jets = ak.unflatten(np.zeros(sum(counts), np.float32), counts)
    path = event_file(tmp_path / "large.root", {"x": jets}, pieces=10, compression=uproot.ZSTD(1))
    chunks = read(path, ["features"], mapping=mapped(["x[0:2]"]))
    assert sum(chunk.rows for chunk in chunks) == 1000
    assert max(chunk.rows for chunk in chunks) <= 200
    wide = mapped(["x[0:65536]"])
    assert max(chunk.rows for chunk in read(path, ["features"], mapping=wide)) <= 256


def test_opening_again_and_closing_twice(tmp_path: Path) -> None:
    source = RootSource(str(simple(tmp_path)), mapped(["x"]))
    source.close()
    source.close()


@pytest.mark.parametrize("seed", range(5))
def test_any_chunk_size_gives_the_same(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    path = simple(tmp_path, 500, pieces=chance.randrange(1, 9))
    mapping = mapped(["Jet_pt[0:2]", "x"])
    wanted = vectors(path, mapping)
    assert vectors(path, mapping, chance.randrange(1, 600)).tobytes() == wanted.tobytes()
