"""CSV as people have it: separators, quotes, marks, gaps, and lines that are wrong."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpfn.data.csv_file import CsvSource
from gpfn.data.formats import open_sink, open_source
from gpfn.data.seam import Chunk
from gpfn.errors import SetupError


def read(path: Path, text: str | bytes, rows: int = 100, **options: Any) -> list[Chunk]:
    """Return the chunks of a file with that text."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    source = open_source(path, **options)
    try:
        return [*source.chunks(None, rows)]
    finally:
        source.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rows.csv"


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_the_separator_is_found(path: Path, separator: str, end: str, mark: str) -> None:
    lines = [["a", '"b,;|c"'], ["1", '"x"'], ["2.5", "y"]]
    [chunk] = read(path, mark + end.join(separator.join(line) for line in lines))
    assert [*chunk.columns] == ["a", "b,;|c"]
    assert chunk.columns["a"].tolist() == [1, 2.5]
    assert chunk.columns["b,;|c"].tolist() == ["x", "y"]


def test_a_separator_that_is_said(path: Path) -> None:
    [chunk] = read(path, "a:b\n1:2\n", separator=":")
    assert {name: array.tolist() for name, array in chunk.columns.items()} == {"a": [1], "b": [2]}
    with pytest.raises(SetupError, match="expected one character"):
        read(path, "a\n1\n", separator="::")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("separator", [";", ",", "\t", ":"])
def test_a_separator_that_excel_tells_itself(
    path: Path, end: str, mark: str, separator: str
) -> None:
    lines = [f"sep={separator}", f"a{separator}b", f"1{separator}2", f"3{separator}x"]
    [chunk] = read(path, mark + end.join(lines) + end)
    assert {n: array.tolist() for n, array in chunk.columns.items()} == {
        "a": [1, 3],
        "b": ["2", "x"],
    }


def test_a_separator_that_is_said_comes_before_excels(path: Path) -> None:
    [chunk] = read(path, "SEP=;\na:b\n1:2\n", separator=":")
    assert [*chunk.columns] == ["a", "b"]
    for unusable in ("", ";;", '"', "é"):
        [chunk] = read(path, f"sep={unusable}\na;b\n1;2\n")
        assert [*chunk.columns] == ["a", "b"]
    with pytest.raises(SetupError, match="no names of columns"):
        read(path, "sep=;\n")


def test_quotes_hold_separators_quotes_and_ends_of_lines(path: Path) -> None:
    [chunk] = read(path, 'a,"b ""c"""\n"1,\n2","say ""hi"""\n')
    assert {n: a.tolist() for n, a in chunk.columns.items()} == {
        "a": ["1,\n2"],
        'b "c"': ['say "hi"'],
    }


def test_an_empty_cell_is_missing_and_nan_is_a_number(path: Path) -> None:
    [chunk] = read(path, "x,t\n1,a\n,b\nnan,\nNaN,NA\n")
    assert chunk.missing["x"].tolist() == [False, True, False, False]
    assert chunk.missing["t"].tolist() == [False, False, True, False]
    assert np.isnan(chunk.columns["x"]).tolist() == [False, True, True, True]
    assert chunk.columns["t"].tolist() == ["a", "b", None, "NA"]


def test_dates_stay_as_they_are_written(path: Path) -> None:
    [chunk] = read(path, "d,t\n2024-02-30,10:00\n2024-01-02,11:00\n")
    assert chunk.columns["d"].tolist() == ["2024-02-30", "2024-01-02"]
    [chunk] = read(path, "d\n2024-02-03\n2024-01-02\n")
    assert chunk.columns["d"].tolist() == ["2024-02-03", "2024-01-02"]
    [chunk] = read(path, "id\n007\n", types={"id": "string"})
    assert chunk.columns["id"].tolist() == ["007"]


@pytest.mark.parametrize("rows", [1, 2, 3, 10])
def test_a_line_of_another_width_is_a_fault_and_its_neighbours_are_not(
    path: Path, rows: int
) -> None:
    chunks = read(path, 'a,b\n1,x\n2\n3,"y,\n",z\n4,w\n\n5,v\n', rows)
    found: list[Any] = []
    for chunk in chunks:
        assert chunk.first == len(found)
        for row in range(chunk.rows):
            fault = chunk.faults.get(row)
            told = chunk.columns["a"][row], chunk.columns["b"][row]
            found.append((fault.reason, fault.text) if fault else told)
            assert chunk.missing.get("a", np.zeros(chunk.rows, bool))[row] == bool(fault)
    assert found == [
        (1, "x"),
        ("expected 2 cells, got 1", "2"),
        ("expected 2 cells, got 3", "3,y,\n,z"),
        (4, "w"),
        (5, "v"),
    ]


def test_text_that_is_no_utf_8_is_a_fault_of_its_row(path: Path) -> None:
    [chunk] = read(path, b"a,b\n1,caf\xe9\n2,tea\n")
    assert chunk.faults[0].reason == "not UTF-8 text"
    assert chunk.faults[0].text == "1,caf\\xe9"
    assert chunk.columns["b"][1] == "tea"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a,b\n".encode("utf-16"), "UTF-16 text; write it as UTF-8"),
        (b"caf\xe9\n1\n", "the line of names is not UTF-8 text"),
        (b"a,b,a\n1,2,3\n", "rows.csv: a: a column that is there twice"),
        (b'a,b\n1,"x\n2,y\n', "a quote is not closed"),
        (b"\n", "the first line has no names"),
    ],
)
def test_files_that_are_refused(path: Path, text: bytes, told: str) -> None:
    with pytest.raises(SetupError, match=told):
        read(path, text)


def test_a_file_of_names_alone_has_no_rows(path: Path) -> None:
    assert read(path, "a,b") == []
    assert read(path, "a,b\r\n") == []


def test_blocks_end_where_lines_do_whatever_quotes_hold(path: Path) -> None:
    """The file is larger than a block, and most of its line ends are inside of quotes."""
    rows = 60_000
    text = "n,t\n" + "".join(f'{at},"a\n{at}\n""\n"\n' for at in range(rows))
    assert len(text) > 1 << 20
    chunks = read(path, text, 10_000)
    assert np.concatenate([c.columns["n"] for c in chunks]).tolist() == [*range(rows)]
    assert chunks[-1].columns["t"][-1] == f'a\n{rows - 1}\n"\n'


def test_a_wrong_cell_in_a_later_block_is_text_there_and_no_fault_elsewhere(path: Path) -> None:
    rows = 300_000
    lines = [f"{at},{at / 8}" for at in range(rows)]
    lines[200_000] = "x,1"
    chunks = read(path, "n,v\n" + "\n".join(lines), 50_000, types={"v": "float64"})
    assert {chunk.columns["v"].dtype.kind for chunk in chunks} == {"f"}
    assert {chunk.columns["n"].dtype.kind for chunk in chunks} == {"i", "O"}
    found = [value for chunk in chunks for value in chunk.columns["n"].tolist()]
    assert found[200_000] == "x"
    assert [int(value) for at, value in enumerate(found) if at != 200_000] == [
        at for at in range(rows) if at != 200_000
    ]


def test_whole_numbers_become_fractions_where_there_are_some(path: Path) -> None:
    lines = [str(at) for at in range(300_000)]
    lines[250_000] = "0.5"
    chunks = read(path, "n\n" + "\n".join(lines), 50_000)
    assert [c.columns["n"].dtype.kind for c in chunks][:2] == ["i", "i"]
    found = np.concatenate([chunk.columns["n"] for chunk in chunks])
    assert found.tolist() == [float(line) for line in lines]
    with pytest.raises(SetupError, match="no dtype that CSV is read as: 'date32'"):
        read(path, "n\n1\n", types={"n": "date32"})


def test_what_is_written_has_plain_names_and_columns_of_lists(tmp_path: Path) -> None:
    with open_sink(tmp_path / "a.csv") as sink:
        sink.write(
            {"y": np.ones((2, 2)), 'a"b': np.array([1, 2])}, {'a"b': np.array([True, False])}
        )
    assert (tmp_path / "a.csv").read_text() == 'y.0,y.1,"a""b"\n1,1,\n1,1,2\n'


def test_a_gap_of_the_only_column_is_a_row(path: Path) -> None:
    gaps = {"y": np.array([False, True, True])}
    with open_sink(path) as sink:
        sink.write({"y": np.array([1.5, 0, 0])}, gaps)
        sink.write({"y": np.array([2.5])})
        sink.write({"y": np.array([3.5, 0, 0])}, gaps)
    assert path.read_text() == 'y\n1.5\n""\n""\n2.5\n3.5\n""\n""\n'
    [chunk] = read(path, path.read_text())
    assert chunk.missing["y"].tolist() == [False, True, True, False, False, True, True]
    with open_sink(path) as sink:
        sink.write({"y": np.array(["a", None, ""], object)}, {"y": np.array([False, True, False])})
    assert path.read_text() == 'y\n"a"\n""\n""\n'


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_empty_lines_at_the_end_are_no_rows_as_in_a_function_of_rows(path: Path, end: str) -> None:
    for lines, gaps in (
        (["x", "1", "", "2", ""], [False, True, False]),
        (["x", "1", "", "2"], [False, True, False]),
        (["x", "1", "", '""', "", ""], [False, True, True]),
    ):
        [chunk] = read(path, end.join(lines), types={"x": "float64"})
        assert chunk.missing["x"].tolist() == gaps
    assert read(path, f"x{end}") == []
    [chunk] = read(path, end.join(["x,y", "1,2", "", "", ""]))
    assert chunk.rows == 1


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("size", range(1, 14))
def test_empty_lines_are_rows_or_none_wherever_a_block_ends(
    path: Path, monkeypatch: pytest.MonkeyPatch, size: int, end: str
) -> None:
    monkeypatch.setattr("gpfn.data.csv_file._FIRST", size)
    monkeypatch.setattr("gpfn.data.csv_file._BLOCK", size)
    monkeypatch.setattr("gpfn.data.csv_blocks._EMPTY", 2)
    for cells in (["1", "", "", "", '""', "2"], ["", "", "1"], [f'"a{end}{end}"', "", "b"], []):
        for empty in range(5):
            text = end.join(["x", *cells, *[""] * empty])
            chunks = read(path, text, types={"x": "string"})
            found = [value for chunk in chunks for value in chunk.columns["x"].tolist()]
            assert found == [cell.strip('"') or None for cell in cells]
            assert [chunk.first for chunk in chunks] == np.cumsum(
                [0, *(chunk.rows for chunk in chunks)]
            ).tolist()[:-1]
    chunks = read(path, end.join(["x,y", "1,2", "", "", "", "", "3,4", "", ""]))
    assert [value for chunk in chunks for value in chunk.columns["y"].tolist()] == [2, 4]


def test_a_quote_amid_a_cell_is_text(path: Path) -> None:
    [chunk] = read(path, 'a,b\n1,5"x\n2,y\n')
    assert chunk.columns["b"].tolist() == ['5"x', "y"]
    with pytest.raises(SetupError, match="a quote is not closed"):
        read(path, 'a,b\n1,"x\n2,y\n')


def test_a_quote_amid_a_cell_costs_no_more_than_others(path: Path) -> None:
    """Every quote behind it once led to another count of all before it."""
    count = 300_000
    lines = [f'{number},"a, ""b"" "' for number in range(count)]
    chunks = read(path, 'a,b\n0,5"x\n' + "\n".join(lines), rows=1 << 20)
    assert sum(chunk.rows for chunk in chunks) == count + 1
    texts = [text for chunk in chunks for text in chunk.columns["b"].tolist()]
    assert {*texts} == {'5"x', 'a, "b" '}
    assert [n for chunk in chunks for n in chunk.columns["a"].tolist()] == [0, *range(count)]


@pytest.mark.parametrize("odd", ["-1", "oops", "2.5", str(2**64), ""])
def test_whole_numbers_of_a_dtype_that_is_said_are_exact(path: Path, odd: str) -> None:
    """Those that are not of it are text, and so are their neighbours: none is another number."""
    [chunk] = read(path, f"x,y\n{2**64 - 1},1\n{2**53 + 1},1\n{odd},300\n",
                   types={"x": "uint64", "y": "uint8"})  # fmt: skip
    assert [int(value) for value in chunk.columns["x"][:2]] == [2**64 - 1, 2**53 + 1]
    assert chunk.columns["y"].tolist() == ["1", "1", "300"]


def test_numbers_are_those_that_are_written(path: Path) -> None:
    """Arrow reads 1e400 as infinity, and 0x10 as 16 where all others are whole numbers."""
    [chunk] = read(path, "x,y,n\n1e400,inf,0x10\n2,-Infinity,12\n")
    assert chunk.columns["x"].tolist() == ["1e400", "2"]
    assert chunk.columns["y"].tolist() == [np.inf, -np.inf]
    assert chunk.columns["n"].tolist() == ["0x10", "12"]


def test_large_whole_numbers_of_a_column_of_fractions_are_in_full(path: Path) -> None:
    text = f"x,y,z\n{2**53 + 1},9.007199254740993e15,1\n-0.5,-1e300,2\n"
    [chunk] = read(path, text, types=dict.fromkeys("xyz", "float64"))
    assert chunk.columns["x"].tolist() == [str(2**53 + 1), "-0.5"]
    assert chunk.columns["y"].tolist() == [2**53, -1e300]
    assert chunk.columns["z"].tolist() == [1, 2]
    [chunk] = read(path, text)
    assert chunk.columns["x"].tolist() == [2**53, -0.5]


@pytest.mark.parametrize("said", [True, False])
@pytest.mark.parametrize(("cell", "kind"), [("1.5e300", "f"), ("inf", "f"), ("1e400", "O")])
def test_a_block_is_parsed_twice_however_many_columns_have_large_numbers(
    path: Path, monkeypatch: pytest.MonkeyPatch, said: bool, cell: str, kind: str
) -> None:
    parse, parsed = CsvSource._parsed, []

    def counted(*given: Any) -> Any:
        parsed.append(given)
        return parse(*given)

    monkeypatch.setattr(CsvSource, "_parsed", counted)
    names = [f"x{at}" for at in range(50)]
    lines = [names, [cell] * 50, ["0.5"] * 50]
    types = dict.fromkeys(names if said else [], "float64")
    [chunk] = read(path, "\n".join(",".join(line) for line in lines), types=types)
    assert [*chunk.columns] == names
    assert {chunk.columns[name].dtype.kind for name in names} == {kind}
    assert len(parsed) <= 2
