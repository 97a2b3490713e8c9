"""Looking at a topic: which records come, with gaps among offsets, and that it leaves no trace."""

import json
import threading
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpfn.bridge.files.dead_lines import write_dead_line
from gpfn.bridge.operating.browsing import browse, browse_batches
from gpfn.bridge.operating.file_browsing import browse_file
from gpfn.bridge.operating.sending import send_records
from gpfn.bridge.operating.topic_span import Span, newest_from
from gpfn.bridge.record import Outgoing, Record
from gpfn.bridge.spec import Place
from gpfn.bridge.sqlite.reading import drop_records, open_queue
from gpfn.bridge.unreadable import reason_of
from gpfn.errors import BackendError, SetupError
from gpfn.log import Log
from tests.bridge.nats_server import nats_server

QUIET = Log("test", form="quiet")


def fill(place: Place, topic: str, numbers: range) -> None:
    """Write records whose values are numbers."""
    records = [Outgoing(topic, b"k", b"%d" % n) for n in numbers]
    send_records(place, [topic], records, log=QUIET)


def values(records: list[Record]) -> list[int]:
    return [int(record.value or b"-1") for record in records]


@given(
    st.sets(st.integers(0, 300), max_size=60),
    st.integers(0, 70),
    st.integers(0, 310),
    st.integers(0, 310),
)
def test_the_newest_with_any_gaps(offsets: set[int], count: int, low: int, end: int) -> None:
    """Whatever gaps there are, the last so many come: no fewer and no more."""
    there = sorted(offset for offset in offsets if low <= offset < end)
    looked: list[int] = []

    def records_from(first: int) -> int:
        found = [offset for offset in there if offset >= first]
        looked.append(len(found))
        return len(found)

    first, surplus = newest_from(count, low, max(low, end), records_from)
    got = [offset for offset in there if offset >= first][surplus:]
    assert got == there[len(there) - min(count, len(there)) :]
    assert sum(looked) <= 16 * max(count, 1) + len(there)


@pytest.mark.parametrize(
    ("span", "held"),
    [
        (Span(), True),
        (Span(first=5, last=5), True),
        (Span(first=6), False),
        (Span(last=4), False),
        (Span(since=100, until=101), True),
        (Span(since=101), False),
        (Span(until=100), False),
        (Span(partition=2), True),
        (Span(partition=0), False),
        (Span(newest=0), True),
    ],
)
def test_bounds(span: Span, held: bool) -> None:
    assert span.holds(Record("t", 2, 5, None, None, (), 100)) is held


def test_gaps_in_a_queue(tmp_path: Path) -> None:
    place = Place("queue", str(tmp_path / "q.db"))
    fill(place, "t", range(2000))
    with open_queue(tmp_path / "q.db") as store:
        drop_records(store, "t", [n for n in range(2000) if n % 100])
    assert values([*browse(place, "t")]) == [*range(0, 2000, 100)]
    assert values([*browse(place, "t", Span(newest=3))]) == [1700, 1800, 1900]
    assert values([*browse(place, "t", Span(newest=300))]) == [*range(0, 2000, 100)]
    assert values([*browse(place, "t", Span(first=150, last=300))]) == [200, 300]
    following = browse(place, "t", Span(newest=1), follow=True)
    with closing(following):
        assert values([next(following)]) == [1900]
        fill(place, "t", range(2000, 2003))
        assert values([*islice(following, 3)]) == [2000, 2001, 2002]


def test_gaps_in_nats(tmp_path: Path) -> None:
    """Other subjects of the stream take offsets too, most of them here."""
    with nats_server(tmp_path / "nats") as server:
        import asyncio

        import nats

        async def prepare() -> None:
            client = await nats.connect(server.url)
            stream = client.jetstream()
            await stream.add_stream(name="s", subjects=["few", "many"])
            for n in range(900):
                await stream.publish("few" if n % 100 == 0 else "many", b"%d" % n)
            await client.close()

        asyncio.run(prepare())
        place = Place("nats", server.url)
        assert values([*browse(place, "few", Span(newest=3))]) == [600, 700, 800]
        assert values([*browse(place, "few", Span(newest=99))]) == [*range(0, 900, 100)]
        assert values([*browse(place, "few", Span(first=102, last=301))]) == [200, 300]
        assert values([*browse(place, "many", Span(newest=2))]) == [898, 899]
        with closing(browse(place, "few", Span(newest=1), follow=True)) as following:
            assert values([next(following)]) == [800]
            fill(place, "few", range(900, 902))
            assert values([*islice(following, 2)]) == [900, 901]


def test_it_ends_at_what_was_there(tmp_path: Path) -> None:
    """Who reads and writes on, as a retry does, must not go round for ever."""
    place = Place("queue", str(tmp_path / "q.db"))
    fill(place, "t", range(600))
    with closing(browse(place, "t")) as records:
        found = [next(records)]
        fill(place, "t", range(600, 700))
        assert values([*found, *records]) == [*range(600)]
    file = tmp_path / "t.jsonl"
    file.write_bytes(b"".join(b"%d\n" % n for n in range(600)))
    found = []
    for batch in browse_file(str(file)):
        found += batch
        with file.open("ab") as stream:
            stream.write(b"9\n" * 100)
    assert values(found) == [*range(600)]


def test_a_look_leaves_no_trace(tmp_path: Path) -> None:
    place = Place("queue", str(tmp_path / "q.db"))
    fill(place, "t", range(10))
    with open_queue(tmp_path / "q.db") as store:
        with store.transaction():
            store.subscribe("t", "g")
        before = "\n".join(store.database.iterdump())
    assert len([*browse(place, "t")]) == 10
    with pytest.raises(SetupError, match="no such topic"):
        next(browse(place, "other"))
    with open_queue(tmp_path / "q.db") as store:
        assert "\n".join(store.database.iterdump()) == before
    with pytest.raises(SetupError, match="no such queue"):
        next(browse(Place("queue", str(tmp_path / "absent.db")), "t"))
    assert not (tmp_path / "absent.db").exists()


def test_a_generator_that_is_left_in_the_middle_lets_go(tmp_path: Path) -> None:
    place = Place("queue", str(tmp_path / "q.db"))
    fill(place, "t", range(1000))
    before = threading.active_count()
    handles = len([*Path("/proc/self/fd").iterdir()])
    for _ in range(20):
        records = browse(place, "t", follow=True)
        next(records)
        records.close()
        batches = browse_file(str(tmp_path / "q.db"))
        next(batches)
        batches.close()
    assert threading.active_count() <= before
    assert len([*Path("/proc/self/fd").iterdir()]) <= handles


def test_lines_that_are_no_records(tmp_path: Path) -> None:
    file = tmp_path / "dead.jsonl"
    line = write_dead_line(Outgoing("t", b"k", b"v", (("a", None),)))
    file.write_bytes(line + b"\nno line\n" + line)
    records = [record for batch in browse_file(str(file), form="records") for record in batch]
    assert [record.key for record in records] == [b"k", None, b"k"]
    assert [reason_of(record) is None for record in records] == [True, False, True]
    assert records[0].headers == (("a", None),)
    events = [record for batch in browse_file(str(file)) for record in batch]
    assert [json.loads(record.value or b"")["key"] for record in events[::2]] == ["k", "k"]


@pytest.mark.parametrize("name", [".", "absent", "x" * 300])
def test_what_is_no_file(name: str, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="cannot be read"):
        next(browse_file(f"{tmp_path}/{name}"))


def test_times_of_lines(tmp_path: Path) -> None:
    place = Place("file", "")
    for span, field in ((Span(since=1), "since"), (Span(until=1), "until")):
        with pytest.raises(SetupError) as caught:
            next(browse(place, str(tmp_path), span))
        assert caught.value.field == field


def test_an_empty_batch_while_nothing_comes(tmp_path: Path) -> None:
    place = Place("queue", str(tmp_path / "q.db"))
    fill(place, "t", range(1))
    with closing(browse_batches(place, "t", follow=True)) as batches:
        assert [len(batch) for batch in islice(batches, 3)] == [1, 0, 0]


def test_partitions_of_queues_without_any(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="one partition, 0"):
        next(browse(Place("queue", str(tmp_path / "q.db")), "t", Span(partition=1)))


def test_a_server_that_goes_away(tmp_path: Path) -> None:
    """Somebody who follows hears that in one line, and does not wait for ever."""
    with nats_server(tmp_path / "nats") as server:
        place = Place("nats", server.url, settings={"create": "on"})
        fill(place, "t", range(2))
        with closing(browse(place, "t", follow=True)) as records:
            assert values([*islice(records, 2)]) == [0, 1]
            server.kill()
            with pytest.raises(BackendError):
                next(records)
