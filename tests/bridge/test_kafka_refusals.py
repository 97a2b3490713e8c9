"""What Kafka refuses: at the start in one line with the field, in seconds; never a secret."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from gpfn.bridge.kafka.admin import KafkaAdmin
from gpfn.bridge.kafka.broker import _free_port
from gpfn.bridge.kafka.client import READING, WRITING, ClientLog
from gpfn.bridge.kafka.sink import KafkaSink
from gpfn.bridge.kafka.source import KafkaSource
from gpfn.bridge.record import Outgoing
from gpfn.errors import BackendError, BackendTimeout, CannotConnect, GpfnError, SetupError
from tests.bridge.kafka_broker import TestKafka, kafka, own_broker
from tests.bridge.kafka_listening import FAST, Hears, joined, until

__all__ = ["kafka"]

SECRET = "correct horse"


class Guarded:
    """A broker with users and TLS beside its open door."""

    def __init__(self, kafka: TestKafka, sasl: int, tls: int, folder: Path) -> None:
        self.kafka = kafka
        self.sasl = f"127.0.0.1:{sasl}"
        self.tls = f"127.0.0.1:{tls}"
        self.tls_elsewhere = f"localhost:{tls}"
        self.authority = str(folder / "ca.pem")

    def user(self, name: str, password: str = SECRET) -> dict[str, str]:
        """Return the settings of a user."""
        return {
            "bootstrap.servers": self.sasl,
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "PLAIN",
            "sasl.username": name,
            "sasl.password": password,
        }

    def allow(self, user: str, kind: ResourceType, name: str, *operations: AclOperation) -> None:
        """Let a user do something."""
        literal = ResourcePatternType.LITERAL
        bindings = [
            AclBinding(kind, name, literal, f"User:{user}", "*", operation, AclPermissionType.ALLOW)
            for operation in operations
        ]
        client = AdminClient(self.kafka.settings)
        for made in client.create_acls(bindings).values():
            made.result(10)


def certificates(folder: Path) -> None:
    """Make an authority, and a key and certificate for 127.0.0.1 alone."""
    script = """
    openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=ours -keyout ca.key -out ca.pem
    openssl req -newkey rsa:2048 -nodes -subj /CN=broker -keyout broker.key -out broker.csr
    printf 'subjectAltName=IP:127.0.0.1' >names
    openssl x509 -req -in broker.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 \
      -extfile names -out broker.crt
    cat broker.key broker.crt >broker.pem
    """
    subprocess.run(["sh", "-ec", script], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    certificates(folder)
    sasl, tls = _free_port(0), _free_port(0)
    where = f"PLAINTEXT://127.0.0.1:{{port}},SASL://127.0.0.1:{sasl},TLS://127.0.0.1:{tls}"
    login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    users = " ".join(
        f'user_{name}="{SECRET}"' for name in ("reader", "writer", "nobody", "groupless")
    )
    settings = {
        "listeners": f"{where},CONTROLLER://127.0.0.1:{{controller}}",
        "advertised.listeners": where,
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,"
        "SASL:SASL_PLAINTEXT,TLS:SSL",
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl.plain.sasl.jaas.config": f"{login} {users};",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(folder / "broker.pem"),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }
    with own_broker(folder / "kafka", **settings) as kafka:
        yield Guarded(kafka, sasl, tls, folder)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten seconds are long for a test."""
    monkeypatch.setattr("gpfn.bridge.kafka.admin._SECONDS", 3.0)


def refused(
    settings: dict[str, str], topic: str = "topic", *, sink: bool = False, **more: Any
) -> GpfnError:
    """Return the error with which a source or a sink does not start."""
    lines: list[str] = []

    async def main() -> None:
        if sink:
            await KafkaSink(settings, log=lines.append).start([topic])
        else:
            source = KafkaSource(settings, [topic], "group", log=lines.append, **more)
            await source.start(Hears())

    began = time.monotonic()
    with pytest.raises((SetupError, BackendError)) as caught:
        asyncio.run(main())
    assert time.monotonic() - began < 6
    assert "\n" not in str(caught.value)
    for told in [str(caught.value), *lines]:
        assert SECRET not in told
        assert "hunter2" not in told
    return caught.value


OPEN = {"bootstrap.servers": "127.0.0.1:1"}
WRONG: dict[str, tuple[dict[str, str], str, str]] = {
    "unknown": ({"foo.bar": "1"}, "source.settings.foo.bar", "No such configuration property"),
    "no number": ({"session.timeout.ms": "soon"}, "source.settings.session.timeout.ms", "Invalid"),
    "out of range": ({"fetch.wait.max.ms": "-3"}, "source.settings.fetch.wait.max.ms", "range"),
    "out of range by another name": ({"linger.ms": "-3"}, "source.settings", "-3 is outside"),
    "auto commit": ({"enable.auto.commit": "true"}, "source.settings.enable.auto.commit", "lost"),
    "stored offsets": (
        {"enable.auto.offset.store": "true"},
        "source.settings.enable.auto.offset.store",
        "must be false",
    ),
    "eager": (
        {"partition.assignment.strategy": "range"},
        "source.settings.partition.assignment.strategy",
        "cooperative-sticky",
    ),
    "group": ({"group.id": "x"}, "source.settings.group.id", "is set by source.group"),
    "start": ({"auto.offset.reset": "latest"}, "source.settings.auto.offset.reset", "source.start"),
    "a callback": ({"error_cb": "x"}, "source.settings.error_cb", "no setting"),
    "a logger": ({"logger": "x"}, "source.settings.logger", "no setting"),
    "a NUL": ({"client.id": "a\0b"}, "source.settings.client.id", "NUL"),
    "no UTF-8": ({"client.id": "\udc80"}, "source.settings.client.id", "UTF-8"),
    "too short": (
        {"max.poll.interval.ms": "20000"},
        "source.settings.max.poll.interval.ms",
        "must be more than",
    ),
    "no broker": ({"bootstrap.servers": " "}, "source.kafka", "HOST:PORT"),
    "a key that is none": (
        {"security.protocol": "ssl", "ssl.key.pem": "hunter2"},
        "source.settings.ssl.key.pem",
        "not in PEM format",
    ),
    "a mechanism": (
        {"security.protocol": "SASL_SSL", "sasl.mechanism": "FOO", "sasl.password": "hunter2"},
        "source.settings",
        "Unsupported SASL mechanism",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_setting(name: str) -> None:
    settings, field, words = WRONG[name]
    error = refused({**OPEN, **settings})
    assert isinstance(error, SetupError)
    assert error.field == field
    assert words in error.detail


READ = {
    "auto.commit.interval.ms": "1000", "check.crcs": "true", "enable.auto.commit": "true",
    "enable.partition.eof": "true", "fetch.min.bytes": "5", "fetch.wait.max.ms": "5",
    "group.instance.id": "x", "heartbeat.interval.ms": "5", "max.partition.fetch.bytes": "5000",
    "max.poll.interval.ms": "600000", "offset.store.method": "broker",
    "partition.assignment.strategy": "range", "queued.min.messages": "5",
    "session.timeout.ms": "6000",
}  # fmt: skip
WRITTEN = {
    "batch.num.messages": "5", "batch.size": "5000", "compression.type": "gzip",
    "enable.idempotence": "true", "message.timeout.ms": "6000", "partitioner": "random",
    "queue.buffering.max.ms": "5", "queuing.strategy": "fifo", "request.required.acks": "1",
    "sticky.partitioning.linger.ms": "5", "transactional.id": "x",
}  # fmt: skip
BOTH = ("client.id", "message.max.bytes", "security.protocol", "socket.timeout.ms", "ssl.key.pem")


@pytest.mark.parametrize("reads", [True, False])
def test_the_side_of_a_setting_is_what_the_library_says(reads: bool) -> None:
    """Of a setting of the other side it says that it is ignored; the bridge refuses it before."""
    settings = READ if reads else WRITTEN
    own, other = (READING, WRITING) if reads else (WRITING, READING)
    assert all(name.startswith(own) and not name.startswith(other) for name in settings)
    told: list[str] = []
    log = ClientLog(None, {})
    log.log = lambda *words: told.append(str(words[-1]))  # type: ignore[method-assign]
    client = (Producer if reads else Consumer)(
        {"bootstrap.servers": "127.0.0.1:9", "logger": log, **settings}
        | ({} if reads else {"group.id": "g"})
    )
    client.poll(0)
    side = "consumer" if reads else "producer"
    ignored = [line for line in told if f"is a {side} property and will be ignored" in line]
    assert len(ignored) == len(settings)


@pytest.mark.parametrize("name", BOTH)
def test_a_setting_of_both_sides_is_refused_by_neither(name: str) -> None:
    assert not name.startswith((*READING, *WRITING))


def test_what_is_no_topic() -> None:
    for topic in ("", "a b", "^readings.*", "x" * 250, "..", "a\0"):
        assert refused(OPEN, topic).field == "source.topics"
    with pytest.raises(SetupError, match="names no topic"):
        KafkaSource(OPEN, [], "group", log=print)
    with pytest.raises(SetupError, match="the group needs a name"):
        KafkaSource(OPEN, ["a"], "", log=print)


def test_a_secret_is_never_told() -> None:
    """Whatever setting has it and whatever the library says about it."""
    for key in ("sasl.password", "ssl.key.password", "sasl.oauthbearer.client.secret"):
        assert "hunter2" not in str(
            refused({**OPEN, key: "hunter2", "security.protocol": "hunter2"})
        )


@pytest.mark.parametrize("sink", [False, True])
def test_nobody_listens(sink: bool) -> None:
    error = refused(OPEN, sink=sink)
    assert isinstance(error, CannotConnect)
    assert error.field == ("sink.kafka" if sink else "source.kafka")
    assert "Connection refused" in error.detail


def test_a_host_that_has_no_address() -> None:
    error = refused({"bootstrap.servers": "no-such-host.invalid:9092"})
    assert isinstance(error, CannotConnect)
    assert "no-such-host.invalid" in error.detail


def test_a_server_that_says_nothing(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = refused({"bootstrap.servers": f"127.0.0.1:{silent.getsockname()[1]}"})
    assert isinstance(error, (BackendTimeout, CannotConnect))
    assert error.field == "source.kafka"


@pytest.mark.parametrize("sink", [False, True])
def test_a_topic_that_is_not_there(kafka: TestKafka, sink: bool) -> None:
    error = refused(kafka.settings, "no-such-topic", sink=sink)
    assert isinstance(error, SetupError)
    assert error.field == ("no-such-topic" if sink else "source.topics")
    assert "no-such-topic does not exist" in error.detail
    assert "no-such-topic" not in {each.name for each in kafka.admin.all_topics()}


@pytest.mark.parametrize("sink", [False, True])
def test_a_wrong_password(guarded: Guarded, sink: bool) -> None:
    began = time.monotonic()
    error = refused(guarded.user("reader", "hunter2"), sink=sink)
    assert isinstance(error, SetupError)
    assert error.field == ("sink.kafka" if sink else "source.kafka")
    assert "Authentication failed" in error.detail
    assert time.monotonic() - began < 5


def test_tls_with_another_host(guarded: Guarded) -> None:
    tls = {"security.protocol": "ssl", "ssl.ca.location": guarded.authority}
    KafkaAdmin({"bootstrap.servers": guarded.tls, **tls}).connect()
    error = refused({"bootstrap.servers": guarded.tls_elsewhere, **tls})
    assert isinstance(error, SetupError)
    assert error.field == "source.kafka"
    assert "certificate" in error.detail


def test_tls_of_an_unknown_authority(guarded: Guarded) -> None:
    error = refused({"bootstrap.servers": guarded.tls, "security.protocol": "ssl"})
    assert isinstance(error, SetupError)
    assert "certificate" in error.detail


def test_no_tls_where_there_is(guarded: Guarded) -> None:
    error = refused({"bootstrap.servers": guarded.tls})
    assert error.field == "source.kafka"


def test_what_a_user_may_not_do(guarded: Guarded) -> None:
    topic = guarded.kafka.topic(partitions=1)
    group, named = ResourceType.GROUP, ResourceType.TOPIC
    guarded.allow("reader", named, topic, AclOperation.READ)
    guarded.allow("reader", group, "group", AclOperation.READ)
    guarded.allow("groupless", named, topic, AclOperation.READ)
    guarded.allow("writer", named, topic, AclOperation.WRITE)
    found = {
        ("nobody", False): "source.topics",
        ("groupless", False): "source.group",
        ("writer", False): "source.topics",
        ("nobody", True): topic,
        ("reader", True): topic,
    }
    for (user, sink), field in found.items():
        error = refused(guarded.user(user), topic, sink=sink)
        assert isinstance(error, SetupError), (user, error)
        assert error.field == field, (user, error)

    async def main() -> None:
        sink = KafkaSink(guarded.user("writer"), log=print)
        await sink.start([topic])
        told: list[GpfnError | None] = []
        sink.send(Outgoing(topic, b"k", b"v"), told.append)
        sink.send(Outgoing("another", b"k", b"v"), told.append)
        await until(lambda: len(told) == 2)
        assert told.count(None) == 1
        assert isinstance(next(filter(None, told)), BackendError)
        await sink.stop(5)
        hears = Hears()
        hears.then = hears.done
        async with joined(
            guarded.kafka, topic, hears, group="group", settings=guarded.user("reader")
        ):
            await until(lambda: hears.values() == [b"v"])
        assert guarded.kafka.committed("group", topic) == {0: 1}

    asyncio.run(main())


def test_a_right_that_is_taken_away(guarded: Guarded) -> None:
    """The group's: nothing can be read any more, and the listener hears why."""
    topic = guarded.kafka.topic(partitions=1)
    guarded.allow("reader", ResourceType.TOPIC, topic, AclOperation.READ)
    guarded.allow("reader", ResourceType.GROUP, "other", AclOperation.READ)
    client = AdminClient(guarded.kafka.settings)

    async def main() -> None:
        hears = Hears()
        async with joined(
            guarded.kafka, topic, hears, group="other", settings={**guarded.user("reader"), **FAST}
        ):
            from confluent_kafka.admin import AclBindingFilter

            rule = AclBindingFilter(
                ResourceType.GROUP, "other", ResourcePatternType.ANY, None, None,
                AclOperation.ANY, AclPermissionType.ANY,
            )  # fmt: skip
            for gone in client.delete_acls([rule]).values():
                gone.result(10)
            await until(lambda: hears.errors)
        (error, *_) = hears.errors
        assert isinstance(error, SetupError)
        assert error.field == "source.group"

    asyncio.run(main())


@pytest.mark.parametrize("limit", [100, 0])
def test_a_broker_that_keeps_less_text_beside_an_offset(tmp_path: Path, limit: int) -> None:
    with own_broker(tmp_path / "kafka", **{"offset.metadata.max.bytes": str(limit)}) as kafka:
        topic = kafka.topic(partitions=1)
        kafka.write(topic, [b"%d" % number for number in range(1000)])

        async def main() -> None:
            hears = Hears()
            hears.then = lambda record: record.offset % 2 and hears.done(record)
            async with joined(kafka, topic, hears):
                await until(lambda: len(hears.records) == 1000)
                await asyncio.sleep(0.5)
                for record in hears.records[:100]:
                    hears.done(record)
                done: Callable[[], bool] = lambda: (  # noqa: E731
                    kafka.committed(f"group of {topic}", topic) == {0: 100}
                )
                await until(done)

        asyncio.run(main())
