"""A bridge beside a broker and a function that fail, with real processes."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.bridge.kafka_broker import TestKafka, kafka, own_broker
from tests.e2e.bridge.running import World, world

__all__ = ["kafka"]

LONG = int(os.environ.get("BRIDGE_LONG", "1"))
"""How many times as long things are away as in CI: with 6 a broker stands still for 30 s."""


def half_way(at: World, share: float = 0.3) -> None:
    """Wait until some of the events were called with."""
    at.until(lambda: at.calls() >= len(at.ids) * share)


def test_the_function_is_killed_and_comes_back(kafka: TestKafka, tmp_path: Path) -> None:
    with world(kafka, tmp_path) as at:
        function = at.start_function(DELAY="0.005")
        at.write(2000)
        at.start_bridge()
        for share in (0.2, 0.5):
            half_way(at, share)
            function.kill()
            time.sleep(1.0)
            function = at.start_function(DELAY="0.005")
        at.wait()
        at.check_order()
        assert not kafka.ends(at.dead)[0], "a function that is away makes no dead letters"


def test_the_broker_is_killed_and_comes_back(tmp_path: Path) -> None:
    with own_broker(tmp_path / "broker") as kafka, world(kafka, tmp_path) as at:
        at.start_function(DELAY="0.005")
        at.write(2000)
        bridge = at.start_bridge()
        half_way(at)
        kafka.broker.kill()
        time.sleep(1.0 * LONG)
        kafka.broker.start()
        at.wait(90)
        at.check_order()
        assert bridge.popen.poll() is None, "it waits for its broker"
        assert bridge.end() == 0
        at.check_committed()


def test_the_broker_stands_still(tmp_path: Path) -> None:
    """It is shorter away than its own controller's patience, which would have to take it back."""
    patient = {"broker.session.timeout.ms": str(9000 * LONG)}
    with own_broker(tmp_path / "broker", **patient) as kafka, world(kafka, tmp_path) as at:
        at.start_function(DELAY="0.005")
        at.write(1500)
        bridge = at.start_bridge()
        half_way(at)
        kafka.broker.pause()
        time.sleep(5.0 * LONG)
        kafka.broker.cont()
        at.wait(90)
        at.check_order()
        assert bridge.end() == 0


def test_a_clean_stop_commits_everything(kafka: TestKafka, tmp_path: Path) -> None:
    with world(kafka, tmp_path) as at:
        at.start_function(DELAY="0.005")
        at.write(1000)
        for share in (0.3, 0.6):
            bridge = at.start_bridge()
            half_way(at, share)
            assert bridge.end() == 0
            at.check_committed()
        at.start_bridge()
        found = at.wait()
        assert set(found.values()) == {1}, "a bridge that ends in order does nothing twice"
        assert at.calls() == 1000


def test_partitions_are_added_while_it_runs(kafka: TestKafka, tmp_path: Path) -> None:
    settings = '"topic.metadata.refresh.interval.ms" = 500'
    with world(kafka, tmp_path, 2, settings=settings) as at:
        at.start_function()
        at.write(200)
        at.start_bridge()
        at.wait()
        kafka.widen(at.source, 6)
        at.write(600)
        at.wait()


def test_members_come_and_go(kafka: TestKafka, tmp_path: Path) -> None:
    with world(kafka, tmp_path) as at:
        at.start_function(DELAY="0.01")
        at.write(2500 * LONG)
        at.start_bridge("first")
        for number in range(3 * LONG):
            half_way(at, 0.1 + number * 0.25 / LONG)
            guest = at.start_bridge(f"guest-{number}")
            time.sleep(2.5)
            assert guest.end() == 0
        at.wait(60 * LONG)
        at.check_order()
        at.check_committed()


def test_a_poison_record_in_each_partition_blocks_nobody(kafka: TestKafka, tmp_path: Path) -> None:
    with world(kafka, tmp_path) as at:
        at.start_function()
        for partition in range(at.partitions):
            at.write_ids(
                [f"poison-{partition}", f"{partition}-a", f"once-{partition}"], 1, partition
            )
            kafka.write(at.source, [b"{", None], partition=partition,
                        headers=[("content-type", b"application/cloudevents+json")])  # fmt: skip
        at.start_bridge()
        found = at.wait()
        assert set(found.values()) >= {1}
        at.until(lambda: kafka.ends(at.dead)[0] == at.partitions * 3)


def test_a_slow_function_stops_no_other_key_and_no_poll(kafka: TestKafka, tmp_path: Path) -> None:
    with world(kafka, tmp_path, 1, in_flight=4) as at:
        at.start_function()
        at.write_ids(["slow-1"], 1)
        at.write_ids([f"quick-{n}" for n in range(50)], 50)
        began = time.monotonic()
        at.start_bridge()
        at.until(lambda: sum(kafka.ends(at.replies).values()) >= 40)
        assert time.monotonic() - began < 5, "others do not wait for the slow one"
        found = at.wait()
        assert set(found.values()) == {1}
        assert at.calls() == 51


@pytest.mark.parametrize("name", ["strange", "huge", "endless"])
def test_a_reply_that_cannot_be_used_is_a_dead_letter(
    kafka: TestKafka, tmp_path: Path, name: str
) -> None:
    with world(kafka, tmp_path, 1, attempts=2) as at:
        at.start_function()
        at.write_ids([f"{name}-1", "good-1"])
        at.start_bridge()
        at.wait()
        (dead,) = kafka.read(at.dead, 1)
        headers = dict(dead.headers())
        assert headers["ce_id"] == f"{name}-1".encode()
        assert headers["gpfn_reason"]


def test_a_dead_letter_at_the_brokers_limit_has_less_added(
    kafka: TestKafka, tmp_path: Path
) -> None:
    with world(kafka, tmp_path, 1) as at:
        at.dead = kafka.topic(1, max_message_bytes="3000")
        at.start_function()
        attributes = {"specversion": "1.0", "id": "poison-1", "source": "/s", "type": "t"}
        headers = [(f"ce_{n}", v.encode()) for n, v in attributes.items()]
        kafka.write(at.source, [bytes(2750)], headers=headers)
        at.ids.append("poison-1")
        at.start_bridge()
        at.wait()
        (dead,) = kafka.read(at.dead, 1)
        assert dead.value() == bytes(2750)
        assert {name for name, _ in dead.headers()} >= {name for name, _ in headers}


def test_a_dead_letter_topic_that_takes_nothing_stops_the_bridge(
    kafka: TestKafka, tmp_path: Path
) -> None:
    with world(kafka, tmp_path, 1) as at:
        usual, at.dead = at.dead, kafka.topic(1, max_message_bytes="50")
        at.start_function()
        at.write_ids(["poison-1", "good-1"], 2)
        bridge = at.start_bridge()
        assert bridge.popen.wait(30) == 1
        assert "MSG_SIZE_TOO_LARGE" in bridge.log.read_text() or "large" in bridge.log.read_text()
        assert kafka.committed(at.group, at.source).get(0, 0) == 0, "what is not buried stays"
        at.dead = usual
        at.start_bridge()
        at.wait()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 48 MB, which is full soon."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_the_brokers_disk_is_full_and_has_room_again(small_disk: Path, tmp_path: Path) -> None:
    """A broker whose disk is full ends; what it has not confirmed is written when it is back."""
    with own_broker(small_disk / "broker") as kafka, world(kafka, tmp_path) as at:
        at.start_function(DELAY="0.002")
        at.write(800)
        bridge = at.start_bridge()
        half_way(at, 0.1)
        ballast = small_disk / "ballast"
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 16))
        time.sleep(4.0 * LONG)
        ballast.unlink()
        kafka.broker.kill()
        kafka.broker.start()
        at.wait(90)
        at.check_order()
        assert bridge.end() == 0
        at.check_committed()
