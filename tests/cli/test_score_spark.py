"""``gpfn score --spark``: what goes together, what is shown, and how it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.data.scored import refusing, write

COMMAND = (sys.executable, "-m", "gpfn", "score")


def run(*words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the command and check how it ends."""
    ended = subprocess.run(
        [*COMMAND, *words], capture_output=True, text=True, timeout=250, check=False
    )
    assert ended.returncode == code, ended.stderr
    return ended


def refused(words: Sequence[str]) -> str:
    """Return the one line that is said of words that do not go together."""
    lines = run(*words, code=1).stderr.splitlines()
    assert len(lines) == 1
    return lines[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a model and a file of each kind."""
    refusing(tmp_path)
    write(tmp_path / "in.parquet", a=[1.0, -1.0], b=[1.0, 2.0], c=[1.0, 2.0], id=[5, 6])
    np.save(tmp_path / "in.npy", np.ones((5, 3), np.float32))
    return tmp_path


def test_words_that_do_not_go_together(folder: Path) -> None:
    model, table, array = (
        str(folder / name) for name in ("model.py:total", "in.parquet", "in.npy")
    )
    given = [model, table, "-o", str(folder / "out"), "--spark", "local[2]"]
    assert refused([*given, "--jobs", "2"]).endswith("at once: --spark local[2]")
    assert "expected spark.NAME=VALUE, got 'x=1'" in refused([*given, "--spark-conf", "x=1"])
    assert "no format 'tables'" in refused([*given, "--format", "tables"])
    told = refused([model, "hdfs://h/x.parquet", array, *given[2:]])
    assert told.startswith("gpfn: hdfs://h/x.parquet: only Parquet is read from a URL")
    assert "no column q; there is a, b, c, id" in refused([*given, "--keep", "q"])
    assert "expected local[N]" in refused([*given[:-1], "nowhere"])
    assert not (folder / "out").exists()


def test_parquet_becomes_a_folder_of_parts(folder: Path) -> None:
    out = folder / "scores.parquet"
    words = [str(folder / "model.py:total"), str(folder / "in.parquet"), "-o", str(out)]
    ended = run(*words, "--keep", "id", "--features", "a,b,c", "--spark", "local[2]", "--json")
    [report] = json.loads(ended.stdout)
    assert (report["rows"], report["failed"], report["error"]) == (2, 1, None)
    assert report["output"] == str(out)
    rows = sorted(pq.read_table(out).to_pylist(), key=lambda row: row["id"])
    assert [row["y"] for row in rows] == [3.0, None]
    assert "a negative number" in rows[1]["gpfn_failed"]
    assert "the column gpfn_failed of" in ended.stderr
    assert "WARN" not in ended.stderr, "Java's words are in their file"


def children(process: int) -> set[int]:
    """Return the processes that a process has started, and those that they have."""
    found: set[int] = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == process:
            found |= {int(stat.parent.name)} | children(int(stat.parent.name))
    return found


def test_a_polite_end_leaves_no_process_and_no_half_of_an_output(folder: Path) -> None:
    np.save(folder / "in.npy", np.zeros((600_000, 3), np.float32))  # at least 60 s
    words = [str(folder / "model.py:slow"), str(folder / "in.npy"), "-o", str(folder / "out")]
    process = subprocess.Popen(
        [*COMMAND, *words, "--spark", "local[1]", "--chunk", "100"], stderr=subprocess.PIPE
    )
    until = time.monotonic() + 120
    while time.monotonic() < until and not [*folder.glob("out/.in.npy.part-*")]:
        time.sleep(0.1)
    assert [*folder.glob("out/.in.npy.part-*")], "no task began"
    others = children(process.pid)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert b"Traceback" not in told
    until = time.monotonic() + 20
    while time.monotonic() < until and any(os.path.exists(f"/proc/{pid}") for pid in others):
        time.sleep(0.1)
    assert not [pid for pid in others if os.path.exists(f"/proc/{pid}")]
    assert not (folder / "out" / "in.npy").exists()
