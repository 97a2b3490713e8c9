"""``gpfn bridge kafka``: a real Kafka on this machine, for development; up and down."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from gpfn.errors import SetupError

if TYPE_CHECKING:
    from gpfn.bridge.kafka.broker import Broker

__all__ = ["add_kafka_arguments", "kafka"]

_FOLDER = ".gpfn/kafka"
_PORT = 9092
_MOST_PARTITIONS = 1000


def add_kafka_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what becomes of it, where it is, and its topics."""
    from gpfn.cli.options import port

    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--up", action="store_true", help="start it, unless it runs, and leave it "
                      "running")  # fmt: skip
    what.add_argument("--down", action="store_true", help="end it; its data stay")
    parser.add_argument("--port", type=port, default=None, help=f"where it listens, on 127.0.0.1 "
                        f"(default: {_PORT}; 0 takes a free one)")  # fmt: skip
    parser.add_argument("--folder", default=_FOLDER, help=f"its data and its log (default: "
                        f"{_FOLDER})")  # fmt: skip
    parser.add_argument("--topic", action="append", default=[], metavar="NAME[:PARTITIONS]",
                        help="make a topic that is not there; may be given again")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print a JSON object")


def kafka(args: argparse.Namespace) -> int:
    """Start or end it, and say where it is and what comes next."""
    from pathlib import Path

    from gpfn.bridge.kafka.broker import Broker

    topics = [_parse_topic(text) for text in args.topic]
    if args.down and topics:
        raise SetupError("topics are made with --up", field="--topic")
    folder = Path(args.folder)
    broker = Broker(folder, port=_port_of(folder, args), tell=_progress)
    facts = _up(broker, topics) if args.up else _down(broker)
    if args.json:
        import json

        print(json.dumps(facts))
    else:
        print(_up_text(facts, args.folder) if args.up else _down_text(facts))
    return 0


def _port_of(folder: Any, args: argparse.Namespace) -> int:
    """Return the port that was asked for; without one that of the last time, or the usual."""
    if args.port is not None:
        return int(args.port)
    return 0 if (folder / "kafka.json").is_file() else _PORT


def _parse_topic(text: str) -> tuple[str, int]:
    """Read ``NAME`` or ``NAME:PARTITIONS``; -1 partitions are as many as the broker's default."""
    from gpfn.bridge.kafka.admin import check_topic
    from gpfn.settings import parse_whole

    name, colon, count = text.partition(":")
    check_topic(name, "--topic")
    if not colon:
        return name, -1
    return name, parse_whole(count, field="--topic", least=1, most=_MOST_PARTITIONS)


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _up(broker: "Broker", topics: list[tuple[str, int]]) -> dict[str, Any]:
    from gpfn.bridge.kafka.admin import KafkaAdmin
    from gpfn.bridge.kafka.jars import KAFKA_VERSION

    ran = broker.pid is not None
    broker.start()
    admin = KafkaAdmin({"bootstrap.servers": broker.address})
    made = {name: admin.create(name, partitions) for name, partitions in topics}
    found = [
        {"name": facts.name, "partitions": facts.partitions, "made": made[facts.name]}
        for facts in admin.topics(made, "--topic")
    ]
    return {
        "address": broker.address,
        "version": KAFKA_VERSION,
        "pid": broker.pid,
        "folder": str(broker.folder),
        "ran": ran,
        "topics": found,
    }


def _down(broker: "Broker") -> dict[str, Any]:
    pid = broker.pid
    ran = broker.stop()
    return {"address": broker.address, "pid": pid, "folder": str(broker.folder), "ran": ran}


def _up_text(facts: dict[str, Any], folder: str) -> str:
    how = "runs already" if facts["ran"] else "answers"
    lines = [f"Kafka {facts['version']} {how} at {facts['address']}; data and log are in {folder}"]
    for topic in facts["topics"]:
        what = "was made" if topic["made"] else "was there"
        lines.append(f"topic {topic['name']} {what}, with {topic['partitions']} partitions")
    where = "" if folder == _FOLDER else f" --folder {folder}"
    lines.append(
        "next: gpfn bridge run bridge.toml, with kafka = "
        f'"{facts["address"]}" in [source]; end it: gpfn bridge kafka --down{where}'
    )
    return "\n".join(lines)


def _down_text(facts: dict[str, Any]) -> str:
    if not facts["ran"]:
        return f"no Kafka of {facts['folder']} runs"
    return f"Kafka at {facts['address']} has ended; its data are in {facts['folder']}"
