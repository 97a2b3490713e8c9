"""A folder that is written whole or not at all.

Everything is written into a folder beside it (or, into one that exists, inside of it) and
gets its place by renames alone, which need no space. Whatever ends that before, an error,
no space or Ctrl-C, takes back what was moved and removes the rest.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from gpfn.errors import SetupError

__all__ = ["check_place", "write_folder"]

_HARMLESS = (".git", ".gitignore", ".gitattributes", ".ds_store")
"""Names that a folder may have before a function is put there."""
_PAPERS = ("license", "licence", "copying", "notice", "readme")
"""The first words of others, whatever stands behind a dot or a dash."""
_README = "README.md"
_PREFIX = ".gpfn-init-"
_SHOWN = 10


def check_place(folder: Path, *, force: bool = False) -> None:
    """Raise SetupError unless a function may be written into ``folder``.

    It may be absent, or hold nothing but a repository's own files; with ``force`` anything.
    """
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise SetupError("there is a file of that name", field=str(folder))
    try:
        found = sorted(entry.name for entry in os.scandir(folder))
    except OSError as error:
        raise SetupError(f"cannot be read: {error.strerror}", field=str(folder)) from None
    in_the_way = [name for name in found if not _is_harmless(name)]
    if in_the_way and not force:
        names = ", ".join(in_the_way[:_SHOWN])
        more = f" and {len(in_the_way) - _SHOWN} more" if len(in_the_way) > _SHOWN else ""
        told = f"is not empty: {names}{more}; give another name, or --force to write over them"
        raise SetupError(told, field=str(folder))


def _is_harmless(name: str) -> bool:
    lower = name.lower()
    is_paper = lower.partition(".")[0].partition("-")[0] in _PAPERS
    return lower in _HARMLESS or (is_paper and not lower.endswith(".py"))


def write_folder(
    folder: Path, files: Mapping[str, str | Path], *, force: bool = False
) -> dict[str, int]:
    """Write the files, by their paths in ``folder``; return the bytes of each that was written.

    A text is written, a path copied. A README that is there stays, unless with ``force``.
    Raises SetupError, as :func:`check_place` does and when something cannot be written.
    """
    check_place(folder, force=force)
    if not force and any(name.lower() == _README.lower() for name in _names(folder)):
        files = {path: content for path, content in files.items() if path != _README}
    try:
        with _beside(folder) as made:
            for path, content in files.items():
                _write(made / path, content)
            sizes = {path: (made / path).stat().st_size for path in files}
            if folder.is_dir():
                _move_in(made, folder)
            else:
                made.rename(folder)
    except OSError as error:
        told = f"cannot be written: {error.strerror or error}; nothing was left there"
        raise SetupError(told, field=str(folder)) from None
    return sizes


def _names(folder: Path) -> list[str]:
    return os.listdir(folder) if folder.is_dir() else []


@contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """Give an empty folder on the disk that ``folder`` is on; it is gone afterwards."""
    place = folder if folder.is_dir() else folder.parent
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=place) as outer:
        made = Path(outer, "new")
        made.mkdir()  # with the usual rights, which a temporary folder has not
        yield made


def _write(path: Path, content: str | Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, str):
        path.write_text(content, encoding="utf-8")
    else:
        shutil.copyfile(content, path)


def _move_in(made: Path, folder: Path) -> None:
    """Put every entry of ``made`` into ``folder``; what was there stays away or comes back."""
    old = made.parent / "old"
    old.mkdir()
    done: list[str] = []
    entries = sorted(os.listdir(made))
    try:
        for name in entries:
            done.append(name)
            if os.path.lexists(folder / name):
                (folder / name).rename(old / name)
            (made / name).rename(folder / name)
    except BaseException:
        _move_back(done, made, old, folder)
        raise


def _move_back(names: Iterable[str], made: Path, old: Path, folder: Path) -> None:
    for name in names:
        if not os.path.lexists(made / name) and os.path.lexists(folder / name):
            (folder / name).rename(made / name)
        if os.path.lexists(old / name):
            (old / name).rename(folder / name)
