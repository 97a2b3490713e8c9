"""The Kafka source with a real broker: what is committed, and what comes again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from gpfn.bridge.kafka.messages import UNREADABLE_HEADERS
from gpfn.bridge.record import Partition, Record
from tests.bridge.kafka_broker import TestKafka, kafka
from tests.bridge.kafka_listening import FAST, Hears, joined, until
from tests.bridge.raw_producer import write_raw
from tests.conftest import ROOT

__all__ = ["kafka"]


def numbers(count: int, first: int = 0) -> list[bytes]:
    return [b"%d" % number for number in range(first, first + count)]


def test_commits_stay_behind_the_lowest_unfinished_record(kafka: TestKafka) -> None:
    topic = kafka.topic(partitions=2)
    group = f"group of {topic}"
    kafka.write(topic, numbers(200), partition=0)
    kafka.write(topic, numbers(200), partition=1)

    async def main() -> None:
        async with joined(kafka, topic) as hears:
            await until(lambda: len(hears.records) == 400)
            zero = [record for record in hears.records if record.partition == 0]
            for record in [*zero[1:50], *zero[100:]]:
                hears.done(record)
            for record in hears.records:
                if record.partition == 1:
                    hears.done(record)
            await until(lambda: kafka.committed(group, topic).get(1) == 200)
            assert kafka.committed(group, topic).get(0, 0) == 0
            hears.done(zero[0])
            await until(lambda: kafka.committed(group, topic)[0] == 50)
            await asyncio.sleep(0.6)
            assert kafka.committed(group, topic) == {0: 50, 1: 200}
        async with joined(kafka, topic) as again:
            await until(lambda: len(again.records) >= 50)
            await asyncio.sleep(0.3)
            assert [record.offset for record in again.records] == [*range(50, 100)]
            assert (await again.source.lag())[topic, 0] == 50

    asyncio.run(main())


def test_a_member_joins_and_leaves(kafka: TestKafka) -> None:
    """What goes is drained first, the rest is not touched; nothing comes twice."""
    topic = kafka.topic(partitions=4)
    for partition in range(4):
        kafka.write(topic, numbers(100), partition=partition)
    done: list[tuple[int, int]] = []

    async def main() -> None:
        first, second = Hears(), Hears()
        drained = asyncio.Event()

        async def drain(partitions: Sequence[Partition]) -> None:
            """Finish two thirds of what is under way of the partitions that go."""
            await asyncio.sleep(0.5)
            assert not second.records  # nobody has them before
            for record in first.records:
                if (record.topic, record.partition) in partitions and record.offset % 3:
                    first.done(record)
                    done.append((record.partition, record.offset))
            drained.set()

        first.drain = drain
        async with joined(kafka, topic, first):
            await until(lambda: len(first.records) == 400)
            async with joined(kafka, topic, second):
                await until(drained.is_set)
                await until(lambda: len(second.owned) == 2)
                gone = {partition for part in first.of("revoked") for partition in part}
                assert len(first.owned) == 2
                assert gone == second.owned
                await until(lambda: len(second.records) == 200 - len(done))
                kept = [*first.owned]
                kafka.write(topic, numbers(10, 100), partition=kept[0][1])
                await until(lambda: len(first.records) == 410)
                assert {(r.partition, r.offset) for r in second.records}.isdisjoint(done)
                for record in second.records:
                    second.done(record)
            await until(lambda: len(first.owned) == 4)
            assert first.of("lost") == []
            assert len(first.of("revoked")) == 1  # who leaves takes nothing away from the others
            await asyncio.sleep(0.3)
            assert len(first.records) == 410
        assert first.errors == second.errors == []

    asyncio.run(main())
    assert done


def test_a_drain_that_takes_too_long_is_cut_off(kafka: TestKafka) -> None:
    topic = kafka.topic(partitions=2)
    kafka.write(topic, numbers(10), partition=0)
    kafka.write(topic, numbers(10), partition=1)

    async def main() -> None:
        first, second = Hears(), Hears()

        async def never(_: Sequence[Partition]) -> None:
            await asyncio.sleep(60)

        first.drain = never
        async with joined(kafka, topic, first, drain_seconds=0.5):
            await until(lambda: len(first.records) == 20)
            began = time.monotonic()
            async with joined(kafka, topic, second):
                await until(lambda: len(second.records) == 10)
            assert time.monotonic() - began < 10
            assert any("before their records were done" in line for line in first.lines)
            first.owned.clear()  # the one that hung was cancelled before it could let go

    asyncio.run(main())


def test_a_static_member_restarts_without_a_rebalance(kafka: TestKafka) -> None:
    topic = kafka.topic(partitions=4)

    async def main() -> None:
        stays = Hears()
        async with joined(kafka, topic, stays, instance="a"):
            async with joined(kafka, topic, instance="b") as first:
                await until(lambda: len(stays.owned) == len(first.owned) == 2)
            before, owned = len(stays.happened), {*first.owned}
            async with joined(kafka, topic, instance="b") as again:
                await until(lambda: again.owned == owned)
                kafka.write(topic, numbers(40))
                await until(lambda: len(stays.records) + len(again.records) == 40)
            assert len(stays.happened) == before
            assert stays.lines == []

    asyncio.run(main())


def test_two_members_with_one_instance(kafka: TestKafka) -> None:
    """The one that was there is told that it is not any more."""
    topic = kafka.topic(partitions=1)

    async def main() -> None:
        async with joined(kafka, topic, instance="a") as first:
            async with joined(kafka, topic, instance="a") as second:
                await until(lambda: first.errors)
                await until(lambda: second.owned)
            assert "instance" in str(first.errors[0])

    asyncio.run(main())


CHILD = """
import asyncio, json, sys
from gpfn.bridge.kafka.source import KafkaSource
from tests.bridge.kafka_listening import Hears

async def main(settings, topic, group):
    hears = Hears()
    def then(record):
        print(json.dumps(["came", record.partition, record.offset]), flush=True)
        if record.offset % 4 != 1:
            hears.done(record)
    hears.then = then
    hears.source = KafkaSource(settings, [topic], group, log=lambda line: None)
    await hears.source.start(hears)
    while True:
        for what in hears.happened:
            print(json.dumps([what[0], len(what[1]), 0]), flush=True)
        hears.happened.clear()
        await asyncio.sleep(0.02)

asyncio.run(main(json.loads(sys.argv[1]), *sys.argv[2:]))
"""


class Child:
    """A member in a process of its own, which does all records but those at 1, 5, 9 …"""

    def __init__(self, kafka: TestKafka, topic: str, **settings: str) -> None:
        words = [json.dumps({**kafka.settings, **FAST, **settings}), topic, f"group of {topic}"]
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, *words],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
        )
        os.set_blocking(self.process.stdout.fileno(), False)
        self.told: list[list] = []
        self._rest = b""

    def of(self, kind: str) -> list[tuple[int, int]]:
        """Return what it has told of a kind."""
        while data := os.read(self.process.stdout.fileno(), 1 << 16) if self._readable() else b"":
            *lines, self._rest = (self._rest + data).split(b"\n")
            self.told += [json.loads(line) for line in lines]
        return [(partition, offset) for how, partition, offset in self.told if how == kind]

    def _readable(self) -> bool:
        import select

        return bool(select.select([self.process.stdout], [], [], 0)[0])

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def test_after_kill_9_only_what_was_not_committed_comes_again(kafka: TestKafka) -> None:
    topic = kafka.topic(partitions=2)
    group = f"group of {topic}"
    for partition in range(2):
        kafka.write(topic, numbers(1000), partition=partition)

    async def main() -> None:
        with Child(kafka, topic, **{"session.timeout.ms": "1000"}) as child:
            await until(lambda: len(child.of("came")) == 2000)
            # the first one at 1 holds both partitions there; what is beyond is in the text
            await until(lambda: kafka.committed(group, topic) == {0: 1, 1: 1})
            await asyncio.sleep(0.6)
            child.signal(signal.SIGKILL)
        async with joined(kafka, topic) as hears:
            expected = [(part, at) for part in range(2) for at in range(1, 1000, 4)]
            await until(lambda: len(hears.records) >= len(expected))
            await asyncio.sleep(0.5)
            came = sorted((record.partition, record.offset) for record in hears.records)
            assert came == expected

    asyncio.run(main())


def test_who_was_away_too_long_commits_nothing_of_what_others_have(kafka: TestKafka) -> None:
    topic = kafka.topic(partitions=1)
    group = f"group of {topic}"
    kafka.write(topic, numbers(100))

    async def main() -> None:
        with Child(kafka, topic, **{"session.timeout.ms": "1000"}) as child:
            await until(lambda: len(child.of("came")) == 100)
            await until(lambda: kafka.committed(group, topic) == {0: 1})
            child.signal(signal.SIGSTOP)
            hears = Hears()
            hears.then = hears.done
            async with joined(kafka, topic, hears):
                await until(lambda: len(hears.records) == 25)
                await until(lambda: kafka.committed(group, topic) == {0: 100})
                child.signal(signal.SIGCONT)
                await until(lambda: child.of("lost"))
                for _ in range(10):
                    await asyncio.sleep(0.1)
                    assert kafka.committed(group, topic) == {0: 100}
                assert hears.owned == {(topic, 0)}

    asyncio.run(main())


@pytest.mark.parametrize("start", ["earliest", "latest"])
def test_partitions_are_added(kafka: TestKafka, start: str) -> None:
    """What is written to them before anybody knows of them comes too, however it started."""
    topic = kafka.topic(partitions=1)
    kafka.write(topic, numbers(5))

    async def main() -> None:
        hears = Hears()
        hears.then = hears.done
        async with joined(kafka, topic, hears, start=start):
            kafka.widen(topic, 3)
            for partition in range(3):
                kafka.write(topic, numbers(10, 100), partition=partition)
            expected = 30 if start == "latest" else 35
            await until(lambda: len(hears.records) == expected)
            await asyncio.sleep(0.3)
            assert len(hears.records) == expected
            assert len(hears.owned) == 3

    asyncio.run(main())


def test_latest_leaves_out_what_was_there_before_and_nothing_else(kafka: TestKafka) -> None:
    topic = kafka.topic(partitions=2)
    kafka.write(topic, numbers(10))

    async def main() -> None:
        async with joined(kafka, topic, start="latest") as hears:
            await asyncio.sleep(0.3)
            assert hears.records == []
        kafka.write(topic, numbers(10, 10))  # nobody is there, and nothing was ever committed
        async with joined(kafka, topic, start="latest") as again:
            await until(lambda: len(again.records) == 10)
            assert {*again.values()} == {*numbers(10, 10)}

    asyncio.run(main())


def test_pausing_keeps_order_and_drops_nothing(kafka: TestKafka) -> None:
    """So much that the library is paused too, which throws away what it has fetched."""
    topic = kafka.topic(partitions=2)
    for partition in range(2):
        kafka.write(topic, [b"%06d" % n + bytes(500) for n in range(12_000)], partition=partition)

    async def main() -> None:
        hears = Hears()
        async with joined(kafka, topic, hears):
            paused: list[Partition] = [(topic, 0)]
            began = time.monotonic()
            while len(hears.records) < 24_000:
                assert time.monotonic() - began < 60
                hears.source.pause(paused)
                count = sum(record.partition == paused[0][1] for record in hears.records)
                await asyncio.sleep(0.15)
                now = sum(record.partition == paused[0][1] for record in hears.records)
                assert now == count
                hears.source.resume(paused)
                paused = [(topic, 1 - paused[0][1])]
                await asyncio.sleep(0.01)
        for partition in range(2):
            offsets = [record.offset for record in hears.records if record.partition == partition]
            assert offsets == [*range(12_000)]

    asyncio.run(main())


def test_what_comes_while_paused_takes_a_bounded_memory(kafka: TestKafka) -> None:
    topic = kafka.topic(partitions=1)
    kafka.write(topic, [bytes(10_000)] * 5000)

    async def main() -> None:
        hears = Hears()
        hears.then = lambda _: hears.source.pause([(topic, 0)])
        async with joined(kafka, topic, hears):
            await asyncio.sleep(2)
            owned = hears.source._member.owned[topic, 0]
            assert owned.held
            assert owned.waiting < 1500
            assert len(hears.records) <= 100
            hears.then = hears.done
            for record in hears.records:
                hears.done(record)
            hears.source.resume([(topic, 0)])
            await until(lambda: len(hears.records) == 5000)
            await until(lambda: kafka.committed(f"group of {topic}", topic) == {0: 5000})

    asyncio.run(main())


def test_a_partition_that_comes_back_is_not_paused_any_more(kafka: TestKafka) -> None:
    topic = kafka.topic(partitions=2)

    async def main() -> None:
        first = Hears()
        async with joined(kafka, topic, first):
            first.source.pause([(topic, 0), (topic, 1)])
            first.source._member.thread.hold(first.source._member.owned[topic, 0], True)
            first.source._member.thread.hold(first.source._member.owned[topic, 1], True)
            await asyncio.sleep(0.2)
            async with joined(kafka, topic) as second:
                await until(lambda: len(second.owned) == 1)
                (gone,) = second.owned
            await until(lambda: len(first.owned) == 2)
            kafka.write(topic, numbers(5), partition=gone[1])
            kafka.write(topic, numbers(5), partition=1 - gone[1])
            await until(lambda: len(first.records) == 5)
            assert {(record.topic, record.partition) for record in first.records} == {gone}

    asyncio.run(main())


def test_attempts_are_there_after_a_crash(kafka: TestKafka) -> None:
    topic = kafka.topic(partitions=1)
    kafka.write(topic, numbers(3))
    group = f"group of {topic}"

    def text() -> str:
        consumer = Consumer({**kafka.settings, "group.id": group})
        try:
            return consumer.committed([TopicPartition(topic, 0)], 10)[0].metadata or ""
        finally:
            consumer.close()

    async def main() -> None:
        async with joined(kafka, topic) as hears:
            await until(lambda: len(hears.records) == 3)
            began = time.monotonic()
            hears.source.tried(hears.records[1], 2)
            await until(text)
            assert time.monotonic() - began < 0.6
            hears.source.tried(hears.records[2], 7)
            await until(lambda: len(text()) > len("gpfn1:AAAA"))
            hears.source._member.thread.end(())  # it ends without another commit
            await asyncio.sleep(0.3)
        async with joined(kafka, topic) as again:
            await until(lambda: len(again.records) == 3)
            assert [record.attempts for record in again.records] == [0, 2, 7]

    asyncio.run(main())


def test_as_much_as_fits_beside_the_offset_is_known_after_a_restart(kafka: TestKafka) -> None:
    topic = kafka.topic(partitions=1)
    kafka.write(topic, numbers(5000))
    group = f"group of {topic}"

    async def main() -> None:
        hears = Hears()
        hears.then = lambda record: record.offset % 2 and hears.done(record)
        async with joined(kafka, topic, hears):
            await until(lambda: len(hears.records) == 5000)
            await until(lambda: kafka.committed(group, topic) == {0: 0})
        assert hears.lines == []
        async with joined(kafka, topic) as again:
            await until(lambda: again.records and again.records[-1].offset == 4999)
            left = [record.offset for record in again.records]
            assert {*range(0, 5000, 2)} < {*left}
            assert left[:1500] == [*range(0, 3000, 2)]

    asyncio.run(main())


def test_a_text_of_somebody_else_beside_the_offset(kafka: TestKafka) -> None:
    topic = kafka.topic(partitions=1)
    kafka.write(topic, numbers(10))
    consumer = Consumer({**kafka.settings, "group.id": f"group of {topic}"})
    place = TopicPartition(topic, 0, 4, metadata="gpfn1:////" + "é" * 100)
    consumer.commit(offsets=[place], asynchronous=False)
    consumer.close()

    async def main() -> None:
        async with joined(kafka, topic) as hears:
            await until(lambda: len(hears.records) == 6)
            assert any("text beside the offset" in line for line in hears.lines)

    asyncio.run(main())


def test_transactions_leave_gaps(kafka: TestKafka) -> None:
    """What was aborted is not given, and what marks transactions takes offsets."""
    topic = kafka.topic(partitions=1)
    producer = Producer({**kafka.settings, "transactional.id": topic})
    producer.init_transactions(20)
    for number in range(6):
        producer.begin_transaction()
        for value in numbers(3, 10 * number):
            producer.produce(topic, value)
        producer.flush(10)
        (producer.abort_transaction if number % 2 else producer.commit_transaction)(10)

    async def main() -> None:
        hears = Hears()
        async with joined(kafka, topic, hears):
            await until(lambda: len(hears.records) == 9)
            assert [int(value or b"") for value in hears.values()] == [
                *range(3), *range(20, 23), *range(40, 43)
            ]  # fmt: skip
            for record in reversed(hears.records):
                hears.done(record)
        offset = kafka.committed(f"group of {topic}", topic)[0]
        assert offset == hears.records[-1].offset + 1
        async with joined(kafka, topic) as again:
            await asyncio.sleep(0.5)
            assert again.records == []

    asyncio.run(main())


def test_a_topic_is_made_again(kafka: TestKafka) -> None:
    topic = kafka.topic(partitions=1)
    kafka.write(topic, numbers(50))

    async def main() -> None:
        hears = Hears()
        hears.then = hears.done
        async with joined(kafka, topic, hears):
            await until(lambda: len(hears.records) == 50)
            await until(lambda: kafka.committed(f"group of {topic}", topic) == {0: 50})
            client = AdminClient(kafka.settings)
            client.delete_topics([topic])[topic].result(10)
            await until(lambda: topic not in {each.name for each in kafka.admin.all_topics()})
            assert kafka.admin.create(topic, 1)
            kafka.settle(topic, 1)
            kafka.write(topic, numbers(20, 1000))
            await until(lambda: len(hears.records) >= 70)
            assert {*hears.values()[50:]} == {*numbers(20, 1000)}
        assert hears.errors == []

    asyncio.run(main())


def test_the_broker_assigns(kafka: TestKafka) -> None:
    """KIP-848: the other protocol of groups, by a setting."""
    topic = kafka.topic(partitions=4)
    kafka.write(topic, numbers(40))
    protocol = {"group.protocol": "consumer"}

    async def main() -> None:
        first, second = Hears(), Hears()
        first.then, second.then = first.done, second.done
        settings = {"settings": protocol, "group": f"848 {topic}"}
        async with joined(kafka, topic, first, **settings):
            await until(lambda: len(first.records) == 40)
            async with joined(kafka, topic, second, **settings):
                await until(lambda: len(first.owned) == len(second.owned) == 2)
                kafka.write(topic, numbers(40, 100))
                await until(lambda: len(first.records) + len(second.records) == 80)
            await until(lambda: len(first.owned) == 4)
        assert sum(kafka.committed(f"848 {topic}", topic).values()) == 80

    asyncio.run(main())


def test_hostile_headers(kafka: TestKafka) -> None:
    """Names that are no UTF-8 or hold a NUL, and a thousand of them, block nothing."""
    topic = kafka.topic(partitions=1)
    write_raw(kafka.settings, topic, b"one", [(b"\xff\xfe", b"1"), (b"good", b"2")])
    write_raw(kafka.settings, topic, b"two", [(b"ce_id", b"\xff\x00"), (b"ce_id", None)])
    write_raw(kafka.settings, topic, b"three", [(b"n%d" % n, bytes(10)) for n in range(1000)])
    kafka.write(topic, [b"four"])

    async def main() -> None:
        hears = Hears()
        hears.then = hears.done
        async with joined(kafka, topic, hears):
            await until(lambda: len(hears.records) == 4)
        one, two, three, four = hears.records
        assert hears.values() == [b"one", b"two", b"three", b"four"]
        assert one.headers == UNREADABLE_HEADERS
        assert two.headers == (("ce_id", b"\xff\x00"), ("ce_id", None))
        assert len(three.headers) == 1000
        assert four.headers == ()
        assert kafka.committed(f"group of {topic}", topic) == {0: 4}

    asyncio.run(main())


def test_members_come_and_go_and_nothing_is_lost(kafka: TestKafka) -> None:
    topic = kafka.topic(partitions=4)
    group = f"group of {topic}"
    kafka.write(topic, numbers(4000))
    ends = kafka.ends(topic)
    done: dict[int, set[int]] = {partition: set() for partition in range(4)}

    async def member(seconds: float) -> Hears:
        hears = Hears()

        def later(record: Record) -> None:
            def finish() -> None:
                if (record.topic, record.partition) in hears.owned:
                    hears.done(record)
                    done[record.partition].add(record.offset)

            asyncio.get_running_loop().call_later(0.001 * (record.offset % 7), finish)

        hears.then = later
        async with joined(kafka, topic, hears):
            await asyncio.sleep(seconds)
        return hears

    async def main() -> None:
        steady = asyncio.create_task(member(8))
        others = []
        for _ in range(4):
            others.append(asyncio.create_task(member(1.2)))
            await asyncio.sleep(1.4)
            for partition, offset in kafka.committed(group, topic).items():
                unfinished = {*range(ends[partition])} - done[partition]
                assert offset <= min(unfinished, default=ends[partition])
        heard = [await task for task in [steady, *others]]
        assert not [error for hears in heard for error in hears.errors]
        assert not [what for hears in heard for what in hears.of("lost")]

    asyncio.run(main())
    assert {partition: len(offsets) for partition, offsets in done.items()} == ends
    assert kafka.committed(group, topic) == ends
