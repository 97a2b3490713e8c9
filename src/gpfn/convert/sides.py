"""Both sides of a conversion, asked the same: the source in its process, the target here."""

from __future__ import annotations

import time
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gpfn.convert.comparing import Agreement, compare
from gpfn.errors import GpfnError, ModelFailed, ModelRefused

if TYPE_CHECKING:
    from gpfn.convert.converter import Converter
    from gpfn.convert.samples import Arrays
    from gpfn.models.model import Model

__all__ = ["Sides", "Speed"]

_Array = np.ndarray[Any, Any]

_DAMAGE = (zipfile.BadZipFile, zlib.error)
_SECONDS = 0.2
_LEAST_CALLS = 3


class Speed(NamedTuple):
    """Rows a second of each side, and how many rows were asked at once."""

    rows: int
    source: float
    target: float


class Sides:
    """A converter that still holds the source, and the model that it has written."""

    def __init__(
        self, converter: Converter, model: Model, facts: Mapping[str, Any], work: Path
    ) -> None:
        self._converter, self._model = converter, model
        self._names = _names(facts.get("outputs"))
        self._given, self._came = work / "samples.npz", work / "answers.npz"

    def compare(self, samples: Sequence[Arrays]) -> Agreement:
        """Ask both sides all samples, and return what is found of each output.

        Raises ModelRefused when they do not have as many outputs, or when the target fails.
        """
        pairs: dict[str, list[tuple[_Array, _Array]]] = {}
        for sample in samples:
            ours, theirs = self._source(sample), self._target(sample)
            names = self._paired(len(ours), [*theirs])
            for name, array in zip(names, ours, strict=True):
                pairs.setdefault(name, []).append((array, theirs[name]))
        return Agreement(tuple(compare(name, found) for name, found in pairs.items()))

    def speed(self, sample: Arrays) -> Speed:
        """Return how many rows a second each side computes of a sample."""
        rows = max((len(array) for array in sample.values() if array.ndim), default=1)
        seconds = self._asked(sample, _SECONDS).get("seconds", 0.0)
        calls, began = 0, time.perf_counter()
        while calls < _LEAST_CALLS or time.perf_counter() - began < _SECONDS:
            self._model(sample)
            calls += 1
        taken = (time.perf_counter() - began) / calls
        source = rows / seconds if isinstance(seconds, float) and seconds > 0 else 0.0
        return Speed(rows, source, rows / taken)

    def _source(self, sample: Arrays) -> list[_Array]:
        count = self._asked(sample, 0.0).get("outputs")
        try:
            with np.load(self._came, allow_pickle=False) as file:
                return [file[str(at)] for at in range(int(str(count)))]
        except (OSError, ValueError, KeyError, EOFError, *_DAMAGE) as error:
            raise ModelFailed(f"the converter's answer cannot be read: {error}") from error

    def _asked(self, sample: Arrays, seconds: float) -> dict[str, Any]:
        plain = {str(at): _plain(array) for at, array in enumerate(sample.values())}
        with self._given.open("wb") as file:
            np.savez(file, **plain)  # type: ignore[arg-type]
        question = {
            "names": [*sample],
            "samples": str(self._given),
            "out": str(self._came),
            "seconds": seconds,
        }
        return self._converter.ask(question)

    def _target(self, sample: Arrays) -> Mapping[str, _Array]:
        try:
            return self._model(sample)
        except GpfnError as error:
            rows = max((len(array) for array in sample.values() if array.ndim), default=1)
            told = f"what was written cannot compute {rows} rows: {error}"
            raise ModelRefused(told) from error

    def _paired(self, count: int, theirs: Sequence[str]) -> Sequence[str]:
        """Return the target's outputs in the order of the source's."""
        if count != len(theirs):
            told = f"the source gives {count} outputs, and what was written {len(theirs)}"
            raise ModelRefused(told)
        return self._names if sorted(self._names) == sorted(theirs) else theirs


def _names(told: object) -> list[str]:
    return [str(name) for name in told] if isinstance(told, list) else []


def _plain(array: _Array) -> _Array:
    """Return an array that needs no pickle."""
    return array if array.dtype.kind != "O" else array.astype(str)
