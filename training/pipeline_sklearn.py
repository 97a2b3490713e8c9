"""Trains a scikit-learn pipeline on made-up flowers and writes it as ONNX, for ``takes="rows"``.

The flowers are three kinds whose leaves differ in length and width, counted by their petals and
found at sites that prefer one kind or another: numbers with a fraction, whole numbers and text,
as tables have them. The pipeline scales, encodes and classifies; sklearn-onnx makes an input for
each column of it, and a ``ZipMap`` of the probabilities. What it computes is compared with
scikit-learn on every flower before it is written.

It needs ``pip install scikit-learn skl2onnx onnxruntime``, and none of gpfn.

    python training/pipeline_sklearn.py FOLDER     writes flowers.onnx and model.toml
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

__all__ = ["flowers", "main"]

KINDS = {"alba": (5.0, 1.2, 4), "lutea": (6.1, 1.9, 5), "rubra": (6.8, 2.6, 6)}
"""Mean length and width of a leaf (cm), and petals, by kind."""
SITES = {"alba": "hill", "lutea": "meadow", "rubra": "shore"}
NUMBERS, PETALS, SITE = ["leaf_length", "leaf_width"], ["petals"], ["site"]
EACH = 100

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
            rows.append((random.normal(length, 0.4), random.normal(width, 0.3),
                         petals + int(random.integers(-1, 2)), site))  # fmt: skip
            kinds.append(kind)
    lengths, widths, petal_counts, sites = zip(*rows, strict=True)
    columns = {
        "leaf_length": np.array(lengths, np.float32),
        "leaf_width": np.array(widths, np.float32),
        "petals": np.array(petal_counts, np.int64),
        "site": np.array(sites, object),
    }
    return {name: values.reshape(-1, 1) for name, values in columns.items()}, np.array(kinds)


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


def main(argv: list[str] | None = None) -> int:
    """Train, export, compare and write; 1 when the two do not agree."""
    folder = Path((sys.argv[1:] if argv is None else argv)[0])
    columns, kinds = flowers()
    pipeline = train(columns, kinds)
    types = [(name, FloatTensorType([None, 1])) for name in NUMBERS]
    types += [(name, Int64TensorType([None, 1])) for name in PETALS]
    types += [(name, StringTensorType([None, 1])) for name in SITE]
    model = to_onnx(pipeline, initial_types=types, target_opset={"": 15, "ai.onnx.ml": 3})
    data = model.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    labels, rows = session.run(None, columns)
    wanted = pipeline.predict_proba(table(columns))
    given = np.array([[row[kind] for kind in pipeline.classes_] for row in rows])
    if (
        labels.tolist() != pipeline.predict(table(columns)).tolist()
        or np.abs(given - wanted).max() > 1e-4
    ):
        print("the exported pipeline computes something else", file=sys.stderr)
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "flowers.onnx").write_bytes(data)
    (folder / "model.toml").write_text(MODEL_TOML)
    right = (labels == kinds).mean()
    print(f"{folder}/flowers.onnx: {len(data)} bytes, {right:.1%} of {len(kinds)} flowers right")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
