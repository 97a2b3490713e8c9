"""What has changed in a models folder since the last look, once it has come to rest.

Files are put there while somebody serves from there, so nothing is taken at its first sight:
a version counts when none of its files has changed between two looks a second apart, or for a
minute. That covers a file that is written slowly, and one that is copied
late changes its version once more. In the same way a version has gone when two looks a second
apart have not found it. One that is served already is kept while what has taken its place is
half written, damaged or refused.

There are no threads here and nothing is opened for good. A look may take as long as reading
every new file that a ``model.toml`` states the hash of: not for an event loop's thread.
"""

import os
from collections.abc import Callable
from time import monotonic, time
from typing import NamedTuple

from gpfn.errors import GpfnError
from gpfn.serving.folder import Ignored, Readings, Survey
from gpfn.serving.folder_model import Candidate, FoundVersion, NoModel, examine

__all__ = ["Changes", "FolderWatch"]

_Key = tuple[str, str]
_LONG_AGO = 60.0
"""Seconds, by the clock of the file system: it may be another machine's, which is not ours."""


class Changes(NamedTuple):
    """What to do to the models that are served, and what is not served.

    ``added`` and ``changed`` are by name, the versions of each upwards; ``removed`` are names
    and versions. ``ignored`` is everything that is passed over now, not only what is new.
    ``unsettled`` says that the next look may tell of more, though nobody touches the folder.
    """

    added: tuple[FoundVersion, ...] = ()
    changed: tuple[FoundVersion, ...] = ()
    removed: tuple[_Key, ...] = ()
    ignored: tuple[Ignored, ...] = ()
    unsettled: bool = False


class FolderWatch:
    """Tells what to load, to load anew and to unload; every version counts as taken once told.

    ``settle`` is how long nothing may have changed (seconds), ``clock`` what tells the time
    between two looks.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        settle: float = 1.0,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._folder = folder
        self._settle = settle
        self._clock = clock
        self._readings: Readings = {}
        self._known: dict[_Key, FoundVersion] = {}
        self._since: dict[_Key, tuple[object, float]] = {}
        self._judged: dict[_Key, tuple[object, FoundVersion | GpfnError]] = {}

    def look(self) -> Changes:
        """Return the changes since the last look.

        Raises SetupError, and nothing has changed, when the folder itself cannot be read.
        """
        survey = Survey(self._folder, self._readings)
        self._readings = survey.readings
        added: list[FoundVersion] = []
        changed: list[FoundVersion] = []
        there: set[_Key] = set()
        emptied: set[_Key] = set()
        unsettled = False
        for candidate in survey.candidates:
            key = (candidate.name, candidate.version)
            there.add(key)
            stamp, known = candidate.stamp(), self._known.get(key)
            if not self._rested(key, stamp, candidate.changed):
                unsettled = unsettled or known is None or known.stamp != stamp
            elif known is None or known.stamp != stamp:
                found = self._examined(key, candidate, stamp)
                if isinstance(found, FoundVersion):
                    (added if known is None else changed).append(found)
                    self._known[key] = found
                    continue
                survey.refuse(candidate, found)
                if isinstance(found, NoModel):
                    emptied.add(key)
        removed, leaving = self._gone(survey, there, emptied)
        self._prune(there)
        ignored = tuple(survey.ignored)
        return Changes(tuple(added), tuple(changed), removed, ignored, unsettled or leaving)

    def forget(self, name: str) -> None:
        """Let all versions of a model be told as added again, as soon as they are at rest."""
        for key in [key for key in self._known if key[0] == name]:
            del self._known[key]

    def _rested(self, key: _Key, stamp: object, changed: int = 0) -> bool:
        """Say whether a version has been like this for long enough; None is for an absent one."""
        now = self._clock()
        seen, since = self._since.get(key, (None, now))
        if key not in self._since or seen != stamp:
            self._since[key] = (stamp, since := now)
        long_ago = changed > 0 and time() - changed / 1e9 >= _LONG_AGO
        return long_ago or now - since >= self._settle

    def _examined(self, key: _Key, candidate: Candidate, stamp: object) -> FoundVersion | GpfnError:
        """Return what was found in it, or why it is refused: examined once for each state."""
        state = (stamp, candidate.changed)
        before, found = self._judged.get(key, (None, None))
        if found is None or before != state:
            try:
                found = examine(candidate)
            except GpfnError as error:
                found = error
            self._judged[key] = (state, found)
        return found

    def _gone(
        self, survey: Survey, there: set[_Key], emptied: set[_Key]
    ) -> tuple[tuple[_Key, ...], bool]:
        """Forget the versions that have gone and return them; say whether others seem to go."""
        ignored = {(each.name, each.version) for each in survey.ignored}
        kept = (there - emptied) | ignored
        absent = [key for key in self._known if key not in kept and (key[0], "") not in kept]
        gone = tuple(sorted(key for key in absent if key in emptied or self._rested(key, None)))
        for key in gone:
            del self._known[key]
        return gone, len(gone) < len(absent)

    def _prune(self, there: set[_Key]) -> None:
        """Forget all of what is neither there nor told as being there."""
        for kept in (self._since, self._judged):
            for key in [key for key in kept if key not in there and key not in self._known]:
                del kept[key]
