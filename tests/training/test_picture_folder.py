"""A folder of photos is looked at before training, and what is wrong is told by its name."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from picture_folder import PictureFolder, Problem, check_counts, read_folder, shown

from gpfn.errors import SetupError
from tests.training.photos import photos


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return photos(tmp_path / "photos", 3, ("circle", "square"))


def test_classes_are_folders_in_the_order_of_their_names(folder: Path) -> None:
    photos(folder, 2, ("Zebra", "10", "2"))
    found = read_folder(folder)
    assert found.classes == ("10", "2", "Zebra", "circle", "square")
    assert [path.parent.name for path in found.pictures] == [
        found.classes[label] for label in found.labels
    ]
    assert len(found.pictures) == 2 * 3 + 3 * 2


def test_hidden_files_and_those_of_file_managers_do_not_count(folder: Path) -> None:
    before = read_folder(folder)
    (folder / ".git").mkdir()
    (folder / "README.txt").write_text("photos")
    for name in (".DS_Store", "._00.jpg", "Thumbs.db", "desktop.ini"):
        (folder / "circle" / name).write_bytes(b"x")
    assert read_folder(folder) == before


def test_a_link_to_a_picture_in_the_folder_is_a_picture(folder: Path) -> None:
    (folder / "circle" / "again.jpg").symlink_to("00.jpg")
    assert len(read_folder(folder).pictures) == 7


def _loose(folder: Path) -> None:
    (folder / "circle" / "00.jpg").rename(folder / "00.JPG")


def _one_class(folder: Path) -> None:
    (folder / "circle").rename(folder.parent / "circle")


def _no_class(folder: Path) -> None:
    _one_class(folder)
    (folder / "square").rename(folder.parent / "square")


def _empty(folder: Path) -> None:
    (folder / "nothing").mkdir()
    (folder / "nothing" / ".DS_Store").touch()


def _one_picture(folder: Path) -> None:
    photos(folder, 1, ("triangle",))


def _both(folder: Path) -> None:
    _empty(folder)
    _one_picture(folder)


def _parts(folder: Path) -> None:
    for name in ("circle", "square"):
        for part in ("train", "test"):
            (folder / part).mkdir(exist_ok=True)
        (folder / name).rename(folder / "train" / name)
        photos(folder / "test", 2, (name,))


def _within(folder: Path) -> None:
    photos(folder / "circle", 2, ("old",))


def _linked_class(folder: Path) -> None:
    photos(folder.parent, 3, ("triangle",))
    (folder / "triangle").symlink_to("../triangle")


def _called(name: str) -> Callable[[Path], None]:
    return lambda folder: [photos(folder, 2, ("x",)), (folder / "x").rename(folder / name)][0]


def _alike(folder: Path) -> None:
    photos(folder, 2, ("caf\u00e9", "cafe\u0301"))


def _many(folder: Path) -> None:
    for number in range(1001):
        (folder / f"class-{number}").mkdir()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_loose, r"photos/00\.JPG: in no class; put each into a folder named after its class"),
        (_one_class, r"photos: one class, square; a classifier needs two folders or more"),
        (_no_class, r"photos: no class; a classifier needs two folders or more"),
        (_empty, r"photos/nothing has no picture; a class needs 2 that differ, better 20: put"),
        (_one_picture, r"photos/triangle has one picture; a class needs 2 that differ"),
        (_both, r"nothing has no picture, \S+triangle has one picture; .* or take the folder away"),
        (_parts, r"photos/test: has folders and no pictures; if .* classes, give \S+photos/test"),
        (_within, r"photos/circle: has a folder in it, \S+circle/old; move its pictures up"),
        (_linked_class, r"photos/triangle: a link to a folder; put the folder itself there"),
        (_called("two\nlines"), r"photos/two\\nlines: .* letters that print; rename it"),
        (_called(" "), r"photos/ : a class is called as its folder, .*; rename it"),
        (_called("\ufeffx"), r"photos/\\ufeffx: a class is called .*; rename it"),
        (_called("a" * 101), r"a{101}: a class is called as its folder, in up to 100 letters"),
        (_called("circle "), r"its name looks like that of \S+circle; rename one of the two"),
        (_alike, r"its name looks like that of \S+; rename one of the two"),
        (_many, r"photos: 1003 classes; at most 1000 are taken"),
    ],
)
def test_what_cannot_be_trained_on_is_told_on_one_line(
    spoil: Callable[[Path], None], told: str, folder: Path
) -> None:
    spoil(folder)
    with pytest.raises(SetupError) as raised:
        read_folder(folder)
    assert re.search(told, str(raised.value)), raised.value
    assert "\n" not in str(raised.value)


def test_a_name_that_is_no_text_is_refused_and_shown(folder: Path) -> None:
    os.rename(folder / "square", os.fsencode(folder) + b"/\xff")
    with pytest.raises(SetupError, match="rename it") as raised:
        read_folder(folder)
    str(raised.value).encode()


def test_what_is_no_file_of_the_folder_is_a_problem_and_not_opened(
    folder: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside.jpg"
    (folder / "circle" / "00.jpg").rename(outside)
    place = folder / "square"
    (place / "out.jpg").symlink_to(outside)
    (place / "gone.jpg").symlink_to("nowhere.jpg")
    (place / "turn.jpg").symlink_to("turn.jpg")
    os.mkfifo(place / "pipe.jpg")
    found = read_folder(folder)
    assert {problem.path.name: problem.reason for problem in found.problems} == {
        "out.jpg": "a link that leads out of the folder; put a copy there",
        "gone.jpg": "cannot be read: No such file or directory",
        "turn.jpg": "cannot be read: Too many levels of symbolic links",
        "pipe.jpg": "no regular file",
    }
    assert len(found.pictures) == 5


def test_a_folder_may_itself_be_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("photos")
    assert len(read_folder(tmp_path / "link").pictures) == 6


def test_counts_are_of_what_is_left(folder: Path) -> None:
    found = PictureFolder(folder, ("circle", "square"), (), ())
    check_counts(found, (0, 0, 1, 1))
    with pytest.raises(SetupError, match="square has one picture"):
        check_counts(found, (0, 0, 1))


def test_a_path_is_shown_on_one_line() -> None:
    assert shown(Path("a\nb")) == "a\\nb"
    assert shown(Problem(Path(os.fsdecode(b"\xff.jpg")), "").path) == "\ufffd.jpg"
