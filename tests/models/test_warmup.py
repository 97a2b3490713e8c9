"""Warming up: zeros that fit, failures told and not raised, remote models left alone."""

from pathlib import Path

import numpy as np
import pytest

from gpfn.errors import ModelFailed
from gpfn.models import PythonModel, declare, open_model, warm_up
from gpfn.models.cache import zeros
from gpfn.tensors.cast import cast_to
from gpfn.tensors.spec import DTYPES, TensorSpec


@pytest.mark.parametrize("dtype", sorted(DTYPES))
@pytest.mark.parametrize("shape", [None, (), (None,), (None, 3, None), (0, 2)])
def test_zeros_fit_their_spec(dtype: str, shape: tuple[int | None, ...] | None) -> None:
    spec = TensorSpec(dtype, shape, "x")
    assert cast_to(zeros(spec), spec, path="x") is not None


@pytest.mark.parametrize(
    "name", ["order.tflite", "text", "scalar", "quantised.tflite", "slow.onnx"]
)
def test_real_models(made: Path, name: str) -> None:
    assert warm_up(open_model(made / name)).error is None


def test_the_call_after_it_is_quick(made: Path) -> None:
    model = open_model(made / "affine")
    first, second = warm_up(model), warm_up(model)
    assert second.seconds < first.seconds


def test_a_failure_is_told() -> None:
    @declare(inputs={"x": TensorSpec("float32", (None,))})
    def never(x: np.ndarray) -> np.ndarray:
        raise ModelFailed("no zeros, please")

    warm = warm_up(PythonModel(never))
    assert warm.error is not None
    assert "no zeros" in str(warm.error)


def test_an_undeclared_function_is_not_called() -> None:
    calls: list[object] = []
    assert warm_up(PythonModel(calls.append)).seconds == 0
    assert not calls
