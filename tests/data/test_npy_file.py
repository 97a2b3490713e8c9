"""``.npy`` files of every layout, and those that are refused: pickles first of all."""

from pathlib import Path

import numpy as np
import pytest

from gpfn.data import npy_file
from gpfn.data.formats import open_sink, open_source
from gpfn.errors import SetupError

ARRAY = np.arange(5 * 3 * 2, dtype=np.float32).reshape(5, 3, 2)


def joined(path: Path, rows: int, name: str = "data") -> np.ndarray:
    """Return a column of a file that is read in chunks."""
    source = open_source(path)
    found = np.concatenate([chunk.columns[name] for chunk in source.chunks(None, rows)])
    source.close()
    return found


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 9])
@pytest.mark.parametrize("array", [ARRAY, ARRAY[:, 0], ARRAY[:, 0, 0], ARRAY[:, :1]])
def test_every_layout_is_read(tmp_path: Path, array: np.ndarray, rows: int) -> None:
    path = tmp_path / "a.npy"
    for kept in (array, np.asfortranarray(array), array.astype(">f4"), array.astype(np.int16)):
        np.save(path, kept)
        found = joined(path, rows)
        assert found.dtype.isnative
        assert found.dtype.kind == kept.dtype.kind
        assert (found == array).all()
        assert found.shape == array.shape


def test_long_rows_are_read_a_few_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npy_file, "_MOST_BYTES", 50)
    np.save(tmp_path / "a.npy", ARRAY)  # of 24 bytes a row
    assert (joined(tmp_path / "a.npy", 100) == ARRAY).all()
    source = open_source(tmp_path / "a.npy")
    assert [chunk.rows for chunk in source.chunks(None, 100)] == [2, 2, 1]
    monkeypatch.setattr(npy_file, "_MOST_BYTES", 10)
    assert [chunk.rows for chunk in source.chunks(None, 100)] == [1] * 5
    source.close()


def test_structured_arrays_have_a_column_a_field(tmp_path: Path) -> None:
    kind = np.dtype([("x", "<f4"), ("v", ">i8", (2,)), ("t", "U3")])
    array = np.array([(1.5, [1, 2], "ab"), (2.5, [3, 4], "é")], kind)
    np.save(tmp_path / "a.npy", array, allow_pickle=False)
    source = open_source(tmp_path / "a.npy")
    [chunk] = source.chunks(["v", "t"], 10)
    assert source.names == ("x", "v", "t")
    assert chunk.columns["v"].tolist() == [[1, 2], [3, 4]]
    assert chunk.columns["t"].tolist() == ["ab", "é"]


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    for array, told in (
        (np.array([{"a": 1}], object), "a pickle, which is never loaded"),
        (np.array(1.0), "a single value"),
        (np.array([1 + 2j]), "neither numbers nor text"),
        (np.array(["2024-01-01"], "M8[D]"), "neither numbers nor text"),
    ):
        np.save(path, array, allow_pickle=True)
        with pytest.raises(SetupError, match=told):
            open_source(path)
    path.write_bytes(b"\x93NUMPY\x07\x00" + b"x" * 100)
    with pytest.raises(SetupError, match=r"a\.npy: an unknown version"):
        open_source(path)


def test_a_file_that_shrinks_while_it_is_read_is_an_error_and_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((100_000, 4)))
    chunks = open_source(path).chunks(None, 1000)
    next(chunks)
    with path.open("r+b") as file:
        file.truncate(50_000)
    with pytest.raises(SetupError, match="became shorter"):
        list(chunks)


def test_what_is_written_is_what_numpy_reads(tmp_path: Path) -> None:
    one, two = tmp_path / "one.npy", tmp_path / "two.npy"
    gaps = np.array([True, False])
    with open_sink(one) as sink:
        sink.write({"y": np.ones((2, 3), np.float32)}, {"y": gaps})
        sink.write({"y": np.zeros((1, 3), np.float32)})
    found = np.load(one)
    assert found.shape == (3, 3)
    assert np.isnan(found[0]).all()
    assert (found[1:] == [[1] * 3, [0] * 3]).all()
    with open_sink(two) as sink:
        columns = {"a": np.array([1, 2]), "b": np.array([1, 2], np.uint8)}
        sink.write(columns, dict.fromkeys(columns, gaps))
    found = np.load(two)
    assert found["a"].tolist() == [np.iinfo(np.int64).min, 2]
    assert found["b"].tolist() == [255, 2]
    with pytest.raises(SetupError, match=r"text, which \.npy cannot hold"), open_sink(one) as sink:
        sink.write({"t": np.array(["a"], object)})
    assert np.load(one).shape == (3, 3), "the file that was there stays"


@pytest.mark.parametrize("others", [{}, {"z": np.zeros(1, np.float32)}])
def test_no_value_changes_for_the_dtype_of_the_rows_before(
    tmp_path: Path, others: dict[str, np.ndarray]
) -> None:
    path = tmp_path / "a.npy"

    def written(*arrays: np.ndarray, gap: bool = False) -> list[object]:
        with open_sink(path) as sink:
            for array in arrays:
                missing = {"y": np.array([gap])} if array is arrays[-1] else {}
                sink.write({"y": array} | others, missing)
        found = np.load(path)
        return (found["y"] if others else found).tolist()

    whole, half, nan = np.array([1]), np.array([2.5]), np.array([np.nan])
    assert written(half, whole) == [2.5, 1]
    assert written(whole, np.array([2.0])) == [1, 2]
    assert written(whole, np.array([7], np.uint64)) == [1, 7]
    assert np.isnan(written(half, nan.astype(np.float32))[1])
    assert written(whole, nan, gap=True) == [1, np.iinfo(np.int64).min]
    for first, then in (
        (whole, half),
        (whole, nan),
        (half.astype(np.float32), np.array([0.1])),
        (half, np.array([2**53 + 1])),
        (whole, np.array([True])),
        (np.array([True]), whole),
        (whole, np.array([2**63 + 5], np.uint64)),
        (whole.astype(np.uint64), -whole),
    ):
        told = rf"a\.npy: y: becomes {then.dtype} where it was {first.dtype}"
        with pytest.raises(SetupError, match=told):
            written(first, then)
    with pytest.raises(SetupError, match=r"y: text, which \.npy cannot hold"):
        written(whole, np.array(["a"], object))
    pair = np.array([[1, 2]])
    lists = np.empty(1, object)
    lists[0] = np.array([1])
    for other in (np.array([[1, 2, 3]]), np.array([[1]]), whole, lists):
        for arrays in ((pair, other), (other, pair)):
            with pytest.raises(SetupError, match=r"a\.npy: y: lists that are not all of one"):
                written(*arrays)
    with pytest.raises(SetupError, match=r"y: is missing in some rows, and there is no such truth"):
        written(np.array([True]), np.array([False]), gap=True)


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ("(3, 18446744073709551616)", "cut short"),
        ("(4, 4294967296, 4294967296)", "cut short"),
        ("(-3,)", "the shape"),
        ("(1000000000000, 0)", "without a value"),
        ("(" * 3000, "not a .npy file"),
    ],
)
def test_a_header_that_lies_is_refused(tmp_path: Path, shape: str, told: str) -> None:
    """Sizes that wrap round, rows of no bytes that would never end, and what is no literal."""
    head = f"{{'descr':'<f8','fortran_order':False,'shape':{shape}}}\n".encode()
    size = len(head).to_bytes(2, "little")
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00" + size + head + b"0" * 64)
    with pytest.raises(SetupError, match=told):
        open_source(tmp_path / "a.npy")
