"""Which events were dealt with, and which are under way: a second coming is left out.

An event is its source and its id. One that comes while the first of its name is under way keeps
its place in its lanes, and is not called before that one ended. Was it dealt with, which is that
it was answered and no route made a dead letter of it, then those that waited are left out. If
not, or when its partition went to somebody else, the next one takes its place: no event is lost
because another one of its name failed.

Records wait for earlier ones alone, so none of them waits for ever.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from gpfn.bridge.intake import Work
    from gpfn.events.event import Event

__all__ = ["Memory"]

_Name: TypeAlias = tuple[str, str]


class Memory:
    """The names of the last events that were dealt with, and the works of those under way."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._done: OrderedDict[_Name, None] = OrderedDict()
        self._names: dict[Work, _Name] = {}
        self._works: dict[_Name, deque[Work]] = {}
        """Of each event under way: the one that may be called, and those that wait for it."""

    def knows(self, event: Event) -> bool:
        """Say whether an event of this name was dealt with."""
        return (event.source, event.id) in self._done

    def keep(self, event: Event) -> None:
        """An event was dealt with."""
        self._keep((event.source, event.id))

    def begin(self, work: Work, event: Event) -> None:
        """A work's tasks are about to be put into their lanes: it waits if it is not the first."""
        name = self._names[work] = (event.source, event.id)
        works = self._works.setdefault(name, deque())
        if works:
            work.parked = []
        works.append(work)

    def ended(self, work: Work) -> list[Work]:
        """A work ended, well or not, or was dropped. Returns those that are left out for it."""
        name = self._names.pop(work, None)
        if name is None:
            return []
        works = self._works[name]
        if works[0] is not work:  # it was dropped while it waited
            works.remove(work)
            _resume(work)
            return []
        works.popleft()
        left_out: list[Work] = []
        if work.answered and not (work.buried or work.dropped):
            self._keep(name)
            left_out = [other for other in works if not other.dropped]
            while works:
                self._names.pop(works[0], None)
                _resume(works.popleft())
        if works:
            _resume(works[0])
        else:
            del self._works[name]
        return left_out

    def _keep(self, name: _Name) -> None:
        self._done[name] = None
        if len(self._done) > self._most:
            self._done.popitem(last=False)


def _resume(work: Work) -> None:
    """Let a work's tasks be called, or passed over, now that it waits for nothing."""
    parked, work.parked = work.parked, None
    for lanes, task in parked or ():
        lanes.back(task)
