"""The loop: look at the folder, train when it has changed, push what came of it.

A state of the data is trained on once, also across restarts: the journal knows its digest,
together with that of the options. What the training refuses is not tried again until something
changes; a training that was killed is tried again at the next start. The last good model stays
until there is a better word than "failed", and a push that did not arrive is repeated.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from gpfn.errors import GpfnError, SetupError
from gpfn.retraining.child import (
    Trained,
    TrainingEnded,
    TrainingRefused,
    TrainOnce,
    train_in_child,
)
from gpfn.retraining.journal import FAILED, PUSHED, TRAINED, TrainingJournal
from gpfn.retraining.keeper import ModelKeeper
from gpfn.retraining.watched_folder import Snapshot, WatchedFolder

__all__ = ["Push", "Retraining", "Tell", "TrainingJob"]

Push = Callable[[Path, Trained], Mapping[str, Any]]
"""Sends the model in a folder away; returns what is to be told of it. Raises GpfnError."""
Tell = Callable[[str, Mapping[str, Any]], None]
"""Called with a word for what has happened, and what is to be known of it."""

_SLICE = 0.2  # seconds of a sleep, after which it is asked whether to stop
_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 300.0  # seconds before a push is repeated


class TrainingJob(NamedTuple):
    """What is done with the data.

    ``options`` is a text that is another one when a training would make something else of the
    same data. ``place`` is where ``push`` sends a model: another one than before has none of them.
    """

    train: TrainOnce
    options: str = ""
    push: Push | None = None
    place: str = ""


class Retraining:
    """Trains on a folder until it is stopped; used within ``with keeper``."""

    def __init__(
        self,
        watched: WatchedFolder,
        keeper: ModelKeeper,
        job: TrainingJob,
        tell: Tell,
        *,
        every: float = 1.0,
        first_pause: float = _FIRST_PAUSE,
    ) -> None:
        """Look at the folder ``every`` so many seconds. Raises SetupError."""
        self._watched, self._keeper, self._job, self._tell = watched, keeper, job, tell
        self._every, self._first_pause = every, first_pause
        self._made_by = _digest(job.options)
        self._journal = TrainingJournal(keeper.journal)
        self._pending: tuple[str, Trained] | None = None
        self._pause, self._next_push = first_pause, 0.0
        self._settled = ""
        self._said = ""
        self._went_well = True

    def run(self, stopped: Callable[[], bool], *, once: bool = False) -> bool:
        """Go on until ``stopped`` says so; ``once`` ends when one state of the data is done.

        Returns whether the last training and the last push went well.
        """
        self._owe()
        while not stopped():
            snapshot = self._look()
            if snapshot is not None:
                self._heed(snapshot, stopped)
            self._push_again()
            if once and self._is_done(snapshot):
                break
            self._sleep(stopped)
        return self._went_well and self._pending is None

    def _owe(self) -> None:
        """Have the last good model pushed, if an earlier run did not, or to another place.

        With other options it is none of this job, which has its name among them: one is trained.
        What a journal does not say, for it is older, counts as the same.
        """
        owed = self._journal.find(self._journal.trained)
        if not owed or not self._keeper.current.is_dir():
            return
        if owed.told.get("options", self._made_by) != self._made_by:
            return
        if owed.state == TRAINED or owed.told.get("to", self._job.place) != self._job.place:
            self._await_push(owed.digest, _trained_of(owed.told))

    def _is_done(self, snapshot: Snapshot | None) -> bool:
        """Say whether there is nothing left for ``once``: a failed push is not waited for."""
        if snapshot is None:
            return self._watched.is_empty()
        return self._key(snapshot) == self._settled and self._watched.is_still(snapshot)

    def _sleep(self, stopped: Callable[[], bool]) -> None:
        end = time.monotonic() + self._every
        while not stopped() and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _SLICE))

    def _look(self) -> Snapshot | None:
        try:
            found = self._watched.look()
        except SetupError as error:
            self._say_once("unreadable", str(error))
            self._went_well = False
            return None
        if self._watched.is_empty():
            self._say_once("empty", "")
        elif found is None and not self._settled:
            self._say_once("waiting", "")
        return found

    def _say_once(self, word: str, why: str) -> None:
        """Tell something that may stay so for long, when it is new."""
        if self._said != word + why:
            self._tell(word, {"folder": str(self._watched.folder), **({"why": why} if why else {})})
        self._said = word + why

    def _key(self, snapshot: Snapshot) -> str:
        return _digest(f"{snapshot.digest}\n{self._job.options}")

    def _heed(self, snapshot: Snapshot, stopped: Callable[[], bool]) -> None:
        """Train, unless it is known already what becomes of this state."""
        key = self._key(snapshot)
        if key == self._settled:
            return
        self._said = ""
        known = self._journal.find(key)
        if known and known.state == FAILED:
            self._settle(key, well=False)
            self._tell("failed before", {"why": known.told.get("why", "")})
        elif known and key == self._journal.trained and self._keeper.current.is_dir():
            self._settle(key, well=True)
            self._tell("trained before", {"summary": known.told.get("summary", "")})
        else:
            self._train(snapshot, key, stopped)

    def _settle(self, key: str, *, well: bool) -> None:
        self._settled, self._went_well = key, well

    def _train(self, snapshot: Snapshot, key: str, stopped: Callable[[], bool]) -> None:
        self._tell("training", {"files": [path.name for path in snapshot.files]})
        began = time.monotonic()
        try:
            trained = self._trained(snapshot, key, stopped)
        except TrainingRefused as error:
            if not self._watched.is_still(snapshot):
                self._tell("changed", {})
                return
            self._settle(key, well=False)
            self._tell("failed", {"why": str(error)})
            self._note(key, FAILED, {"why": str(error)})
        except (TrainingEnded, SetupError) as error:  # the second is of our own folder
            self._settle(key, well=False)
            self._tell("ended", {"why": str(error)})
        else:
            if trained is not None:
                self._settle(key, well=True)
                seconds = round(time.monotonic() - began, 1)
                self._tell("trained", {"seconds": seconds, **trained._asdict()})
                self._await_push(key, trained)

    def _trained(self, snapshot: Snapshot, key: str, stopped: Callable[[], bool]) -> Trained | None:
        """Train and keep it; None when it was stopped, or the files have changed meanwhile."""
        with self._keeper.new() as made:
            trained = train_in_child(self._job.train, snapshot.files, made, stopped)
            if trained is None:
                return None
            if not self._watched.is_still(snapshot):
                self._tell("changed", {})
                return None
            self._keeper.keep(made)
        self._journal.add(key, TRAINED, **trained._asdict(), options=self._made_by)
        return trained

    def _note(self, key: str, state: str, told: Mapping[str, Any]) -> None:
        """Write into the journal; where that fails, something is done twice after a restart."""
        try:
            self._journal.add(key, state, **told)
        except SetupError as error:
            self._tell("ended", {"why": str(error)})

    def _await_push(self, key: str, trained: Trained) -> None:
        if self._job.push is not None:
            self._pending = key, trained
            self._pause, self._next_push = self._first_pause, 0.0

    def _push_again(self) -> None:
        """Push what waits for it, when it is time; a newer model takes the place of an older."""
        if self._pending is None or self._job.push is None or time.monotonic() < self._next_push:
            return
        key, trained = self._pending
        try:
            told = self._job.push(self._keeper.current, trained)
        except GpfnError as error:
            self._next_push = time.monotonic() + self._pause
            self._tell("not pushed", {"why": str(error), "again_in": self._pause})
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        else:
            self._pending = None
            self._tell("pushed", told)
            self._note(key, PUSHED, {**told, "to": self._job.place})


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _trained_of(told: Mapping[str, Any]) -> Trained:
    return Trained(told.get("model", ""), told.get("summary", ""), told.get("metrics") or {})
