"""The catalogue's data decides how pixels become a tensor."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from gpfn.images.preparation import ImageInput, prepare, warm_up

LIMIT = 24_000_000


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


def test_warming_up_runs_the_whole_preparation() -> None:
    for spec in (ImageInput(224, 224, fit="crop"), ImageInput(8, 8, channels="L")):
        warm_up(spec)


def test_a_real_photo_has_the_models_shape(shared: Path) -> None:
    data = (shared / "data/images/burger.jpg").read_bytes()
    assert prepare(data, ImageInput(224, 224, fit="crop"), LIMIT).shape == (1, 224, 224, 3)
