"""What Spark says when something goes wrong, as one line: not a hundred of Java's.

An error of gpfn in a task is told as it would be without Spark. Of others the line that says
what is wrong is told, and the file that has the rest.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpfn import errors
from gpfn.errors import GpfnError, SetupError

__all__ = ["spark_error"]

_OURS = re.compile(r"^\s*(?:\w+: )?gpfn\.errors\.(\w+): (.+)$", re.MULTILINE)
_PYTHON = re.compile(r"^(?:[\w.]*(?:Error|Exception|Exit|Interrupt)): .+$", re.MULTILINE)
_JAVA = re.compile(r"^(?:Caused by: |: )[\w.$]+(?:Exception|Error): (.+)$", re.MULTILINE)
_NO_CODE = re.compile(r"No module named '(gpfn|pyarrow|numpy|pyspark)'")
_STATE = re.compile(r"^\[[A-Z0-9_.]+\] ")
_FRAME = re.compile(r"^\s*(?:at |\.\.\. \d+ more|File \"|Traceback |Driver stacktrace)")
_TAIL = 4 << 10
_LONGEST = 400

_KNOWN = (
    (
        "JAVA_GATEWAY_EXITED",
        "Java ended before it was ready; Spark needs Java 17 or newer",
    ),
    (
        "PYTHON_VERSION_MISMATCH",
        "the workers have another Python than this one; say theirs by PYSPARK_PYTHON",
    ),
    ("No space left on device", "no space left on the device"),
    ("PATH_ALREADY_EXISTS", "the output is there already; --again writes it anew"),
    (
        "Python worker exited unexpectedly",
        "a Python process of a worker ended unexpectedly, more than once (out of memory?)",
    ),
    (
        "Cannot run program",
        "a worker cannot start its Python; say which one by PYSPARK_PYTHON",
    ),
)
"""Texts of Spark's errors, and what they mean."""
_IN_LOG = (
    (
        "All masters are unresponsive",
        "the master does not take the application; is it a Spark of this version?",
    ),
)
"""The same for what only Java's log says."""


def spark_error(error: BaseException, log: Path) -> GpfnError:
    """Return what is told of an error that PySpark raised; ``log`` has Java's words.

    An error of gpfn in a task has the class and the text that it had there.
    """
    text = _text(error)
    ours = _OURS.search(text)
    if ours:
        return _rebuilt(ours[1], ours[2])
    absent = _NO_CODE.search(text)
    if absent:
        told = (
            f"the Python of the workers has no {absent[1]}; give them this environment "
            "(docs/score-spark.md says how)"
        )
        return SetupError(told, field="--spark")
    told = _meaning(_KNOWN, text) or _meaning(_IN_LOG, _tail(log)) or _first_line(text)
    return SetupError(f"{told}; Spark's words are in {log}", field="--spark")


def _meaning(known: Sequence[tuple[str, str]], text: str) -> str:
    return next((meaning for said, meaning in known if said in text), "")


def _text(error: BaseException) -> str:
    """Return all that an error of PySpark says, with that of Java where it has one."""
    java: Any = getattr(error, "java_exception", None)
    told = type(error).__name__
    if java is None:
        return f"{told}: {error}"
    from py4j.protocol import Py4JError  # type: ignore[import-untyped] # it has no types

    try:
        return f"{told}: {error}\n{java.toString()}"
    except (Py4JError, OSError):  # Java is gone
        return f"{told}: Java ended"


def _rebuilt(kind: str, told: str) -> GpfnError:
    found: Any = getattr(errors, kind, SetupError)
    try:
        error: GpfnError = found(told.strip())
    except TypeError:  # it is made of other things
        error = SetupError(told.strip())
    return error


def _tail(log: Path) -> str:
    try:
        with open(log, "rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def _first_line(text: str) -> str:
    """Return the line that says what is wrong: the last of a Python trace, or Java's."""
    _, _, trace = text.partition("Traceback (most recent call last)")
    python = _PYTHON.findall(trace)
    if python:
        return str(python[-1])[:_LONGEST]
    java = _JAVA.findall(text)
    classed = [told for told in java if _STATE.match(told)]
    if java:
        return _STATE.sub("", (classed or java)[-1])[:_LONGEST]
    lines = [line.strip() for line in text.splitlines() if not _FRAME.match(line)]
    line = next((line for line in lines if line), "it failed without a word")
    return _STATE.sub("", line)[:_LONGEST]
