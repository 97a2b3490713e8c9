"""A bridge, its function and its topics as real processes, and what has to hold of them.

``World.check`` is the whole promise: every event has a reply or a dead letter, the first reply
to each of a key's events keeps the key's order, and what is committed is dealt with.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from gpfn.errors import BackendError
from tests.bridge.kafka_broker import TestKafka

__all__ = ["Process", "World", "free_port", "world"]

_CONFIG = """
{listen}
[source]
kafka = "{address}"
topics = ["{source}"]
group = "{group}"
{instance}
[source.settings]
"session.timeout.ms" = 1000
"heartbeat.interval.ms" = 200
{settings}
[[route]]
call = "http://127.0.0.1:{port}/"
reply = {{ topic = "{replies}" }}
order = "{order}"
in_flight = {in_flight}
timeout = {timeout}
retry = {{ attempts = {attempts}, first = {first}, most = {most} }}
circuit = {{ first = 0.1, most = 0.5 }}
[dead-letter]
topic = "{dead}"
[delivery]
drain = {drain}
"""


def free_port() -> int:
    """Return a port that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Process:
    """A process that is ended by its pid, whatever happens."""

    def __init__(self, words: list[str], log: Path, **environ: str) -> None:
        self.log = log
        with log.open("ab") as stream:
            self.popen = subprocess.Popen(
                words, stdout=stream, stderr=stream, env={**os.environ, **environ}
            )

    def kill(self) -> None:
        """End it at once."""
        self.popen.kill()
        self.popen.wait()

    def end(self, seconds: float = 30.0) -> int:
        """End it in order."""
        self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(seconds)


class World:
    """A topic of events, one of replies and one of dead letters, and the processes between."""

    def __init__(self, kafka: TestKafka, folder: Path, partitions: int, **config: Any) -> None:
        self.kafka = kafka
        self.folder = folder
        self.port = free_port()
        self.source = kafka.topic(partitions)
        self.replies = kafka.topic(partitions)
        self.dead = kafka.topic(1)
        self.partitions = partitions
        self.group = f"group of {self.source}"
        self.ids: list[str] = []
        self.config = {
            "order": "key", "in_flight": 16, "timeout": 10, "attempts": 1000, "drain": 5,
            "instance": "", "settings": "", "listen": "", "first": 0.05, "most": 0.5, **config,
        }  # fmt: skip
        self.processes: list[Process] = []
        self.function: Process | None = None

    def start_function(self, **environ: str) -> Process:
        """Start the function, and wait until it can be called."""
        program = Path(__file__).with_name("function.py")
        words = [sys.executable, str(program), str(self.port), str(self.journal)]
        self.function = self._started(words, "function.log", environ)
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self.function
            except OSError:
                time.sleep(0.02)
        raise AssertionError("the function did not start")

    @property
    def journal(self) -> Path:
        """What the function was called with, a line a call."""
        return self.folder / "journal"

    def calls(self) -> int:
        """Return how often the function was called."""
        return self.journal.read_bytes().count(b"\n") if self.journal.exists() else 0

    def journal_of(self, name: str) -> int:
        """Return how often the function was called with an event."""
        return self.journal.read_text().split().count(name) if self.journal.exists() else 0

    @staticmethod
    def until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait until something holds."""
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, "it did not happen in time"
            time.sleep(0.005)

    def start_bridge(self, name: str = "bridge", **config: Any) -> Process:
        """Start a bridge; several of them share the group."""
        path = self.folder / f"{name}.toml"
        path.write_text(
            _CONFIG.format(
                address=self.kafka.address,
                source=self.source,
                group=self.group,
                port=self.port,
                replies=self.replies,
                dead=self.dead,
                **{**self.config, **config},
            )
        )
        words = [sys.executable, "-m", "gpfn", "bridge", "run", str(path), "--json"]
        return self._started(words, f"{name}.log", {})

    def _started(self, words: list[str], log: str, environ: dict[str, str]) -> Process:
        process = Process(words, self.folder / log, **environ)
        self.processes.append(process)
        return process

    def write(self, count: int, *, keys: int = 50, mark: str = "") -> None:
        """Write so many events more; the keys take turns."""
        first = len(self.ids)
        ids = [f"{mark}{number}" for number in range(first, first + count)]
        self.write_ids(ids, keys)

    def write_ids(self, ids: list[str], keys: int = 50, partition: int = -1) -> None:
        """Write events with these ids."""
        from confluent_kafka import Producer

        producer = Producer({**self.kafka.settings, "enable.idempotence": "true"})
        for number, name in enumerate(ids, len(self.ids)):
            attributes = {"specversion": "1.0", "id": name, "source": "/s", "type": "t"}
            headers: list[Any] = [(f"ce_{n}", v.encode()) for n, v in attributes.items()]
            headers.append(("content-type", b"application/json"))
            key = b"%d" % (number % keys)
            while True:
                try:
                    producer.produce(self.source, b"1", key, partition, headers=headers)
                    break
                except BufferError:
                    producer.poll(0.05)
        assert producer.flush(60) == 0
        self.ids += ids

    def answered(self) -> dict[str, int]:
        """Return how many replies and dead letters each event has."""
        found: Counter[str] = Counter()
        for topic, name in ((self.replies, "ce_causationid"), (self.dead, "ce_id")):
            for message in self.kafka.read(topic, sum(self.kafka.ends(topic).values()), 30.0):
                headers = dict(message.headers() or [])
                value = headers.get(name, b"?")
                found[value.decode()] += 1
        return found

    def wait(self, seconds: float = 60.0) -> dict[str, int]:
        """Wait until every event is answered, and return how often each was."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with suppress(BackendError):  # a broker that has just come back does not know yet
                total = sum(self.kafka.ends(self.replies).values())
                if total + sum(self.kafka.ends(self.dead).values()) >= len(self.ids):
                    found = self.answered()
                    if set(found) >= set(self.ids):
                        return found
            time.sleep(0.1)
        missing = set(self.ids) - set(self.answered())
        logs = "".join(p.read_text()[-3000:] for p in self.folder.glob("*.log"))
        raise AssertionError(f"{len(missing)} not answered, such as {sorted(missing)[:5]}\n{logs}")

    def check_order(self) -> None:
        """The first replies to a key's events are in the order of the events."""
        number_of = {name: number for number, name in enumerate(self.ids)}
        last: dict[bytes, int] = {}
        seen: set[int] = set()
        messages = self.kafka.read(self.replies, sum(self.kafka.ends(self.replies).values()))
        for message in sorted(messages, key=lambda m: (m.partition(), m.offset())):
            number = number_of[dict(message.headers())["ce_causationid"].decode()]
            if number in seen:
                continue
            seen.add(number)
            assert last.get(message.key(), -1) < number, "a key's order"
            last[message.key()] = number

    def check_committed(self) -> None:
        """What is committed has a reply or a dead letter: nothing is behind the watermark."""
        committed = self.kafka.committed(self.group, self.source)
        done = self.answered()
        messages = self.kafka.read(self.source, sum(self.kafka.ends(self.source).values()))
        for message in messages:
            if message.offset() < committed.get(message.partition(), 0):
                name = dict(message.headers() or []).get("ce_id", b"?").decode()
                assert name in done, f"{name} is committed and not answered"


@contextmanager
def world(kafka: TestKafka, folder: Path, partitions: int = 4, **config: Any) -> Iterator[World]:
    """A world whose processes are gone at the end."""
    made = World(kafka, folder, partitions, **config)
    try:
        yield made
    finally:
        for process in made.processes:
            if process.popen.poll() is None:
                process.kill()
