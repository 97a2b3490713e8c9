"""Several files to rows: one that is bad keeps its place, and costs the others nothing."""

import io

import numpy as np
import pytest
from PIL import Image

from gpfn.errors import GpfnError, InvalidImage, InvalidTensor, TooLarge
from gpfn.images.preparation import ImageInput, prepare
from gpfn.images.rows import prepare_rows
from gpfn.limits import Limits

SPEC = ImageInput(size=4, mean=1, std=2, channels="first")


def png(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (9, 7), (shade, 0, shade)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("threads", [1, 2, 9])
def test_every_row_is_what_its_file_alone_gives(threads: int) -> None:
    refused = InvalidImage("not base64", field="images[1]")
    files: list[bytes | GpfnError] = [png(3), refused, b"text", png(7)]
    made = prepare_rows(files, SPEC, Limits(), threads=threads)
    assert made.rows.shape == (4, 3, 4, 4)
    for row, shade in ((0, 3), (3, 7)):
        np.testing.assert_array_equal(made.rows[row], prepare(png(shade), SPEC, 100)[0])
    assert not made.rows[1:3].any()
    assert made.problems[0] is made.problems[3] is None
    assert made.problems[1] is refused
    assert str(made.problems[2]).startswith("images[2]: not an image that can be read")


def test_it_is_refused_before_anything_is_decoded() -> None:
    with pytest.raises(InvalidTensor, match="images: empty"):
        prepare_rows([], SPEC, Limits())
    with pytest.raises(TooLarge, match=r"photos: 3 pictures become 144 values; at most 100"):
        prepare_rows([b"", b"", b""], SPEC, Limits(elements=100), field="photos")
