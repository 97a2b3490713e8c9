"""How much of each partition a group has not done, whichever queue it is.

A group that has not begun with a topic has all of it before it. What a running bridge has done
and not yet written down counts as not done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gpfn.errors import BackendError, SetupError

if TYPE_CHECKING:
    from gpfn.bridge.kafka.admin import KafkaAdmin
    from gpfn.bridge.spec import Place
    from gpfn.bridge.sqlite.reading import TopicState

__all__ = ["LagRow", "group_lags"]

_LONGEST_LINE = 8 << 20


class LagRow(NamedTuple):
    """A partition: how many records of it are not done.

    ``committed`` is the offset from which they come again and ``end`` the one that the next
    record gets; None where a queue does not tell. ``leased`` of them are with a bridge now.
    """

    topic: str
    partition: int
    lag: int
    committed: int | None = None
    end: int | None = None
    leased: int | None = None


def group_lags(place: Place, group: str, topics: Sequence[str] = ()) -> list[LagRow]:
    """Return how far a group is in each partition of topics; without topics of all that it reads.

    A file has no groups: its topic is its path. It blocks, so it is called where no event loop
    runs. Raises SetupError, BackendError, MissingExtra.
    """
    return _LAGS[place.kind](place, group, topics)


def _kafka(place: Place, group: str, topics: Sequence[str]) -> list[LagRow]:
    from gpfn.bridge.kafka.admin import KafkaAdmin
    from gpfn.bridge.kafka.group import group_lag
    from gpfn.bridge.opening import kafka_settings

    admin = KafkaAdmin(kafka_settings(place))
    admin.connect()
    found = group_lag(admin, group, topics or _committed_topics(admin, group))
    return [
        LagRow(each.topic, each.partition, each.lag, each.committed, each.end) for each in found
    ]


def _committed_topics(admin: KafkaAdmin, group: str) -> list[str]:
    """Return the topics of which a group has committed anything."""
    every = [(each.name, n) for each in admin.all_topics() for n in range(each.partitions)]
    found = sorted({topic for topic, _ in admin.committed(group, every)})
    if not found:
        raise SetupError("the group has not committed anything: name a topic", field=group)
    return found


def _nats(place: Place, group: str, topics: Sequence[str]) -> list[LagRow]:
    from gpfn.bridge.nats.read import nats_group_lag, nats_topics

    told = asyncio.run(nats_group_lag(place.address, group, place.settings))
    found = {each.topic: each for each in told}
    there: dict[str, int] = {}
    if any(topic not in found for topic in topics):
        listed = asyncio.run(nats_topics(place.address, place.settings))
        there = {each.topic: each.records for each in listed}
    rows = []
    for topic in topics or sorted(found):
        each = found.get(topic)
        if each is None:
            rows.append(LagRow(topic, 0, there.get(topic, 0), leased=0))
        else:
            lag = each.waiting + each.under_way
            rows.append(LagRow(topic, 0, lag, leased=each.under_way))
    return rows


def _queue(place: Place, group: str, topics: Sequence[str]) -> list[LagRow]:
    from gpfn.bridge.sqlite.reading import list_groups, list_topics, open_queue

    with open_queue(Path(place.address)) as store:
        states = {state.name: state for state in list_topics(store)}
        found = {each.topic: each for each in list_groups(store) if each.group == group}
    rows = []
    for topic in topics or sorted(found):
        state, each = states.get(topic), found.get(topic)
        end = 0 if state is None else state.next
        if each is None:
            rows.append(LagRow(topic, 0, _everything(state), end=end, leased=0))
        else:
            rows.append(LagRow(topic, 0, each.lag, end=end, leased=each.leased))
    return rows


def _everything(state: TopicState | None) -> int:
    return 0 if state is None else state.next - state.first


def _file(place: Place, _group: str, topics: Sequence[str]) -> list[LagRow]:
    return [_file_lag(path) for path in topics or [place.address]]


def _file_lag(path: str) -> LagRow:
    """Return how many lines of a file its cursor does not say are done."""
    from gpfn.bridge.files.cursor import read_cursor
    from gpfn.bridge.files.reader import FileReader

    if path == "-":
        raise SetupError("standard input has no lag", field=path)
    cursor = read_cursor(Path(f"{path}.cursor"))
    reader = FileReader(path, follow=False, limit=_LONGEST_LINE, warn=lambda _: None)
    done = set() if cursor is None else {*cursor.done}
    try:
        reader.open(cursor)
        committed, lag, state = reader.offset, 0, ""
        while state != "ended":
            piece = reader.read()
            lag += sum(1 for line in piece.lines if line.offset not in done)
            state = piece.state
            if state == "moved" and not piece.lines:
                reader.move_on()
        return LagRow(path, 0, lag, None if cursor is None else committed, piece.end)
    except OSError as error:
        raise BackendError(f"cannot be read: {error.strerror}", field=path) from error
    finally:
        reader.close()


_LAGS: Mapping[str, Callable[[Place, str, Sequence[str]], list[LagRow]]] = {
    "kafka": _kafka,
    "nats": _nats,
    "queue": _queue,
    "file": _file,
}
