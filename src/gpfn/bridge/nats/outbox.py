"""Which records are to be published, which are on their way, and which have to go again.

Records of a topic go in the order in which they came, many at a time, and a connection carries
them in it. When one ends, all that was not answered goes again over the next one, in the same
order; the server knows by their ids what it has. A cluster may lose a record without an answer
and store the next one, when its leader changes: so there only one record of a key is on its way.

A record that no stream takes for the moment stops its topic: nothing more of it goes until all
that is on its way was answered. Then the first of those that were refused goes again, and when
it is taken the others follow. Should a later record of its key have been stored by then, for
the stream came to be in between, the earlier one is told as an error instead.

Sans-IO: it is told the time, and says what is to be sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from gpfn.bridge.nats.message import message_of, size_of
from gpfn.bridge.record import Outgoing
from gpfn.bridge.seam import Delivered

__all__ = ["Outbox", "Posted"]

_MOST = 1000
_MOST_BYTES = 32 << 20
_PATIENCE = 15.0  # a cluster takes 4 to 9 seconds to choose a leader
_NOT_YET = float("inf")


class Posted:
    """A record on its way, with all that is needed to send it again."""

    __slots__ = ("delivered", "key", "lines", "number", "refused", "sent", "size", "topic", "value")

    def __init__(self, number: int, outgoing: Outgoing, delivered: Delivered, name: str) -> None:
        """Make the message of a record; ``name`` is its id."""
        self.number = number
        self.topic = outgoing.topic
        self.key = outgoing.key
        self.lines, self.value = message_of(outgoing, name)
        self.size = size_of(self.lines, self.value)
        self.delivered = delivered
        self.sent = _NOT_YET
        self.refused = False


class _Stall:
    """A topic that takes nothing for the moment, since when, and what waits for it."""

    __slots__ = ("since", "waiting")

    def __init__(self, since: float) -> None:
        self.since = since
        self.waiting: deque[Posted] = deque()


class Outbox:
    """The records of a sink that are not confirmed."""

    def __init__(self, most: int = _MOST, most_bytes: int = _MOST_BYTES) -> None:
        """Let so many records, and bytes, be on their way at a time."""
        self.flying: dict[int, Posted] = {}
        self.clustered = False
        """Whether only one record of a key may be on its way."""
        self._most = most
        self._most_bytes = most_bytes
        self._bytes = 0
        self._ready: deque[Posted] = deque()
        self._again: deque[Posted] = deque()
        self._stalls: dict[str, _Stall] = {}
        self._lanes: dict[tuple[str, bytes], deque[Posted]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, posted: Posted) -> None:
        """Take a record, behind those of its topic."""
        self._count += 1
        self._ready.append(posted)

    def take(self) -> Posted | None:
        """Return a record that is to be sent now; None when there is none, or no room."""
        while self._again:
            posted = self._again.popleft()
            if posted.number in self.flying:
                return posted
        while self._ready and len(self.flying) < self._most and self._bytes < self._most_bytes:
            posted = self._ready.popleft()
            stall = self._stalls.get(posted.topic)
            if stall is not None:
                stall.waiting.append(posted)
            elif not self._must_wait(posted):
                self._fly(posted)
                return posted
        return None

    def _must_wait(self, posted: Posted) -> bool:
        if not self.clustered or posted.key is None:
            return False
        lane = (posted.topic, posted.key)
        if lane in self._lanes:
            self._lanes[lane].append(posted)
            return True
        self._lanes[lane] = deque()
        return False

    def restart(self) -> None:
        """A new connection: all that is on its way is to be sent again, in its order."""
        self._again = deque(self.flying.values())
        for posted in self._again:
            posted.refused = False
            posted.sent = _NOT_YET
        for topic in list(self._stalls):
            self._go_on(topic)

    def finish(self, posted: Posted) -> None:
        """A record was stored, or is given up."""
        if self.flying.pop(posted.number, None) is None:
            return
        self._count -= 1
        self._bytes -= posted.size
        if posted.key is not None and (posted.topic, posted.key) in self._lanes:
            self._next_of((posted.topic, posted.key))

    def _next_of(self, lane: tuple[str, bytes]) -> None:
        """Let the next record of a key go."""
        waiting = self._lanes[lane]
        stall = self._stalls.get(lane[0])
        if stall is None and waiting:
            posted = waiting.popleft()
            self._fly(posted)
            self._again.append(posted)
            return
        if stall is not None:
            stall.waiting.extendleft(reversed(waiting))
        del self._lanes[lane]

    def _fly(self, posted: Posted) -> None:
        self.flying[posted.number] = posted
        self._bytes += posted.size

    def overtaken(self, stored: Posted) -> list[Posted]:
        """Return those that were refused before a later record of their key was stored.

        The topic takes records again, so the others that were refused are to be sent.
        """
        if stored.topic not in self._stalls:
            return []
        refused = [one for one in self._of(stored.topic) if one.refused]
        found = [
            one
            for one in refused
            if one.number < stored.number and one.key == stored.key and one.key is not None
        ]
        for one in refused:
            one.refused = False
        self._again.extend([one for one in refused if one not in found])
        self._go_on(stored.topic)
        return found

    def refuse(self, posted: Posted, now: float) -> None:
        """No stream takes a record for the moment."""
        posted.refused = True
        if posted.topic not in self._stalls:
            self._stalls[posted.topic] = _Stall(now)

    def retry(self, now: float) -> list[Posted]:
        """Let the first of each topic that is refused go again; return what is given up."""
        given_up: list[Posted] = []
        for topic, stall in list(self._stalls.items()):
            flying = list(self._of(topic))
            if not all(one.refused for one in flying):
                continue  # an answer is under way
            if now - stall.since > _PATIENCE:
                given_up += flying
                self._go_on(topic)
            elif flying:
                flying[0].refused = False
                self._again.append(flying[0])
            else:
                self._go_on(topic)
        return given_up

    def silent_since(self, before: float) -> bool:
        """Say whether something was sent before a time, and never answered."""
        return any(one.sent < before and not one.refused for one in self.flying.values())

    def empty(self) -> list[Posted]:
        """Give up all that is left, and return it in its order."""
        for topic in list(self._stalls):
            self._go_on(topic)
        waiting = [posted for lane in self._lanes.values() for posted in lane]
        left = [*self.flying.values(), *self._ready, *waiting]
        for store in (self.flying, self._ready, self._lanes):
            store.clear()
        self._bytes = self._count = 0
        return sorted(left, key=lambda posted: posted.number)

    def _of(self, topic: str) -> Iterator[Posted]:
        return (one for one in self.flying.values() if one.topic == topic)

    def _go_on(self, topic: str) -> None:
        stall = self._stalls.pop(topic)
        self._ready.extendleft(reversed(stall.waiting))
