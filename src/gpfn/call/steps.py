"""Running the steps of a call: the same steps, waited for by a thread or by an event loop.

The steps are a generator. What they yield is awaitable (a user's async function was
called); what they are sent is its result. So the pipeline is written once.
"""

from __future__ import annotations

from _thread import _local
from collections.abc import Awaitable, Generator
from typing import TYPE_CHECKING, TypeVar

from gpfn.deadline import Deadline
from gpfn.errors import DeadlineExceeded

if TYPE_CHECKING:
    import asyncio

__all__ = ["Steps", "finish_steps", "run_steps", "run_steps_async", "settle"]

_T = TypeVar("_T")
Steps = Generator[Awaitable[object], object, _T]

_LOOPS = _local()  # one event loop a thread, made when a function turns out to be async


def settle(result: object) -> Steps[object]:
    """Return ``result``, or what it gives when it is awaitable."""
    if hasattr(result, "__await__"):
        result = yield result
    return result


def run_steps(steps: Steps[_T], deadline: Deadline) -> _T:
    """Run ``steps`` in this thread."""
    try:
        awaitable = next(steps)
    except StopIteration as stop:
        value: _T = stop.value
        return value
    return finish_steps(steps, awaitable, deadline)


def finish_steps(steps: Steps[_T], awaitable: Awaitable[object], deadline: Deadline) -> _T:
    """Run ``steps``, which wait for ``awaitable``, to their end in this thread."""
    try:
        while True:
            try:
                result = _wait(awaitable, deadline)
            except Exception as error:  # noqa: BLE001 - handed to the steps, which decide
                awaitable = steps.throw(error)
            else:
                awaitable = steps.send(result)
    except StopIteration as stop:
        value: _T = stop.value
        return value


async def run_steps_async(steps: Steps[_T], deadline: Deadline) -> _T:
    """Run ``steps`` in this event loop."""
    try:
        awaitable = next(steps)
        while True:
            try:
                result = await _within(awaitable, deadline)
            except Exception as error:  # noqa: BLE001 - handed to the steps, which decide
                awaitable = steps.throw(error)
            else:
                awaitable = steps.send(result)
    except StopIteration as stop:
        value: _T = stop.value
        return value


async def _within(awaitable: Awaitable[object], deadline: Deadline) -> object:
    import asyncio

    left = deadline.remaining()
    scope = asyncio.timeout(None if left == float("inf") else left)
    try:
        async with scope:
            return await awaitable
    except TimeoutError:
        if scope.expired():
            raise DeadlineExceeded("the deadline passed while the function ran") from None
        raise


def _wait(awaitable: Awaitable[object], deadline: Deadline) -> object:
    """Wait for ``awaitable`` on a loop of this thread, or of another when this one has one."""
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _loop().run_until_complete(_within(awaitable, deadline))
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as executor:
        return executor.submit(asyncio.run, _within(awaitable, deadline)).result()


def _loop() -> asyncio.AbstractEventLoop:
    """Return the loop of this thread: kept, so that a function may keep connections on it."""
    import asyncio

    loop: asyncio.AbstractEventLoop | None = getattr(_LOOPS, "loop", None)
    if loop is None or loop.is_closed():
        loop = _LOOPS.loop = asyncio.new_event_loop()
    return loop
