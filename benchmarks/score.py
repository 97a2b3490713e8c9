"""Files of data through a model by gpfn score's function, against the same by hand.

By hand means what is fastest with the same libraries: the reader's batches, their columns put
side by side, and a bare LiteRT interpreter of that many rows; nothing is checked, and nothing is
written. Ours checks every value and writes the scores as a file of the same format. The network
takes 42 numbers. The two sides take turns, in one process, so that noise meets both.

Memory is the most that a process had which scored a Parquet file of ten million rows.

    python benchmarks/score.py [--quick] [--json FILE]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ai_edge_litert.interpreter import Interpreter
from pyarrow import csv

from gpfn.data.scorer import ModelOrder, Scorer
from gpfn.data.scoring import ScoreJob, ScoreOptions, score_file

__all__ = ["main"]

HERE = Path(__file__).resolve().parent
NAMES = [f"f{number}" for number in range(42)]
CHUNK = 16384
MEMORY_ROWS = 10_000_000
MEMORY_GOAL = 400.0


class Case(NamedTuple):
    """A format: its rows, how it is written and read by hand, and the ratio that is wanted."""

    suffix: str
    rows: int
    write: Callable[[Path, int], None]
    read: Callable[[Path], Iterator[np.ndarray]]
    goal: float


def table(rows: int, seed: int = 1) -> pa.Table:
    """Return random numbers as 42 columns."""
    values = np.random.default_rng(seed).standard_normal((rows, len(NAMES)), np.float32)
    return pa.table({name: values[:, number] for number, name in enumerate(NAMES)})


def write_parquet(path: Path, rows: int) -> None:
    with pq.ParquetWriter(path, table(1).schema) as writer:
        for at in range(0, rows, 131_072):
            writer.write_table(table(min(131_072, rows - at), at))


def write_csv(path: Path, rows: int) -> None:
    csv.write_csv(table(rows), path)


def write_npy(path: Path, rows: int) -> None:
    np.save(path, np.random.default_rng(1).standard_normal((rows, len(NAMES)), np.float32))


def read_parquet(path: Path) -> Iterator[np.ndarray]:
    for batch in pq.ParquetFile(path).iter_batches(CHUNK):
        yield beside(batch)


def read_csv(path: Path) -> Iterator[np.ndarray]:
    kinds = dict.fromkeys(NAMES, pa.float32())
    for batch in csv.open_csv(path, convert_options=csv.ConvertOptions(column_types=kinds)):
        yield beside(batch)


def read_npy(path: Path) -> Iterator[np.ndarray]:
    array = np.load(path, mmap_mode="r")
    for at in range(0, len(array), CHUNK):
        yield array[at : at + CHUNK]


def beside(batch: pa.RecordBatch) -> np.ndarray:
    """Return a batch's columns side by side."""
    return np.stack([column.to_numpy() for column in batch.columns], axis=1)


CASES = (
    Case("parquet", 1_000_000, write_parquet, read_parquet, 0.85),
    Case("csv", 300_000, write_csv, read_csv, 0.8),
    Case("npy", 3_000_000, write_npy, read_npy, 0.8),
)


def by_hand(model: str, chunks: Iterator[np.ndarray]) -> int:
    """Score chunks by a bare interpreter; returns the rows."""
    interpreter = Interpreter(model, num_threads=1)
    source = interpreter.get_input_details()[0]["index"]
    target = interpreter.get_output_details()[0]["index"]
    size = rows = 0
    for chunk in chunks:
        if len(chunk) != size:
            size = len(chunk)
            interpreter.resize_tensor_input(source, [size, len(NAMES)])
            interpreter.allocate_tensors()
        interpreter.set_tensor(source, chunk)
        interpreter.invoke()
        rows += len(interpreter.get_tensor(target))
    return rows


def by_us(model: str, path: Path) -> int:
    """Score a file as the command does; returns the rows."""
    scorer = Scorer(ModelOrder(model))
    target = f"{path.parent}/scores{path.suffix}"
    try:
        return score_file(ScoreJob(str(path), target, f"{target}.failed"), scorer, OPTIONS).rows
    finally:
        scorer.close()


OPTIONS = ScoreOptions(chunk=CHUNK)


def seconds(call: Callable[[], int], wanted: int) -> float:
    began = time.perf_counter()
    found = call()
    taken = time.perf_counter() - began
    assert found == wanted, f"{found} rows, not {wanted}"
    return taken


def compared(case: Case, folder: Path, *, quick: bool) -> dict[str, Any]:
    """Return the figure of a format: the median of the ratios of pairs of runs."""
    rows = 10_000 if quick else case.rows
    path, model = folder / f"rows.{case.suffix}", str(folder / "dnn.tflite")
    case.write(path, rows)
    pairs = []
    for _ in range(1 if quick else 7):
        hand = seconds(lambda: by_hand(model, case.read(path)), rows)
        pairs.append((hand, seconds(lambda: by_us(model, path), rows)))
    path.unlink()
    ratio = statistics.median(hand / ours for hand, ours in pairs)
    hand, ours = (min(times) for times in zip(*pairs, strict=True))
    return {
        "what": f"{case.suffix} of 42 columns to a file of scores",
        "value": round(rows / ours / 1000),
        "unit": "thousand rows/s",
        "peer": f"reader and LiteRT alone {rows / hand / 1000:.0f}",
        "ratio": round(ratio, 3),
        "goal": f"≥ {case.goal}",
        "ok": ratio >= case.goal,
    }


def memory(folder: Path, *, quick: bool) -> dict[str, Any]:
    """Return the most memory of a process that scores a large Parquet file."""
    rows = 100_000 if quick else MEMORY_ROWS
    path = folder / "large.parquet"
    write_parquet(path, rows)
    words = ["score", str(folder / "dnn.tflite"), str(path), "-o", str(folder / "out.parquet")]
    process = subprocess.Popen([sys.executable, "-m", "gpfn", *words], stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)  # of this child alone
    assert status == 0, f"gpfn score ended with {status}"
    peak = used.ru_maxrss / 1024
    path.unlink()
    return {
        "what": f"memory of gpfn score at {rows:,} rows of Parquet, 42 columns",
        "value": round(peak),
        "unit": "MiB",
        "peer": "",
        "ratio": None,
        "goal": f"≤ {MEMORY_GOAL:.0f} MiB",
        "ok": peak <= MEMORY_GOAL,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print or write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="a short run that judges nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_model(folder)
        found = [memory(folder, quick=args.quick)]
        found += [compared(case, folder, quick=args.quick) for case in CASES]
    text = json.dumps(found, ensure_ascii=False, indent=2)
    if args.json:
        args.json.write_text(text + "\n")
    else:
        print(text)
    return 0


def write_model(folder: Path) -> None:
    """Write the network, by a process of its own: what makes it takes much memory."""
    command = [sys.executable, str(HERE / "peers" / "dnn.py"), str(folder)]
    environ = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run(command, check=True, capture_output=True, env=environ)


if __name__ == "__main__":
    raise SystemExit(main())
