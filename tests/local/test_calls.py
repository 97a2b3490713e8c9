"""The calls that are kept: whole, in order, bounded, and told to who follows."""

import asyncio
from pathlib import Path

import pytest

from gpfn.local.calling import CallStages
from gpfn.local.calls import (
    MOST_BODY_BYTES,
    MOST_LOG_BYTES,
    CallBody,
    CallRecord,
    Calls,
    RunningCall,
    caller_of,
    line_of,
)
from gpfn.local.state import State


def record(identifier: str = "c1", *, key: str = "f1", began: float = 1000.0) -> CallRecord:
    return CallRecord(identifier, "fn", key, "app/f", "curl", "invoke", began, 200)


def calls(**options: float) -> Calls:
    return Calls(State(), clock=lambda: 1000.0, **options)  # type: ignore[arg-type]


def test_a_call_is_kept_as_it_was() -> None:
    kept = calls()
    whole = record()._replace(
        stages=CallStages(0.1, 0.2, 0.3, 0.4),
        cold=True,
        failure="crashed",
        detail="ended by signal 9",
        memory=12345,
        request=CallBody.of("text/plain", memoryview(b"hi")),
        reply=CallBody.of("application/json", b"{}"),
        log=((1000.5, "stdout", "öne"), (1000.6, "stderr", "two")),
        line=line_of("GET", "/t/a/b?c=%20&d=\xe9"),
    )
    added = kept.add(whole)
    assert added == whole._replace(number=1)
    assert kept.get(1) == added
    assert kept.find("c1") == added
    assert kept.get(2) is kept.find("c2") is None


def test_a_line_is_kept_whole_or_not_at_all() -> None:
    assert line_of("GET", "/" + "x" * 2000) == "GET /" + "x" * 2000
    assert line_of("GET", "/" + "x" * 3000) == ""


def test_lists_are_without_bodies_and_log() -> None:
    kept = calls()
    for number in range(1, 6):
        body = CallBody.of("text/plain", b"x" * number)
        kept.add(record(f"c{number}", key=f"f{number % 2}")._replace(request=body, reply=body))
    newest = kept.recent(2)
    assert [each.number for each in newest] == [5, 4]
    assert newest[0].request == CallBody("text/plain", b"", 5)
    assert [each.number for each in kept.recent(9, before=4, key="f1")] == [3, 1]
    assert [each.number for each in kept.since(2, 2)] == [3, 4]
    assert kept.since(5) == []


def test_numbers_grow_over_restarts_also_when_the_newest_is_gone(tmp_path: Path) -> None:
    state = State(tmp_path / "dev.sqlite")
    assert Calls(state, clock=lambda: 1000.0).add(record()).number == 1
    with state.transaction() as connection:
        connection.execute("DELETE FROM calls")
    state.close()
    state = State(tmp_path / "dev.sqlite")
    assert Calls(state, clock=lambda: 1000.0).add(record()).number == 2
    state.close()


def test_the_oldest_go_when_there_are_too_many() -> None:
    kept = calls(most=100)
    for number in range(300):
        kept.add(record(f"c{number}"))
    left = [each.number for each in kept.recent(1000)]
    assert left[0] == 300
    assert left == list(range(300, 300 - len(left), -1))
    assert 80 <= len(left) <= 100


def test_the_oldest_go_when_they_are_too_large_but_never_the_last() -> None:
    kept = calls(most_bytes=100_000)
    body = CallBody.of("text/plain", b"x" * 20_000)
    for number in range(20):
        kept.add(record(f"c{number}")._replace(request=body))
    assert [each.number for each in kept.recent(1000)] == [20, 19, 18, 17]
    large = CallBody.of("text/plain", b"x" * MOST_BODY_BYTES)
    kept.add(record("large")._replace(request=large, reply=large))
    assert [each.id for each in kept.recent(9)] == ["large"]


def test_old_ones_go_at_the_start_and_while_it_runs() -> None:
    state, now = State(), 1000.0
    kept = Calls(state, age_seconds=50.0, clock=lambda: now)
    kept.add(record("old", began=900.0))
    kept.add(record("new", began=990.0))
    kept = Calls(state, age_seconds=50.0, clock=lambda: now)
    assert [each.id for each in kept.recent()] == ["new"]
    now = 1100.0
    kept.add(record("newest", began=1099.0))
    assert [each.id for each in kept.recent()] == ["newest"]


def test_bodies_logs_and_texts_are_cut() -> None:
    kept = calls()
    body = CallBody("text/plain" * 100, b"x" * (MOST_BODY_BYTES + 1), 0)
    log = tuple((1.0, "stdout", "y" * 1000) for _ in range(2000))
    added = kept.add(
        record()._replace(request=body, reply=body, log=log, detail="d" * 9999, via="v" * 9999)
    )
    found = kept.get(added.number)
    assert found is not None
    assert len(found.request.data) == len(found.reply.data) == MOST_BODY_BYTES
    assert sum(len(text) for _, _, text in found.log) <= MOST_LOG_BYTES + 100
    assert "left out" in found.log[-1][2]
    assert max(len(found.detail), len(found.via)) <= 2000


def test_text_that_utf_8_cannot_hold_breaks_nothing() -> None:
    kept = calls()
    added = kept.add(record("\udcff")._replace(detail="\ud800", log=((1.0, "stdout", "\udc80"),)))
    assert kept.get(added.number) is not None


def test_who_follows_is_told_and_one_that_fails_is_told_no_more(
    capfd: pytest.CaptureFixture[str],
) -> None:
    kept = calls()
    told: list[object] = []

    def fails(_: object) -> None:
        raise KeyError("broken")

    end = kept.subscribe(told.append)
    kept.subscribe(fails)
    running = RunningCall("c1", "fn", "f1", "app/f", "curl", "invoke", 1000.0)
    kept.begin(running)
    assert list(kept.running) == [running]
    added = kept.add(record())
    assert not kept.running
    assert told == [running, added]
    assert capfd.readouterr().err.count("broken") == 1
    end()
    end()
    kept.add(record())
    assert len(told) == 2


@pytest.mark.parametrize(
    ("agent", "caller"),
    [
        ("Go-http-client/1.1", "fn"),
        ("OpenWhisk-CLI/1.0 (2021-04-01) linux amd64", "wsk"),
        ("curl/7.88.1", "curl"),
        ("Mozilla/5.0 (X11; Linux)", "browser"),
        ("gpfn/1.2", "gpfn"),
        ("", "unknown"),
        ("\0\x1b[31m", "[31m"),
        ("x" * 500, "x" * 40),
    ],
)
def test_a_caller_is_known_by_its_user_agent(agent: str, caller: str) -> None:
    assert caller_of(agent) == caller


def test_on_a_loop_calls_are_written_together_and_before_they_are_shown(tmp_path: Path) -> None:
    place = tmp_path / "dev.sqlite"
    state = State(place)
    kept = Calls(state, clock=lambda: 1000.0)
    told: list[object] = []
    kept.subscribe(told.append)

    def written() -> int:
        return int(state.connection.execute("SELECT count(*) FROM calls").fetchone()[0])

    async def work() -> None:
        first = kept.add(record("c1"))
        second = kept.add(record("c2"))
        assert (first.number, second.number, written(), told) == (1, 2, 0, [])
        assert [each.number for each in kept.recent()] == [2, 1]
        assert (written(), told) == (2, [first, second])
        kept.add(record("c3"))
        await asyncio.sleep(0.2)
        assert (written(), len(told)) == (3, 3)
        for number in range(1000):
            kept.add(record(f"many{number}"))
        assert 700 < written() < 1003

    asyncio.run(work())
    state.close()
    state = State(place)
    assert state.connection.execute("SELECT count(*) FROM calls").fetchone() == (1003,)
    assert Calls(state, clock=lambda: 1000.0).add(record()).number == 1004
    state.close()


def test_the_rest_of_a_log_is_waited_for_and_added_for_who_reads_sooner() -> None:
    kept = calls()
    told: list[CallRecord] = []
    kept.subscribe(told.append)  # type: ignore[arg-type]
    line, late = (1000.0, "stderr", "in the call"), (1000.1, "stderr", "ValueError: of it")
    written: list[tuple[float, str, str]] = []

    async def work() -> None:
        kept.add(record("c1")._replace(log=(line,)), lambda: tuple(written))
        written.append(late)
        await asyncio.sleep(0.1)
        assert [each.log for each in told] == [(line, late)]
        written.clear()
        kept.add(record("c2")._replace(log=(line,)), lambda: tuple(written))
        assert kept.find("c2").log == (line,)  # type: ignore[union-attr]
        written.append(late)
        await asyncio.sleep(0.1)
        assert kept.find("c2").log == (line, late)  # type: ignore[union-attr]
        kept.add(record("c3"), lambda: tuple(written))

    asyncio.run(work())
    assert kept.find("c3").log == (late,)  # type: ignore[union-attr]
    size = "SELECT sum(size), sum(length(log)) FROM calls"
    counted, logs = kept._state.connection.execute(size).fetchone()
    assert counted == 3 * 400 + logs


def test_a_full_disk_breaks_no_call(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    state = State(tmp_path / "dev.sqlite")
    kept = Calls(state, clock=lambda: 1000.0)
    told: list[object] = []
    kept.subscribe(told.append)
    kept.add(record("c1"))
    pages = state.connection.execute("PRAGMA page_count").fetchone()[0]
    state.connection.execute(f"PRAGMA max_page_count = {pages}")
    large = CallBody.of("text/plain", b"x" * MOST_BODY_BYTES)
    kept.add(record("c2")._replace(request=large, reply=large))
    assert "1 calls are not kept" in capfd.readouterr().err
    assert len(told) == 2
    state.connection.execute("PRAGMA max_page_count = 1000000")
    kept.add(record("c3"))
    assert [each.id for each in kept.recent()] == ["c3", "c1"]
    state.close()


def test_calls_are_counted_for_each_key_and_slice_of_time() -> None:
    kept = calls()
    for at, key, status, cold in (
        (99.0, "f1", 200, True), (100.0, "f1", 200, True), (104.9, "f1", 502, False),
        (105.0, "f1", 200, False), (105.0, "f2", 404, True), (200.0, "f2", 200, False),
    ):  # fmt: skip
        kept.add(record(key=key, began=at)._replace(status=status, cold=cold))
    assert sorted(kept.counted(100.0, 5.0)) == [
        ("f1", 0, 2, 1, 1), ("f1", 1, 1, 0, 0), ("f2", 1, 1, 1, 1), ("f2", 20, 1, 0, 0)
    ]  # fmt: skip
    assert kept.counted(201.0, 5.0) == []
    assert [one.number for one in kept.marks_since(100.0, 3)] == [2, 3, 4]
    assert [one.number for one in kept.marks_of("f1", 2)] == [4, 3]
    assert [one.number for one in kept.recent(9, only="failed")] == [5, 3]
    assert [one.number for one in kept.recent(9, only="cold", key="f1")] == [2, 1]
