"""Write a set of files that belong together, all or none."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gpfn.errors import SetupError

__all__ = ["staging"]


@contextmanager
def staging(target: Path) -> Iterator[Path]:
    """Yield an empty folder; its files replace those of the same names in ``target`` at the end.

    When the block raises, ``target`` stays as it was; so it does where one of the names is that of
    something else. Raises SetupError for what cannot be written.
    """
    try:
        with _staged(target) as folder:
            yield folder
    except OSError as error:
        told = f"cannot be written: {error.strerror or error}; what was there is as it was"
        raise SetupError(told, field=str(target)) from error


@contextmanager
def _staged(target: Path) -> Iterator[Path]:
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target, prefix=".training-") as name:
        yield Path(name)
        everything = sorted(Path(name).iterdir())
        for made in everything:
            _check(made, target / made.name)
        for made in everything:
            _replace(made, target / made.name)


def _check(made: Path, old: Path) -> None:
    """Raise OSError for a file in the place of a folder, and the other way round."""
    if os.path.lexists(old) and (old.is_symlink() or old.is_dir() != made.is_dir()):
        if made.is_dir():
            raise FileExistsError(errno.EEXIST, "no folder, where one is written", str(old))
        if old.is_dir():
            raise IsADirectoryError(errno.EISDIR, "a folder, where a file is written", str(old))


def _replace(made: Path, old: Path) -> None:
    if not made.is_dir():
        os.replace(made, old)
    elif made.name == "plots":  # shared by all models: only our pictures change
        old.mkdir(exist_ok=True)
        for picture in made.iterdir():
            os.replace(picture, old / picture.name)
    else:
        shutil.rmtree(old, ignore_errors=True)
        os.replace(made, old)
