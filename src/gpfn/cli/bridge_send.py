"""``gpfn bridge send``: events out of files into a topic, once all of them were checked."""

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, BinaryIO

from gpfn.errors import SetupError

if TYPE_CHECKING:
    from gpfn.bridge.record import Outgoing
    from gpfn.cli.bridge_topic import Topic
    from gpfn.events import Event
    from gpfn.limits import Limits

    _Files = list[tuple[str, BinaryIO]]

__all__ = ["add_send_arguments", "parse_rate", "send"]

_UNITS = {"": 1.0, "/s": 1.0, "/m": 60.0, "/min": 60.0, "/h": 3600.0}
_MOST_RATE = 1e6
_TOLD_SECONDS = 0.1


def add_send_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the topic, the events, and how they are written."""
    from gpfn.cli.bridge_topic import add_examples, add_topic_arguments

    parser.add_argument("files", metavar="FILE", nargs="*", default=["-"], help="one event, an "
                        "event a line, or an array of events; - is stdin (default)")  # fmt: skip
    parser.add_argument("--topic", required=True, help="where they go; of a file its path")
    add_topic_arguments(parser)
    parser.add_argument("--rate", metavar="N/s", help="at most so many a second (N/m: a minute)")
    parser.add_argument("--mode", choices=("structured", "binary"), default="structured",
                        help="the event in the value (default), or its attributes in "
                        "headers")  # fmt: skip
    parser.add_argument("--key", metavar="ATTRIBUTE", help="the attribute that becomes the "
                        "record's key, such as partitionkey (default: no key)")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    add_examples(
        parser,
        "gpfn bridge send --topic readings < ce_samples/forecast.json",
        "gpfn bridge send --topic readings --kafka 127.0.0.1:9092 --key partitionkey day.jsonl",
        "gpfn bridge send --topic readings --queue .gpfn/queue.db --rate 100/s a.jsonl b.jsonl",
    )


def send(args: argparse.Namespace) -> int:
    """Check every event, send all, and say how many the queue has."""
    from gpfn.bridge.operating.event_files import open_events
    from gpfn.cli.bridge_topic import topic_of
    from gpfn.limits import Limits

    rate, topic = parse_rate(args.rate), topic_of(args, args.topic)
    _check_key(args.key)
    limits = Limits.from_env()
    with ExitStack() as stack:
        files = [(name, stack.enter_context(open_events(name))) for name in args.files]
        count = sum(1 for _ in _events(files, limits))
        records = (_record(topic.name, event, args) for event in _events(files, limits))
        _send(topic, records, count, rate, as_json=args.json)
    return 0


def parse_rate(text: str | None) -> float:
    """Return how many a second; 0 where nothing is said. Raises SetupError."""
    if text is None:
        return 0.0
    number, slash, unit = text.partition("/")
    plain = number.isascii() and "_" not in number and len(number) <= 20  # float() takes more
    try:
        rate = float(number) / _UNITS[f"{slash}{unit}"] if plain else 0.0
    except (KeyError, ValueError):
        rate = 0.0
    if not 0.0 < rate <= _MOST_RATE:
        told = f"expected a number such as 100/s or 30/m, got {text!r:.60}"
        raise SetupError(told, field="--rate")
    return rate


def _check_key(name: str | None) -> None:
    from gpfn.events.attributes import NAME

    if name is not None and NAME.fullmatch(name) is None:
        told = f"an attribute's name is made of lower-case letters and digits, not {name!r:.60}"
        raise SetupError(told, field="--key")


def _events(files: "_Files", limits: "Limits") -> "Iterator[Event]":
    from gpfn.bridge.operating.event_files import read_events

    for name, file in files:
        yield from read_events(file, name, limits)


def _record(topic: str, event: "Event", args: argparse.Namespace) -> "Outgoing":
    from gpfn.bridge.record import Outgoing
    from gpfn.events.header_attributes import text_of
    from gpfn.events.kafka import write_record

    value, headers = write_record(event, args.mode)
    found = None if args.key is None else event.attribute(args.key)
    return Outgoing(topic, None if found is None else text_of(found).encode(), value, headers)


def _send(
    topic: "Topic", records: "Iterator[Outgoing]", count: int, rate: float, *, as_json: bool
) -> None:
    from gpfn.bridge.operating.sending import send_records
    from gpfn.cli.table import show_progress
    from gpfn.log import Log

    sent = 0
    try:
        with show_progress(f"sending to {topic.name}") as show:
            tell = _seldom(show, count)

            def confirmed(_number: int) -> None:
                nonlocal sent
                sent += 1
                tell(sent)

            names, log = [topic.name], Log("bridge")
            send_records(topic.place, names, records, log=log, rate=rate, confirmed=confirmed)
            show(sent, count)
    finally:
        _print(topic.name, sent, count, as_json=as_json)


def _seldom(show: Callable[[int, int], None], count: int) -> Callable[[int], None]:
    """Return what shows a number, but not more often than anybody can see."""
    due = 0.0

    def tell(sent: int) -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + _TOLD_SECONDS
            show(sent, count)

    return tell


def _print(topic: str, sent: int, count: int, *, as_json: bool) -> None:
    if as_json:
        import json

        print(json.dumps({"topic": topic, "sent": sent, "events": count}))
    elif sent == count:
        print(f"{count} {'event' if count == 1 else 'events'} sent to {topic}")
    else:
        print(f"{sent} of {count} events sent to {topic}")
