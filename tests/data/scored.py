"""A model that refuses some rows, and files for it: what tests of scoring share."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from gpfn.data.formats import open_sink, open_source
from gpfn.data.scorer import ModelOrder, Scorer
from gpfn.data.scoring import FileReport, ScoreJob, ScoreOptions, score_file

__all__ = ["ROOT", "fails", "read", "refusing", "score", "write"]

ROOT = Path(__file__).resolve().parents[2]

_CODE = """
import os, signal, time
import numpy as np
from gpfn.errors import RefusedByModel
from gpfn.models.python import declare
from gpfn.tensors.spec import TensorSpec

X = {"x": TensorSpec("float32", (None, 3))}
Y = {"y": TensorSpec("float32", (None,)), "n": TensorSpec("int64", (None, 2))}


@declare(inputs=X, outputs=Y)
def total(x):
    if (x < 0).any():
        raise ValueError("a negative number")
    whole = np.nan_to_num(x[:, :2]).astype(np.int64)
    return {"y": x.sum(1), "n": whole}


@declare(inputs={"x": TensorSpec("float32", (3,))})
def single(x):
    assert x.shape == (3,)
    return {"y": x.sum(), "n": x[:2]}


@declare(inputs={"x": TensorSpec("float32", (1, 3))})
def one(x):
    assert x.shape == (1, 3)
    return {"y": x.sum(1), "n": x[:, :2]}


@declare(inputs=X)
def short(x):
    return {"y": x[:1].sum(1), "n": x[:1, :2]}


def refused(code):
    @declare(inputs=X, outputs=Y)
    def model(x):
        if (x < 0).any():
            raise RefusedByModel("not now", code=code)
        return total(x)

    return model


busy, wrong = refused(503), refused(422)


@declare(inputs=X, outputs=Y)
def slow(x):
    time.sleep(0.01)
    return total(x)


@declare(inputs=X, outputs=Y)
def deadly(x):
    if (x < 0).any():
        os.kill(os.getpid(), signal.SIGKILL)
    return total(x)
"""


def refusing(folder: Path, name: str = "total") -> str:
    """Return a model of three numbers that raises for a negative one."""
    path = folder / "model.py"
    path.write_text(_CODE)
    return f"{path}:{name}"


def write(path: Path, **columns: Any) -> Path:
    """Write columns as a file."""
    with open_sink(path) as sink:
        sink.write({name: np.asarray(values) for name, values in columns.items()})
    return path


def read(path: Path) -> dict[str, list[Any]]:
    """Return the columns of a file, None where a value is missing."""
    source = open_source(path)
    found: dict[str, list[Any]] = {name: [] for name in source.names}
    for chunk in source.chunks(None, 1 << 20):
        for name, array in chunk.columns.items():
            mask = chunk.missing.get(name)
            values = array.tolist()
            if mask is not None:
                values = [None if gap else value for value, gap in zip(values, mask, strict=True)]
            found[name] += values
    source.close()
    return found


def score(
    model: str, source: Path, target: Path, options: ScoreOptions | None = None, **order: Any
) -> FileReport:
    """Score a file with a model that is opened for it."""
    scorer = Scorer(ModelOrder(model, **order))
    job = ScoreJob(str(source), str(target), f"{target}.failed.jsonl")
    try:
        return score_file(job, scorer, options or ScoreOptions())
    finally:
        scorer.close()


def fails(target: Path) -> dict[int, dict[str, Any]]:
    """Return the failed rows beside an output by their numbers."""
    lines = Path(f"{target}.failed.jsonl").read_text().splitlines()
    return {row["row"]: row for row in map(json.loads, lines)}
