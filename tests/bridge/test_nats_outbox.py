"""The order in which records are published, whatever the server answers; without a server."""

from hypothesis import given
from hypothesis import strategies as st

from gpfn.bridge.nats.outbox import Outbox, Posted
from gpfn.bridge.record import Outgoing


def posted(number: int, topic: str = "t", key: bytes | None = b"k", size: int = 10) -> Posted:
    return Posted(number, Outgoing(topic, key, bytes(size)), print, "gpfn-x")


def filled(*records: Posted, **bounds: int) -> Outbox:
    box = Outbox(**bounds)
    for record in records:
        box.add(record)
    return box


def taken(box: Outbox) -> list[int]:
    found = []
    while (record := box.take()) is not None:
        record.sent = 0.0
        found.append(record.number)
    return found


def test_so_many_are_on_their_way_and_so_many_bytes() -> None:
    box = filled(*[posted(n) for n in range(5)], most=3)
    assert taken(box) == [0, 1, 2]
    assert len(box) == 5
    box.finish(box.flying[1])
    assert taken(box) == [3]
    box = filled(*[posted(n, size=1000) for n in range(5)], most_bytes=2000)
    assert taken(box) == [0, 1]
    box.finish(box.flying[0])
    assert taken(box) == [2]


def test_a_new_connection_gets_all_again_in_order() -> None:
    box = filled(*[posted(n) for n in range(6)], most=4)
    assert taken(box) == [0, 1, 2, 3]
    box.finish(box.flying[1])
    box.restart()
    assert not box.silent_since(1e9)
    assert taken(box) == [0, 2, 3, 4]
    assert box.silent_since(1.0)


def test_a_topic_that_takes_nothing_holds_up_no_other() -> None:
    box = filled(posted(0), posted(1), most=2)
    assert taken(box) == [0, 1]
    for number in (0, 1):
        box.refuse(box.flying[number], 1.0)
    box.finish(box.flying[1])
    for number, topic in ((2, "t"), (3, "other"), (4, "t")):
        box.add(posted(number, topic))
    assert taken(box) == [3]
    assert len(box) == 4
    assert box.retry(1.5) == []
    assert taken(box) == [0]
    assert box.retry(1.6) == []
    assert taken(box) == [], "it waits for the answer"
    stored = box.flying[0]
    assert box.overtaken(stored) == []
    box.finish(stored)
    box.finish(box.flying[3])
    assert taken(box) == [2, 4]


def test_those_that_were_refused_follow_in_their_order() -> None:
    box = filled(*[posted(n) for n in range(4)], posted(4), most=4)
    assert taken(box) == [0, 1, 2, 3]
    for number in (0, 1, 2, 3):
        box.refuse(box.flying[number], 1.0)
    box.retry(2.0)
    assert taken(box) == [0]
    assert box.overtaken(box.flying[0]) == []
    box.finish(box.flying[0])
    assert taken(box) == [1, 2, 3, 4]


def test_one_that_a_later_record_of_its_key_overtook_is_told() -> None:
    records = [posted(0, key=b"a"), posted(1, key=b"b"), posted(2, key=None), posted(3, key=b"a")]
    box = filled(*records)
    taken(box)
    for number in (0, 1, 2):
        box.refuse(box.flying[number], 1.0)
    assert [one.number for one in box.overtaken(box.flying[3])] == [0]
    box.finish(records[3])
    box.finish(records[0])
    assert taken(box) == [1, 2]


def test_patience_ends() -> None:
    box = filled(posted(0), posted(1), posted(2), most=2)
    taken(box)
    box.refuse(box.flying[0], 1.0)
    assert box.retry(100.0) == [], "the other one was not answered"
    box.refuse(box.flying[1], 2.0)
    given_up = box.retry(16.1)
    assert [one.number for one in given_up] == [0, 1]
    for one in given_up:
        box.finish(one)
    assert taken(box) == [2]


def test_all_that_is_left_is_given_up_in_order() -> None:
    box = filled(*[posted(n) for n in range(3)], most=1)
    assert taken(box) == [0]
    box.refuse(box.flying[0], 1.0)
    assert taken(box) == []
    assert [one.number for one in box.empty()] == [0, 1, 2]
    assert len(box) == 0


def test_in_a_cluster_one_record_of_a_key_is_on_its_way() -> None:
    keys = [b"a", b"b", b"a", None, None, b"a", b"b"]
    box = filled(*[posted(n, key=key) for n, key in enumerate(keys)])
    box.clustered = True
    assert taken(box) == [0, 1, 3, 4]
    assert len(box) == 7
    box.finish(box.flying[1])
    assert taken(box) == [6]
    box.restart()
    assert taken(box) == [0, 3, 4, 6]
    box.finish(box.flying[0])
    assert taken(box) == [2]
    assert [one.number for one in box.empty()] == [2, 3, 4, 5, 6]
    assert len(box) == 0


STEPS = st.sampled_from(["answer", "answer", "refuse", "cut", "retry", "drop"])


class Server:
    """What a server stores of a sink's records, with connections that are cut at any time."""

    def __init__(self, most: int, clustered: bool) -> None:
        records = [posted(n, f"t{n % 2}", b"%d" % (n % 3)) for n in range(18)]
        self.box = filled(*records, most=most)
        self.box.clustered = clustered
        self.wire: list[Posted] = []  # sent over this connection, and not yet seen
        self.stored: dict[int, None] = {}
        self.told: set[int] = set()
        self.refusing = False
        self.now = 0.0

    def send(self) -> None:
        self.now += 0.1
        while (record := self.box.take()) is not None:
            self.wire.append(record)

    def answer(self) -> None:
        record = self.wire.pop(0) if self.wire else None
        if record is None:
            return
        if self.refusing and record.number not in self.stored:
            if record.number in self.box.flying:
                self.box.refuse(record, self.now)
            return
        self.stored.setdefault(record.number)
        if record.number in self.box.flying:
            self.give_up(self.box.overtaken(record))
            self.box.finish(record)

    def drop(self) -> None:
        """Lose a record without an answer, as a cluster may when its leader changes."""
        if self.box.clustered and self.wire:
            self.wire.pop(0)

    def cut(self, seen: int) -> None:
        """End the connection; the server has seen some of it, whose answers are lost."""
        for record in self.wire[: 0 if self.refusing else seen]:
            self.stored.setdefault(record.number)
        self.wire.clear()
        self.box.restart()

    def retry(self) -> None:
        self.give_up(self.box.retry(self.now))

    def give_up(self, records: list[Posted]) -> None:
        for one in records:
            self.box.finish(one)
            self.told.add(one.number)


@given(st.lists(st.tuples(STEPS, st.integers(0, 3)), max_size=80), st.integers(1, 6), st.booleans())
def test_a_server_stores_the_records_of_a_key_in_order(
    steps: list[tuple[str, int]], most: int, clustered: bool
) -> None:
    """Whatever is cut, lost or refused: each record is stored in order, or told as an error."""
    server = Server(most, clustered)
    for step, number in steps:
        server.send()
        if step == "refuse":
            server.refusing = not server.refusing
        elif step == "cut":
            server.cut(number)
        else:
            {"retry": server.retry, "drop": server.drop, "answer": server.answer}[step]()
    server.refusing = False
    server.cut(0)
    for _ in range(300):
        server.send()
        server.retry()
        server.answer()
    assert len(server.box) == 0
    assert server.box._bytes == 0
    assert server.stored.keys() | server.told == set(range(18))
    for lane in {(n % 3, n % 2) for n in range(18)}:
        mine = [n for n in server.stored if (n % 3, n % 2) == lane and n not in server.told]
        assert mine == sorted(mine)
    assert not clustered or not server.told or server.now > 15
