"""LiteRT: batches resized or row by row, signatures, quantisation, nothing that crashes."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gpfn.deadline import Deadline
from gpfn.errors import DeadlineExceeded, InvalidTensor, ModelUnreadable, SetupError
from gpfn.models import open_model
from gpfn.models.litert import LiteRTModel
from tests.alone import alone, resident


def singly(model: LiteRTModel, x: np.ndarray) -> dict[str, np.ndarray]:
    """Return what a model says to each row alone, put together."""
    name = model.inputs[0].name
    rows = [model({name: x[row : row + 1]}) for row in range(len(x))]
    return {key: np.concatenate([row[key] for row in rows]) for key in rows[0]}


def test_rows_of_a_graph_that_cannot_be_resized(made: Path) -> None:
    model = LiteRTModel(str(made / "unrolled.tflite"))
    assert model.inputs[0].shape == (None, 6, 2)
    assert model.outputs[0].shape == (None, 6, 8)
    x = np.random.default_rng(1).random((9, 6, 2), np.float32)
    for rows in (9, 2, 9):
        assert_allclose(model({"x": x[:rows]})["y"], singly(model, x[:rows])["y"], rtol=1e-5)


def test_rows_are_never_mixed_by_a_graph_made_for_one(made: Path) -> None:
    model = LiteRTModel(str(made / "mixing.tflite"))
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    expected = np.stack([row * (row @ row) for row in x])
    equal = np.ones((2, 4), np.float32)
    assert_array_equal(model({"x": equal})["y"], equal * 4)
    for _ in range(3):
        assert_array_equal(model({"x": x})["y"], expected)


@pytest.mark.parametrize("name", ["digits", "forecast"])
def test_our_own_models_are_computed_in_slices(root: Path, name: str) -> None:
    model = LiteRTModel(str(root / "models" / f"{name}.tflite"))
    (spec,) = model.inputs
    x = np.random.default_rng(2).integers(0, 16, (150, *spec.shape[1:])).astype(spec.dtype)
    assert 32 <= model._slice(150) < 150
    alone = singly(model, x)
    for rows in (150, 3, 149):
        for key, array in model({spec.name: x[:rows]}).items():
            assert_allclose(array, alone[key][:rows], atol=1e-4)


@pytest.mark.parametrize(
    ("name", "side"), [("mobilenet_v1_0.25_128_quant", 128), ("mobilenet_v2_1.0_224_quant", 224)]
)
def test_mobilenets(shared: Path, name: str, side: int) -> None:
    model = LiteRTModel(str(shared / "data" / "models" / f"{name}.tflite"))
    (image,), (scores,) = model.inputs, model.outputs
    assert (image.dtype, image.shape) == ("uint8", (None, side, side, 3))
    assert (scores.dtype, scores.shape) == ("uint8", (None, 1001))
    pictures = np.random.default_rng(3).integers(0, 256, (3, side, side, 3), np.uint8)
    given = model({image.name: pictures})[scores.name]
    assert given.shape == (3, 1001)
    for row, picture in zip(given, pictures, strict=True):
        assert_array_equal(model({image.name: picture[None]})[scores.name][0], row)
    assert model.quantization[scores.name].scale == (1 / 256,)
    assert model.input_quantization[image.name].zero_point == (128,)
    assert 0.5 < model.quantization[scores.name].dequantize(given[0]).sum() < 1.1


def test_quantised(made: Path) -> None:
    model = LiteRTModel(str(made / "quantised.tflite"))
    assert (model.inputs[0].dtype, model.outputs[0].dtype) == ("uint8", "uint8")
    real = np.random.default_rng(4).random((4, 8, 8, 1), np.float32)
    image = model.input_quantization["image"].quantize(real, "uint8")
    scores = model.quantization["scores"].dequantize(model({"image": image})["scores"])
    reference = np.concatenate(
        [open_model(made / "quantised")({"image": r[None]})["scores"] for r in real]
    )
    assert_allclose(scores, reference, atol=0.02)


def test_signatures(made: Path) -> None:
    path = made / "several.tflite"
    x = {"x": np.array([1, 2, 3], np.float32)}
    assert open_model(path, signature="twice")(x)["y"].tolist() == [2, 4, 6]
    thrice = open_model(path, signature="thrice")
    assert thrice(x)["y"].tolist() == [3, 6, 9]
    assert thrice({"x": np.ones(1, np.float32)})["y"].tolist() == [3]
    for key in ("", "nothing"):
        with pytest.raises(SetupError, match="thrice, twice; name one") as caught:
            open_model(path, signature=key)
        assert caught.value.field == "signature"


def test_nothing_to_compute_is_refused(made: Path) -> None:
    model = LiteRTModel(str(made / "several.tflite"), signature="twice")
    with pytest.raises(InvalidTensor, match="cannot compute an empty array") as caught:
        model({"x": np.zeros(0, np.float32)})
    assert caught.value.field == "x"


def test_batches_that_differ_are_refused(made: Path) -> None:
    model = LiteRTModel(str(made / "order.tflite"))
    with pytest.raises(InvalidTensor, match="does not compute these shapes"):
        model({"weights": np.zeros((2, 3), np.float32), "counts": np.zeros((5, 3), np.int32)})
    rows = 2 * model._slice(10**9)
    with pytest.raises(InvalidTensor, match="does not compute these shapes"):
        model({"weights": np.ones((rows, 3), "f4"), "counts": np.ones((rows + 5, 3), "i4")})
    one = model({"weights": np.ones((rows, 3), "f4"), "counts": np.ones((1, 3), "i4")})
    assert one["total"].tolist() == [3] * rows, "one row for all of them is the graph's to decide"
    good = {"weights": np.zeros((5, 3), np.float32), "counts": np.zeros((5, 3), np.int32)}
    assert model(good)["total"].tolist() == [0] * 5
    assert model._slice(5) == 5, "a caller's mistake does not slow the others down"


def test_interpreters_are_kept_by_shape_and_bounded(made: Path) -> None:
    model = LiteRTModel(str(made / "order.tflite"))

    def call(rows: int) -> None:
        model({"weights": np.zeros((rows, 3), np.float32), "counts": np.zeros((rows, 3), np.int32)})

    for _ in range(50):
        call(1)
    assert model._pool.made == 1, "one shape, one thread, one interpreter"
    for rows in range(1, 40):
        call(rows)
    assert model._pool.made <= model._pool._size
    before = {id(engine) for engine in model._pool._idle}
    call(38)
    assert {id(engine) for engine in model._pool._idle} == before, "a kept shape is not made anew"


def test_waiting_for_an_interpreter_ends_at_the_deadline(made: Path) -> None:
    model = LiteRTModel(str(made / "slow.tflite"))
    model._pool._size = 1
    large = {"x": np.zeros((2000, 768), np.float32)}
    model(large)
    worker = threading.Thread(target=model, args=(large,))
    worker.start()
    time.sleep(0.02)
    with pytest.raises(DeadlineExceeded, match=r"busy|before row"):
        model({"x": np.zeros((2000, 768), np.float32)}, deadline=Deadline.after(0.02))
    worker.join()
    assert model(large)["y"].shape == (2000, 768)


def test_a_deadline_is_looked_at_between_rows(made: Path) -> None:
    model = LiteRTModel(str(made / "unrolled.tflite"))
    many = np.random.default_rng(0).random((200_000, 6, 2), np.float32)
    with pytest.raises(DeadlineExceeded, match="before row"):
        model({"x": many}, deadline=Deadline.after(0.02))


def kept_of_calls_good_and_bad(path: Path) -> int:
    model, windows = LiteRTModel(str(path)), np.zeros((1, 20, 1), np.float32)
    grown = 0
    for calls in (500, 10_000):
        before = resident()
        for _ in range(calls):
            with pytest.raises(InvalidTensor):
                model({"series": windows[:, :19]})
            model({"series": windows})
        grown = resident() - before
    return grown


def test_memory_does_not_grow_over_calls_good_and_bad(root: Path) -> None:
    assert alone(kept_of_calls_good_and_bad, root / "models" / "forecast.tflite") < 1 << 20


def test_a_frame_without_a_graph(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(b"\x08\0\0\0TFL3" + bytes(64))
    with pytest.raises(ModelUnreadable, match="cut off or damaged") as caught:
        open_model(path)
    assert str(path) in caught.value.detail


def test_inputs_must_all_be_named(made: Path) -> None:
    with pytest.raises(SetupError, match="needs all") as caught:
        open_model(made / "order.tflite", inputs=["counts"])
    assert caught.value.field == "inputs"


def test_without_litert_the_error_is_the_command(made: Path) -> None:
    code = (
        "import sys; sys.modules['ai_edge_litert'] = None\n"
        "from gpfn.models import open_model\n"
        "try: open_model(sys.argv[1])\n"
        "except Exception as error: print(type(error).__name__, str(error).rpartition('; ')[2])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, made / "order.tflite"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout == "SetupError run: pip install 'ai-edge-litert>=2.0'\n"


def test_a_complex_output_is_left_out_and_the_others_are_not(made: Path) -> None:
    model = open_model(made / "waves.tflite")
    assert list(model.left_out) == ["waves"]
    assert "its real and its imaginary part" in model.left_out["waves"]
    assert [spec.name for spec in model.outputs] == ["strength"]
    x = np.zeros((4, 4), np.float32)
    x[0, 0] = 2.0
    assert_allclose(model({"x": x})["strength"], np.full((4, 3), 2.0), rtol=1e-5)
    with pytest.raises(InvalidTensor, match="complex64"):
        model({"x": x}, outputs=["waves"])
    with pytest.raises(SetupError, match="complex64"):
        open_model(made / "waves.tflite", outputs=["waves"])
