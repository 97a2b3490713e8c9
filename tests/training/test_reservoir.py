"""A bounded sample of rows: uniform, the same for the same seed, and of one kind of targets."""

import numpy as np
import pytest
from reservoir import Reservoir


def sampled(count: int, most: int, seed: int, chunk: int = 7) -> Reservoir:
    """Give the numbers 0 to ``count`` in chunks; a row's value and target are its number."""
    sample = Reservoir(most, 1, seed)
    numbers = np.arange(count, dtype=np.float64)
    for first in range(0, count, chunk):
        part = numbers[first : first + chunk]
        sample.add(part[:, np.newaxis].astype(np.float32), part)
    return sample


@pytest.mark.parametrize("count", [0, 1, 5, 10])
def test_few_rows_are_all_kept_in_order(count: int) -> None:
    sample = sampled(count, 10, seed=1)
    values, targets = sample.rows()
    assert values.ravel().tolist() == targets.tolist() == list(range(count))
    assert (sample.kept, sample.seen) == (count, count)


def test_every_row_has_the_same_chance() -> None:
    """20 of 100, a thousand times: each is there 200 times, with a deviation of 12.6."""
    counts = np.zeros(100)
    for seed in range(1000):
        values, targets = sampled(100, 20, seed).rows()
        assert values.ravel().tolist() == targets.tolist()
        assert len(set(targets)) == 20
        counts[targets.astype(int)] += 1
    assert np.abs(counts - 200).max() < 5 * 12.7
    assert abs(counts[:50].sum() - 10_000) < 5 * 50


def test_the_seed_decides() -> None:
    one, again, other = (sampled(1000, 50, seed).rows()[1].tolist() for seed in (3, 3, 4))
    assert one == again
    assert one != other


def test_numbers_become_labels_when_texts_come() -> None:
    sample = Reservoir(4, 1, 0)
    sample.add(np.zeros((2, 1), np.float32), np.array([1.0, 2.5]))
    sample.add(np.zeros((1, 1), np.float32), np.array(["other"], object))
    sample.add(np.zeros((1, 1), np.float32), np.array([3.0]))
    assert sample.rows()[1].tolist() == ["1", "2.5", "other", "3"]
