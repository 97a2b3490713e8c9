"""Every format reads what it has written, in chunks of any size; and what it says of bad files."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gpfn.data.formats import FORMATS, find_format, open_sink, open_source
from gpfn.data.seam import Chunk
from gpfn.errors import SetupError
from tests.conftest import ROOT

ROWS = 1000
COLUMNS = {
    "x": (np.arange(ROWS) / 7).astype(np.float32),
    "count": np.arange(ROWS) * 9_007_199_254_740,
    "wide": np.arange(ROWS * 3, dtype=np.float64).reshape(ROWS, 3),
    "name": np.array([f'a "{at}", \n b' for at in range(ROWS)], object),
}


def written(folder: Path, suffix: str, *, text: bool = True) -> Path:
    """Write the columns in pieces, and return the file."""
    path = folder / f"data{suffix}"
    with open_sink(path) as sink:
        for at in range(0, ROWS, 300):
            chosen = {n: a for n, a in COLUMNS.items() if text or a.dtype != object}
            sink.write({name: array[at : at + 300] for name, array in chosen.items()})
    return path


def read(path: Path, rows: int, wanted: list[str] | None = None) -> list[Chunk]:
    """Return all chunks of a file."""
    source = open_source(path)
    try:
        return [*source.chunks(wanted, rows)]
    finally:
        source.close()


@pytest.mark.parametrize("rows", [1, 7, 300, ROWS, 10 * ROWS])
@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".npy", ".jsonl", ".tsv"])
def test_what_is_written_is_read(tmp_path: Path, suffix: str, rows: int) -> None:
    path = written(tmp_path, suffix, text=suffix != ".npy")
    chunks = read(path, rows)
    sizes = [chunk.rows for chunk in chunks]
    assert [chunk.first for chunk in chunks] == [0, *np.cumsum(sizes)[:-1]]
    assert all(0 < chunk.rows <= rows for chunk in chunks)
    assert sum(chunk.rows for chunk in chunks) == ROWS
    assert not any(chunk.missing or chunk.faults for chunk in chunks)
    for name, array in chunks[0].columns.items():
        base, _, number = name.partition(".")
        wanted = COLUMNS[base][:, int(number)] if number else COLUMNS[base]
        found = np.concatenate([chunk.columns[name] for chunk in chunks])
        assert array.dtype.kind == wanted.dtype.kind or (array.dtype.kind, base) == ("i", "wide")
        assert (found.astype(wanted.dtype) == wanted).all()
    assert [*tmp_path.iterdir()] == [path]


def test_columns_that_are_not_wanted_are_not_read(tmp_path: Path) -> None:
    for suffix in (".parquet", ".csv", ".jsonl", ".npy"):
        path = written(tmp_path, suffix, text=suffix != ".npy")
        assert {tuple(chunk.columns) for chunk in read(path, 128, ["count"])} == {("count",)}
        with pytest.raises(SetupError, match=r"no column coun \(did you mean count\?\)"):
            read(path, 128, ["coun"])


def test_a_format_is_found_by_its_suffix_alone(tmp_path: Path) -> None:
    assert {find_format(f"a{s}").name for row in FORMATS for s in row.suffixes} == {
        row.name for row in FORMATS
    }
    (tmp_path / "a.dat").write_text("a\n1\n")
    with pytest.raises(SetupError, match=r"a\.dat: which format"):
        open_source(tmp_path / "a.dat")
    assert open_source(tmp_path / "a.dat", "csv").names == ("a",)


@pytest.mark.parametrize("suffix", [".parquet", ".npy", ".csv", ".jsonl"])
def test_files_that_cannot_be_read_are_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    with pytest.raises(SetupError, match=f"a{suffix}: cannot read it: No such file"):
        open_source(path)
    path.write_bytes(b"")
    with pytest.raises(SetupError, match=f"a{suffix}: an empty file"):
        open_source(path)
    path.write_bytes(bytes(range(255, 1, -1)) * 10)
    with pytest.raises(SetupError, match=f"a{suffix}: "):
        open_source(path)


@pytest.mark.parametrize("suffix", [".parquet", ".npy"])
def test_files_that_are_cut_short_are_named(tmp_path: Path, suffix: str) -> None:
    path = written(tmp_path, suffix, text=False)
    whole = path.read_bytes()
    for size in range(1, len(whole), 997):
        path.write_bytes(whole[:size])
        with pytest.raises(SetupError, match=f"data{suffix}: "):
            read(path, 100)


def test_a_sink_that_fails_leaves_nothing(tmp_path: Path) -> None:
    for suffix in (".parquet", ".csv", ".npy", ".jsonl"):
        sink = open_sink(tmp_path / f"a{suffix}")
        sink.write({"a": np.zeros(3)})
        assert [*tmp_path.iterdir()]
        with pytest.raises(ZeroDivisionError), sink:
            raise ZeroDivisionError
        assert not [*tmp_path.iterdir()]


_WITHOUT = """
import sys
sys.modules["pyarrow"] = None  # as where it is not installed
from gpfn.cli.main import main
sys.exit(main(["score", *sys.argv[1:]]))
"""


@pytest.mark.parametrize(("suffix", "title"), [("csv", "CSV"), ("parquet", "Parquet")])
def test_without_pyarrow_the_error_is_the_command(tmp_path: Path, suffix: str, title: str) -> None:
    source = written(tmp_path, f".{suffix}")
    model = str(ROOT / "models" / "digits.tflite")
    words = [model, str(source), "-o", str(tmp_path / "out.npy")]
    run = subprocess.run(
        [sys.executable, "-c", _WITHOUT, *words], capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    told = f"pyarrow, which {title} needs, is not installed; run: pip install 'gpfn[data]'"
    assert told in run.stderr
    np.save(tmp_path / "in.npy", np.zeros((2, 8, 8, 1), np.uint8))
    words[1] = str(tmp_path / "in.npy")
    subprocess.run([sys.executable, "-c", _WITHOUT, *words], check=True, capture_output=True)
    assert len(np.load(tmp_path / "out.npy")) == 2
