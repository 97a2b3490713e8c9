"""Write a set of files that belong together, all or none."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["staging"]


@contextmanager
def staging(target: Path) -> Iterator[Path]:
    """Yield an empty folder; its files replace those of the same names in ``target`` at the end.

    When the block raises, ``target`` stays as it was.
    """
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target, prefix=".training-") as name:
        yield Path(name)
        for made in sorted(Path(name).iterdir()):
            _replace(made, target / made.name)


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
