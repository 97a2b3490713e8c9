"""A func.py as a destination: called in this process, by as many threads as there are cores.

A call that does not end in time is answered for, and its thread is left to itself: another one
takes its place, so that calls that hang keep nobody waiting, and the process can end.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import SimpleQueue
from types import MappingProxyType
from typing import TYPE_CHECKING

from gpfn.bridge.answers import Answer
from gpfn.call.contract import Answering, Call
from gpfn.deadline import Deadline
from gpfn.errors import BackendTimeout
from gpfn.message import Message

if TYPE_CHECKING:
    from gpfn.events.event import Event

__all__ = ["InProcess"]

_MOST_HANGING = 100
"""Threads that are left to themselves; then calls wait until one of them ends after all."""
_GRACE_SECONDS = 0.5
"""More than the call's own deadline, which the function may keep by itself."""


class InProcess:
    """A function of this process; see :class:`gpfn.bridge.destinations.Destination`."""

    def __init__(self, path: str, config: Mapping[str, str] = MappingProxyType({})) -> None:
        """Load the function and open its model. Raises SetupError when that cannot be.

        ``config`` are variables, which are the whole process's: those that were set give way.
        """
        from gpfn.platforms.load import load_function

        os.environ.update(config)
        file, self.shown = _file_of(path)
        self._function: Answering = load_function(file)
        self._function.open()  # its model, before events come
        self._work: SimpleQueue[_Called | None] = SimpleQueue()
        self._threads = self._hanging = 0
        for _ in os.sched_getaffinity(0):
            self._start_thread()

    def call(
        self, message: Message, _event: Event, seconds: float, done: Callable[[Answer], None]
    ) -> None:
        """Call it in a thread; ``done`` is called once, in the loop's thread."""
        loop = asyncio.get_running_loop()
        called = _Called(message, Deadline.after(seconds), loop, done)
        called.timer = loop.call_later(seconds + _GRACE_SECONDS, self._late, called, seconds)
        self._work.put(called)

    def _late(self, called: _Called, seconds: float) -> None:
        if called.began and self._hanging < _MOST_HANGING:
            self._hanging += 1
            self._start_thread()
        called.answer(BackendTimeout(f"{self.shown}: no answer within {seconds:g} s"))

    def _start_thread(self) -> None:
        self._threads += 1
        name = f"function-{self._threads}"
        threading.Thread(target=self._serve, name=name, daemon=True).start()

    def _serve(self) -> None:
        """Answer calls until there are none any more."""
        while (called := self._work.get()) is not None:
            if called.answered:
                continue
            called.began = True
            answer = self._answer(called)
            if called.answered:  # it came too late, and another thread has this one's place
                return
            called.loop.call_soon_threadsafe(called.answer, answer)

    def _answer(self, called: _Called) -> Answer:
        try:
            call = Call(deadline=called.deadline, platform="bridge")
            reply = self._function.answer(called.message, call)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the event is tried again
            return 500, Message(type(error).__name__.encode(), "text/plain")
        return reply.status, reply.message

    def close(self) -> None:
        """Let the threads end; those that hang end with the process."""
        for _ in range(self._threads):
            self._work.put(None)


class _Called:
    """One call."""

    __slots__ = ("answered", "began", "deadline", "done", "loop", "message", "timer")

    def __init__(
        self,
        message: Message,
        deadline: Deadline,
        loop: asyncio.AbstractEventLoop,
        done: Callable[[Answer], None],
    ) -> None:
        self.message = message
        self.deadline = deadline
        self.loop = loop
        self.done = done
        self.began = self.answered = False
        self.timer: asyncio.TimerHandle | None = None

    def answer(self, answer: Answer) -> None:
        """Tell who waits, once."""
        if not self.answered:
            self.answered = True
            if self.timer is not None:
                self.timer.cancel()
            self.done(answer)


def _file_of(path: str) -> tuple[str, str]:
    """Return the file of a function and what it is called.

    What its func.yaml sets and nobody else has is set for it, as its platform would. In an
    image there is no YAML, and the configuration is in the environment already.
    """
    try:
        from gpfn.hosts.target import find_target
    except ImportError:
        return path, Path(path).resolve().name
    target = find_target(path)
    for name, value in target.config.items():
        os.environ.setdefault(name, value)
    return str(target.file), target.name or target.folder.name
