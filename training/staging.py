"""Write a set of files that belong together, all or none."""

import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

__all__ = ["staging"]


@contextmanager
def staging(target: Path) -> Iterator[Path]:
    """Yield an empty folder; its files replace those of the same names in ``target`` at the end.

    When the block raises, or the process is told to end, ``target`` stays as it was.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _leave)
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target, prefix=".training-") as name:
        yield Path(name)
        for made in sorted(Path(name).iterdir()):
            _replace(made, target / made.name)


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    """Turn SIGTERM into an exception, so that what is half written goes on the way."""
    raise SystemExit(128 + number)


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
