"""Rows and pictures become a model's inputs: by name where names are known, else in order."""

import io
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gpfn.errors import GpfnError, InvalidRequest, InvalidTensor
from gpfn.images.preparation import ImageInput
from gpfn.serving.protocols.tfaas_inputs import picture_input, picture_tensor, row_inputs
from gpfn.tensors.spec import TensorSpec
from gpfn.tfaas.answers import encode_labels
from gpfn.tfaas.messages import PredictionsEncoder, decode_predictions
from gpfn.tfaas.row import FeatureRow

X3 = TensorSpec("float32", (None, 3), "x")
NAMES = ["pt", "eta", "phi"]
SPLIT = tuple(TensorSpec("float32", (None, 1), name) for name in NAMES)
PIXELS = 1 << 20


def row(values: object, keys: Sequence[str] = ()) -> FeatureRow:
    array = np.array(values, np.float32)
    several = array.ndim == 2
    return FeatureRow(tuple(keys), array if several else array[None], "m", several)


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def refusal(specs: Sequence[TensorSpec], features: object, asked: FeatureRow) -> str:
    with pytest.raises(InvalidTensor) as caught:
        row_inputs(specs, features).arrays(asked)
    assert caught.value.status == 400
    return str(caught.value)


@given(order=st.permutations(range(3)))
def test_features_come_in_any_order(order: list[int]) -> None:
    values = [10.0, 20.0, 30.0]
    asked = row([values[n] for n in order], [NAMES[n] for n in order])
    found = row_inputs([X3], NAMES).arrays(asked)
    np.testing.assert_array_equal(found["x"], [values])
    split = row_inputs(SPLIT, None).arrays(asked)
    assert {name: array.tolist() for name, array in split.items()} == {
        name: [[value]] for name, value in zip(NAMES, values, strict=True)
    }


def test_several_rows_have_one_order() -> None:
    asked = row([[1, 2, 3], [4, 5, 6]], ["phi", "pt", "eta"])
    found = row_inputs([X3], NAMES).arrays(asked)
    np.testing.assert_array_equal(found["x"], [[2, 3, 1], [5, 6, 4]])


@pytest.mark.parametrize(
    ("keys", "values", "told"),
    [
        (["pt", "eta"], [1, 2], "keys: missing: phi"),
        (["pt", "eta", "mass"], [1, 2, 3], "keys: missing: phi; unknown: mass"),
        (["pt", "eta", "phi", "mass"], [1, 2, 3, 4], "keys: unknown: mass"),
        (["pt", "eta", "eta"], [1, 2, 3], "keys: given twice: eta"),
        (["pt", "eta"], [1, 2, 3], "keys: 2 keys for 3 values"),
        (["PT", "eta", "phi"], [1, 2, 3], "keys: missing: pt; unknown: PT"),
    ],
)
@pytest.mark.parametrize(("specs", "features"), [([X3], NAMES), (SPLIT, None)])
def test_what_is_wrong_with_keys_is_named(
    specs: Sequence[TensorSpec], features: object, keys: list[str], values: list[int], told: str
) -> None:
    assert refusal(specs, features, row(values, keys)) == told


def test_a_few_of_many_wrong_keys_are_named() -> None:
    names = [f"f{number}" for number in range(42)]
    keys = ["x" * 1000, *names[:-1]]
    told = refusal([TensorSpec("float32", (None, 42), "x")], names, row(range(42), keys))
    assert told == f"keys: missing: f41; unknown: {'x' * 60}"
    told = refusal([TensorSpec("float32", (None, 42), "x")], names, row([1], ["f0"]))
    assert told == "keys: missing: f1, f2, f3, f4, f5 and 36 more"


def test_without_names_values_are_taken_in_order_whatever_their_keys() -> None:
    for features in (None, [], "pt", [1, 2, 3], ["pt"], {"pt": 1}):
        found = row_inputs([X3], features)
        for keys in ([], ["z"], ["phi", "eta", "pt"], ["a", "a", "a", "a"]):
            np.testing.assert_array_equal(found.arrays(row([1, 2, 3], keys))["x"], [[1, 2, 3]])


def test_a_row_without_keys_is_in_order_also_where_names_are_known() -> None:
    np.testing.assert_array_equal(row_inputs([X3], NAMES).arrays(row([1, 2, 3]))["x"], [[1, 2, 3]])
    assert row_inputs(SPLIT, None).arrays(row([1, 2, 3]))["phi"].tolist() == [[3]]


@pytest.mark.parametrize("values", [[], [1], [1, 2], [1, 2, 3, 4], [[1, 2], [3, 4]]])
def test_the_number_of_values_is_told(values: list[object]) -> None:
    count = np.array(values, np.float32).shape[-1]
    told = f"values: expected 3 values in a row, got {count}"
    assert refusal([X3], None, row(values)) == told
    assert refusal(SPLIT, None, row(values)) == told


@pytest.mark.parametrize(
    ("shape", "values", "shaped"),
    [
        ((None, 3), [1, 2, 3], (1, 3)),
        ((1, 3), [1, 2, 3], (1, 3)),
        ((2, 3), [[1, 2, 3], [4, 5, 6]], (2, 3)),
        (None, [1, 2, 3], (1, 3)),
        ((None, None), [1, 2, 3], (1, 3)),
        ((None, 2, 2), [1, 2, 3, 4], (1, 2, 2)),
        ((None, 2, 2, 1), [[1, 2, 3, 4]] * 3, (3, 2, 2, 1)),
        ((None, None, 2), [1, 2, 3, 4], (1, 2, 2)),
        ((None,), [1], (1,)),
        ((None,), [[1], [2]], (2,)),
        ((3,), [1, 2, 3], (3,)),
        ((), [1], ()),
    ],
)
def test_rows_take_the_shape_of_the_input(
    shape: tuple[int | None, ...] | None, values: list[object], shaped: tuple[int, ...]
) -> None:
    (array,) = row_inputs([TensorSpec("float32", shape, "x")], None).arrays(row(values)).values()
    assert array.shape == shaped
    np.testing.assert_array_equal(array.ravel(), np.ravel(values))


@pytest.mark.parametrize(
    ("shape", "values"),
    [
        ((None, 2, 2), [1, 2, 3]),
        ((None, None, 2), [1, 2, 3]),
        ((None, None, None, 3), [1, 2, 3, 4]),
        ((2, 3), [1, 2, 3]),
        ((3,), [1, 2]),
        ((), [1, 2]),
        ((), []),
        ((None,), [1, 2]),
        ((None, 0), [1]),
    ],
)
def test_rows_that_do_not_fit_are_refused(shape: tuple[int | None, ...], values: list[int]) -> None:
    assert refusal([TensorSpec("float32", shape, "x")], None, row(values)).startswith("values: ")


@pytest.mark.parametrize("dtype", ["float16", "float64", "int8", "uint8", "int32", "int64"])
def test_values_are_cast_where_none_of_them_changes(dtype: str) -> None:
    spec = TensorSpec(dtype, (None, 2), "x")
    (array,) = row_inputs([spec], None).arrays(row([0, 1])).values()
    assert array.dtype == dtype
    assert array.tolist() == [[0, 1]]


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("int32", 1.5),
        ("uint8", 256),
        ("uint8", -1),
        ("int64", 1e30),
        ("float16", 1e6),
        ("bool", 1),
        ("string", 1),
        ("int8", float("nan")),
    ],
)
def test_values_that_would_change_are_refused(dtype: str, value: float) -> None:
    refusal([TensorSpec(dtype, (None, 2), "x")], None, row([1, value]))


def test_several_inputs_take_a_value_each() -> None:
    specs = [
        TensorSpec("int32", (None, 1), "n"),
        TensorSpec("float32", (None,), "f"),
        TensorSpec("float64", None, "d"),
    ]
    found = row_inputs(specs, ["ignored"]).arrays(row([[2, 0.5, 3], [4, 1.5, 6]], ["d", "f", "n"]))
    assert {name: (array.dtype.name, array.tolist()) for name, array in found.items()} == {
        "n": ("int32", [[3], [6]]),
        "f": ("float32", [0.5, 1.5]),
        "d": ("float64", [[2], [4]]),
    }
    assert refusal(specs, None, row([1.5, 2, 3])).startswith("values")


def test_models_that_rows_cannot_be_for_are_named() -> None:
    with pytest.raises(InvalidTensor, match="does not say"):
        row_inputs([], None)
    with pytest.raises(InvalidTensor, match="image takes more than one value"):
        row_inputs([X3, TensorSpec("float32", (None, 8, 8, 3), "image")][::-1], None)


# pictures

ANY = TensorSpec("float32", (None, None, None, 3), "image")
FIXED = TensorSpec("float32", (None, 8, 6, 3), "image")


def test_a_picture_is_0_to_255_and_not_resized() -> None:
    pixels = np.arange(8 * 6 * 3, dtype=np.uint8).reshape(8, 6, 3)
    for spec in (ANY, FIXED):
        wanted = picture_input([spec], None, 0)
        tensor = picture_tensor(png(pixels), wanted, PIXELS)
        assert (wanted.name, tensor.dtype) == ("image", np.float32)
        np.testing.assert_array_equal(tensor, pixels[None])


def test_a_picture_may_stay_in_bytes() -> None:
    pixels = np.full((8, 6, 3), 200, np.uint8)
    wanted = picture_input([TensorSpec("uint8", (1, 8, 6, 3), "image")], None, 3)
    tensor = picture_tensor(png(pixels), wanted, PIXELS)
    assert tensor.dtype == np.uint8
    assert (tensor == 200).all()


@pytest.mark.parametrize("size", [(6, 8), (8, 7), (9, 6), (16, 12), (1, 1)])
def test_the_sizes_are_told_where_they_do_not_match(size: tuple[int, int]) -> None:
    data = png(np.zeros((*size, 3), np.uint8))
    with pytest.raises(InvalidRequest) as caught:
        picture_tensor(data, picture_input([FIXED], None, 3), PIXELS)
    assert caught.value.status == 400
    assert f"{size[1]} x {size[0]} pixels; the model takes 6 x 8" in str(caught.value)
    half = TensorSpec("float32", (None, 8, None, 3), "image")
    if size[0] != 8:
        with pytest.raises(InvalidRequest, match=f"{size[1]} x {size[0]} pixels"):
            picture_tensor(data, picture_input([half], None, 3), PIXELS)


def test_a_described_picture_is_resized_and_scaled() -> None:
    described = ImageInput(8, 6, quantised=False, mean=(255.0,) * 3, std=(255.0,) * 3)
    data = png(np.full((20, 30, 3), 255, np.uint8))
    tensor = picture_tensor(data, picture_input([FIXED], described, 0), PIXELS)
    assert tensor.shape == (1, 8, 6, 3)
    np.testing.assert_allclose(tensor, 0, atol=1e-6)


def test_channels_are_those_that_are_asked_for() -> None:
    grey, colour = np.full((8, 6), 9, np.uint8), np.full((8, 6, 3), 9, np.uint8)
    one = TensorSpec("float32", (None, 8, 6, 1), "image")
    for pixels in (grey, colour):
        tensor = picture_tensor(png(pixels), picture_input([one], None, 0), PIXELS)
        np.testing.assert_array_equal(tensor, np.full((1, 8, 6, 1), 9))
        tensor = picture_tensor(png(pixels), picture_input([FIXED], None, 3), PIXELS)
        np.testing.assert_array_equal(tensor, np.full((1, 8, 6, 3), 9))


def test_channels_that_the_model_has_not_are_the_senders_fault() -> None:
    data = png(np.zeros((8, 6, 3), np.uint8))
    with pytest.raises(GpfnError) as caught:
        picture_tensor(data, picture_input([FIXED], None, 1), PIXELS)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("specs", "told"),
    [
        ([X3], "no picture"),
        ([], "no picture"),
        ([FIXED, FIXED], "no picture"),
        ([TensorSpec("float32", None, "image")], "no picture"),
        ([TensorSpec("float32", (None, 8, 6, None), "image")], "img_channels"),
        ([TensorSpec("float32", (None, 3, 8, 6), "image")], "img_channels"),
    ],
)
def test_models_that_take_no_picture_say_so(specs: Sequence[TensorSpec], told: str) -> None:
    with pytest.raises(InvalidRequest, match=told):
        picture_input(specs, None, 0)


@pytest.mark.parametrize("data", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"])
def test_what_is_no_picture_is_the_senders_fault(data: bytes) -> None:
    with pytest.raises(GpfnError) as caught:
        picture_tensor(data, picture_input([FIXED], None, 3), PIXELS)
    assert caught.value.status == 400


def test_a_picture_lies_as_its_camera_was_held() -> None:
    pixels = np.arange(8 * 6, dtype=np.uint8).reshape(6, 8)
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(buffer, "PNG", exif=exif)
    one = TensorSpec("float32", (None, 8, 6, 1), "image")
    tensor = picture_tensor(buffer.getvalue(), picture_input([one], None, 1), PIXELS)
    np.testing.assert_array_equal(tensor[0, :, :, 0], np.rot90(pixels, -1))


def test_a_picture_has_no_more_pixels_than_are_allowed() -> None:
    data = png(np.zeros((100, 100, 3), np.uint8))
    with pytest.raises(GpfnError) as caught:
        picture_tensor(data, picture_input([ANY], None, 3), 5000)
    assert caught.value.status in (400, 413)


# answers


def test_labels_are_as_many_as_there_are_outputs() -> None:
    outputs = np.array([0.25, 0.75], np.float32)
    for labels, told in (
        (("a",), [("a", 0.25)]),
        (("a", "b", "c"), [("b", 0.75), ("a", 0.25)]),
    ):
        answer = encode_labels("f.png", labels, outputs)
        rows = ",".join(f'{{"label":"{label}","probability":{value}}}' for label, value in told)
        assert answer == f'{{"filename":"f.png","labels":[{rows}]}}\n'.encode()
        found = decode_predictions(PredictionsEncoder(labels).encode(outputs))
        assert [each.probability for each in found] == [0.25, 0.75]
        assert [each.label for each in found] == [*labels, ""][:2]
