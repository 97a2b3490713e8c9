"""What PyTorch has become answers as PyTorch did.

The files were written by hand, by `gpfn convert` with PyTorch 2.15 (ONNX) and litert-torch 0.10
(LiteRT) out of the .pt2 files beside them, and the answers by PyTorch: its environments are too
large to be made in CI.
"""

from pathlib import Path

import numpy as np
import pytest

from tests.convert.making import answers_of

TORCH = Path(__file__).parent / "torch"


@pytest.mark.parametrize("name", ["mlp", "cnn", "lstm"])
@pytest.mark.parametrize("rows", [1, 2, 6])
def test_onnx_of_any_number_of_rows(name: str, rows: int) -> None:
    with np.load(TORCH / "answers.npz") as file:
        given, wanted = file[f"{name}_x"][:rows], file[name][:rows]
    inputs = {"lstm": "series"}.get(name, "input")
    (found,) = answers_of(TORCH / f"{name}.onnx", {inputs: given}).values()
    assert np.abs(found - wanted).max() <= 1e-5


@pytest.mark.parametrize("name", ["mlp", "lstm"])
def test_litert_of_two_rows(name: str) -> None:
    with np.load(TORCH / "answers.npz") as file:
        given, wanted = file[f"{name}_x"][:2], file[name][:2]
    (found,) = answers_of(TORCH / f"{name}.tflite", {"args_0": given}).values()
    assert np.abs(found - wanted).max() <= 1e-5
