"""Rows of a batch: each as if it were alone, whatever the graph does with its first axis."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gpfn.errors import TooLarge
from gpfn.models.litert import LiteRTModel
from gpfn.models.litert_rows import bytes_of_row, rows_are_apart
from gpfn.models.tflite_program import read_program
from gpfn.models.threads import memory_for_a_call

MIXED = (
    "peak softmax centre batch_norm reshape reshape_back transpose gram first_axes pairs ranks"
    " cumsum argmax topk join gather slice strided_slice first_row unstack stack reverse l2_all"
    " pad loop"
)
APART = (
    "dense layer norm attention softmax transpose parts steps pad topk cumsum select words columns"
)


def batches() -> list[np.ndarray]:
    """Return batches, first those that would agree with their rows even if they were mixed."""
    numbers = np.random.default_rng(5)
    rare = np.full((3, 3, 4), 2, np.float32)
    rare[:, :, 0] = 1
    return [rare, *(numbers.uniform(0, 4, (rows, 3, 4)).astype(np.float32) for rows in (2, 5, 2))]


@pytest.mark.parametrize("kind", [f"mixed_{n}" for n in MIXED.split()])
def test_rows_that_a_graph_would_mix_are_computed_alone(made_rows: Path, kind: str) -> None:
    model = LiteRTModel(str(made_rows / f"{kind}.tflite"))
    for x in batches():
        alone = np.concatenate([model({"x": row[None]})["y"] for row in x])
        assert_allclose(model({"x": x})["y"], alone, rtol=1e-6)


@pytest.mark.parametrize("kind", [f"apart_{n}" for n in APART.split()])
def test_rows_that_are_apart_are_computed_together(made_rows: Path, kind: str) -> None:
    model = LiteRTModel(str(made_rows / f"{kind}.tflite"))
    assert model._slice(5) == 5
    for x in batches():
        alone = np.concatenate([model({"x": row[None]})["y"] for row in x])
        assert_allclose(model({"x": x})["y"], alone, rtol=1e-5, atol=1e-6)


def test_a_batch_that_the_model_leaves_open_is_never_cut(made_rows: Path) -> None:
    model = LiteRTModel(str(made_rows / "open_softmax.tflite"))
    x = np.random.default_rng(6).random((60_000, 3, 4), np.float32)
    powers = np.exp(x - x.max(0))
    assert_allclose(model({"x": x})["y"], powers / powers.sum(0), rtol=1e-3)


def test_a_batch_that_would_take_too_much_is_refused(
    made_rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = LiteRTModel(str(made_rows / "open_pairs.tflite"))
    x = np.ones((3000, 3, 4), np.float32)
    assert_array_equal(model({"x": x[:500]})["y"], np.full((500, 500), 4))
    monkeypatch.setenv("GPFN_MAX_CALL_BYTES", "8MiB")
    memory_for_a_call.cache_clear()
    try:
        with pytest.raises(TooLarge, match=r"36000000 bytes; the limit is 8388608 \(GPFN_MAX_CALL"):
            model({"x": x})
        with pytest.raises(TooLarge, match="rows take about"):
            model({"x": np.ones((200_000, 3, 4), np.float32)})
        assert model({"x": x[:1000]})["y"].shape == (1000, 1000), "a refusal harms no later call"
    finally:
        memory_for_a_call.cache_clear()


def test_what_a_row_takes(made_rows: Path) -> None:
    program = read_program((made_rows / "apart_layer.tflite").read_bytes(), 0)
    assert rows_are_apart(program)
    assert 2 * 48 <= bytes_of_row(program) <= 4 * 48, "tensors of 12 floats, two or more at once"
    forecast = Path(__file__).parents[2] / "models" / "forecast.tflite"
    assert 8_000 < bytes_of_row(read_program(forecast.read_bytes(), 0)) < 35_000


def test_operators_of_unknown_kinds_end_the_proof(made_rows: Path) -> None:
    program = read_program((made_rows / "apart_layer.tflite").read_bytes(), 0)
    for at, operator in enumerate(program.operators):
        for code in (32, 119, 31, 16, 255):  # CUSTOM, WHILE, CALL, LSTM, one yet to come
            changed = [*program.operators]
            changed[at] = operator._replace(code=code)
            assert not rows_are_apart(program._replace(operators=tuple(changed)))
