"""A folder of photos with a folder for each class: what is in it, looked at before training.

Nothing is guessed: a photo that is in no class, a folder within a class or a link that leads
out is told by its name, with what to do. No file is opened here.
"""

import os
import stat
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from gpfn.errors import SetupError, escaped

__all__ = ["LEAST", "PictureFolder", "Problem", "check_counts", "read_folder", "shown"]

LEAST = 2
"""Pictures that a class has to have: one to learn from, one to try the result on."""

_MOST_CLASSES = 1000
_MOST_PICTURES = 100_000
"""Their features of 1280 numbers take 512 MB."""
_LONGEST = 100
_NAMED = 3
_NO_CLASS = ("thumbs.db", "desktop.ini")
_IMAGES = (
    *(".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".heic", ".heif"),
    *(".avif", ".jxl", ".dng", ".cr2", ".nef"),
)
"""How names of pictures end. It decides about nothing but files that are in no class."""


class Problem(NamedTuple):
    """A file that no class can learn from, and why."""

    path: Path
    reason: str


class PictureFolder(NamedTuple):
    """The classes in the order of the model's output, and the files of each.

    ``pictures`` and ``labels`` go together: which file, and the number of its class.
    """

    place: Path
    classes: tuple[str, ...]
    pictures: tuple[Path, ...]
    labels: tuple[int, ...]
    problems: tuple[Problem, ...] = ()


def read_folder(place: Path) -> PictureFolder:
    """Return what a folder of class folders has, in the order of the names.

    Raises SetupError, which names the folder or file and says what to do.
    """
    folders = _class_folders(place)
    top = place.resolve()
    pictures: list[Path] = []
    labels: list[int] = []
    problems: list[Problem] = []
    for number, folder in enumerate(folders):
        for path in _entries(folder):
            reason = _unusable(path, top)
            if reason:
                problems.append(Problem(path, reason))
                continue
            pictures.append(path)
            labels.append(number)
    if len(pictures) > _MOST_PICTURES:
        told = f"{len(pictures)} pictures; at most {_MOST_PICTURES} are taken: train with fewer"
        raise SetupError(told, field=shown(place))
    names = tuple(folder.name for folder in folders)
    found = PictureFolder(place, names, tuple(pictures), tuple(labels), tuple(problems))
    if not problems:
        check_counts(found, found.labels)
    return found


def check_counts(folder: PictureFolder, labels: Iterator[int] | tuple[int, ...]) -> None:
    """Raise SetupError when a class has too few of the pictures that ``labels`` are of."""
    counts = [0] * len(folder.classes)
    for label in labels:
        counts[label] += 1
    few = [
        f"{shown(folder.place / name)} has {['no picture', 'one picture'][count]}"
        for name, count in zip(folder.classes, counts, strict=True)
        if count < LEAST
    ]
    if few:
        more = f", and {len(few) - _NAMED} more" if len(few) > _NAMED else ""
        told = f"{', '.join(few[:_NAMED])}{more}; a class needs {LEAST} that differ, better 20"
        raise SetupError(f"{told}: put pictures in, or take the folder away")


def shown(path: Path) -> str:
    """Return a path on one line, also one whose name is no text."""
    return escaped(os.fsencode(path).decode("utf-8", "replace"))


def _class_folders(place: Path) -> list[Path]:
    """Return the folders of the classes. Raises SetupError."""
    entries = _entries(place)
    folders = [path for path in entries if path.is_dir()]
    loose = [path for path in entries if path.suffix.lower() in _IMAGES and path not in folders]
    if loose:
        more = f" and {len(loose) - 1} more" if len(loose) > 1 else ""
        told = f"{shown(loose[0])}{more}: in no class; put each into a folder named after its class"
        raise SetupError(told)
    if len(folders) < 2:
        has = f"one class, {shown(Path(folders[0].name))}" if folders else "no class"
        told = f"{has}; a classifier needs two folders or more, such as one of other pictures"
        raise SetupError(told, field=shown(place))
    if len(folders) > _MOST_CLASSES:
        told = f"{len(folders)} classes; at most {_MOST_CLASSES} are taken"
        raise SetupError(told, field=shown(place))
    _check_names(folders)
    for folder in folders:
        _check_folder(folder)
    return folders


def _check_names(folders: list[Path]) -> None:
    """Raise SetupError for a name that cannot be a line of labels, or looks like another."""
    known: dict[str, Path] = {}
    for folder in folders:
        name = folder.name
        if not name.isprintable() or not name.strip() or len(name) > _LONGEST:
            told = f"a class is called as its folder, in up to {_LONGEST} letters that print"
            raise SetupError(f"{told}; rename it", field=shown(folder))
        same = unicodedata.normalize("NFC", name).strip()
        if same in known:
            told = f"its name looks like that of {shown(known[same])}; rename one of the two"
            raise SetupError(told, field=shown(folder))
        known[same] = folder


def _check_folder(folder: Path) -> None:
    """Raise SetupError for a class that is a link, or has folders in it."""
    if folder.is_symlink():
        told = "a link to a folder; put the folder itself there"
        raise SetupError(told, field=shown(folder))
    entries = _entries(folder)
    inner = [path for path in entries if path.is_dir()]
    if not inner:
        return
    if len(inner) == len(entries):
        told = f"has folders and no pictures; if its folders are the classes, give {shown(folder)}"
    else:
        told = f"has a folder in it, {shown(inner[0])}; move its pictures up, or take it away"
    raise SetupError(told, field=shown(folder))


def _entries(folder: Path) -> list[Path]:
    """Return what a folder has but for hidden files, in the order of names."""
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise SetupError(f"cannot be read: {error.strerror}", field=shown(folder)) from None
    seen = (name for name in names if name[0] != "." and name.lower() not in _NO_CLASS)
    return [folder / name for name in seen]


def _unusable(path: Path, top: Path) -> str:
    """Return why a file is not opened at all; nothing when it may be."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if path.is_symlink() and not path.resolve().is_relative_to(top):
        return "a link that leads out of the folder; put a copy there"
    return "" if stat.S_ISREG(mode) else "no regular file"
