"""Trainings that take a moment, for a child process to import: they do what a file says.

The model is the sum of all numbers in the files. A word in place of a number makes it fail in
some way.
"""

import json
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from gpfn.errors import SetupError
from gpfn.retraining.child import Trained

__all__ = ["add_up"]


def add_up(files: Sequence[Path], out: Path) -> Trained:
    """Write the sum to ``out``, or fail as the data say."""
    (out / "half.txt").write_text("begun")
    total = sum(_number(file, out) for file in files)
    (out / "half.txt").unlink()
    (out / "sum.json").write_text(json.dumps(total))
    return Trained("sum.json", f"a table\nthe sum is {total}", {"sum": total, "pid": os.getpid()})


def _number(file: Path, out: Path) -> int:
    word = file.read_text().strip()
    if word == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if word == "crash":
        raise ZeroDivisionError("a bug")
    if word == "leave":
        os._exit(3)
    if word.startswith("slow"):
        (out.parent / "begun").write_text(str(os.getpid()))
        time.sleep(float(word.split()[1]))
        return int(word.split()[2])
    if not word.isdigit():
        raise SetupError(f"{word!r} is no number", field=str(file))
    return int(word)
