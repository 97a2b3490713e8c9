"""Several processes on one listening socket, and the one that looks after them.

The parent opens the socket, forks the workers and answers nothing itself. It starts a
worker again that died, later and later when that happens again and again, ends one whose
loop stands, and at the end tells all of them to stop and waits. It has one thread and no event
loop: both would not survive a fork. Should it be killed itself, the workers end with it.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn

from gpfn.errors import SetupError

if TYPE_CHECKING:
    from gpfn.http.loop.pulse import Pulse
    from gpfn.log import Log

__all__ = ["BROKEN", "Loss", "Watch", "Workers"]

Loss = Literal["signal", "stall", "exit"]
"""How a worker was lost: ended by a signal, killed because its loop stood, or it left itself."""

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
BROKEN = 78  # sysexits.h: a configuration error
_LOOK_SECONDS = 0.5
_FIRST_DELAY, _LONGEST_DELAY = 0.1, 10.0
_MOST_WATCHED = 2000
_STEADY_SECONDS = 30.0
"""A worker that has run that long is started again at once."""


class _Place:
    """The place of one worker: the process in it, or when one is to be started."""

    __slots__ = ("began", "delay", "due", "life", "pid", "stood")

    def __init__(self) -> None:
        self.pid = 0
        self.life = -1  # our end of a pipe; when it is closed, the worker is killed
        self.stood = False
        self.began = 0.0
        self.delay = 0.0
        self.due = 0.0

    def free(self) -> None:
        """Forget the process, which has ended."""
        self.pid = 0
        if self.life >= 0:
            os.close(self.life)
            self.life = -1


class Watch:
    """Whether a file in a folder has changed, was added or removed since the last look."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen = self._look()

    def changed(self) -> bool:
        """Look, and say whether anything is not as it was."""
        now = self._look()
        changed, self._seen = now != self._seen, now
        return changed

    def _look(self) -> dict[str, tuple[int, int]]:
        found: dict[str, tuple[int, int]] = {}
        for folder, folders, files in os.walk(self._folder):
            folders[:] = [name for name in folders if name[0] not in "._"]
            for name in files:
                path = os.path.join(folder, name)
                with suppress(OSError):  # it is being replaced
                    status = os.stat(path)
                    found[path] = (status.st_mtime_ns, status.st_size)
                if len(found) >= _MOST_WATCHED:
                    return found
        return found


class Workers:
    """``count`` processes that do the same work until SIGTERM."""

    def __init__(
        self,
        count: int,
        work: Callable[[int], object],
        log: Log,
        grace: float,
        watch: Watch | None = None,
        *,
        pulse: Pulse | None = None,
        lost: Callable[[int, Loss], object] = lambda _number, _loss: None,
        ending: Callable[[], object] = lambda: None,
    ) -> None:
        """``work`` is called in a worker with its number, and returns to end it.

        ``grace`` are the seconds that workers have to end before they are killed. When a
        file that ``watch`` looks at changes, all workers are replaced. A worker whose loop
        stands, as ``pulse`` tells, is killed; it has to have begun to beat there. ``lost`` is
        called in this process with the number of a worker that has ended, before the next one
        takes its place. ``ending`` is called in this process before the workers are told to
        end; it closes what only they are to have, such as the socket that they listen on: who
        connects where nobody accepts any more has to be refused at once.
        """
        self._work = work
        self._log = log
        self._grace = grace
        self._watch = watch
        self._pulse = pulse
        self._lost = lost
        self._ending = ending
        self._places = [_Place() for _ in range(count)]
        self._waiting: set[int] = set()
        self._proven = False  # whether any worker has run for a while

    def run(self) -> int:
        """Look after the workers until SIGTERM or SIGINT; returns the exit code.

        It is 1 when a worker could not be set up the first time.
        """
        previous = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            return self._run(previous)
        finally:
            self._ending()
            self._end()
            signal.pthread_sigmask(signal.SIG_SETMASK, previous)

    def _run(self, mask: set[signal.Signals] | set[int]) -> int:
        self._waiting = set(mask)
        while True:
            self._start_due()
            received = signal.sigtimedwait(_SIGNALS, self._patience())
            number = received.si_signo if received else 0
            if number in (signal.SIGTERM, signal.SIGINT):
                return 0
            if number == signal.SIGHUP:
                self._tell(signal.SIGHUP)
            if not self._reap():
                return 1
            self._end_standing()
            if self._watch is not None and self._watch.changed():
                self._log.info("files have changed: starting again")
                self._tell(signal.SIGTERM)
                for place in self._places:
                    place.due = 0.0

    def _patience(self) -> float:
        due = [place.due for place in self._places if not place.pid]
        soonest = min(due, default=float("inf")) - time.monotonic()
        look = _LOOK_SECONDS if self._pulse is None else self._pulse.look_seconds
        return max(0.0, min(look, soonest))

    def _start_due(self) -> None:
        now = time.monotonic()
        for number, place in enumerate(self._places):
            if not place.pid and place.due <= now:
                try:
                    place.pid, place.began, place.stood = self._fork(number), now, False
                except OSError as error:  # too many processes, or no memory: later then
                    self._log.warning(f"cannot start a worker: {error.strerror}")
                    place.due = now + _LONGEST_DELAY

    def _fork(self, number: int) -> int:
        sys.stdout.flush()
        sys.stderr.flush()
        theirs, ours = os.pipe()
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError:
            os.close(theirs)
            os.close(ours)
            raise
        if not pid:
            self._be(number, parent, theirs, ours)
        os.close(theirs)
        self._places[number].life = ours
        return pid

    def _be(self, number: int, parent: int, theirs: int, ours: int) -> NoReturn:
        """Be a worker."""
        code = 1
        try:
            for life in (ours, *(place.life for place in self._places if place.life >= 0)):
                os.close(life)
            _die_with(parent, theirs)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # unless it has a certificate to renew
            signal.pthread_sigmask(signal.SIG_SETMASK, self._waiting)
            self._work(number)
            code = 0
        except SetupError as error:
            self._log.failure(error)
            code = BROKEN
        except BaseException as error:  # noqa: BLE001 - the parent's stack must not go on here
            self._log.failure(error)
        finally:
            with suppress(Exception):  # nobody reads them any more
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _end_standing(self) -> None:
        """Kill the workers whose loops do not turn any more."""
        if self._pulse is None:
            return
        self._pulse.look()
        for number, place in enumerate(self._places):
            if place.pid and not place.stood and self._pulse.stands(number, place.pid):
                place.stood = True
                told = f"has not turned for {self._pulse.stall_seconds:g} s or more: it is killed"
                self._log.error(f"the loop of the worker {place.pid} {told}")
                os.kill(place.pid, signal.SIGKILL)

    def _reap(self) -> bool:
        """Take note of workers that ended; False when there is no use in starting them again."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return True
            if not pid:
                return True
            code = os.waitstatus_to_exitcode(status)
            for number, place in enumerate(self._places):
                if place.pid == pid:
                    self._ended(number, place, code)
            if code == BROKEN and not self._proven and self._watch is None:
                return False

    def _ended(self, number: int, place: _Place, code: int) -> None:
        now = time.monotonic()
        steady = now - place.began > _STEADY_SECONDS
        place.free()
        self._lost(number, "stall" if place.stood else "signal" if code < 0 else "exit")
        if self._pulse is not None:
            self._pulse.forget(number)
        if code == 0:  # it was told to
            place.delay = 0.0
            self._proven = True
        else:
            self._proven = self._proven or steady or code != BROKEN
            place.delay = 0.0 if steady else min(_LONGEST_DELAY, place.delay * 2 or _FIRST_DELAY)
            if code == BROKEN and not self._proven and self._watch is None:
                return  # it has said why, and no other one starts
            how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
            self._log.error(f"a worker ended {how}; another one starts")
        place.due = now + place.delay
        if code == BROKEN and self._watch is not None:
            place.due = float("inf")  # until somebody mends the file

    def _tell(self, number: int) -> None:
        for place in self._places:
            if place.pid:
                with suppress(ProcessLookupError):  # it has just ended
                    os.kill(place.pid, number)

    def _end(self) -> None:
        """Stop all workers; kill what has not ended within the grace time."""
        self._tell(signal.SIGTERM)
        until = time.monotonic() + self._grace
        while any(place.pid for place in self._places) and time.monotonic() < until:
            signal.sigtimedwait({signal.SIGCHLD}, 0.1)
            self._bury()
        self._tell(signal.SIGKILL)
        while any(place.pid for place in self._places):
            self._bury()
            time.sleep(0.01)

    def _bury(self) -> None:
        for place in self._places:
            if place.pid and os.waitpid(place.pid, os.WNOHANG)[0]:
                place.free()


def _die_with(parent: int, life: int) -> None:
    """Have the system kill this process once the other end of the pipe is closed, by any death.

    Whoever kills a server means all of it; what stayed would keep its address.
    """
    with suppress(OSError, AttributeError):  # a system without it: workers are left over then
        fcntl.fcntl(life, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(life, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(life, fcntl.F_SETFL, fcntl.fcntl(life, fcntl.F_GETFL) | os.O_ASYNC)
    if os.getppid() != parent:  # it has died meanwhile
        os._exit(1)
