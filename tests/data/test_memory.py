"""Memory does not grow with the file."""

from pathlib import Path

import numpy as np
import pytest

from gpfn.cli.main import main
from gpfn.data.formats import open_sink
from tests.alone import alone, peak
from tests.data.scored import ROOT


def scored(source: Path, target: Path) -> int:
    """Score a file, and return the most bytes that this process had."""
    model = ROOT / "models" / "forecast.tflite"
    assert main(["score", str(model), str(source), "-o", str(target)]) == 0
    return peak()


def most(folder: Path, rows: int) -> int:
    """Return the most bytes of a process that scored so many rows of 20 columns."""
    source, target = folder / f"{rows}.parquet", folder / f"{rows}.npy"
    with open_sink(source) as sink:
        for at in range(0, rows, 100_000):
            values = np.random.default_rng(at).normal(size=(20, 100_000)).astype(np.float32)
            sink.write({f"c{number}": column for number, column in enumerate(values)})
    found = alone(scored, source, target)
    assert len(np.load(target, mmap_mode="r")) == rows
    return found


@pytest.mark.slow
@pytest.mark.timing
def test_a_file_of_ten_times_the_rows_takes_no_more_memory(tmp_path: Path) -> None:
    small, large = most(tmp_path, 200_000), most(tmp_path, 2_000_000)
    assert large < 400 << 20
    assert large - small < 60 << 20, f"{small} and {large} bytes"
