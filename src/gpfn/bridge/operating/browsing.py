"""Records of a topic of any queue, one after the other, without a group: to look, to send again.

Nothing is committed, leased, acknowledged or made, so who reads the topic for a bridge notices
nothing. Without ``follow`` it ends at the newest record of when it began.

All of it blocks, and a generator of it belongs to the thread that has begun it. Where an event
loop runs, that is another thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from gpfn.bridge.operating.file_browsing import Form, browse_file
from gpfn.bridge.operating.topic_span import Batches, Span, last_of, newest_from, without
from gpfn.errors import SetupError

if TYPE_CHECKING:
    from gpfn.bridge.kafka.admin import KafkaAdmin
    from gpfn.bridge.kafka.range import TopicRange
    from gpfn.bridge.record import Record
    from gpfn.bridge.spec import Place
    from gpfn.bridge.sqlite.store import QueueStore

__all__ = ["browse", "browse_batches"]

_STEP = 256
_LOOK_SECONDS = 0.1
_BEYOND = 1 << 62
"""An offset that no record has."""


class _Look(NamedTuple):
    """What is looked at, and how."""

    place: Place
    topic: str
    span: Span
    follow: bool
    form: Form
    log: Callable[[str], None]


def browse(
    place: Place,
    topic: str,
    span: Span = Span(),  # noqa: B008 - a value
    *,
    follow: bool = False,
    form: Form = "events",
    log: Callable[[str], None] = lambda _: None,
) -> Generator[Record, None, None]:
    """Yield the records of a topic, those of each partition in their order.

    Of files the topic is the path, and ``form`` is what their lines are. With ``follow`` it
    waits for more, for ever. Raises SetupError for what is not there or may not be read,
    BackendError for a queue that does not answer, MissingExtra.
    """
    with closing(browse_batches(place, topic, span, follow=follow, form=form, log=log)) as batches:
        for records in batches:
            yield from records


def browse_batches(
    place: Place,
    topic: str,
    span: Span = Span(),  # noqa: B008 - a value
    *,
    follow: bool = False,
    form: Form = "events",
    log: Callable[[str], None] = lambda _: None,
) -> Batches:
    """Yield the same in batches, which are empty now and then while nothing comes."""
    if place.kind != "kafka" and span.partition:
        raise SetupError(f"{topic} has one partition, 0", field="offsets")
    look = _Look(place, topic, span, follow, form, log)
    with closing(_READERS[place.kind](look)) as batches:
        for records in batches:
            yield [record for record in records if span.holds(record)]


def _kafka(look: _Look) -> Batches:
    from gpfn.bridge.kafka.admin import KafkaAdmin
    from gpfn.bridge.kafka.range import read_range
    from gpfn.bridge.opening import kafka_settings

    settings = kafka_settings(look.place)
    admin = KafkaAdmin(settings, tell=look.log)
    admin.connect()
    yield from read_range(settings, _kafka_range(admin, look), log=look.log)


def _kafka_range(admin: KafkaAdmin, look: _Look) -> TopicRange:
    """Return the span as offsets of each partition."""
    from gpfn.bridge.kafka.admin import EARLIEST, LATEST
    from gpfn.bridge.kafka.range import TopicRange, range_of

    topic, span = look.topic, look.span
    by_offsets = span.first is not None or span.last is not None
    if not by_offsets and span.newest is None:
        since = EARLIEST if span.since is None else span.since
        until = (None if look.follow else LATEST) if span.until is None else span.until
        wanted = range_of(admin, topic, since=since, until=until)
        if span.partition is None:
            return wanted
        _check_partition(topic, span.partition, len(wanted.bounds))
        return TopicRange(topic, {span.partition: wanted.bounds[span.partition]})
    numbers = range(admin.topics([topic])[0].partitions)
    if span.partition is not None:
        _check_partition(topic, span.partition, len(numbers))
        numbers = range(span.partition, span.partition + 1)
    elif by_offsets and len(numbers) > 1:
        told = f"{topic} has {len(numbers)} partitions: say which, such as 0:5-20"
        raise SetupError(told, field="offsets")
    first, after = span.first or 0, None if look.follow else _BEYOND
    if span.last is not None:
        after = span.last + 1
    offsets = dict.fromkeys(numbers, (first, after))
    if span.newest is not None:
        ends = admin.offsets([(topic, number) for number in numbers], LATEST)
        for (_, number), end in ends.items():
            offsets[number] = (max(first, end - span.newest), after)
    return range_of(admin, topic, offsets=offsets)


def _check_partition(topic: str, partition: int, count: int) -> None:
    if partition >= count:
        told = f"{topic} has partitions 0 to {count - 1}, not {partition}"
        raise SetupError(told, field="offsets")


def _nats(look: _Look) -> Batches:
    from gpfn.bridge.nats.direct import last_offset, looking
    from gpfn.bridge.nats.read import read_nats_topic

    address, topic, span = look.place.address, look.topic, look.span
    settings = looking(look.place.settings)
    with asyncio.Runner() as runner:

        def read(first: int, last: int | None, *, follow: bool = False) -> Batches:
            until = None if span.until is None else span.until - 1  # which is included there
            asked = read_nats_topic(
                address,
                topic,
                settings=settings,
                first=first,
                last=last,
                since=span.since,
                until=until,
                follow=follow,
            )
            return _run(runner, cast("AsyncGenerator[Record, None]", asked))

        first, surplus = span.first or 0, 0
        if span.newest is not None:
            end = runner.run(last_offset(address, topic, settings)) + 1
            first, surplus = newest_from(
                span.newest, first, end, lambda low: _count(read(low, end - 1))
            )
        yield from without(surplus, read(first, span.last, follow=look.follow))


def _run(runner: asyncio.Runner, records: AsyncGenerator[Record, None]) -> Batches:
    """Yield what an asynchronous generator does, and end it as well."""

    async def following() -> Record | None:
        return await anext(records, None)

    try:
        while (record := runner.run(following())) is not None:
            yield [record]
    finally:
        runner.run(_close(records))


async def _close(records: AsyncGenerator[Record, None]) -> None:
    await records.aclose()


def _queue(look: _Look) -> Batches:
    from gpfn.bridge.sqlite.reading import list_topics, open_queue, read_records

    topic, span = look.topic, look.span
    with open_queue(Path(look.place.address)) as store:
        states = {state.name: state for state in list_topics(store)}
        if topic not in states:
            raise SetupError(f"{look.place.address} has no such topic", field=topic)
        state = states[topic]
        first, last, surplus = max(span.first or 0, state.first), span.last, 0
        if span.newest is not None:
            first, surplus = newest_from(
                span.newest,
                first,
                state.next,
                lambda low: sum(1 for _ in read_records(store, topic, first=low)),
            )
        if not look.follow:
            last = state.next - 1 if last is None else min(last, state.next - 1)
        while True:
            for records in without(surplus, _queued(store, look, first, last)):
                yield records
                first = records[-1].offset + 1
            surplus = 0
            if not look.follow or (last is not None and first > last):
                return
            yield []
            time.sleep(_LOOK_SECONDS)


def _queued(store: QueueStore, look: _Look, first: int, last: int | None) -> Batches:
    from gpfn.bridge.sqlite.reading import read_records

    since, until = look.span.since, look.span.until
    found = read_records(store, look.topic, first=first, last=last, since=since, until=until)
    while records := [*islice(found, _STEP)]:
        yield records


def _count(batches: Batches) -> int:
    with closing(batches):
        return sum(len(records) for records in batches)


def _file(look: _Look) -> Batches:
    span = look.span
    if span.since is not None or span.until is not None:
        told = "a line of a file has no time at which it was written: give offsets"
        raise SetupError(told, field="since" if span.since is not None else "until")
    batches = browse_file(look.topic, follow=look.follow, form=look.form, log=look.log)
    with closing(batches):
        if span.newest is None:
            yield from batches
        else:
            yield from last_of(batches, span.newest)


_READERS: Mapping[str, Callable[[_Look], Batches]] = {
    "kafka": _kafka,
    "nats": _nats,
    "queue": _queue,
    "file": _file,
}
