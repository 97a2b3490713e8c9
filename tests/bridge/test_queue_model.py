"""A model of leasing: whatever owners do, in whatever order, nothing is lost or out of order."""

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gpfn.bridge.sqlite.reading import drop_records, list_groups, read_records
from gpfn.bridge.sqlite.store import QueueRow, QueueStore

TOPIC, GROUP = "t", "g"
KEYS = (None, b"a", b"b", b"c")


class Sharing(RuleBasedStateMachine):
    """Owners of one group that come, lease, finish, go, and are buried."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.store = QueueStore(Path(self.folder.name) / "queue.db", synchronous="normal")
        self.keys: list[bytes | None] = []
        self.owners: dict[int, list[int]] = {}
        """What each of them has, in the order in which it was given."""
        self.gone: set[int] = set()
        """What is done or was dropped."""
        self.tried: dict[int, int] = {}

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    @initialize()
    def begin(self) -> None:
        with self.store.transaction():
            self.of = self.store.subscribe(TOPIC, GROUP)

    def held(self) -> dict[int, int]:
        """Return who has what."""
        return {offset: owner for owner, offsets in self.owners.items() for offset in offsets}

    @rule(keys=st.lists(st.sampled_from(KEYS), min_size=1, max_size=8))
    def send(self, keys: list[bytes | None]) -> None:
        with self.store.transaction():
            self.store.append([QueueRow(TOPIC, key, b"v" * 100, None, 1) for key in keys])
        self.keys += keys

    @precondition(lambda self: len(self.owners) < 4)
    @rule()
    def come(self) -> None:
        with self.store.transaction():
            self.owners[self.store.owners.add(60)] = []

    @precondition(lambda self: self.owners)
    @rule(data=st.data(), most=st.integers(1, 6), most_bytes=st.sampled_from([1, 250, 10_000]))
    def take(self, data: st.DataObject, most: int, most_bytes: int) -> None:
        owner = data.draw(st.sampled_from([*self.owners]))
        more = self.store.leases.has_more(self.of, owner)
        with self.store.transaction():
            records = self.store.leases.take(self.of, owner, most, most_bytes)
        assert more or not records
        offsets = [record.offset for record in records]
        assert offsets == sorted(offsets)
        held = self.held()
        for record in records:
            assert record.offset not in held
            assert record.offset not in self.gone
            assert record.key == self.keys[record.offset]
            assert record.attempts == self.tried.get(record.offset, 0)
            self._check_key(owner, record.offset, {**held, **dict.fromkeys(offsets, owner)})
        self.owners[owner] += offsets

    def _check_key(self, owner: int, offset: int, held: dict[int, int]) -> None:
        """Of the records of a key, those that come first are done, or with the same owner."""
        key = self.keys[offset]
        for before in range(offset) if key is not None else ():
            if self.keys[before] == key and before not in self.gone:
                assert held.get(before) == owner

    @precondition(lambda self: any(self.owners.values()))
    @rule(data=st.data(), tries=st.integers(1, 5), finish=st.booleans())
    def settle(self, data: st.DataObject, tries: int, finish: bool) -> None:
        owner = data.draw(st.sampled_from([o for o, has in self.owners.items() if has]))
        offset = data.draw(st.sampled_from(self.owners[owner]))
        with self.store.transaction():
            if finish:
                self.store.leases.finish(self.of, owner, [offset])
                self.store.sweep(self.of.topic_id)
            else:
                self.store.leases.note(self.of, owner, {offset: tries})
        if finish:
            self.owners[owner].remove(offset)
            self.gone.add(offset)
        else:
            self.tried[offset] = tries

    @precondition(lambda self: any(self.owners.values()) and len(self.owners) > 1)
    @rule(data=st.data())
    def finish_what_another_has(self, data: st.DataObject) -> None:
        owner = data.draw(st.sampled_from([*self.owners]))
        others = [offset for offset, name in self.held().items() if name != owner]
        with self.store.transaction():
            self.store.leases.finish(self.of, owner, others)

    @precondition(lambda self: self.owners)
    @rule(data=st.data(), how=st.sampled_from(["leaves", "is late"]))
    def go(self, data: st.DataObject, how: str) -> None:
        owner = data.draw(st.sampled_from([*self.owners]))
        with self.store.transaction():
            if how == "leaves":
                self.store.owners.remove(owner)
            else:
                assert self.store.owners.renew(owner, -1)
                assert self.store.owners.bury() == 1
                assert not self.store.owners.renew(owner, 60)
        del self.owners[owner]

    @precondition(lambda self: self.keys)
    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        offset = data.draw(st.integers(0, len(self.keys) - 1))
        there = offset in [record.offset for record in read_records(self.store, TOPIC)]
        assert drop_records(self.store, TOPIC, [offset]) == there
        for offsets in self.owners.values():
            if offset in offsets:
                offsets.remove(offset)
        self.gone.add(offset)

    @invariant()
    def the_lag_is_what_is_not_done(self) -> None:
        if not self.keys:
            return
        lag = len(self.keys) - len(self.gone)
        assert self.store.leases.lag(self.of) == lag
        leased = len(self.held())
        assert [tuple(g) for g in list_groups(self.store)] == [(GROUP, TOPIC, lag, leased)]
        there = {record.offset for record in read_records(self.store, TOPIC)}
        assert there >= set(range(len(self.keys))) - self.gone, "nothing is lost"

    @precondition(lambda self: self.keys)
    @rule()
    def one_is_left_and_does_it_all(self) -> None:
        with self.store.transaction():
            for owner in self.owners:
                self.store.owners.remove(owner)
            last = self.store.owners.add(60)
        self.owners = {last: []}
        with self.store.transaction():
            records = self.store.leases.take(self.of, last, 10_000, 1 << 30)
            offsets = [record.offset for record in records]
            self.store.leases.finish(self.of, last, offsets)
            self.store.sweep(self.of.topic_id)
        assert offsets == sorted(set(range(len(self.keys))) - self.gone)
        self.gone |= set(offsets)
        assert list(read_records(self.store, TOPIC)) == []


Sharing.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestSharing = Sharing.TestCase
