"""Stages that tests put together: small models, each with what it takes and gives."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from gpfn import TensorSpec
from gpfn.deadline import NEVER, Deadline

FLOATS = TensorSpec("float32", (None, None))


def numbers(*rows: Sequence[float]) -> np.ndarray:
    return np.array(rows, np.float32)


class Step:
    """A model that computes its outputs by a function of arrays, and counts its calls."""

    backend = "python"

    def __init__(
        self,
        function: Callable[..., Mapping[str, np.ndarray]],
        takes: Sequence[str] = ("x",),
        gives: Sequence[str] = ("y",),
    ) -> None:
        self.name = "a step"
        self.inputs = tuple(TensorSpec("float32", (None, None), name) for name in takes)
        self.outputs = tuple(TensorSpec("float32", (None, None), name) for name in gives)
        self.function = function
        self.calls = 0
        self.asked: list[tuple[str, ...]] = []
        self.closed = 0
        self._lock = threading.Lock()

    def __call__(
        self,
        inputs: Mapping[str, np.ndarray],
        *,
        outputs: Sequence[str] = (),
        deadline: Deadline = NEVER,
    ) -> dict[str, np.ndarray]:
        with self._lock:
            self.calls += 1
            self.asked.append(tuple(outputs))
        deadline.check("the step was called")
        return dict(self.function(**inputs))

    def close(self) -> None:
        self.closed += 1


def double() -> Step:
    return Step(lambda x: {"y": 2 * x})


def plus_one() -> Step:
    return Step(lambda x: {"y": x + 1})


def slow(seconds: float, gives: str = "y") -> Step:
    def sleep(x: np.ndarray) -> dict[str, np.ndarray]:
        time.sleep(seconds)
        return {gives: x}

    return Step(sleep, gives=(gives,))


def failing(error: Exception) -> Step:
    def fail(**_: Any) -> dict[str, np.ndarray]:
        raise error

    return Step(fail)
