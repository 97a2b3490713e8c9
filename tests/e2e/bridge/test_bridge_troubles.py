"""Troubles that users of other bridges report, with a real broker and real processes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from gpfn.bridge.watermark import parse_beyond
from tests.bridge.kafka_broker import TestKafka, kafka, own_broker
from tests.e2e.bridge.running import World, world

__all__ = ["kafka"]


def attempts_beside_the_offset(at: World) -> dict[int, int]:
    """Return the failed calls that the group has written beside its offset of partition 0."""
    consumer = Consumer({**at.kafka.settings, "group.id": at.group})
    try:
        (found,) = consumer.committed([TopicPartition(at.source, 0)], 10)
    finally:
        consumer.close()
    return dict(parse_beyond(found.offset, found.metadata or "").attempts)


def test_three_attempts_are_three_over_restarts_and_a_kill(
    kafka: TestKafka, tmp_path: Path
) -> None:
    """knative-extensions/eventing-kafka-broker 3746: one event was tried 184 times."""
    with world(kafka, tmp_path, 1, attempts=3, first=600, most=600) as at:
        at.start_function()
        at.write_ids(["down-1"])
        at.write_ids(["good-1"], 2)
        for attempt in (1, 2):
            bridge = at.start_bridge()
            at.until(lambda n=attempt: at.journal_of("down-1") == n)  # type: ignore[misc]
            at.until(lambda n=attempt: attempts_beside_the_offset(at) == {0: n})  # type: ignore[misc]
            if attempt == 1:
                assert bridge.end() == 0
            else:
                bridge.kill()
        at.start_bridge()
        found = at.wait()
        (dead,) = kafka.read(at.dead, 1)
        headers = dict(dead.headers())
        assert (headers["ce_id"], headers["gpfn_attempts"]) == (b"down-1", b"3")
        assert headers["gpfn_outcome"] == b"exhausted"
        assert at.journal_of("down-1") == 3
        assert found["down-1"] == 1


def test_a_call_that_outlasts_the_drain_is_not_committed_and_comes_again(
    kafka: TestKafka, tmp_path: Path
) -> None:
    """aio-libs/aiokafka 900: a clean stop committed the event that was being worked on."""
    with world(kafka, tmp_path, 1, drain=1) as at:
        at.start_function()
        at.write_ids(["quick-1", "slow-1", "quick-2"], 3)
        bridge = at.start_bridge()
        at.until(lambda: sum(kafka.ends(at.replies).values()) == 2)
        began = time.monotonic()
        assert bridge.end() == 0
        assert time.monotonic() - began < 4, "it takes 5 s, of which 1 is waited for"
        assert kafka.committed(at.group, at.source) == {0: 1}
        time.sleep(4.5)
        assert sum(kafka.ends(at.replies).values()) == 2, "its answer is nobody's any more"
        at.start_bridge()
        assert at.wait() == {"quick-1": 1, "slow-1": 1, "quick-2": 1}
        assert at.journal_of("slow-1") == 2
        assert at.calls() == 4


@pytest.mark.slow
def test_neither_long_calls_nor_long_waits_pass_the_poll_interval(
    kafka: TestKafka, tmp_path: Path
) -> None:
    """librdkafka 5604, confluent-kafka-python 552: the member was put out of its group."""
    settings = '"max.poll.interval.ms" = 13000'
    with world(
        kafka, tmp_path, 1, drain=0.5, timeout=60, settings=settings, first=54, most=54
    ) as at:
        at.start_function()
        at.write_ids(["long-1", "once-1", "good-1"], 3)
        bridge = at.start_bridge()
        assert at.wait(90) == {"long-1": 1, "once-1": 1, "good-1": 1}
        calls = {name: at.journal_of(name) for name in at.ids}
        assert calls == {"long-1": 1, "once-1": 2, "good-1": 1}, "nothing was begun anew"
        assert bridge.end() == 0
        assert kafka.committed(at.group, at.source) == {0: 3}
        assert "lost" not in bridge.log.read_text()
        assert "MAXPOLL" not in bridge.log.read_text()


RIGHTS = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "true",
}


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestKafka]:
    """A broker that looks at rights where a topic has any."""
    with own_broker(tmp_path_factory.mktemp("strict") / "broker", **RIGHTS) as kafka:
        yield kafka


@contextmanager
def read_only(kafka: TestKafka, topic: str) -> Iterator[None]:
    """Let nobody write to a topic."""
    client = AdminClient(kafka.settings)
    literal, allow = ResourcePatternType.LITERAL, AclPermissionType.ALLOW
    rules = [
        AclBinding(ResourceType.TOPIC, topic, literal, "User:*", "*", operation, allow)
        for operation in (AclOperation.READ, AclOperation.DESCRIBE)
    ]
    for made in client.create_acls(rules).values():
        made.result(10)
    yield
    every = AclBindingFilter(ResourceType.TOPIC, topic, ResourcePatternType.ANY, None, None,
                             AclOperation.ANY, AclPermissionType.ANY)  # fmt: skip
    for gone in client.delete_acls([every]).values():
        gone.result(10)


@pytest.mark.parametrize("refusing", ["replies", "dead"])
def test_a_topic_that_refuses_is_waited_for_with_nothing_committed(
    strict: TestKafka, tmp_path: Path, refusing: str
) -> None:
    """lukashes/outboxx 110, yaalalabs/agent-kernel 630: it was committed all the same."""
    with world(strict, tmp_path, 1) as at:
        topic = getattr(at, refusing)
        at.start_function()
        at.write_ids(["good-0"], 1)
        bridge = at.start_bridge()
        at.until(lambda: strict.committed(at.group, at.source) == {0: 1})
        before = strict.ends(topic)
        with read_only(strict, topic):
            time.sleep(0.5)  # the broker takes a moment to know of it
            at.write_ids(["poison-1", "good-1"], 1)
            at.until(lambda: "not delivered, sent again" in bridge.log.read_text())
            time.sleep(1.5)
            assert strict.ends(topic) == before
            last = 2 if refusing == "replies" else 1
            assert strict.committed(at.group, at.source) == {0: last}, "what is delivered alone"
            assert bridge.popen.poll() is None
        assert at.wait() == {"good-0": 1, "poison-1": 1, "good-1": 1}
        assert at.calls() == 3, "the function is not called again for that"
        assert bridge.end() == 0
        assert strict.committed(at.group, at.source) == {0: 3}
