"""The watermark: never beyond an unfinished record, and read back as it was written."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gpfn.bridge.watermark import METADATA_LIMIT, Beyond, Watermark, parse_beyond

MOST = 2**63 - 1
LOG = st.lists(st.integers(1, 4), min_size=1, max_size=60)
"""A log as the distances between its offsets: compaction leaves gaps."""


def offsets_of(steps: list[int], start: int = 0) -> list[int]:
    """Return ascending offsets with these distances."""
    found, at = [], start - 1
    for step in steps:
        at += step
        found.append(at)
    return found


def restored(mark: Watermark, limit: int = METADATA_LIMIT) -> Watermark:
    """Return what a restart makes of what was committed."""
    committed = mark.committable()
    if committed is None:
        return Watermark()
    text = mark.text(limit)
    assert len(text) <= max(limit, 0)
    return Watermark(committed, parse_beyond(committed, text))


class Restarts(RuleBasedStateMachine):
    """A partition that is worked on in any order, and given to somebody else again and again."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[int] = []
        self.done: set[int] = set()
        self.tries: dict[int, int] = {}
        self.again()

    def again(self, mark: Watermark | None = None) -> None:
        self.mark = mark or Watermark()
        start = self.mark.committable() or 0
        self.coming = [at for at in self.log if at >= start]
        self.working: list[int] = []
        assert not [at for at in self.log if at < start and at not in self.done]

    @rule(steps=LOG)
    def write(self, steps: list[int]) -> None:
        new = offsets_of(steps, self.log[-1] + 1 if self.log else 0)
        self.log += new
        self.coming += new

    @precondition(lambda self: self.coming)
    @rule(count=st.integers(1, 40))
    def receive(self, count: int) -> None:
        for offset in self.coming[:count]:
            assert not self.mark.rewinds(offset)
            wanted = self.mark.begin(offset)
            assert wanted == (offset not in self.done)  # a text that fits forgets nothing
            if wanted:
                assert self.mark.attempts(offset) == self.tries.get(offset, 0)
                self.working.append(offset)
        del self.coming[:count]

    @precondition(lambda self: self.working)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        offset = self.working.pop(data.draw(st.integers(0, len(self.working) - 1)))
        assert self.mark.finish(offset)
        assert not self.mark.finish(offset)
        self.done.add(offset)
        self.tries.pop(offset, None)

    @precondition(lambda self: self.working)
    @rule(data=st.data(), attempts=st.integers(1, 10**6))
    def fail(self, data: st.DataObject, attempts: int) -> None:
        offset = data.draw(st.sampled_from(self.working))
        assert self.mark.tried(offset, attempts)
        self.tries[offset] = attempts

    @rule()
    def restart(self) -> None:
        self.again(restored(self.mark))

    @invariant()
    def never_beyond_an_unfinished_one(self) -> None:
        committed = self.mark.committable()
        left = [at for at in self.log if at not in self.done]
        if committed is not None and left:
            assert committed <= left[0]
        assert self.mark.unfinished() == len(self.working)
        if self.log and not self.coming:
            assert self.mark.behind(self.log[-1] + 1) == len(self.working)

    @invariant()
    def all_done_is_all_committed(self) -> None:
        if self.log and not self.coming and not self.working:
            assert self.mark.committable() == self.log[-1] + 1
            assert self.mark.text() == ""
            assert self.mark.gap() == 0


TestRestarts = Restarts.TestCase


@given(LOG, st.sets(st.integers(0, 60)), st.integers(0, 120), st.integers(0, 2**62))
def test_what_does_not_fit_is_the_highest(
    steps: list[int], finished: set[int], limit: int, start: int
) -> None:
    offsets = offsets_of(steps, start)
    mark = Watermark()
    for offset in offsets:
        mark.begin(offset)
    done = {offsets[index] for index in finished if 0 < index < len(offsets)}
    for offset in done:
        mark.finish(offset)
    left = restored(mark, limit)
    again = {offset for offset in offsets if left.begin(offset)}
    assert {*offsets} - done <= again  # nothing unfinished is missing
    forgotten = again & done
    kept = done - again
    assert not forgotten or not kept or max(kept) < min(forgotten)


def test_a_thousand_holes_fit_and_a_million_do_not_grow() -> None:
    mark = Watermark()
    for offset in range(1_000_000):
        mark.begin(offset)
        if offset % 2:
            mark.finish(offset)
    assert mark.gap() == 500_000
    assert len(mark.text()) <= METADATA_LIMIT
    again = restored(mark)
    assert sum([not again.begin(offset) for offset in range(4000)]) >= 1000


def test_what_is_known_survives_a_restart_that_did_not_come_so_far() -> None:
    mark = Watermark(10, Beyond(((20, 30), (50, 60)), ((40, 3),)))
    for offset in range(10, 25):
        assert mark.begin(offset) == (offset < 20)
    mark.finish(10)
    again = restored(mark)
    assert again.committable() == 11
    begun = [offset for offset in range(11, 70) if again.begin(offset)]
    assert begun == [*range(11, 20), *range(30, 50), *range(60, 70)]
    assert again.attempts(40) == 3


def test_a_record_that_came_before_is_told() -> None:
    mark = Watermark(10)
    assert mark.rewinds(9)
    assert not mark.rewinds(10)
    assert mark.begin(12)
    assert not mark.begin(12)  # it is under way
    with pytest.raises(ValueError, match="offset 9 came after all below 10 were done"):
        mark.begin(9)
    assert not mark.finish(11)
    assert not mark.tried(11, 1)
    assert not mark.tried(12, 0)
    assert mark.unfinished() == 1


def test_how_far_behind_it_is() -> None:
    assert Watermark().behind(100, 30) == 70
    assert Watermark(40).behind(100, 30) == 60
    assert Watermark(20).behind(100, 30) == 70  # what was deleted cannot be done any more
    mark = Watermark(40)
    mark.begin(40)
    mark.begin(41)
    mark.finish(41)
    assert mark.behind(100, 30) == 59
    assert mark.behind(10, 0) == 1  # a log that was cut


@given(st.integers(0, MOST), st.text(max_size=200) | st.binary(max_size=3000))
def test_any_other_text_is_refused_or_harmless(committed: int, given_text: str | bytes) -> None:
    text = given_text
    if isinstance(given_text, bytes):
        text = "gpfn1:" + base64.urlsafe_b64encode(given_text).decode()
    try:
        beyond = parse_beyond(committed, text)
    except ValueError:
        return
    at = committed
    for first, after in sorted([*beyond.runs, *[(at, at + 1) for at, _ in beyond.attempts]]):
        assert at <= first < after
        at = after


def test_a_text_of_another_offset_is_refused() -> None:
    mark = Watermark()
    mark.begin(0)
    mark.tried(0, 7)
    assert parse_beyond(0, mark.text()).attempts == ((0, 7),)
    for committed, text in [(1, mark.text()), (0, "other"), (0, "gpfn1:" + "A" * 5000)]:
        with pytest.raises(ValueError, match="written"):
            parse_beyond(committed, text)
