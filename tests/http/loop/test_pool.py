"""The threads: bounded, woken when work waits, never begun too late, not in the way of an exit."""

import asyncio
import gc
import threading
import time
import weakref
from functools import partial
from typing import Any

import pytest

from gpfn.deadline import NEVER, Deadline
from gpfn.errors import DeadlineExceeded, Overloaded
from gpfn.http.loop.pool import WorkPool


def pool(threads: int, queue: int = 100) -> WorkPool:
    return WorkPool(threads, queue)


def test_what_it_returns_and_what_it_raises() -> None:
    async def main() -> None:
        work = pool(2)
        assert await work.run(lambda: 7, NEVER) == 7
        with pytest.raises(ZeroDivisionError):
            await work.run(lambda: 1 // 0, NEVER)
        with pytest.raises(TimeoutError, match="theirs"):
            await work.run(raise_timeout, Deadline.after(5))
        with pytest.raises(SystemExit):
            await work.run(lambda: (_ for _ in ()).throw(SystemExit(3)), NEVER)

    def raise_timeout() -> None:
        raise TimeoutError("theirs")

    asyncio.run(main())


def test_short_work_keeps_one_thread_and_work_that_blocks_gets_more() -> None:
    names: set[str] = set()

    def work(seconds: float) -> None:
        names.add(threading.current_thread().name)
        if seconds:
            time.sleep(seconds)

    async def main() -> None:
        team = pool(3)
        for _ in range(20):
            await asyncio.gather(*(team.run(lambda: work(0), NEVER) for _ in range(5)))
        assert len(names) == 1
        began = time.perf_counter()
        await asyncio.gather(*(team.run(lambda: work(0.1), NEVER) for _ in range(9)))
        assert len(names) == 3
        assert time.perf_counter() - began < 0.8, "three at a time"

    asyncio.run(main())


def test_the_loop_waits_for_short_work_instead_of_being_woken() -> None:
    """A busy machine may hold a thread up: then the loop does not wait for a while."""

    async def woken() -> int:
        team, count = pool(2), 0
        await team.run(lambda: 1, NEVER)
        wake = team._team.finished

        def counted() -> None:
            nonlocal count
            count += 1
            wake()

        team._team.finished = counted
        for _ in range(10):
            await asyncio.gather(*(team.run(lambda: 1, NEVER) for _ in range(8)))
        return count

    assert any(asyncio.run(woken()) == 0 for _ in range(20)), "it is woken every time"


def test_work_that_blocks_does_not_hold_up_the_loop() -> None:
    async def main() -> None:
        team = pool(2)
        slow = [asyncio.create_task(team.run(lambda: time.sleep(0.5), NEVER)) for _ in range(2)]
        await asyncio.sleep(0.05)
        began = time.perf_counter()
        for _ in range(20):
            await asyncio.sleep(0)
        assert time.perf_counter() - began < 0.1
        await asyncio.gather(*slow)

    asyncio.run(main())


def test_many_short_jobs_are_all_told() -> None:
    async def main() -> None:
        team = pool(2, queue=2000)
        results = await asyncio.gather(*(team.run(lambda n=n: n, NEVER) for n in range(2000)))
        assert results == list(range(2000))
        assert team.load == 0

    asyncio.run(main())


def test_as_many_wait_as_may() -> None:
    async def main() -> None:
        team = pool(1, queue=2)
        waiting = [asyncio.create_task(team.run(lambda: time.sleep(0.2), NEVER)) for _ in range(3)]
        await asyncio.sleep(0.01)
        with pytest.raises(Overloaded, match="3 calls are running or waiting; GPFN_QUEUE"):
            await team.run(lambda: None, NEVER)
        await asyncio.gather(*waiting)
        await team.run(lambda: None, NEVER)

    asyncio.run(main())


def test_what_waits_past_its_deadline_is_never_begun() -> None:
    begun: list[int] = []

    def work(number: int) -> None:
        begun.append(number)
        time.sleep(0.3)

    async def main() -> None:
        team = pool(1)
        began = time.perf_counter()
        calls = [team.run(lambda n=n: work(n), Deadline.after(0.1)) for n in range(3)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(result) for result in results] == [DeadlineExceeded] * 3
        assert time.perf_counter() - began < 0.29
        await team.run(lambda: None, NEVER)
        assert team.load == 0

    asyncio.run(main())
    assert begun == [0]


def test_a_cancelled_call_is_never_begun() -> None:
    begun: list[str] = []

    async def main() -> None:
        team = pool(1)
        first = asyncio.create_task(team.run(lambda: time.sleep(0.2), NEVER))
        second = asyncio.create_task(team.run(lambda: begun.append("second"), NEVER))
        await asyncio.sleep(0.05)
        second.cancel()
        await first
        await team.run(lambda: None, NEVER)

    asyncio.run(main())
    assert begun == []


def test_a_result_is_not_kept() -> None:
    class Big:
        pass

    kept: list[weakref.ref[Any]] = []

    def work() -> Big:
        big = Big()
        kept.append(weakref.ref(big))
        return big

    async def main() -> None:
        await team.run(work, NEVER)
        await asyncio.sleep(0.05)
        gc.collect()
        assert kept[0]() is None

    team = pool(1)
    asyncio.run(main())


def test_a_thread_outlives_a_loop() -> None:
    team = pool(1)

    async def leave() -> None:
        with pytest.raises(DeadlineExceeded):
            await team.run(lambda: time.sleep(0.2), Deadline.after(0.05))

    async def again() -> int:
        done: int = await team.run(lambda: 1, NEVER)
        return done

    asyncio.run(leave())  # its loop is closed before the thread is done
    assert asyncio.run(again()) == 1


def test_without_a_thread_it_is_overloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        team = pool(2)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", no_thread)
            with pytest.raises(Overloaded, match="no thread can be started"):
                await team.run(lambda: 1, NEVER)
        assert await team.run(lambda: 1, NEVER) == 1
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", no_thread)  # one is enough
            results = await asyncio.gather(
                *(team.run(lambda: time.sleep(0.02), NEVER) for _ in range(4))
            )
            assert results == [None] * 4

    asyncio.run(main())


def test_who_raises_when_told_keeps_nobody_else_from_being_told() -> None:
    told: list[int] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: told.append(-1))
        team = pool(1)
        for number in range(6):

            def done(result: Any, error: BaseException | None, number: int = number) -> None:
                assert error is None
                told.append(result)
                if number == 0:
                    raise RuntimeError("told badly")

            team.submit(lambda number=number: number, NEVER, done)
        while len(told) < 7:
            await asyncio.sleep(0.01)
        assert team.load == 0

    asyncio.run(asyncio.wait_for(main(), 10))
    assert sorted(told) == [-1, 0, 1, 2, 3, 4, 5]


def test_work_that_nobody_waits_for_lets_go_of_what_it_would_work_on() -> None:
    class Body:
        pass

    async def main() -> None:
        team = pool(1)
        blocking = asyncio.create_task(team.run(lambda: time.sleep(0.5), NEVER))
        await asyncio.sleep(0.05)
        body = Body()
        kept = weakref.ref(body)
        late: list[BaseException | None] = []
        told = lambda _, error: late.append(error)  # noqa: E731
        team.submit(lambda body=body: body, Deadline.after(0.1), told)
        del body
        while not late:
            await asyncio.sleep(0.01)
        assert isinstance(late.pop(), DeadlineExceeded)
        gc.collect()
        assert kept() is None, "it waits no more, and its body is kept"
        await blocking

    asyncio.run(main())


def test_a_closed_pool_does_what_waits_and_has_no_threads_then() -> None:
    before = threading.active_count()
    done: list[int] = []

    def slowly(number: int) -> int:
        time.sleep(0.005)
        return number

    async def main() -> None:
        work = WorkPool(2, 100, patient=False)
        for number in range(20):
            work.submit(partial(slowly, number), NEVER, lambda found, _: done.append(found))
        await asyncio.sleep(0.01)
        work.close()
        until = time.monotonic() + 10
        while len(done) < 20 or threading.active_count() > before:
            assert time.monotonic() < until
            await asyncio.sleep(0.01)

    asyncio.run(main())
    assert sorted(done) == [*range(20)]


def test_an_error_does_not_keep_the_work_that_it_came_from() -> None:
    """It holds its trace, and that the frames: a cycle would live until the collector runs."""

    class Large:
        """What the work is about."""

    kept: list[weakref.ref[Large]] = []
    told: list[str] = []

    def fails() -> None:
        large = Large()
        kept.append(weakref.ref(large))
        raise ValueError

    async def main() -> None:
        def done(_: object, error: BaseException | None) -> None:
            told.append(type(error).__name__)

        pool(1).submit(fails, NEVER, done)
        while not told:
            await asyncio.sleep(0.001)

    gc.collect()
    gc.disable()
    try:
        asyncio.run(main())
        assert kept[0]() is None
    finally:
        gc.enable()
