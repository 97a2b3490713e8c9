"""Trains a scikit-learn pipeline on made-up flowers and writes it as ONNX, for ``takes="rows"``.

The flowers are three kinds whose leaves differ in length and width, counted by their petals and
found at sites that prefer one kind or another: numbers with a fraction, whole numbers and text,
as tables have them. The pipeline scales, encodes and classifies; sklearn-onnx makes an input for
each column of it, and a ``ZipMap`` of the probabilities. What it computes is compared with
scikit-learn on a thousand flowers that it has not seen, some at a site that it does not know
and some of extreme sizes, and nothing is written when one of them differs.

It needs ``pip install scikit-learn skl2onnx onnxruntime``, and none of gpfn.

    python training/pipeline_sklearn.py FOLDER     writes flowers.onnx and model.toml
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

__all__ = [
    "AGREES",
    "MODEL_TOML",
    "difference",
    "export",
    "flowers",
    "main",
    "odd_flowers",
    "table",
    "train",
]

KINDS = {"alba": (5.0, 1.2, 4), "lutea": (6.1, 1.9, 5), "rubra": (6.8, 2.6, 6)}
"""Mean length and width of a leaf (cm), and petals, by kind."""
SITES = {"alba": "hill", "lutea": "meadow", "rubra": "shore"}
EACH = 100
AGREES = 1e-4

MODEL_TOML = """\
title = "Three kinds of made-up flowers: a scikit-learn pipeline"
licence = "Apache-2.0"
source = "training/pipeline_sklearn.py"
model = "flowers.onnx"

[[columns]]
name = "leaf_length"

[[columns]]
name = "leaf_width"

[[columns]]
name = "petals"
default = 5

[[columns]]
name = "site"
default = "meadow"
missing = ["?"]
"""


def flowers(seed: int = 20) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return the columns of all flowers, (n, 1) each, and their kinds, (n,)."""
    random = np.random.default_rng(seed)
    rows, kinds = [], []
    for kind, (length, width, petals) in KINDS.items():
        for _ in range(EACH):
            site = SITES[kind] if random.random() < 0.7 else str(random.choice([*SITES.values()]))
            leaf = random.normal(length, 0.4), random.normal(width, 0.3)
            rows.append((*leaf, petals + int(random.integers(-1, 2)), site))
            kinds.append(kind)
    return _columns(rows), np.array(kinds)


def odd_flowers(count: int = 1000, seed: int = 7) -> dict[str, np.ndarray]:
    """Return columns of flowers that differ more, some of a site that no other has."""
    random = np.random.default_rng(seed)
    sites = [*SITES.values(), "cave", ""]
    sizes = np.abs(random.normal(0, 1, (count, 2)) * random.choice([1, 10, 1e4], (count, 1)))
    rows = [
        (length, width, int(random.integers(0, 100)), str(random.choice(sites)))
        for length, width in sizes
    ]
    return _columns(rows)


def _columns(rows: list[tuple[float, float, int, str]]) -> dict[str, np.ndarray]:
    lengths, widths, petals, sites = zip(*rows, strict=True)
    return {
        "leaf_length": np.array(lengths, np.float32).reshape(-1, 1),
        "leaf_width": np.array(widths, np.float32).reshape(-1, 1),
        "petals": np.array(petals, np.int64).reshape(-1, 1),
        "site": np.array(sites, object).reshape(-1, 1),
    }


def table(columns: dict[str, np.ndarray]) -> np.ndarray:
    """Return the columns side by side, as scikit-learn takes them without pandas."""
    return np.concatenate([values.astype(object) for values in columns.values()], axis=1)


def train(columns: dict[str, np.ndarray], kinds: np.ndarray) -> Any:
    """Return the trained pipeline."""
    prepare = ColumnTransformer(
        [
            ("scaled", StandardScaler(), [0, 1]),
            ("counted", "passthrough", [2]),
            ("encoded", OneHotEncoder(handle_unknown="ignore"), [3]),
        ]
    )
    pipeline = Pipeline([("prepare", prepare), ("classify", LogisticRegression(max_iter=1000))])
    return pipeline.fit(table(columns), kinds)


def export(pipeline: Any) -> bytes:
    """Return the pipeline as ONNX, an input for each column."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType

    types = [
        ("leaf_length", FloatTensorType([None, 1])),
        ("leaf_width", FloatTensorType([None, 1])),
        ("petals", Int64TensorType([None, 1])),
        ("site", StringTensorType([None, 1])),
    ]
    model = to_onnx(pipeline, initial_types=types, target_opset={"": 15, "ai.onnx.ml": 3})
    opsets = sorted(model.opset_import, key=lambda opset: str(opset.domain))
    del model.opset_import[:]
    model.opset_import.extend(opsets)  # else in the order of a set, another one each time
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def difference(pipeline: Any, data: bytes, columns: dict[str, np.ndarray]) -> float:
    """Return how far the two are apart at most, in probabilities."""
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    _, rows = session.run(None, columns)
    given = np.array([[row[kind] for kind in pipeline.classes_] for row in rows])
    return float(np.abs(given - pipeline.predict_proba(table(columns))).max())


def main(argv: list[str] | None = None) -> int:
    """Train, export, compare and write; 1 when the two do not agree."""
    folder = Path((sys.argv[1:] if argv is None else argv)[0])
    columns, kinds = flowers()
    pipeline = train(columns, kinds)
    data = export(pipeline)
    apart = max(difference(pipeline, data, each) for each in (columns, odd_flowers()))
    if apart > AGREES:
        print(f"the exported pipeline differs by {apart:.2g}: not written", file=sys.stderr)
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "flowers.onnx").write_bytes(data)
    (folder / "model.toml").write_text(MODEL_TOML)
    right = (pipeline.predict(table(columns)) == kinds).mean()
    print(f"{folder}/flowers.onnx: {len(data)} bytes, {right:.1%} of {len(kinds)} flowers right")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
