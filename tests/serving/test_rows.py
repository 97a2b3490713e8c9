"""A row is a row: what a model gives for it never depends on the rows beside it.

Requests of a few rows each go to the engine in one turn, as they come from a crowd of
clients, and each of them has to get what its rows give when they are asked for one by one.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpfn.deadline import NEVER
from gpfn.errors import GpfnError
from gpfn.models import open_model
from gpfn.serving.engine import Engine, EngineSettings, Inference
from gpfn.serving.statistics import Slots, new_metrics
from gpfn.serving.version import Loaded, load
from gpfn.serving.wanted import ModelSource
from tests.conftest import ROOT

MODELS = {
    "forecast.tflite": "litert",
    "digits.tflite": "litert",
    "forecast.onnx": "onnx",
    "forecast_savedmodel": "tensorflow",
    "rnn_ts_model.pb": "tensorflow",
    "mobilenet_v1_0.25_128_quant.tflite": "litert",
}
BOUNDS = {"litert": 0.0, "onnx": 0.0, "tensorflow": 1e-5}
"""How far a row of a batch may be from the row alone, as a part of the row's largest value.

Measured on x86-64 with AVX-512: nothing at all for the models here by any runtime, and for
dense layers of up to 3000 inputs nothing by LiteRT and ONNX Runtime, 1.6e-6 by TensorFlow.
"""
SCALES = (0.0, 1e-6, 1e-3, 1.0, 30.0, 1e4)


def place(name: str, shared: Path) -> str:
    found = ROOT / "models" / name
    return str(found if found.exists() else shared / "data" / "models" / name)


@pytest.fixture(scope="module", params=MODELS)
def loaded(request: pytest.FixtureRequest, shared: Path) -> Iterator[Loaded]:
    source = ModelSource(request.param, "1", place(request.param, shared))
    found = load(source, lambda source: open_model(source.uri))
    yield found
    found.model.close()


def asked(loaded: Loaded, requests: Sequence[np.ndarray]) -> list[Any]:
    """Return what each request gets that come in one turn: the results or the error."""
    model = loaded.model
    told: list[Any] = [None] * len(requests)

    async def work() -> None:
        statistics = Slots(new_metrics()).statistics(0)
        chosen = EngineSettings(loaded.max_batch, replicas=2)
        engine = Engine(model, loaded.timing, chosen, statistics)
        for number, rows in enumerate(requests):

            def done(results: Any, error: Any, number: int = number) -> None:
                told[number] = error or results

            try:
                engine.submit(Inference({model.inputs[0].name: rows}, (), NEVER, done))
            except GpfnError as error:
                told[number] = error
        await engine.drain()

    asyncio.run(work())
    return told


def check(one: Mapping[str, np.ndarray], alone: Mapping[str, np.ndarray], bound: float) -> None:
    assert one.keys() == alone.keys()
    for name, array in one.items():
        want = alone[name]
        assert array.dtype == want.dtype
        assert array.shape == want.shape
        if not bound or want.dtype.kind != "f":
            assert array.tobytes() == want.tobytes(), "equal to the last bit"
            continue
        largest = np.abs(want).max(axis=tuple(range(1, want.ndim)), keepdims=True)
        assert (np.abs(array - want) <= bound * largest).all()


def rows_of(loaded: Loaded, count: int, seed: int, scale: float) -> np.ndarray:
    spec = loaded.model.inputs[0]
    assert spec.shape
    shape = (count, *[size or 1 for size in spec.shape[1:]])
    random = np.random.default_rng(seed)
    if spec.dtype == "uint8":
        return random.integers(0, 256, shape, np.uint8)
    return (random.standard_normal(shape) * scale).astype(spec.dtype)


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=18),
    seed=st.integers(0, 1 << 32),
    scales=st.lists(st.sampled_from(SCALES), min_size=1, max_size=4),
)
def test_a_row_alone_is_the_row_of_any_batch(
    loaded: Loaded, sizes: list[int], seed: int, scales: list[float]
) -> None:
    """Rows beside it are larger, smaller, zero, and another number of them each time."""
    model, spec = loaded.model, loaded.model.inputs[0]
    sizes = sizes if loaded.max_batch else sizes[:4]
    requests = [
        rows_of(loaded, size, seed + number, scales[number % len(scales)])
        for number, size in enumerate(sizes)
    ]
    for rows, found in zip(requests, asked(loaded, requests), strict=True):
        alone = [model({spec.name: rows[n : n + 1]}) for n in range(len(rows))]
        stacked = {name: np.concatenate([one[name] for one in alone]) for name in alone[0]}
        check(found, stacked, BOUNDS[model.backend])


def test_a_request_of_no_rows_costs_the_others_nothing(loaded: Loaded) -> None:
    """It is computed or refused; those beside it have their rows, and go on as a batch."""
    if not loaded.max_batch:
        return
    name = loaded.model.inputs[0].name
    rows = rows_of(loaded, 2, 1, 1.0)
    alone = loaded.model({name: rows})
    for order in ([rows, rows, rows[:0]], [rows[:0], rows, rows], [rows[:0], rows[:0]]):
        for sent, found in zip(order, asked(loaded, order), strict=True):
            if len(sent):
                check(found, alone, BOUNDS[loaded.model.backend])
            else:
                assert isinstance(found, GpfnError) or all(len(a) == 0 for a in found.values())
