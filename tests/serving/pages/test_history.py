"""An hour of each model, from counters that go on, begin again, and belong to many versions."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpfn.metrics import SECONDS
from gpfn.repository.documents import Manifest, StoredFile
from gpfn.serving.pages.history import MINUTES, History, Minute, quantile
from gpfn.serving.pages.views import ShownVersion, TrashedVersion


class Counters(NamedTuple):
    failures: float
    buckets: list[float]
    last: float = 0

    def totals(self) -> "Counters":
        return self

    def histogram(self, index: int) -> list[float]:
        assert index == 0
        return [0.0, *self.buckets]


class Board:
    """Counters that can be moved on."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], Counters] = {}

    def add(self, name: str, version: str = "1", calls: float = 0, failed: float = 0, at=3) -> None:
        old = self.known.get((name, version), Counters(0, [0.0] * (len(SECONDS) + 1)))
        buckets = [*old.buckets]
        buckets[at] += calls
        self.known[name, version] = Counters(old.failures + failed, buckets)

    def served(self):
        return [(name, version, each) for (name, version), each in self.known.items()]


def test_each_minute_has_what_came_in_it() -> None:
    board = Board()
    history = History(board.served)
    board.add("m", calls=100)  # before anybody looked
    history.tick(600)
    board.add("m", calls=4, failed=1)
    assert history.minutes("m")[-1][:2] == (4, 1)
    for second in range(600, 660):
        history.tick(second)
    history.tick(660)
    board.add("m", "2", calls=7)
    told = history.minutes("m")
    assert [minute[:2] for minute in told[-3:]] == [(0, 0), (4, 1), (7, 0)]
    assert len(told) == MINUTES
    assert history.trends()["m"][-2:] == [5, 7]
    assert history.minutes("none") == [Minute(0, 0)] * MINUTES


def test_an_hour_later_it_is_forgotten() -> None:
    board = Board()
    history = History(board.served)
    history.tick(60)
    board.add("m", calls=5)
    history.tick(120)
    assert history.minutes("m")[-2].calls == 5
    for minute in range(3, 70):
        history.tick(60 * minute)
    assert sum(minute.calls for minute in history.minutes("m")) == 0
    assert history._rings == {}


def test_a_gap_of_hours_is_a_gap() -> None:
    board = Board()
    history = History(board.served)
    history.tick(60)
    board.add("m", calls=5)
    history.tick(60 * 300)
    assert sum(minute.calls for minute in history.minutes("m")) == 0


def test_counters_that_begin_again_count_from_there() -> None:
    board = Board()
    history = History(board.served)
    board.add("m", calls=100)
    history.tick(60)
    board.known.clear()
    board.add("m", calls=3)
    assert history.minutes("m")[-1].calls == 3


@given(st.lists(st.integers(0, 1000), min_size=15, max_size=15), st.floats(0.01, 1))
def test_a_quantile_lies_in_its_bucket(buckets: list[int], share: float) -> None:
    found = quantile(buckets, share)
    total = sum(buckets)
    if not total:
        assert found is None
        return
    assert found is not None
    below = sum(count for count, bound in zip(buckets, SECONDS, strict=False) if bound < found)
    assert below <= share * total + 1e-9
    upto = sum(count for count, low in zip(buckets, (0.0, *SECONDS), strict=True) if low < found)
    assert upto >= share * total - 1e-6 or found == SECONDS[-1]


@pytest.mark.parametrize(("share", "least", "most"), [(0.5, 0.001, 0.0025), (0.99, 0.5, 1.0)])
def test_of_fast_and_slow_calls(share: float, least: float, most: float) -> None:
    buckets = [0.0] * 15
    buckets[3], buckets[11] = 90, 10
    found = quantile(buckets, share)
    assert found is not None
    assert least <= found <= most


def test_a_version_is_shown_as_its_manifest_and_counters_say() -> None:
    files = (StoredFile("a.tflite", 5, "0" * 64), StoredFile("labels.txt", 2, "1" * 64))
    manifest = Manifest("m", 7, "d" * 64, files, "a.tflite", "litert", when="2026-01-02T03:04:05Z")
    buckets = [0.0] * 15
    buckets[3] = 4
    shown = ShownVersion.of(manifest, Counters(1, buckets, 12.5), state="loading")
    assert (shown.number, shown.size, shown.files) == (7, 7, ("a.tflite", "labels.txt"))
    assert (shown.calls, shown.last, shown.state) == (4, 12.5, "loading")
    assert shown.median is not None
    assert ShownVersion.of(manifest).median is None
    trashed = TrashedVersion.of(manifest._replace(deleted="2026-12-30T23:00:00Z"), 30)
    assert trashed == ("m", 7, 7, "2026-12-30T23:00:00Z", "2027-01-29T23:00:00Z")
