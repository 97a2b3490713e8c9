"""The catalogue's data decides how pixels become a tensor."""

import io
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gpfn.errors import SetupError
from gpfn.images import preparation
from gpfn.images.preparation import ImageInput, prepare, warm_up

LIMIT = 24_000_000
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_quantised_model_gets_the_bytes_as_they_are() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (4, 6, 3), np.uint8)
    tensor = prepare(png(pixels), ImageInput(4, 6), LIMIT)
    assert tensor.dtype == np.uint8
    np.testing.assert_array_equal(tensor, pixels[None])


def test_a_float_model_gets_scaled_values_in_its_layout() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (4, 6, 3), np.uint8)
    spec = ImageInput(
        4, 6, channels="BGR", layout="NCHW", quantised=False, mean=(1, 2, 3), std=(4, 5, 6)
    )
    tensor = prepare(png(pixels), spec, LIMIT)
    wanted = (pixels[..., ::-1] - np.float32([1, 2, 3])) / np.float32([4, 5, 6])
    assert tensor.dtype == np.float32
    assert tensor.flags.c_contiguous
    np.testing.assert_allclose(tensor, wanted.transpose(2, 0, 1)[None], rtol=1e-6)


def test_grey_models_get_one_channel() -> None:
    tensor = prepare(png(np.full((8, 8, 3), 7, np.uint8)), ImageInput(8, 8, channels="L"), LIMIT)
    assert tensor.shape == (1, 8, 8, 1)
    assert (tensor == 7).all()


def test_crop_keeps_proportions_and_stretch_does_not() -> None:
    pixels = np.zeros((10, 30, 3), np.uint8)
    pixels[:, 10:20] = 255  # a white square in the middle of a wide black picture
    cropped = prepare(png(pixels), ImageInput(10, 10, fit="crop"), LIMIT)
    stretched = prepare(png(pixels), ImageInput(10, 10, fit="stretch"), LIMIT)
    assert (cropped == 255).all()
    assert 0.2 < stretched.mean() / 255 < 0.5


def test_crop_cuts_nothing_off_the_middle() -> None:
    pixels = np.arange(40 * 20, dtype=np.int64).reshape(20, 40) % 256
    picture = pixels.astype(np.uint8)[..., None].repeat(3, -1)
    cropped = prepare(png(picture), ImageInput(20, 20, fit="crop"), LIMIT)
    np.testing.assert_array_equal(cropped[0], picture[:, 10:30])


@pytest.mark.parametrize("resize", [0, 224, 256])
def test_a_picture_of_any_size_is_cut(resize: int) -> None:
    """224 times 29 / 224 is more than 29 in floats: the box must not begin outside."""
    spec = ImageInput(size=224, crop="center", resize=resize)
    for side in (*range(1, 60), 197, 223, 224, 225):
        for size in ((side, side), (side, side + 7), (side + 7, side)):
            picture = Image.new("RGB", size, (1, 2, 3))
            made = np.asarray(preparation.resize(picture, spec))
            assert made.shape == (224, 224, 3)
            assert (made == (1, 2, 3)).all(), size


def test_warming_up_runs_the_whole_preparation() -> None:
    for spec in (ImageInput(224, 224, fit="crop"), ImageInput(8, 8, channels="L")):
        warm_up(spec)


def test_a_real_photo_has_the_models_shape(shared: Path) -> None:
    data = (shared / "data/images/burger.jpg").read_bytes()
    assert prepare(data, ImageInput(224, 224, fit="crop"), LIMIT).shape == (1, 224, 224, 3)


def test_resize_cuts_out_the_middle_as_torchvision_does(shared: Path) -> None:
    """Its Resize(256) and CenterCrop(224), with Pillow, as training does it."""
    spec = ImageInput(size=224, resize=256, unit=True, mean=IMAGENET[0], std=IMAGENET[1])
    for name in ("burger.jpg", "mug.png"):
        data = (shared / "data/images" / name).read_bytes()
        image = Image.open(io.BytesIO(data)).convert("RGB")
        scale = 256 / min(image.size)
        image = image.resize(
            (round(image.width * scale), round(image.height * scale)), Image.Resampling.BILINEAR
        )
        left, top = round((image.width - 224) / 2), round((image.height - 224) / 2)
        cut = np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32) / 255
        wanted = (cut - np.float32(IMAGENET[0])) / np.float32(IMAGENET[1])
        made = prepare(data, spec, LIMIT)[0]
        assert np.abs(made - wanted).mean() < 0.03, name
        wrong = prepare(data, ImageInput(size=224, unit=True, crop="center"), LIMIT)[0]
        assert np.abs(wrong * 255 - cut * 255).mean() > 3, "the cut matters"


def test_a_cut_of_another_shape_than_square() -> None:
    pixels = np.zeros((30, 40, 3), np.uint8)
    pixels[10:20, 10:30] = 255  # in the middle
    for mode in (pixels, np.dstack([pixels, np.full((30, 40), 255, np.uint8)])):
        spec = ImageInput(size=(10, 20), resize=30, resample="nearest")
        assert (prepare(png(mode), spec, LIMIT) == 255).all()


def test_unit_and_one_number_for_all_channels() -> None:
    data = png(np.full((8, 8, 3), 51, np.uint8))
    one = prepare(data, ImageInput(size=8, unit=True, mean=0.5, std=0.5), LIMIT)
    same = prepare(data, ImageInput(size=8, mean=127.5, std=127.5), LIMIT)
    np.testing.assert_allclose(one, same)
    np.testing.assert_allclose(one, -0.6, rtol=1e-6)
    np.testing.assert_allclose(prepare(data, ImageInput(size=8, unit=True), LIMIT), 0.2)
    numbers = np.array([0.5, 0.5, 0.5], np.float32)
    assert ImageInput(size=8, unit=True, mean=numbers, std=np.float32(0.5)).mean == (127.5,) * 3


def test_an_input_survives_a_copy() -> None:
    for spec in (ImageInput(size=8), ImageInput(size=8, mean=1, std=2, channels="first")):
        assert pickle.loads(pickle.dumps(spec)) == spec
        assert spec._replace(height=9).shape != spec.shape


@pytest.mark.parametrize(
    ("given", "field", "told"),
    [
        ({}, "height", "above 0, got 0"),
        ({"size": (8, 8, 3)}, "size", "(height, width)"),
        ({"size": "8"}, "size", "above 0"),
        ({"size": 8, "width": 8}, "width", "size says it already"),
        ({"size": 8, "channels": "rgb"}, "channels", "one of RGB, BGR, L, last, first"),
        ({"size": 8, "crop": "top"}, "crop", "one of center, none"),
        ({"size": 8, "resize": 7}, "resize", "of at least 8"),
        ({"size": 8, "mean": (1, 2), "std": 1}, "mean", "a number, or a list of 3 numbers"),
        ({"size": 8, "mean": float("nan"), "std": 1}, "mean", "a number"),
        ({"size": 8, "mean": 0.485, "std": 0.229}, "std", "say unit = true"),
        ({"size": 8, "mean": 0.5}, "std", "missing"),
        ({"size": 8, "mean": {}, "std": 1}, "mean", "a number"),
    ],
)
def test_a_wrong_input_is_told_where_it_is_written(
    given: dict[str, Any], field: str, told: str
) -> None:
    with pytest.raises(SetupError, match=re.escape(told)) as caught:
        ImageInput(**given)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"size": 4097}, "size"),
        ({"size": (8, 10**9)}, "size"),
        ({"height": 1, "width": 10**18}, "width"),
        ({"size": 8, "resize": 16385}, "resize"),
    ],
)
def test_what_is_described_takes_bounded_memory(given: dict[str, Any], field: str) -> None:
    with pytest.raises(SetupError, match=r"at most \d+ pixels") as refused:
        ImageInput(**given)
    assert refused.value.field == field
    assert ImageInput(4096, 4096).width == 4096
