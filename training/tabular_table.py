"""The rows of a training, cut into parts: gaps are filled, and classes have their weights."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from tabular_rows import Rows
from tabular_target import Split, Target, balanced, split

from gpfn.errors import SetupError

__all__ = ["Table", "prepare"]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows, targets and parts; ``defaults`` stand for gaps, by column.

    ``switches`` are columns of truth values.
    ``weights`` [classes] are those of the classes, one of 1 when a number is predicted.
    """

    features: tuple[str, ...]
    values: np.ndarray
    target: Target
    parts: Split
    defaults: dict[str, float]
    weights: np.ndarray
    counts: dict[str, int]
    switches: frozenset[str] = frozenset()

    def rows(self, part: str) -> tuple[np.ndarray, np.ndarray]:
        """Return values [n, features] and targets [n] of a part."""
        chosen = getattr(self.parts, part)
        return self.values[chosen], self.target.values[chosen]

    def part(self, name: str) -> Any:
        """Return a part for the network, each row with the weight of its class."""
        from dense import Part

        values, targets = self.rows(name)
        weights = self.weights[targets] if self.target.classes else np.ones(len(targets))
        return Part(values, targets, weights.astype(np.float32))


def prepare(rows: Rows, target: Target, *, missing: str, class_weights: str, seed: int) -> Table:
    """Cut the rows into parts, and measure on the training part what the others are given.

    Raises SetupError for a column without any value in the training part.
    """
    parts = split(target, seed)
    defaults = _fill(rows, parts.training) if missing == "median" else {}
    classes = len(target.classes)
    weights = np.ones(max(1, classes))
    if classes and class_weights == "balanced":
        weights = balanced(target.values[parts.training], classes)
    return Table(
        rows.features, rows.values, target, parts, defaults, weights, rows.counts, rows.switches
    )


def _fill(rows: Rows, training: np.ndarray) -> dict[str, float]:
    """Put the medians of the training part where values are missing; return them by column.

    Of truth values that is the one that most rows have.
    """
    found = {}
    for place, name in enumerate(rows.features):
        column = rows.values[:, place]
        known = column[training]
        known = known[~np.isnan(known)]
        if not len(known):
            told = f"no value in any training row; leave it out with --drop {name}"
            raise SetupError(told, field=name)
        median = float(np.median(known).astype(np.float32))
        found[name] = float(median > 0.5) if name in rows.switches else median  # half is neither
        column[np.isnan(column)] = found[name]
    return found
