"""A uniform sample of rows that come in chunks, whose size is bounded however many come."""

import numpy as np
from label_texts import label

__all__ = ["Reservoir"]


class Reservoir:
    """Keeps at most ``most`` rows of ``width`` values, each row with the same probability.

    The first rows fill it; a later row, the t-th, replaces one with the probability ``most/t``.
    The same rows in the same chunks with the same seed give the same sample.
    """

    def __init__(self, most: int, width: int, seed: int) -> None:
        self._values = np.empty((most, width), np.float32)  # memory is taken as it is written
        self._targets = np.empty(most, np.float64)
        self._chance = np.random.default_rng(seed)
        self.seen = 0

    def add(self, values: np.ndarray, targets: np.ndarray) -> None:
        """Take rows: float32 [n, width], and targets [n], float64 or an object array of str."""
        if targets.dtype == object and self._targets.dtype != object:
            words = np.empty(len(self._values), object)
            words[: self.kept] = [label(number) for number in self._targets[: self.kept]]
            self._targets = words
        elif targets.dtype != object and self._targets.dtype == object:
            targets = np.array([label(number) for number in targets], object)
        most = len(self._values)
        room = min(most - self.kept, len(values))
        self._values[self.kept : self.kept + room] = values[:room]
        self._targets[self.kept : self.kept + room] = targets[:room]
        numbers = np.arange(self.seen + room, self.seen + len(values))
        places = (self._chance.random(len(numbers)) * (numbers + 1)).astype(np.int64)
        taken = np.flatnonzero(places < most)
        # Where a place is drawn twice the later row stays, as if they came one by one.
        self._values[places[taken]] = values[room + taken]
        self._targets[places[taken]] = targets[room + taken]
        self.seen += len(values)

    @property
    def kept(self) -> int:
        """How many rows are in the sample."""
        return min(self.seen, len(self._values))

    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Return values [kept, width] and targets [kept]."""
        return self._values[: self.kept], self._targets[: self.kept]
