"""Memory does not grow with the file."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gpfn.data.formats import open_sink
from tests.data.scored import ROOT

MIB = 1024


def peak(folder: Path, rows: int) -> int:
    """Return the most memory, in KiB, of a process that scored so many rows of 20 columns."""
    source = folder / f"{rows}.parquet"
    with open_sink(source) as sink:
        for at in range(0, rows, 100_000):
            values = np.random.default_rng(at).normal(size=(20, 100_000)).astype(np.float32)
            sink.write({f"c{number}": column for number, column in enumerate(values)})
    words = ["score", str(ROOT / "models" / "forecast.tflite"), str(source)]
    command = [sys.executable, "-m", "gpfn", *words, "-o", str(folder / f"{rows}.npy")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    assert status == 0
    assert len(np.load(folder / f"{rows}.npy", mmap_mode="r")) == rows
    return used.ru_maxrss


@pytest.mark.slow
@pytest.mark.timing
def test_a_file_of_ten_times_the_rows_takes_no_more_memory(tmp_path: Path) -> None:
    small, large = peak(tmp_path, 200_000), peak(tmp_path, 2_000_000)
    assert large < 400 * MIB
    assert large - small < 60 * MIB, f"{small} KiB and {large} KiB"
