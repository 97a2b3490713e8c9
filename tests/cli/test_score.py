"""``gpfn score``: files in, files out, what is told of them, and a server's model as any other."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from gpfn.cli.main import main
from gpfn.models.open import open_model
from tests.cli.serving import serve
from tests.data.scored import read, refusing, write


@pytest.fixture
def forecast(root: Path) -> str:
    return str(root / "models" / "forecast.tflite")


@pytest.fixture
def windows(tmp_path: Path) -> Path:
    """Fifty windows of twenty values, as Parquet with an id."""
    values = np.random.default_rng(1).normal(20, 5, (50, 20)).astype(np.float32)
    return write(tmp_path / "windows.parquet", series=values, id=np.arange(50))


def test_a_file_to_a_file(
    forecast: str, windows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out" / "scores.parquet"
    assert main(["score", forecast, str(windows), "-o", str(target), "--keep", "id"]) == 0
    found = pq.read_table(target).to_pydict()
    series = np.array(read(windows)["series"], np.float32)[:, :, None]
    wanted = open_model(forecast)({"series": series})["forecast"]
    assert found["id"] == [*range(50)]
    assert (np.array(found["forecast"], np.float32).reshape(wanted.shape) == wanted).all()
    told = capsys.readouterr()
    assert told.out.startswith(f"{target}  50 rows  ")
    assert told.err == ""
    assert main(["score", forecast, str(windows), "-o", str(target), "--keep", "id"]) == 0
    assert "50 rows, done before (--again scores them anew)" in capsys.readouterr().out


def test_several_files_to_a_folder_and_their_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "a.csv").write_text("p;q;r\n1;2;3\n1;x;3\n4;5;6\n")
    write(data / "b.parquet", p=[1.0], q=[2.0], r=[3.0])
    (data / "c.parquet").write_bytes(b"PAR1 and no more of it")
    words = ["score", refusing(tmp_path), str(data), "-o", str(tmp_path / "out"), "--to", "csv"]
    assert main([*words, "--features", "p,q,r", "--json"]) == 1
    told = capsys.readouterr()
    first, second, third = sorted(json.loads(told.out), key=lambda row: str(row["file"]))
    assert (first["rows"], first["failed"], first["skipped"]) == (3, 1, False)
    assert first["failed_rows"] == f"{tmp_path}/out/a.csv.failed.jsonl"
    assert second["output"] == f"{tmp_path}/out/b.csv"
    assert third["error"].startswith(f"{data}/c.parquet: not a Parquet file that can be read")
    assert f"gpfn: {third['error']}" in told.err
    assert f"gpfn: 1 of 3 rows of {data}/a.csv failed; see {first['failed_rows']}" in told.err
    assert read(tmp_path / "out" / "a.csv")["y"] == [6, None, 15]
    (data / "c.parquet").unlink()
    assert main([*words, "--features", "p,q,r", "--jobs", "1", "--max-failed", "0"]) == 1
    told = capsys.readouterr()
    assert "a.csv: 1 of 3 rows failed; --max-failed allows 0" in told.err
    assert "1 files, 1 rows in" in told.out
    assert "1 failed" in told.out


def test_what_was_assumed_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path / "in.csv", a=[1.0], b=[2.0], c=[3.0])
    model, target = refusing(tmp_path), str(tmp_path / "out.csv")
    assert main(["score", model, str(source), "-o", target]) == 0
    told = "gpfn: a, b, c are taken as the values of x, in this order\n"
    assert capsys.readouterr().err == told


def test_columns_of_a_description_are_found_beside_the_model(root: Path, tmp_path: Path) -> None:
    digits = tmp_path / "digits.tflite"
    digits.write_bytes((root / "models" / "digits.tflite").read_bytes())
    (tmp_path / "model.toml").write_text('model = "digits.tflite"\n[serving]\nmax_batch = 1\n')
    np.save(tmp_path / "in.npy", np.zeros((3, 8, 8, 1), np.uint8))
    assert main(["score", str(digits), str(tmp_path / "in.npy"), "-o", f"{tmp_path}/o.npy"]) == 0
    assert np.load(tmp_path / "o.npy").shape == (3, 10)


def test_labels_of_a_description_name_the_values(root: Path, tmp_path: Path) -> None:
    digits = tmp_path / "digits.tflite"
    digits.write_bytes((root / "models" / "digits.tflite").read_bytes())
    names = ["nought", *"123456789"]
    (tmp_path / "labels.txt").write_text("\n".join(names))
    (tmp_path / "model.toml").write_text('model = "digits.tflite"\nlabels = "labels.txt"\n')
    np.save(tmp_path / "in.npy", np.zeros((2, 8, 8, 1), np.uint8))
    words = [str(digits), str(tmp_path / "in.npy")]
    assert main(["score", *words, "-o", f"{tmp_path}/o.csv"]) == 0
    line = (tmp_path / "o.csv").read_text().partition("\n")[0]
    assert line.split(",") == [f"probabilities.{name}" for name in names]


@pytest.mark.parametrize("path", ["", "/v2/models/forecast", "/forecast"])
def test_a_served_model_gives_what_the_file_gives(
    forecast: str, windows: Path, tmp_path: Path, path: str
) -> None:
    here, there = tmp_path / "here.npy", tmp_path / "there.npy"
    assert main(["score", forecast, str(windows), "-o", str(here)]) == 0
    with serve(tmp_path, "--model", f"forecast={forecast}") as server:
        assert main(["score", f"{server.url}{path}", str(windows), "-o", str(there)]) == 0
    assert np.load(there).tobytes() == np.load(here).tobytes()


def test_a_server_that_is_gone_fails_the_file_and_no_row(
    windows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], forecast: str
) -> None:
    with serve(tmp_path, "--model", f"forecast={forecast}") as server:
        url = server.url
    assert main(["score", url, str(windows), "-o", str(tmp_path / "o.npy")]) == 1
    assert "gpfn: " in capsys.readouterr().err
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("o.npy")]


def test_a_pipeline_is_a_model(root: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "in.parquet", x=np.array([[0.0, 1], [2, 3]]))
    pipeline = root / "pipelines" / "toy.pipeline.toml"
    assert main(["score", str(pipeline), str(source), "-o", str(tmp_path / "o.jsonl")]) == 0
    assert (tmp_path / "o.jsonl").read_text() == '{"y":[1.0,3.0]}\n{"y":[5.0,7.0]}\n'


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--separator", "xx"], "expected one ASCII character"),
        (["--separator", "."], "none of numbers or quotes"),
        (["--separator", "é"], "expected one ASCII character"),
        (["--max-failed", "101%"], "expected a number of rows or 0% to 100%"),
        (["--max-failed", "some"], "expected a whole number"),
        (["--chunk", "0"], "expected"),
    ],
)
def test_wrong_options_are_wrong_usage(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["score", "m.tflite", "a.csv", "-o", "b.csv", *words]) == 2
    assert told in capsys.readouterr().err


def test_a_format_that_is_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", "m.tflite", "a.csv", "-o", "b.csv", "--to", "xls"]) == 1
    assert "no format 'xls'; there are parquet, csv, root, npy, jsonl" in capsys.readouterr().err


def test_odd_names_are_a_line_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = refusing(tmp_path)
    line, raw = str(tmp_path / "a\nb\x1b.csv"), os.fsdecode(bytes(tmp_path / "q") + b"\xff.csv")
    for name in (line, raw):
        Path(name).write_text("a,b,c\n1,2,3\n")
    assert main(["score", model, line, "-o", f"{tmp_path}/out"]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"{tmp_path}/out/a\\nb\\x1b.csv  1 rows")
    assert told.count("\n") == 1
    assert main(["score", model, raw, "-o", f"{tmp_path}/out"]) == 1
    shown = f"{tmp_path}/q\\udcff.csv"
    wanted = f"gpfn: {shown}: CSV needs a name in UTF-8, which this one is not; rename it\n"
    assert capsys.readouterr().err == wanted


def test_a_terminal_has_a_bar_while_it_runs(tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", np.ones((2000, 3)))
    words = ["score", refusing(tmp_path, "slow"), "in.npy", "-o", "out.npy", "--chunk", "20"]
    ours, theirs = pty.openpty()
    subprocess.run(
        [sys.executable, "-m", "gpfn", *words],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        check=True,
    )
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 1 << 16):
            shown += piece
    except OSError:  # nobody writes there any more
        os.close(ours)
    assert b"0/1 files" in shown
    assert b"rows/s" in shown
    assert b"%" in shown
