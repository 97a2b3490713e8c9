"""The committed pipeline computes what scikit-learn does, also on flowers that nobody has seen."""

from typing import Any

import numpy as np
import pytest
from pipeline_sklearn import AGREES, MODEL_TOML, difference, flowers, odd_flowers, table, train

from gpfn import Function
from tests.conftest import ROOT

FOLDER = ROOT / "models" / "flowers"


@pytest.fixture(scope="module")
def pipeline() -> Any:
    """The pipeline, trained anew: it is always the same."""
    return train(*flowers())


def test_the_committed_model_is_small_and_described_as_the_script_says() -> None:
    assert (FOLDER / "flowers.onnx").stat().st_size < 20_000
    assert (FOLDER / "model.toml").read_text() == MODEL_TOML


def test_a_thousand_odd_flowers_have_the_probabilities_of_scikit_learn(pipeline: Any) -> None:
    data = (FOLDER / "flowers.onnx").read_bytes()
    assert difference(pipeline, data, odd_flowers()) < AGREES
    wrong = {**flowers()[0], "site": np.full((300, 1), "cave", object)}
    assert difference(pipeline, data, {**wrong, "petals": wrong["petals"] + 1}) < AGREES


def test_rows_have_the_probabilities_of_scikit_learn(pipeline: Any) -> None:
    columns = {name: values[:100] for name, values in flowers()[0].items()}
    rows = [
        dict(zip(columns, each, strict=True))
        for each in zip(*[values.ravel().tolist() for values in columns.values()], strict=True)
    ]
    function = Function(model=str(FOLDER / "flowers.onnx"), takes="rows")
    given: Any = function(rows)
    wanted = pipeline.predict_proba(table(columns))
    kinds = [*pipeline.classes_]
    found = [[row["output_probability"][kind] for kind in kinds] for row in given]
    assert np.abs(np.array(found) - wanted).max() < AGREES
    labels = [row["output_label"] for row in given]
    assert labels == pipeline.predict(table(columns)).tolist()
