"""All stages of a pipeline as processes: started in the order of their needs, watched, ended.

Nothing happens by itself: who has them calls `StageProcesses.look` again and again, which starts
what is due, notes what is ready and what has ended, and goes on with ending them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from gpfn.errors import SetupError
from gpfn.pipelines.asking import find_holder, find_served, is_listening, is_ready
from gpfn.pipelines.placement import Launch
from gpfn.pipelines.stage_process import StageProcess

__all__ = ["Note", "StageProcesses", "StageState", "State"]

State = Literal["waiting", "starting", "ready", "down", "port taken", "ending", "ended"]
"""``waiting`` for a stage that it needs, ``down`` until it is started again, ``port taken`` as
long as somebody else listens where it is to."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0
_STEADY_SECONDS = 10.0
"""A stage that was ready for so long is started again after the shortest pause."""
_START_SECONDS = 120.0
_GRACE_SECONDS = 10.0
_SHORT_SECONDS = 1.0
"""How long stages may take to end when something else has gone wrong: nobody waits for answers."""
_LOOK_SECONDS = 0.01
_SHOWN_LINES = 8


class Note(NamedTuple):
    """A line that a stage has written, or what became of it, when there is a ``state``."""

    stage: str
    text: str
    state: State | None = None


class StageState(NamedTuple):
    """How a stage is at the moment."""

    launch: Launch
    state: State
    pid: int
    restarts: int


class _Place:
    """A stage, and the process that is it at the moment."""

    __slots__ = ("began", "due", "launch", "pause", "process", "proven", "restarts", "state")

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        self.process: StageProcess | None = None
        self.state: State = "waiting"
        self.proven = False  # whether it has ever been ready
        self.restarts = 0
        self.pause = 0.0
        self.due = self.began = 0.0


class StageProcesses:
    """The processes of a placement. Ends all of them when it is used as a context.

    Args:
        launches: In the order in which they are started.
        tell: Called with each line and each change, from several threads.
        seconds: How long the first start of a stage may take.
    """

    def __init__(
        self,
        launches: Sequence[Launch],
        tell: Callable[[Note], object] = lambda _: None,
        *,
        seconds: float = _START_SECONDS,
    ) -> None:
        self._places = {launch.name: _Place(launch) for launch in launches}
        self._tell = tell
        self._seconds = seconds
        self._kill_at = 0.0
        self._ending = False

    def __enter__(self) -> StageProcesses:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.stop(_GRACE_SECONDS if kind is None else _SHORT_SECONDS)

    @property
    def states(self) -> list[StageState]:
        """All stages, in the order of the data."""
        return [
            StageState(
                each.launch, each.state, each.process.pid if each.process else 0, each.restarts
            )
            for each in reversed(self._places.values())
        ]

    @property
    def all_ready(self) -> bool:
        """Whether each of them answers."""
        return all(each.state == "ready" for each in self._places.values())

    @property
    def all_ended(self) -> bool:
        """Whether no process is left."""
        return all(each.process is None for each in self._places.values())

    @property
    def is_ending(self) -> bool:
        """Whether they are being ended."""
        return self._ending

    def start(self) -> None:
        """Start all and return when they are ready.

        Raises SetupError, which names the stage and says why, when one does not become so.
        """
        while not self.all_ready:
            self.look()
            time.sleep(_LOOK_SECONDS)

    def look(self) -> None:
        """Do what is due.

        Raises SetupError when a stage cannot begin; one that could once is started again.
        """
        for each in self._places.values():
            process = each.process
            if process is not None and not process.running():
                self._ended(each, process)
            elif process is None and not self._ending and self._is_due(each):
                self._start(each)
            elif each.state == "starting" and not self._ending:
                self._look_whether_ready(each)
        if self._ending:
            self._go_on_ending()

    def begin_to_end(self, grace: float = _GRACE_SECONDS) -> None:
        """Let `look` end them: each when nobody is left who calls it, in ``grace`` seconds."""
        if not self._ending:
            self._ending, self._kill_at = True, time.monotonic() + grace

    def kill(self) -> None:
        """End all at once."""
        self._ending, self._kill_at = True, 0.0

    def stop(self, grace: float = _GRACE_SECONDS) -> None:
        """End all, and return when no process is left."""
        self.begin_to_end(grace)
        try:
            while not self.all_ended:
                self.look()
                time.sleep(_LOOK_SECONDS)
        finally:  # a second Ctrl-C must leave nobody behind either
            for each in self._places.values():
                if each.process is not None:
                    each.process.kill()
                    each.process = None

    def _is_due(self, each: _Place) -> bool:
        needed = [self._places.get(name) for name in each.launch.needs]
        waits = not each.proven and any(one and one.state != "ready" for one in needed)
        return time.monotonic() >= each.due and not waits

    def _start(self, each: _Place) -> None:
        launch = each.launch
        if is_listening(launch.url):
            self._is_taken(each)
            return
        each.began = time.monotonic()
        each.process = StageProcess(launch, lambda line: self._tell(Note(launch.name, line)))
        self._change(each, "starting", f"starts as process {each.process.pid}")

    def _is_taken(self, each: _Place) -> None:
        """Look again later. Raises SetupError for a stage that has never been ready."""
        launch = each.launch
        told = f"{find_holder(launch.url)} listens at {launch.listen} already"
        if not each.proven:
            raise SetupError(told, field=f"stages.{launch.name}.listen")
        self._put_off(each)
        self._change(each, "port taken", f"{told}; it is tried again in {each.pause:g} s")

    def _put_off(self, each: _Place) -> None:
        """Let it be started later than the last time."""
        each.pause = min(_LONGEST_PAUSE, 2 * each.pause) or _FIRST_PAUSE
        each.due = time.monotonic() + each.pause

    def _look_whether_ready(self, each: _Place) -> None:
        if _answers(each):
            seconds = time.monotonic() - each.began
            each.proven, each.began = True, time.monotonic()
            self._change(each, "ready", f"ready at {each.launch.url} after {seconds:.2f} s")
        elif not each.proven and time.monotonic() - each.began > self._seconds:
            assert each.process is not None, "it is starting"  # noqa: S101
            told = f"it is not ready after {self._seconds:g} s"
            raise SetupError(_with_log(told, each.process), field=f"stages.{each.launch.name}")

    def _ended(self, each: _Place, process: StageProcess) -> None:
        process.kill()  # what it has started may hold its address
        each.process = None
        reason = process.reason()
        if self._ending:
            self._change(each, "ended", reason)
            return
        if not each.proven:
            each.state = "ended"
            told = _with_log(f"{reason}; it was never ready", process)
            raise SetupError(told, field=f"stages.{each.launch.name}")
        steady = each.state == "ready" and time.monotonic() - each.began > _STEADY_SECONDS
        each.pause = 0.0 if steady else each.pause
        self._put_off(each)
        each.restarts += 1
        self._change(each, "down", f"{reason}; it starts again in {each.pause:g} s")

    def _go_on_ending(self) -> None:
        """Ask those to end whom nobody calls any more; kill those whose time is up."""
        alive = [each for each in self._places.values() if each.process is not None]
        called = {name for each in alive for name in each.launch.needs}
        late = time.monotonic() > self._kill_at
        for each in alive:
            assert each.process is not None, "it is alive"  # noqa: S101
            if late:
                each.process.kill()
            elif each.state != "ending" and each.launch.name not in called:
                each.process.end()
                self._change(each, "ending", "is to end")
        for each in self._places.values():
            if each.process is None and each.state != "ended":
                self._change(each, "ended", "does not run")

    def _change(self, each: _Place, state: State, text: str) -> None:
        each.state = state
        self._tell(Note(each.launch.name, text, state))


def _answers(each: _Place) -> bool:
    """Say whether the process that was started answers, and nobody else who has its address."""
    process, launch = each.process, each.launch
    assert process is not None, "it is starting"  # noqa: S101
    if not (process.listens or process.quiet) or not is_ready(launch.url):
        return False
    return process.listens or launch.name in find_served(launch.url, launch.name).models


def _with_log(told: str, process: StageProcess) -> str:
    lines = [*process.last_lines][-_SHOWN_LINES:]
    return f"{told}; its last lines: {' | '.join(lines)}" if lines else told
