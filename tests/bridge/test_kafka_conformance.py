"""Kafka behind the seam, held to what every queue does."""

from collections.abc import Mapping

import pytest

from gpfn.bridge.kafka.sink import KafkaSink
from gpfn.bridge.kafka.source import KafkaSource
from tests.bridge.conformance import Ability, Conformance, Refusal
from tests.bridge.kafka_broker import TestKafka, kafka

__all__ = ["kafka"]


class KafkaPlace:
    """A topic of one partition at a real broker."""

    lacks: Mapping[Ability, str] = {}
    patience = 30.0
    quiet = 0.5
    largest = 900_000

    def __init__(self, kafka: TestKafka) -> None:
        self.settings = kafka.settings
        self.topic = kafka.topic(partitions=1)
        self.partition = (self.topic, 0)
        away = {"bootstrap.servers": "127.0.0.1:1"}
        self.refusals: Mapping[str, Refusal] = {
            "no such topic": (lambda: self._source("no-such-topic"), "source.topics"),
            "no broker": (lambda: KafkaSink(away, log=print), "sink.kafka"),
        }

    def source(self) -> KafkaSource:
        return self._source(self.topic)

    def sink(self) -> KafkaSink:
        return KafkaSink(self.settings, log=print)

    def _source(self, topic: str) -> KafkaSource:
        return KafkaSource(self.settings, [topic], f"group of {self.topic}", log=print)


class TestConformance(Conformance):
    @pytest.fixture
    def place(self, kafka: TestKafka) -> KafkaPlace:
        return KafkaPlace(kafka)
