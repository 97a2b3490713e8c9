"""Every picture is seen once, prepared as a served function prepares it."""

import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from picture_features import Seen, prepared, see
from picture_folder import read_folder
from PIL import Image

from gpfn.errors import GpfnError, SetupError, TooLarge
from gpfn.images.preparation import ImageInput
from gpfn.images.rows import prepare_rows
from gpfn.limits import Limits
from tests.images.making import exif
from tests.training.photos import drawn, photos

SPEC = ImageInput(size=32, fit="crop")


class Asked:
    """A network that remembers what it was asked; its features are mean colours."""

    def __init__(self) -> None:
        self.rows: list[np.ndarray] = []

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Return the mean of each channel, left and right of the middle."""
        self.rows.append(rows.copy())
        halves = rows.reshape(len(rows), 32, 2, 16, 3).mean(axis=(1, 3))
        return halves.reshape(len(rows), 6).astype(np.float32)


def look(folder: Path, *, skip: bool = False, flip: bool = False) -> tuple[Seen, Asked]:
    network = Asked()
    seen = see(
        read_folder(folder), SPEC, network, skip=skip, flip=flip, after_batch=lambda _count: None
    )
    return seen, network


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return photos(tmp_path / "photos", 3, ("circle", "square"))


def test_every_kind_of_picture_is_prepared_as_in_serving(folder: Path) -> None:
    plain = drawn("circle", np.random.default_rng(9))
    place = folder / "circle"
    plain.convert("CMYK").save(place / "cmyk.jpg")
    plain.convert("L").save(place / "grey.png")
    plain.rotate(90).convert("LA").save(place / "grey-alpha.png")
    plain.convert("RGBA").rotate(30).save(place / "alpha.png")
    plain.quantize(16).save(place / "palette.gif")
    plain.save(place / "lossy.webp")
    plain.save(place / "turned.jpg", exif=exif(6))
    seen, network = look(folder)
    assert len(seen.pictures) == 6 + 7
    files = [path.read_bytes() for path in seen.pictures]
    served = prepare_rows(files, SPEC, Limits())
    assert served.problems == [None] * len(files)
    assert np.array_equal(np.concatenate(network.rows), served.rows)
    assert np.array_equal(prepared(seen.pictures, SPEC), served.rows)


def test_each_picture_is_seen_once_in_batches_and_counted(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", 20)
    network, counts = Asked(), []
    seen = see(
        read_folder(folder), SPEC, network, skip=False, flip=False, after_batch=counts.append
    )
    assert counts == [len(rows) for rows in network.rows] == [32, 28]
    assert np.array_equal(seen.features, Asked()(np.concatenate(network.rows)))
    assert seen.labels.tolist() == [0] * 20 + [1] * 20 + [2] * 20
    assert seen.flipped.size == 0


def test_mirrored_pictures_are_seen_too_when_asked_for(folder: Path) -> None:
    seen, _ = look(folder, flip=True)
    swapped = seen.features.reshape(-1, 2, 3)[:, ::-1].reshape(-1, 6)
    assert np.array_equal(seen.flipped, swapped)


def _text(path: Path) -> None:
    path.write_text("a note")


def _cut_off(path: Path) -> None:
    data = (path.parent / "00.jpg").read_bytes()
    path.write_bytes(data[: len(data) // 2])


def _empty(path: Path) -> None:
    path.touch()


def _huge(path: Path) -> None:
    Image.new("1", (6000, 6000)).save(path, "png")


def _large(path: Path) -> None:
    with path.open("wb") as file:
        file.write((path.parent / "00.jpg").read_bytes())
        file.truncate((256 << 20) + 1)


def _heic(path: Path) -> None:
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")


def _avif(path: Path) -> None:
    path.write_bytes(b"\0\0\0\x18ftypavif\0\0\0\0mif1avif")


def _outside(path: Path) -> None:
    outside = path.parents[2] / "outside.jpg"
    outside.write_bytes((path.parent / "00.jpg").read_bytes())
    path.symlink_to(outside)


BAD = [
    (_text, "not an image that can be read; send JPEG, PNG, WebP or GIF"),
    (_cut_off, r"damaged JPEG file: "),
    (_empty, "empty file"),
    (_huge, r"36000000 pixels.*GPFN_MAX_PIXELS|6000 x 6000"),
    (_large, r"more than 268435456 bytes \(GPFN_MAX_BODY_BYTES\)"),
    (_heic, "this is a HEIC photo .* heif-convert photo.heic photo.jpg"),
    (_avif, "this is an AVIF image; convert it to .* avifdec image.avif image.png"),
    (_outside, "a link that leads out of the folder; put a copy there"),
]


@pytest.mark.parametrize(("make", "told"), BAD)
def test_a_file_that_cannot_be_learned_from_stops_it_unless_told_otherwise(
    make: Callable[[Path], None], told: str, folder: Path
) -> None:
    make(folder / "circle" / "odd.jpg")
    with pytest.raises(SetupError) as raised:
        look(folder)
    line = str(raised.value)
    assert re.match(rf"\S+/circle/odd\.jpg: ({told})", line), line
    assert line.endswith("; mend it or take it away, or leave such files out with --skip")
    seen, _ = look(folder, skip=True)
    assert len(seen.pictures) == 6
    assert [problem.path.name for problem in seen.problems] == ["odd.jpg"]


def test_all_such_files_are_told_at_once_and_the_network_is_not_asked_for_nothing(
    tmp_path: Path,
) -> None:
    folder = photos(tmp_path / "photos", 34, ("circle", "square"))
    for number in range(9):
        _text(folder / "circle" / f"00-{number}.txt")
    network = Asked()
    with pytest.raises(SetupError) as raised:
        see(read_folder(folder), SPEC, network, skip=False, flip=False, after_batch=lambda _n: None)
    named = r"as well as \S+00-1\.txt, \S+00-2\.txt, \S+00-3\.txt and 5 more, or leave"
    assert re.search(named, str(raised.value)), raised.value
    assert network.rows == []


def test_a_class_of_nothing_but_such_files_is_told_after_they_were_left_out(folder: Path) -> None:
    for path in (folder / "square").iterdir():
        _text(path)
    with pytest.raises(SetupError, match="square has no picture; a class needs 2"):
        look(folder, skip=True)
    for path in (folder / "circle").iterdir():
        _text(path)
    with pytest.raises(SetupError, match=r"circle has no picture, .*square has no picture"):
        look(folder, skip=True)


def test_the_same_picture_twice_in_a_class_counts_once(folder: Path) -> None:
    data = (folder / "circle" / "01.png").read_bytes()
    (folder / "circle" / "copy.png").write_bytes(data)
    again = Image.open(io.BytesIO(data))
    again.save(folder / "circle" / "saved-again.png", optimize=True)
    assert (folder / "circle" / "saved-again.png").read_bytes() != data
    seen, _ = look(folder)
    assert [path.name for path in seen.repeats] == ["copy.png", "saved-again.png"]
    assert len(seen.pictures) == len(seen.labels) == len(seen.features) == 6
    assert seen.torn == ()


def test_the_same_picture_in_two_classes_counts_in_none(folder: Path) -> None:
    data = (folder / "circle" / "01.png").read_bytes()
    (folder / "square" / "copy.png").write_bytes(data)
    seen, _ = look(folder)
    assert {str(path.relative_to(folder)) for path in seen.torn} == {
        "circle/01.png",
        "square/copy.png",
    }
    assert len(seen.pictures) == 5
    (folder / "circle" / "00.jpg").unlink()
    with pytest.raises(SetupError, match="circle has one picture; a class needs 2 that differ"):
        look(folder)


def test_a_picture_that_went_away_meanwhile_is_told(folder: Path) -> None:
    found = read_folder(folder)
    (folder / "circle" / "00.jpg").unlink()
    with pytest.raises(SetupError, match=r"00\.jpg: cannot be read: No such file or directory"):
        see(found, SPEC, Asked(), skip=False, flip=False, after_batch=lambda _count: None)


def test_the_limits_of_serving_hold(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPFN_MAX_PIXELS", "1000")
    with pytest.raises(GpfnError, match="GPFN_MAX_PIXELS"):
        look(folder)
    with pytest.raises(TooLarge):
        prepared([folder / "circle" / "01.png"], SPEC)
