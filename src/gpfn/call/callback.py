"""A user's own function: what its parameters ask for, and how an async one is waited for.

Reading ``__code__`` by hand instead of ``inspect.signature`` saves the import of inspect,
which is more than the rest of a cold start without a model.

A call is written once, as steps: a generator. What it yields is awaitable (a user's async
function was called), what it is sent is the result. A thread runs the steps
(:func:`run_steps`), or an event loop does (:func:`run_steps_async`).
"""

from __future__ import annotations

from _thread import _local
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from gpfn.deadline import Deadline
from gpfn.errors import DeadlineExceeded, SetupError

if TYPE_CHECKING:
    import asyncio

__all__ = ["EXTRAS", "Callback", "Steps", "finish_steps", "run_steps", "run_steps_async", "settle"]

EXTRAS = ("model", "call", "event", "payload")
"""What is given by name: the opened model, the Call, the Event or None, the Payload."""

_VARARGS, _VARKEYWORDS = 0x04, 0x08  # inspect.CO_VARARGS, inspect.CO_VARKEYWORDS


class Callback:
    """A user's function with what its parameters ask for.

    A single value (an event, a payload) is the first argument, whatever it is called.
    Arrays are given by name when every array has a parameter of its name, as one dict
    when there is one parameter and several arrays, otherwise in declared order. Any other
    parameter called ``model``, ``call``, ``event`` or ``payload`` is given by name.
    """

    __slots__ = ("_first", "_known", "_names", "_variadic", "function", "is_async", "name", "wants")

    def __init__(self, function: Callable[..., object]) -> None:
        self.function = function
        self.name = str(getattr(function, "__name__", type(function).__name__))
        """What errors call it."""
        positional, keywords, variadic, self.is_async = _signature(function)
        self._variadic = variadic
        self._first = positional[:1]
        self.wants = tuple(name for name in EXTRAS if name in positional or name in keywords)
        self._names = tuple(name for name in positional if name not in self.wants)
        self._known = frozenset(self._names)

    def with_value(self, value: object, extras: Mapping[str, object]) -> object:
        """Call it with one value and the extras that it asks for."""
        wanted = {name: extras[name] for name in self.wants if name not in self._first}
        return self.function(value, **wanted)

    def with_arrays(self, arrays: Mapping[str, object], extras: Mapping[str, object]) -> object:
        """Call it with named arrays and the extras that it asks for."""
        wanted = {name: extras[name] for name in self.wants}
        if self._known and arrays.keys() <= self._known:
            return self.function(**arrays, **wanted)
        if len(arrays) > 1 and len(self._names) == 1 and not self._variadic:
            return self.function(dict(arrays), **wanted)
        return self.function(*arrays.values(), **wanted)

    def check(self, arrays: Sequence[str]) -> None:
        """Raise SetupError when it cannot be called with arrays of these names."""
        count = len(self._names)
        if self._variadic or count == len(arrays) or count == 1:
            return
        if set(arrays) <= set(self._names):
            return
        raise SetupError(
            f"{self.name} takes {_list(self._names)}, but the arrays are {_list(arrays)}",
            field="inputs",
        )


def _list(names: Iterable[str]) -> str:
    return f"({', '.join(names)})"


def _signature(function: Callable[..., object]) -> tuple[list[str], list[str], bool, bool]:
    """Return positional names, keyword-only names, whether *args, whether it is async."""
    target, bound = _plain(function)
    code = getattr(target, "__code__", None)
    if code is None:
        return _inspected(function)
    count = code.co_argcount
    positional = list(code.co_varnames[bound:count])
    keywords = list(code.co_varnames[count : count + code.co_kwonlyargcount])
    variadic = bool(code.co_flags & _VARARGS)
    return positional, keywords, variadic, bool(code.co_flags & 0x80)  # CO_COROUTINE


def _plain(function: object) -> tuple[object, int]:
    """Return the function below wrappers and methods, and how many arguments are bound."""
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    if hasattr(function, "__func__"):
        return _plain(function.__func__)[0], 1
    if hasattr(function, "__code__") or isinstance(function, type):
        return function, 0
    call = getattr(type(function), "__call__", None)  # noqa: B004 - its code is wanted
    return (call, 1) if hasattr(call, "__code__") else (function, 0)


def _inspected(function: Callable[..., object]) -> tuple[list[str], list[str], bool, bool]:
    import inspect

    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a built-in without a signature
        return [], [], True, False
    positional = [
        p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    keywords = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    return positional, keywords, variadic, inspect.iscoroutinefunction(function)


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
