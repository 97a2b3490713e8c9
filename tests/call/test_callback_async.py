"""The same steps, run by a thread and by an event loop."""

import asyncio
import threading
import time
from collections.abc import Callable

import pytest

from gpfn.call.callback import Steps, run_steps, run_steps_async, settle
from gpfn.deadline import NEVER, Deadline
from gpfn.errors import DeadlineExceeded


async def later(value: object) -> object:
    await asyncio.sleep(0.001)
    return value


async def broken() -> object:
    await asyncio.sleep(0)
    raise ValueError("broken")


def steps() -> Steps[object]:
    one = yield from settle(1)
    two = yield from settle(later(2))
    try:
        yield from settle(broken())
    except ValueError as error:
        return (one, two, str(error))


def test_in_a_thread() -> None:
    assert run_steps(steps(), NEVER) == (1, 2, "broken")


def test_in_a_loop() -> None:
    assert asyncio.run(run_steps_async(steps(), NEVER)) == (1, 2, "broken")


def test_in_a_thread_that_runs_a_loop() -> None:
    async def inside() -> object:
        return run_steps(steps(), NEVER)

    assert asyncio.run(inside()) == (1, 2, "broken")


def test_a_failure_that_nobody_catches_is_raised() -> None:
    with pytest.raises(ValueError, match="broken"):
        run_steps(settle(broken()), NEVER)
    with pytest.raises(ValueError, match="broken"):
        asyncio.run(run_steps_async(settle(broken()), NEVER))


async def forever() -> None:
    await asyncio.sleep(30)


def in_a_loop(steps: Steps[object], deadline: Deadline) -> object:
    return asyncio.run(run_steps_async(steps, deadline))


@pytest.mark.parametrize("run", [run_steps, in_a_loop])
def test_the_deadline_cancels_what_is_awaited(
    run: Callable[[Steps[object], Deadline], object],
) -> None:
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded, match="while the function ran"):
        run(settle(forever()), Deadline.after(0.05))
    assert time.monotonic() - began < 5


def test_a_time_out_of_the_function_itself_is_no_deadline() -> None:
    async def times_out() -> None:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        run_steps(settle(times_out()), Deadline.after(10))


def test_a_thread_keeps_its_loop() -> None:
    async def loop() -> object:
        return asyncio.get_running_loop()

    first = run_steps(settle(loop()), NEVER)
    assert run_steps(settle(loop()), NEVER) is first
    others: list[object] = []
    thread = threading.Thread(target=lambda: others.append(run_steps(settle(loop()), NEVER)))
    thread.start()
    thread.join()
    assert others[0] is not first
