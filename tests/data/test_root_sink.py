"""Friend trees that are written: what is read back, empty ones, few baskets, full disks."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot

from gpfn.data.formats import open_sink, open_source
from gpfn.errors import SetupError
from tests.data.root_files import read

COLUMNS: dict[str, Any] = {
    "score": np.linspace(0, 1, 1000, dtype=np.float32),
    "classes": np.arange(3000, dtype=np.float32).reshape(1000, 3),
    "column": np.arange(1000, dtype=np.float64)[:, None],
    "half": np.arange(1000).astype(np.float16),
    "good": np.arange(1000) % 2 == 0,
    "small": (np.arange(1000) % 256).astype(np.uint8),
    "entry": np.arange(1000, dtype=np.int64) + (1 << 40),
}


def write(path: Path, columns: dict[str, Any], piece: int = 300, **options: Any) -> Path:
    """Write columns in pieces."""
    with open_sink(path, **options) as sink:
        for at in range(0, max(len(next(iter(columns.values()))), 1), piece):
            sink.write({name: each[at : at + piece] for name, each in columns.items()})
    return path


@pytest.mark.parametrize("compression", ["zstd", "zlib", "lz4", "none"])
def test_what_is_written_is_read(tmp_path: Path, compression: str) -> None:
    path = write(tmp_path / "out.root", COLUMNS, compression=compression)
    with uproot.open(path) as file:
        assert file.classnames() == {"Friend;1": "TTree"}
        tree = file["Friend"]
        assert tree.keys() == list(COLUMNS)
        for name, wanted in COLUMNS.items():
            found = tree[name].array(library="np")
            np.testing.assert_array_equal(found, wanted[:, 0] if name == "column" else wanted)
            kept = np.dtype(np.float32) if name == "half" else wanted.dtype
            assert tree[name].interpretation.to_dtype.base == kept
    (chunk,) = read(path)
    assert list(chunk.columns) == list(COLUMNS)
    np.testing.assert_array_equal(chunk.columns["classes"], COLUMNS["classes"])
    assert [*tmp_path.iterdir()] == [path]


def test_entries_are_counted_where_no_column_says_them(tmp_path: Path) -> None:
    path = write(tmp_path / "out.root", {"score": COLUMNS["score"]}, 7)
    with uproot.open(path) as file:
        entries = file["Friend"]["entry"].array(library="np")
    assert entries.dtype == np.int64
    np.testing.assert_array_equal(entries, np.arange(1000))


def test_names_that_formulas_would_misread(tmp_path: Path) -> None:
    names = ["dense/Relu:0", "Jet_pt[0]", "count(Jet_pt)", "x.y", ""]
    path = write(tmp_path / "out.root", {name: np.zeros(2) for name in names})
    with uproot.open(path) as file:
        found = file["Friend"].keys()
    assert found == ["dense_Relu_0", "Jet_pt_0", "count_Jet_pt", "x.y", "column", "entry"]


def test_a_friend_of_another_name(tmp_path: Path) -> None:
    path = write(tmp_path / "out.root", COLUMNS, tree="scores")
    with uproot.open(path) as file:
        assert file["scores"].num_entries == 1000


def test_many_small_pieces_make_few_baskets(tmp_path: Path) -> None:
    columns = {"score": np.zeros(120_000, np.float32)}
    path = write(tmp_path / "out.root", columns, 100)
    with uproot.open(path) as file:
        assert file["Friend"]["score"].num_baskets == 3
        assert file["Friend"].num_entries == 120_000


def test_large_entries_are_written_before_they_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "y.root"
    with open_sink(path, compression="none") as sink:
        for _ in range(12):
            sink.write({"y": np.zeros((100, 1 << 15), np.float32)})
            sizes = [part.stat().st_size for part in tmp_path.glob(".*.part-*")]
        assert sizes[0] > 64 << 20
    with uproot.open(path) as file:
        assert file["Friend"].num_entries == 1200
        assert file["Friend"]["y"].num_baskets == 2


def test_no_rows_make_an_empty_tree(tmp_path: Path) -> None:
    path = write(tmp_path / "out.root", {name: each[:0] for name, each in COLUMNS.items()})
    with uproot.open(path) as file:
        assert file["Friend"].num_entries == 0
        assert file["Friend"].keys() == list(COLUMNS)
    assert read(path) == []
    with open_sink(path):
        pass
    with uproot.open(path) as file:
        assert file["Friend"].keys() == ["entry"]


def test_what_is_missing_is_nan(tmp_path: Path) -> None:
    path = tmp_path / "out.root"
    mask = np.array([False, True])
    with open_sink(path) as sink:
        sink.write({"x": np.ones(2, np.float32)}, {"x": mask})
    (chunk,) = read(path)
    np.testing.assert_array_equal(chunk.columns["x"], [1, np.nan])
    sink = open_sink(path)
    with pytest.raises(SetupError, match=r"out\.root: n: is missing in some rows"):
        sink.write({"n": np.ones(2, np.int32)}, {"n": mask})
    sink.discard()


WRONG = {
    "text": ({"name": np.array(["a"], object)}, "name: a column of text, which a ROOT file has"),
    "a time": ({"t": np.zeros(1, "M8[s]")}, "t: a column of text"),
    "two of one name": (
        {"a/b": np.zeros(1), "a b": np.zeros(1)},
        "a b: would be the branch a_b, which another column is; leave one of them out",
    ),
}


@pytest.mark.parametrize(("columns", "told"), WRONG.values(), ids=WRONG)
def test_what_no_branch_can_hold(tmp_path: Path, columns: dict[str, Any], told: str) -> None:
    path = tmp_path / "out.root"
    path.write_bytes(b"what was there")
    with pytest.raises(SetupError) as caught:
        write(path, columns)
    assert told in str(caught.value)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == b"what was there"
    assert [*tmp_path.iterdir()] == [path]


def test_a_column_that_changes(tmp_path: Path) -> None:
    sink = open_sink(tmp_path / "out.root")
    sink.write({"x": np.zeros(2, np.int64)})
    with pytest.raises(SetupError, match="x: becomes float64 where it was int64"):
        sink.write({"x": np.zeros(2)})
    sink.discard()
    assert not [*tmp_path.iterdir()]


def test_an_unknown_compression(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="no compression 'bzip2'; there are zstd, zlib, lz4, none"):
        open_sink(tmp_path / "out.root", compression="bzip2")
    assert not [*tmp_path.iterdir()]


FULL = """
import resource, signal, sys
import numpy as np
from gpfn.data.formats import open_sink
from gpfn.errors import SetupError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
numbers = np.random.default_rng(1).random((20, 20_000), np.float32)
try:
    with open_sink(sys.argv[1]) as sink:
        for each in numbers:
            sink.write({"score": each})
except SetupError as error:
    print(error)
"""


def test_a_disk_that_is_full_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "out.root"
    command = [sys.executable, "-c", FULL, str(path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout.startswith(f"{path}: cannot write it: ")
    assert run.stdout.count("\n") == 1
    assert not run.stderr
    assert not [*tmp_path.iterdir()]


def test_an_output_is_an_input(tmp_path: Path) -> None:
    path = write(tmp_path / "out.root", {"score": COLUMNS["score"], "entry": COLUMNS["entry"]})
    source = open_source(path)
    assert source.names == ("score", "entry")
    source.close()
