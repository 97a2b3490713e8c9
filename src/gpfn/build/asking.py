"""Asking a user's file something in a process of its own: the question and its answer.

A module of gpfn is run with the question's words, loads the file, and writes its answer as JSON
into a file that it inherits. What the user's code prints, at its end too, is no part of that, and
a process that ended without an answer is told from one that has given it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["FileAnswer", "ask", "write_answer"]


class FileAnswer(NamedTuple):
    """What a process has answered, None without an answer, and how it ended."""

    value: Any
    code: int


def ask(
    module: str,
    *words: str,
    environ: Mapping[str, str],
    seconds: float,
    folder: Path | None = None,
) -> FileAnswer:
    """Run a module with words and return what it answers, in ``folder`` where one is given.

    The answer goes into a file: a pipe may be full before anybody reads it, and what the user's
    code leaves running would hold its other end. Raises subprocess.TimeoutExpired.
    """
    with tempfile.TemporaryFile() as file:
        done = subprocess.run(
            [sys.executable, "-m", module, *words, str(file.fileno())],
            cwd=folder,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(file.fileno(),),
            timeout=seconds,
            check=False,
        )
        file.seek(0)
        written = file.read()
    return FileAnswer(json.loads(written) if written else None, done.returncode)


def write_answer(answer: object) -> None:
    """Answer, as a module that :func:`ask` runs: its last word is the file to write to."""
    os.write(int(sys.argv[-1]), json.dumps(answer).encode())
