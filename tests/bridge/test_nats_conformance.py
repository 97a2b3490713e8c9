"""NATS JetStream behind the seam, held to what every queue does."""

from collections.abc import Iterator, Mapping
from itertools import count

import pytest

from gpfn.bridge.nats.sink import NatsSink
from gpfn.bridge.nats.source import NatsSource
from tests.bridge.conformance import Ability, Conformance, Refusal
from tests.bridge.nats_server import NatsServer, free_port, nats_server

_NUMBERS = count()


class NatsPlace:
    """A subject with a stream of its own at a real server."""

    lacks: Mapping[Ability, str] = {}
    patience = 30.0
    quiet = 0.3
    largest = 1_000_000

    def __init__(self, server: NatsServer) -> None:
        self.server = server
        self.topic = f"place.{next(_NUMBERS)}"
        self.partition = (self.topic, 0)
        away = f"nats://127.0.0.1:{free_port()}"
        self.refusals: Mapping[str, Refusal] = {
            "nobody listens": (lambda: NatsSource(away, [self.topic], "g"), "source.nats"),
            "nobody listens to a sink": (lambda: NatsSink(away), "sink.nats"),
            "no stream": (lambda: NatsSource(server.url, ["no.stream"], "g"), "source.topics"),
            "no stream for a sink": (lambda: NatsSink(server.url), self.topic),
        }

    def source(self) -> NatsSource:
        return NatsSource(self.server.url, [self.topic], "group", settings={"create": "on"})

    def sink(self) -> NatsSink:
        return NatsSink(self.server.url, settings={"create": "on"})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with nats_server(tmp_path_factory.mktemp("nats")) as server:
        yield server


class TestConformance(Conformance):
    @pytest.fixture
    def place(self, server: NatsServer) -> NatsPlace:
        return NatsPlace(server)
