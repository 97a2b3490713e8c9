"""The threads: bounded, reused, never begun too late, never in the way of an exit."""

import asyncio
import gc
import threading
import time
import weakref
from typing import Any

import pytest

from gpfn.deadline import NEVER, Deadline
from gpfn.errors import DeadlineExceeded
from gpfn.platforms.http.workers import Workers


def test_what_it_returns_and_what_it_raises() -> None:
    async def main() -> None:
        workers = Workers(2)
        assert await workers.run(lambda: 7, NEVER) == 7
        with pytest.raises(ZeroDivisionError):
            await workers.run(lambda: 1 // 0, NEVER)
        with pytest.raises(TimeoutError, match="theirs"):
            await workers.run(raise_timeout, Deadline.after(5))

    def raise_timeout() -> None:
        raise TimeoutError("theirs")

    asyncio.run(main())


def test_threads_are_started_when_needed_and_no_more_than_allowed() -> None:
    names: set[str] = set()

    def work() -> None:
        names.add(threading.current_thread().name)
        time.sleep(0.05)

    async def main() -> None:
        workers = Workers(3)
        for _ in range(4):
            await workers.run(work, NEVER)
            await asyncio.sleep(0.01)  # for the thread to be idle again
        assert len(names) == 1
        await asyncio.gather(*(workers.run(work, NEVER) for _ in range(9)))
        assert len(names) == 3

    asyncio.run(main())


def test_what_waits_past_its_deadline_is_never_begun() -> None:
    begun: list[int] = []

    def work(number: int) -> None:
        begun.append(number)
        time.sleep(0.3)

    async def main() -> None:
        workers = Workers(1)
        began = time.perf_counter()
        calls = [workers.run(lambda n=n: work(n), Deadline.after(0.1)) for n in range(3)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(result) for result in results] == [DeadlineExceeded] * 3
        assert time.perf_counter() - began < 0.25
        await workers.run(lambda: None, NEVER)

    asyncio.run(main())
    assert begun == [0]


def test_a_cancelled_call_is_never_begun() -> None:
    begun: list[str] = []

    async def main() -> None:
        workers = Workers(1)
        first = asyncio.create_task(workers.run(lambda: time.sleep(0.2), NEVER))
        second = asyncio.create_task(workers.run(lambda: begun.append("second"), NEVER))
        await asyncio.sleep(0.05)
        second.cancel()
        await first
        await workers.run(lambda: None, NEVER)

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
        await workers.run(work, NEVER)
        await asyncio.sleep(0.05)
        gc.collect()
        assert kept[0]() is None

    workers = Workers(1)
    asyncio.run(main())


def test_a_thread_outlives_a_loop() -> None:
    workers = Workers(1)

    async def leave() -> None:
        with pytest.raises(DeadlineExceeded):
            await workers.run(lambda: time.sleep(0.2), Deadline.after(0.05))

    async def again() -> int:
        done: int = await workers.run(lambda: 1, NEVER)
        return done

    asyncio.run(leave())  # its loop is closed before the thread is done
    assert asyncio.run(again()) == 1
