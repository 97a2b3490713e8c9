"""What a call's requests share: they end with it, and are timed."""

import threading

from hypothesis import given
from hypothesis import strategies as st

from gpfn.scope import CallScope, Took, read_server_timing, server_timing


def test_a_scope_ends_its_parts():
    ended: list[str] = []
    scope = CallScope()
    part = scope.within("a").within("b")
    part.watch(lambda: ended.append("b"))
    scope.watch(lambda: ended.append("all"))
    scope.cancel()
    assert sorted(ended) == ["all", "b"]
    assert part.cancelled


def test_what_comes_too_late_is_ended_at_once():
    scope, ended = CallScope(), list[int]()
    scope.cancel()
    scope.watch(lambda: ended.append(1))
    assert ended == [1]


def test_what_is_forgotten_is_not_ended():
    scope, ended = CallScope(), list[int]()

    def abort() -> None:
        ended.append(1)

    scope.watch(abort)
    scope.forget(abort)
    scope.forget(abort)
    scope.cancel()
    assert ended == []


def test_many_threads_may_watch():
    scope, ended = CallScope(), list[int]()
    threads = [
        threading.Thread(target=scope.watch, args=(lambda n=n: ended.append(n),)) for n in range(50)
    ]
    for thread in threads:
        thread.start()
    scope.cancel()
    for thread in threads:
        thread.join()
    assert {*ended} == {*range(50)}


def test_times_lead_to_what_took_them():
    scope = CallScope([])
    scope.within("a").within("b").note("compute", 0.5)
    scope.within("a").note_told("next.total;dur=12.5, bad entry, x;dur=1;desc=y")
    assert scope.timings == [Took("a.b.compute", 0.5), Took("a.next.total", 0.0125)]


def test_nothing_is_noted_that_nobody_wants():
    scope = CallScope()
    scope.note("a", 1.0)
    assert scope.timings is None


def test_a_server_cannot_fill_the_memory():
    scope = CallScope([])
    scope.note_told(", ".join(f"a{n};dur=1" for n in range(100_000)))
    assert len(scope.timings or ()) <= 256


@given(st.lists(st.tuples(st.from_regex(r"[A-Za-z0-9_.-]{1,20}", fullmatch=True),
                          st.floats(1e-6, 1e4)), max_size=20))  # fmt: skip
def test_a_header_is_read_as_it_was_written(pairs):
    times = [Took(*pair) for pair in pairs]
    read = [*read_server_timing(server_timing(times))]
    assert [took.name for took in read] == [took.name for took in times]
    for got, told in zip(read, times, strict=True):
        assert abs(got.seconds - told.seconds) <= 0.51e-6


@given(st.text(max_size=200))
def test_any_header_can_be_read(text):
    assert all(took.seconds >= 0 for took in read_server_timing(text))
