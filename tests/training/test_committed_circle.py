"""The committed network has the form of PyTorch's exporter, and computes what was trained."""

from contextlib import closing
from pathlib import Path

import numpy as np
import onnx
import pytest
from circle_as_torch import main, points, train

from gpfn.models import open_model
from tests.conftest import ROOT

FOLDER = ROOT / "models" / "circle"


def test_it_has_names_an_open_axis_and_parameters_beside_it() -> None:
    model = onnx.load(FOLDER / "circle.onnx", load_external_data=False)
    onnx.checker.check_model(str(FOLDER / "circle.onnx"), full_check=True)
    tensors = {each.name: each for each in model.graph.initializer}
    assert [*tensors] == ["0.weight", "0.bias", "2.weight", "2.bias"]
    outside = [name for name, each in tensors.items() if each.external_data]
    assert outside == ["0.weight", "0.bias", "2.weight"]
    assert (FOLDER / "circle.onnx.data").stat().st_size == 4 * (2 + 1 + 1) * 64
    with closing(open_model(str(FOLDER / "circle.onnx"))) as opened:
        assert [(each.name, each.shape) for each in opened.inputs] == [("point", (None, 2))]
        assert [(each.name, each.shape) for each in opened.outputs] == [("inside", (None, 1))]


def test_the_script_makes_it_again(tmp_path: Path) -> None:
    assert main([str(tmp_path)]) == 0
    assert main([str(tmp_path)]) == 0  # over what is there
    x, y = points(seed=9)
    answers = []
    for folder in (FOLDER, tmp_path):
        with closing(open_model(str(folder / "circle.onnx"))) as opened:
            answers.append(opened({"point": x})["inside"])
    assert (tmp_path / "circle.onnx.data").stat().st_size == 1024
    assert answers[1] == pytest.approx(answers[0], abs=1e-3)
    assert ((answers[0] > 0.5) == y).mean() > 0.98


def test_it_was_trained_by_what_stands_there() -> None:
    weights = train(*points())
    held = onnx.load(FOLDER / "circle.onnx").graph.initializer
    for tensor in held:
        given = onnx.numpy_helper.to_array(tensor)
        assert np.allclose(given, weights[tensor.name], atol=1e-3)
