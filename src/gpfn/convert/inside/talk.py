"""The conversation with gpfn: a line of JSON for each thing asked, and one for each answer.

First comes an order, which says what to convert into what. The answer has the facts of the
model. Then come questions, each of which names a file of arrays; the answers name the files of
what the model makes of them. What a framework prints is none of it: it goes into a log.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import IO, Any, Protocol

import numpy as np

__all__ = ["FrameworkModel", "Refused", "first_line", "main"]

_SCRIPTS = ("from_keras", "from_sklearn", "from_xgboost", "from_lightgbm", "from_torch")
_LEAST_CALLS = 3
_MOST_LINE = 300


class Refused(Exception):
    """What cannot be converted, with the reason and what can be done instead."""


class FrameworkModel(Protocol):
    """A model of a framework: opened, written in another format, and asked."""

    def convert(self, target: str, out: str, /) -> None:
        """Write it as ``target`` to the file or folder ``out``; raises Refused."""

    def facts(self) -> dict[str, Any]:
        """Return what is to be known of it, in JSON's types."""

    def ask(self, names: Sequence[str], arrays: Sequence[np.ndarray], /) -> list[np.ndarray]:
        """Return the framework's own outputs, in the order in which they were written."""


def main(descriptor: int, life: int) -> None:
    """Hold the conversation over a socket; ends with it, and when the pipe ``life`` is closed."""
    threading.Thread(target=_end_with, args=(life,), daemon=True).start()
    with socket.socket(fileno=descriptor) as link, link.makefile("rw", encoding="utf-8") as lines:
        order = json.loads(lines.readline())
        source = _answered(lines, lambda: _opened(order))
        for line in lines if source is not None else ():
            asked = json.loads(line)
            if _answered(lines, lambda asked=asked: (_measured(source, asked),) * 2) is None:
                return


def _end_with(life: int) -> None:
    """End this process and all that it has started when nobody waits for it any more."""
    os.read(life, 1)
    os.killpg(0, signal.SIGKILL)


def _answered(lines: IO[str], do: Any) -> Any:
    """Do it and tell the answer; returns what goes on, None when it has failed."""
    try:
        result, told = do()
    except Refused as error:
        result, told = None, {"refused": str(error)}
    except Exception as error:  # noqa: BLE001 - a framework or the user's code raises anything
        traceback.print_exc()
        result, told = None, {"failed": f"{type(error).__name__}: {first_line(error)}"}
    sys.stdout.flush()
    lines.write(json.dumps(told) + "\n")
    lines.flush()
    return result


def _opened(order: dict[str, Any]) -> tuple[FrameworkModel, dict[str, Any]]:
    script = order["script"]
    if script not in _SCRIPTS:
        raise Refused(f"no converter {script!r}")
    if order["folder"]:  # the user's own code
        sys.path.insert(0, order["folder"])
    source: FrameworkModel = import_module(f".{script}", __package__).open_source(order)
    source.convert(order["target"], order["out"])
    return source, source.facts()


def _measured(source: FrameworkModel, asked: dict[str, Any]) -> dict[str, Any]:
    """Ask the samples of a file, write what comes, and tell how many seconds a call took."""
    with np.load(asked["samples"], allow_pickle=False) as file:
        arrays = [file[str(at)] for at in range(len(asked["names"]))]
    outputs = source.ask(asked["names"], arrays)
    plain = {str(at): _plain(output) for at, output in enumerate(outputs)}
    with open(asked["out"], "wb") as written:
        np.savez(written, **plain)  # type: ignore[arg-type]
    seconds, calls, began = asked["seconds"], 0, time.perf_counter()
    while seconds and (calls < _LEAST_CALLS or time.perf_counter() - began < seconds):
        source.ask(asked["names"], arrays)
        calls += 1
    taken = (time.perf_counter() - began) / calls if calls else 0.0
    return {"outputs": len(outputs), "seconds": taken}


def _plain(output: Any) -> np.ndarray:
    """Return an array that needs no pickle: objects are texts."""
    array = np.asarray(output)
    return array if array.dtype.kind != "O" else array.astype(str)


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, without a terminal's colours."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0][:_MOST_LINE]
