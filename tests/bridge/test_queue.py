"""The durable queue of one machine: what all queues do, and what is its own."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from gpfn.bridge.record import Partition
from gpfn.bridge.sqlite.queue import Queue
from gpfn.bridge.sqlite.reading import (
    GroupLag,
    TopicState,
    drop_records,
    forget_group,
    list_groups,
    list_topics,
    read_records,
)
from gpfn.bridge.sqlite.sink import QueueSink
from gpfn.bridge.sqlite.source import QueueSource
from gpfn.bridge.sqlite.store import QueueRow, QueueStore
from gpfn.errors import SetupError
from tests.bridge.conformance import Ability, Conformance, Refusal


class QueuePlace:
    """A queue in a file of its own."""

    topic = "readings"
    partition: Partition = ("readings", 0)
    lacks: ClassVar[dict[Ability, str]] = {}
    patience = 20.0
    quiet = 0.3
    largest = 16 << 20

    def __init__(self, folder: Path) -> None:
        self.path = folder / "queue.db"
        other = folder / "other.db"
        other.write_bytes(b"no database " * 1000)
        under = other / "queue.db"
        self.refusals: dict[str, Refusal] = {
            "no database": (lambda: QueueSource(Queue(other), ["t"], "g"), str(other)),
            "a folder": (lambda: QueueSink(Queue(folder)), str(folder)),
            "under a file": (lambda: QueueSink(Queue(under)), str(under)),
            "a topic": (lambda: QueueSource(Queue(self.path), ["a\0b"], "g"), "a\\x00b"),
            "a group": (lambda: QueueSource(Queue(self.path), ["t"], ""), "group"),
        }

    def source(self) -> QueueSource:
        return QueueSource(Queue(self.path), [self.topic], "readers")

    def sink(self) -> QueueSink:
        return QueueSink(Queue(self.path))


class TestConformance(Conformance):
    @pytest.fixture
    def place(self, tmp_path: Path) -> QueuePlace:
        return QueuePlace(tmp_path)


def store_of(path: Path) -> QueueStore:
    return QueueStore(path, synchronous="normal")


def put(store: QueueStore, *keys: bytes | None, topic: str = "t", size: int = 1) -> None:
    """Write a record for each key."""
    with store.transaction():
        rows = [
            QueueRow(topic, key, b"v" * size, None, 1_700_000_000_000 + n)
            for n, key in enumerate(keys)
        ]
        store.append(rows)


class Owner:
    """A source's part in a store, without its event loop."""

    def __init__(self, store: QueueStore, group: str = "g", topic: str = "t") -> None:
        self.store = store
        with store.transaction():
            self.of = store.subscribe(topic, group)
            self.name = store.owners.add(30)

    def take(self, most: int = 100, most_bytes: int = 1 << 20) -> list[int]:
        with self.store.transaction():
            records = self.store.leases.take(self.of, self.name, most, most_bytes)
        return [record.offset for record in records]

    def finish(self, *offsets: int) -> None:
        with self.store.transaction():
            self.store.leases.finish(self.of, self.name, offsets)
            self.store.sweep(self.of.topic_id)

    def leave(self) -> None:
        with self.store.transaction():
            self.store.owners.remove(self.name)

    def lag(self) -> int:
        return self.store.leases.lag(self.of)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[QueueStore]:
    store = store_of(tmp_path / "queue.db")
    yield store
    store.close()


def test_a_key_is_with_one_owner_at_a_time(store: QueueStore) -> None:
    first, second = Owner(store), Owner(store)
    put(store, b"a", b"b", b"a", None, b"a")
    assert first.take(1) == [0]
    assert second.take() == [1, 3], "those of the key a wait, the others do not"
    assert first.take(1) == [2], "who has the key has what comes of it"
    first.finish(0)
    assert second.take() == []
    first.finish(2)
    assert second.take() == [4]
    put(store, b"a", b"b")
    assert first.take() == []
    assert second.take() == [5, 6]
    assert first.lag() == 5


def test_what_an_owner_leaves_comes_in_order_to_the_next(store: QueueStore) -> None:
    first, second = Owner(store), Owner(store)
    put(store, b"a", b"a", b"b", b"a")
    assert first.take(3) == [0, 1, 2]
    first.finish(1)
    first.leave()
    put(store, b"b")
    assert second.take(2) == [0, 2]
    assert second.take() == [3, 4]


def test_a_free_record_that_is_too_large_for_now_holds_back_what_is_new(store: QueueStore) -> None:
    first, second = Owner(store), Owner(store)
    put(store, b"a", b"a", size=600)
    assert first.take() == [0, 1]
    first.leave()
    put(store, b"a")
    assert second.take(most_bytes=1000) == [0]
    assert second.take(most_bytes=300) == [1], "one always, however large it is"
    assert second.take(most_bytes=300) == [2]


def test_bytes_bound_what_is_leased(store: QueueStore) -> None:
    owner = Owner(store)
    put(store, *[None] * 10, size=100)
    assert owner.take(most_bytes=350) == [0, 1, 2]
    assert owner.take(most_bytes=1) == [3]
    assert owner.take(2) == [4, 5]


def test_how_many_are_passed_over_is_bounded(store: QueueStore) -> None:
    first, second = Owner(store), Owner(store)
    put(store, *[b"hot"] * 3000, None)
    assert first.take(1) == [0]
    for _ in range(5):
        assert second.take(1000) == []
    free = store.database.execute("SELECT count(*) FROM claims WHERE owner IS NULL").fetchone()[0]
    assert free == 1024
    assert not store.leases.has_more(second.of, second.name)
    assert store.leases.has_more(first.of, first.name)
    taken = [offset for _ in range(4) for offset in first.take(1000)]
    assert taken == list(range(1, 3001))
    assert second.lag() == 3001


def test_every_group_gets_every_record_and_then_it_is_deleted(store: QueueStore) -> None:
    one, other = Owner(store, "one"), Owner(store, "other")
    put(store, *[None] * 5)
    assert one.take() == other.take() == [0, 1, 2, 3, 4]
    one.finish(0, 1, 2, 4)
    assert [r.offset for r in read_records(store, "t")] == [0, 1, 2, 3, 4]
    other.finish(4, 0, 1)
    assert [r.offset for r in read_records(store, "t")] == [2, 3, 4]
    other.finish(2, 3)
    assert [r.offset for r in read_records(store, "t")] == [3, 4]
    assert forget_group(store, "one") == 1
    other.finish()
    assert list(read_records(store, "t")) == []
    put(store, None)
    assert other.take() == [5], "an offset is never used again"
    assert one.take() == []
    assert one.lag() == 0


def test_what_nobody_reads_is_kept(store: QueueStore) -> None:
    put(store, None, topic="dead")
    owner = Owner(store)
    put(store, None)
    assert owner.take() == [0]
    owner.finish(0)
    with store.transaction():
        store.sweep(store.topic("dead"))
    assert len(list(read_records(store, "dead"))) == 1
    assert list(read_records(store, "t")) == []


def test_records_are_kept_for_as_long_as_was_asked_for(store: QueueStore) -> None:
    owner = Owner(store)
    for age, keep in ((100, 3600), (7200, 3600), (1e6, float("inf"))):
        with store.transaction():
            store.subscribe("t", "g", keep)
            store.append([QueueRow("t", None, b"v", None, int((time.time() - age) * 1000))])
        for offset in owner.take():
            owner.finish(offset)
    assert [r.offset for r in read_records(store, "t")] == [0, 1, 2]
    assert list_topics(store) == [TopicState("t", 0, 3, float("inf"))]
    with store.transaction():
        store.subscribe("t", "g", 3600)
        store.sweep(owner.of.topic_id)
    assert [r.offset for r in read_records(store, "t")] == [0, 1, 2], "the oldest first"
    with store.transaction():
        store.subscribe("t", "g", 50)
        store.sweep(owner.of.topic_id)
    assert list(read_records(store, "t")) == []


def test_a_range_is_read_without_a_group(store: QueueStore) -> None:
    put(store, *[b"k"] * 250)
    put(store, b"x", topic="u")

    def offsets(**range_: int) -> list[int]:
        return [record.offset for record in read_records(store, "t", **range_)]

    start = 1_700_000_000_000
    assert offsets() == list(range(250))
    assert offsets(first=200) == list(range(200, 250))
    assert offsets(first=-5, last=1) == [0, 1]
    assert offsets(last=1 << 70) == list(range(250))
    assert offsets(first=1 << 70) == []
    assert offsets(since=start + 248) == [248, 249]
    assert offsets(until=start + 2) == [0, 1]
    assert offsets(first=5, last=9, since=start + 7, until=start + 9) == [7, 8]
    assert [r[:5] for r in read_records(store, "u")] == [("u", 0, 0, b"x", b"v")]
    assert list_groups(store) == []
    with pytest.raises(SetupError) as caught:
        list(read_records(store, "gone"))
    assert caught.value.field == "gone"


def test_dropped_records_come_to_nobody_and_are_no_lag(store: QueueStore) -> None:
    owner, other = Owner(store), Owner(store)
    put(store, *[None] * 10)
    put(store, None, topic="u")
    assert owner.take(3) == [0, 1, 2]
    assert drop_records(store, "t", [1, 4, 4, 9, 50, -1, 1 << 40, 1 << 80]) == 3
    assert owner.lag() == 7
    assert list_groups(store) == [GroupLag("g", "t", 7, 2)]
    assert other.take() == [3, 5, 6, 7, 8]
    put(store, None)
    assert other.take() == [10]
    owner.finish(0, 1, 2)
    assert owner.lag() == 6
    other.finish(3, 5, 6, 7, 8, 10)
    assert owner.lag() == 0
    assert len(list(read_records(store, "u"))) == 1
