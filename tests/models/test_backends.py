"""What holds for every backend: names, dtypes, shapes, refusals, closing, parallel calls."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gpfn.deadline import Deadline
from gpfn.errors import DeadlineExceeded, InvalidTensor, ModelFailed, SetupError
from gpfn.models import Model, open_model, warm_up
from gpfn.tensors.spec import TensorSpec

FILES = ["order.tflite", "order", "order.pb", "order.onnx"]

INPUTS = {
    "weights": np.array([[1, 2, 3], [4, 5, 6]], np.float32),
    "counts": np.array([[1, 0, 2], [0, 1, 0]], np.int32),
}


@pytest.fixture(params=FILES)
def model(request: pytest.FixtureRequest, made: Path) -> Iterator[Model]:
    opened = open_model(made / request.param)
    yield opened
    opened.close()


def test_same_names_dtypes_and_shapes(model: Model) -> None:
    assert {spec.name: (spec.dtype, spec.shape) for spec in model.inputs} == {
        "weights": ("float32", (None, 3)),
        "counts": ("int32", (None, 3)),
    }
    assert {spec.name: (spec.dtype, spec.shape) for spec in model.outputs} == {
        "total": ("float32", (None,)),
        "doubled": ("int32", (None, 3)),
    }


@pytest.mark.parametrize("rows", [2, 1, 7])
def test_same_numbers_for_any_batch(model: Model, rows: int) -> None:
    inputs = {name: np.resize(array, (rows, 3)) for name, array in INPUTS.items()}
    given = model(inputs)
    assert set(given) == {"total", "doubled"}
    assert_allclose(given["total"], (inputs["weights"] * inputs["counts"]).sum(axis=1))
    assert_array_equal(given["doubled"], inputs["counts"] * 2)
    assert (given["total"].dtype, given["doubled"].dtype) == (np.float32, np.int32)


def test_chosen_outputs_and_tensorflow_spelling(model: Model) -> None:
    given = model({f"{name}:0": array for name, array in INPUTS.items()}, outputs=["doubled:0"])
    assert list(given) == ["doubled"]


def test_the_answer_is_the_callers_own(model: Model) -> None:
    first = model(INPUTS)
    kept = first["total"].copy()
    model({name: array * 0 for name, array in INPUTS.items()})
    assert_array_equal(first["total"], kept)
    first["total"][:] = 0  # writable, and nobody else's
    assert_array_equal(model(INPUTS)["total"], kept)


@pytest.mark.parametrize(
    ("change", "field", "told"),
    [
        ({"weights": np.zeros((2, 4), np.float32)}, "weights", r"expected shape \(any, 3\)"),
        ({"weights": np.zeros((2, 3, 1), np.float32)}, "weights", "expected shape"),
        ({"weights": np.full((2, 3), 0.1)}, r"weights\[0\]\[0\]", "not exact in float32"),
        ({"counts": np.full((2, 3), 2**31)}, r"counts\[0\]\[0\]", "not exact in int32"),
        ({"counts": np.array([["a"] * 3] * 2)}, "counts", "expected int32, got string"),
        ({"counts": np.zeros((2, 3), np.complex64)}, "counts", "expected int32"),
        ({"other": np.zeros(1)}, "other", "takes .*weights"),
    ],
)
def test_wrong_inputs_name_the_field(
    model: Model, change: dict[str, np.ndarray], field: str, told: str
) -> None:
    with pytest.raises(InvalidTensor, match=told) as caught:
        model({**INPUTS, **change})
    assert caught.value.field
    assert caught.value.field.startswith(field.partition("\\")[0])
    assert set(model(INPUTS)) == {"total", "doubled"}  # the next good call succeeds


def test_missing_input_and_unknown_output(model: Model) -> None:
    with pytest.raises(InvalidTensor, match="missing") as caught:
        model({"weights": INPUTS["weights"]})
    assert caught.value.field == "counts"
    with pytest.raises(InvalidTensor, match="gives") as caught:
        model(INPUTS, outputs=["total", "nothing"])
    assert caught.value.field == "nothing"


def test_arrays_of_any_layout(model: Model) -> None:
    expected = model(INPUTS)["total"]
    layouts = {
        "fortran": np.asfortranarray(INPUTS["weights"]),
        "strided": np.repeat(INPUTS["weights"], 2, axis=1)[:, ::2],
        "swapped": INPUTS["weights"].astype(">f4"),
        "wider": INPUTS["weights"].astype(np.float64),
        "integers": INPUTS["weights"].astype(np.int64),
    }
    for weights in layouts.values():
        assert_array_equal(model({**INPUTS, "weights": weights})["total"], expected)


def test_a_passed_deadline_stops_before_the_work(model: Model) -> None:
    with pytest.raises(DeadlineExceeded, match="before inference"):
        model(INPUTS, deadline=Deadline.after(-1))


def test_closed_twice_then_called(model: Model) -> None:
    model.close()
    model.close()
    with pytest.raises(ModelFailed, match="is closed"):
        model(INPUTS)


def test_warm_up(model: Model) -> None:
    warm = warm_up(model)
    assert warm.error is None
    assert 0 < warm.seconds < 30


@pytest.mark.parametrize("name", FILES)
def test_configured_names_are_taken_in_their_order(made: Path, name: str) -> None:
    model = open_model(made / name, inputs=["counts:0", "weights"], outputs=["doubled"])
    assert [spec.name for spec in model.inputs] == ["counts", "weights"]
    assert [spec.name for spec in model.outputs] == ["doubled"]
    assert list(model(INPUTS)) == ["doubled"]
    with pytest.raises(SetupError) as caught:
        open_model(made / name, outputs=["nothing"])
    assert caught.value.field == "outputs"


@pytest.mark.parametrize("name", ["slow.tflite", "slow", "slow.onnx"])
def test_a_short_call_overtakes_a_long_one(made: Path, name: str) -> None:
    """Calls run side by side: one begun later and smaller ends while the first is at work."""
    model = open_model(made / name)
    side = model.inputs[0].shape[1]  # type: ignore[index]
    small = {"x": np.zeros((1, side), np.float32)}
    large = {"x": np.zeros((1200, side), np.float32)}
    model(small), model(large)
    ended: dict[str, float] = {}

    def long_call() -> None:
        model(large)
        ended["long"] = time.perf_counter()

    worker = threading.Thread(target=long_call)
    start = time.perf_counter()
    worker.start()
    time.sleep(0.02)
    model(small)
    ended["short"] = time.perf_counter()
    worker.join()
    assert ended["long"] - start > 0.1, "the long call is too short to tell anything"
    assert ended["short"] < ended["long"]


@pytest.mark.parametrize("name", FILES)
def test_many_threads_get_their_own_answers(made: Path, name: str) -> None:
    model = open_model(made / name)
    answers: list[tuple[list[float], list[float]]] = []

    def work(number: int) -> None:
        for rows in (1, 3, 1, 2):
            weights = np.full((rows, 3), number, np.float32)
            given = model({"weights": weights, "counts": np.ones((rows, 3), np.int32)})
            answers.append((given["total"].tolist(), [3.0 * number] * rows))

    workers = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(answers) == 64
    assert all(given == expected for given, expected in answers)


@pytest.mark.parametrize("name", FILES)
def test_closing_waits_for_calls_at_work(made: Path, name: str) -> None:
    for _ in range(20):
        model = open_model(made / name)
        failures: list[str] = []
        workers = [
            threading.Thread(target=call_until_closed, args=(model, failures)) for _ in range(3)
        ]
        for worker in workers:
            worker.start()
        model.close()
        for worker in workers:
            worker.join()
        assert all("closed" in told for told in failures)


def call_until_closed(model: Model, failures: list[str]) -> None:
    try:
        for _ in range(50):
            model(INPUTS)
    except ModelFailed as failure:
        failures.append(str(failure))


DTYPES = [
    "bool",
    "uint8",
    "int8",
    "uint16",
    "int16",
    "uint32",
    "int32",
    "uint64",
    "int64",
    "float16",
    "float32",
    "float64",
]


@pytest.mark.parametrize(("name", "copies"), [("dtypes", 2), ("dtypes.onnx", 1)])
def test_every_dtype_keeps_its_values(made: Path, name: str, copies: int) -> None:
    model = open_model(made / name)
    extremes = {d: np.array([0, 1], d) for d in DTYPES}
    extremes |= {d: np.array([np.iinfo(d).min, np.iinfo(d).max], d) for d in DTYPES if "int" in d}
    extremes |= {d: np.array([np.nan, -np.inf], d) for d in DTYPES if "float" in d}
    if name == "dtypes.onnx":
        extremes["string"] = np.array([b"", "Grüße".encode()], object)
    assert {spec.name: spec.dtype for spec in model.inputs} == {d: d for d in extremes}
    given = model(extremes)
    for dtype, values in extremes.items():
        result = given[f"{dtype}_out"]
        assert result.dtype == values.dtype
        assert_array_equal(result, np.concatenate([values] * copies))


@pytest.mark.parametrize("name", ["pick", "pick.tflite", "pick.onnx"])
def test_strings(made: Path, name: str) -> None:
    model = open_model(made / name)
    assert {spec.name: spec for spec in model.inputs} == {
        "words": TensorSpec("string", (3,), "words"),
        "which": TensorSpec("int32", (None,), "which"),
    }
    words = np.array([b"first", b"", "dritte, länger".encode() * 20], object)
    given = model({"words": words, "which": np.array([2, 1, 2, 0], np.int32)})["picked"]
    assert given.tolist() == [words[2], b"", words[2], b"first"]
    assert model({"words": np.array(["a", "b", "c"]), "which": np.array([0])})[
        "picked"
    ].tolist() == [b"a"]


@pytest.mark.parametrize("name", ["pick", "pick.tflite", "pick.onnx"])
def test_the_librarys_message_comes_through(made: Path, name: str) -> None:
    model = open_model(made / name)
    words = np.array([b"a", b"b", b"c"], object)
    for _ in range(3):
        with pytest.raises(ModelFailed, match=r"(?i)indices|index") as caught:
            model({"words": words, "which": np.array([5], np.int32)})
        assert str(made / name) in caught.value.detail
    assert model({"words": words, "which": np.array([1], np.int32)})["picked"].tolist() == [b"b"]


@pytest.mark.parametrize(
    "name", ["forecast.tflite", "forecast_savedmodel", "rnn_ts_model.pb", "forecast.onnx"]
)
def test_the_forecast_model_in_every_format(root: Path, name: str) -> None:
    model = open_model(root / "models" / name)
    assert model.inputs == (TensorSpec("float32", (None, 20, 1), "series"),)
    assert model.outputs == (TensorSpec("float32", (None, 20, 1), "forecast"),)
    windows = np.random.default_rng(5).random((33, 20, 1), np.float32)
    expected = open_model(root / "models" / "forecast.tflite")({"series": windows})["forecast"]
    assert_allclose(model({"series": windows})["forecast"], expected, atol=1e-4)
