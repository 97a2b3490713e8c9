"""Dead letters: what they tell, and how they leave a topic in each kind of queue."""

import asyncio
import json
import os
from pathlib import Path

import nats
import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from hypothesis import given
from hypothesis import strategies as st

from gpfn.bridge.dead_letter import Cause, shortened
from gpfn.bridge.files.dead_lines import write_dead_line
from gpfn.bridge.kafka.handled import handled_group
from gpfn.bridge.operating.dead_facts import DeadFacts, facts_of, revived
from gpfn.bridge.operating.dead_retry import parts_of, retry_letters
from gpfn.bridge.operating.dead_topic import open_dead_topic
from gpfn.bridge.operating.sending import send_records
from gpfn.bridge.record import Header, Outgoing, Record
from gpfn.bridge.spec import Place
from gpfn.bridge.unreadable import unreadable
from gpfn.errors import BackendError, SetupError
from gpfn.log import Log
from tests.bridge.kafka_broker import TestKafka, kafka
from tests.bridge.nats_server import nats_server

__all__ = ["kafka"]

QUIET = Log("test", form="quiet")
CAUSE = Cause("refused", "no", "http://f", 400, b"data", 2)
headers = st.lists(
    st.tuples(st.text(max_size=20), st.none() | st.binary(max_size=20)), max_size=5
).map(tuple)


@given(st.none() | st.binary(), st.none() | st.binary(), headers)
def test_a_record_that_was_buried_is_what_it_was(
    key: bytes | None, value: bytes | None, given: tuple[Header, ...]
) -> None:
    """Byte for byte, whatever it was; only our own names are ours."""
    kept = tuple([h for h in given if not h[0].startswith(("gpfn_", "ce_knativeerror"))])
    record = Record("in", 3, 17, key, value, kept)
    for outgoing in list(shortened("dead", record, CAUSE))[:2]:
        letter = Record("dead", 0, 1, *outgoing[1:])
        facts = facts_of(letter)
        assert (facts.topic, facts.partition, facts.offset, facts.attempts) == ("in", 3, 17, 2)
        assert facts.origin == "in 3:17"
        assert revived(letter) == Outgoing("in", key, value, kept)


@given(headers, st.sampled_from(DeadFacts._fields), st.none() | st.binary(max_size=30))
def test_any_headers_can_be_read(given: tuple[Header, ...], name: str, value: bytes | None) -> None:
    names = ("gpfn_" + name, "ce_knativeerror" + name)
    letter = Record("dead", 0, 1, None, None, (*given, *[(each, value) for each in names]))
    facts = facts_of(letter)
    json.dumps(facts._asdict())
    assert all(n is None or n >= 0 for n in (facts.partition, facts.offset, facts.code))


def test_the_last_of_two_counts() -> None:
    """A producer may have sent headers like ours; those behind them are the bridge's."""
    forged = (("gpfn_topic", b"passwords"), ("gpfn_offset", b"1"))
    record = Record("in", 0, 17, None, b"v", forged)
    outgoing = next(shortened("dead", record, CAUSE))
    assert facts_of(Record("dead", 0, 1, *outgoing[1:])).topic == "in"
    doubled = Record("d", 0, 1, None, b"", (*forged, ("gpfn_topic", b"in")))
    assert facts_of(doubled).topic == "in"


def test_what_cannot_be_revived() -> None:
    bare = Record("dead", 2, 17, None, b"")
    with pytest.raises(SetupError, match=r"^2:17: does not tell which topic"):
        revived(bare)
    assert revived(bare, "to").topic == "to"
    with pytest.raises(SetupError, match=r"^2:17: cannot be sent again, it is not whole: long"):
        revived(unreadable(bare, "long"), "to")


def test_parts_are_bounded() -> None:
    small = [Record("d", 0, n, None, b"x") for n in range(2500)]
    assert [len(part) for part in parts_of(small)] == [1000, 1000, 500]
    large = [Record("d", 0, n, None, bytes(6 << 20)) for n in range(7)]
    assert [len(part) for part in parts_of(large)] == [3, 3, 1]
    assert [*parts_of([])] == []


def drop_values(place: Place, topic: str, *values: bytes) -> None:
    """Drop the letters that have these values."""
    dead = open_dead_topic(place, topic)
    dead.drop([letter for letter in dead.letters() if letter.value in values])


def values(place: Place, topic: str) -> list[bytes | None]:
    return [letter.value for letter in open_dead_topic(place, topic).letters()]


def fill(place: Place, topic: str, count: int) -> None:
    records = [Outgoing(topic, None, b"%d" % n) for n in range(count)]
    send_records(place, [topic], records, log=QUIET)


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    file = tmp_path / "dead.jsonl"
    made = [write_dead_line(Outgoing("t", None, b"%d" % n)) for n in range(4)]
    file.write_bytes(b"\r\n".join(made))  # the last line has no end
    return file


def test_lines_without_ends_and_behind_links(lines: Path) -> None:
    link = lines.with_name("link")
    link.symlink_to(lines)
    place = Place("file")
    drop_values(place, str(link), b"3", b"0")
    assert values(place, str(link)) == [b"1", b"2"]
    assert link.is_symlink()
    drop_values(place, str(lines), b"1", b"2")
    assert lines.read_bytes() == b""


def test_a_file_that_cannot_be_rewritten_stays(
    lines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = lines.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(BackendError, match="cannot be rewritten: No space left on device"):
            drop_values(Place("file"), str(lines), b"1")
    assert lines.read_bytes() == before
    assert [path.name for path in lines.parent.iterdir()] == [lines.name]


def test_lines_of_any_length(tmp_path: Path) -> None:
    """A line longer than is read is one letter, and goes as a whole."""
    file = tmp_path / "dead.jsonl"
    good = write_dead_line(Outgoing("t", None, b"good"))
    file.write_bytes(good + b"\n" + b"x" * (9 << 20) + b"\n" + good + b"\n")
    size = file.stat().st_size
    dead = open_dead_topic(Place("file"), str(file))
    letters = [*dead.letters()]
    assert [letter.offset for letter in letters] == [0, len(good) + 1, size - len(good) - 1]
    dead.drop(letters[1:2])
    assert values(Place("file"), str(file)) == [b"good", b"good"]
    assert file.stat().st_size == size


def test_nats_streams_that_do_not_let_go(tmp_path: Path) -> None:
    with nats_server(tmp_path / "nats") as server:

        async def prepare() -> None:
            client = await nats.connect(server.url)
            stream = client.jetstream()
            await stream.add_stream(name="s", subjects=["kept"], deny_delete=True)
            await client.close()

        asyncio.run(prepare())
        place = Place("nats", server.url)
        fill(place, "kept", 2)
        with pytest.raises(SetupError, match="kept: 1 cannot be deleted"):
            drop_values(place, "kept", b"0")
        made = Place("nats", server.url, settings={"create": "on"})
        fill(made, "open", 3)
        dead = open_dead_topic(place, "open")
        letters = [*dead.letters()]
        drop_values(place, "open", b"0")
        dead.drop(letters[:2])  # of which one is gone by now
        assert values(place, "open") == [b"2"]


def test_kafka_marks_are_a_commit(kafka: TestKafka) -> None:
    topic, place = kafka.topic(1), Place("kafka", kafka.address)
    fill(place, topic, 10)
    drop_values(place, topic, b"0", b"1", b"5", b"7")
    assert kafka.committed(handled_group(topic), topic) == {0: 2}
    assert values(place, topic) == [b"2", b"3", b"4", b"6", b"8", b"9"]
    drop_values(place, topic, b"2", b"3", b"4")
    assert kafka.committed(handled_group(topic), topic) == {0: 6}
    assert values(place, topic) == [b"6", b"8", b"9"]


def test_kafka_letters_may_be_dropped_while_they_are_read(kafka: TestKafka) -> None:
    topic, place = kafka.topic(1), Place("kafka", kafka.address)
    fill(place, topic, 20)
    drop_values(place, topic, b"15")
    dead = open_dead_topic(place, topic)
    for letter in dead.letters():
        if letter.offset % 2 == 0:
            dead.drop([letter])
        if letter.offset == 8:
            break
    assert values(place, topic) == [b"%d" % n for n in range(20) if n not in {0, 2, 4, 6, 8, 15}]


def test_kafka_text_of_somebody_else(kafka: TestKafka) -> None:
    """What cannot be read beside the offset is left out: letters are listed once more."""
    topic, place = kafka.topic(1), Place("kafka", kafka.address)
    fill(place, topic, 4)
    settings = {**kafka.settings, "group.id": handled_group(topic), "enable.auto.commit": "false"}
    consumer = Consumer(settings)
    consumer.commit(offsets=[TopicPartition(topic, 0, 1, "something")], asynchronous=False)
    consumer.close()
    told: list[str] = []
    letters = [letter.value for letter in open_dead_topic(place, topic, told.append).letters()]
    assert letters == [b"1", b"2", b"3"]
    assert told == [f"{topic}/0: what was dropped last is listed again: not written by gpfn"]


def test_a_kafka_topic_that_was_made_again(kafka: TestKafka) -> None:
    """Marks that are beyond its end are those of the one before."""
    topic, place = kafka.topic(1), Place("kafka", kafka.address)
    fill(place, topic, 6)
    drop_values(place, topic, b"0", b"1", b"2", b"3", b"4", b"5")
    client = AdminClient(kafka.settings)
    client.delete_topics([topic])[topic].result(10)
    for _ in range(100):
        try:
            made = kafka.admin.create(topic, 1)
        except BackendError:  # it is still being deleted
            continue
        if made:
            break
    kafka.settle(topic, 1)
    fill(place, topic, 2)
    assert values(place, topic) == [b"0", b"1"]


def test_a_retry_goes_where_letters_may_go(tmp_path: Path) -> None:
    place = Place("queue", str(tmp_path / "q.db"))
    names = (("gpfn_topic", b"in"), ("gpfn_topic", b"passwords"))
    records = [Outgoing("dead", None, name, ((key, name),)) for key, name in names]
    send_records(place, ["dead"], records, log=QUIET)
    dead = open_dead_topic(place, "dead")
    told: list[int] = []
    with pytest.raises(SetupError, match="0:1: came from passwords"):
        retry_letters(
            dead, dead.letters(), place, log=QUIET, origins={"in": "into"}, told=told.append
        )
    assert (told, values(place, "dead")) == ([], [b"in", b"passwords"]), "all are asked first"
    first = [letter for letter in dead.letters() if letter.value == b"in"]
    retry_letters(dead, first, place, log=QUIET, origins={"in": "into"}, told=told.append)
    assert (told, values(place, "dead")) == ([1], [b"passwords"])
    assert values(place, "into") == [b"in"]
