"""``gpfn bridge tail``: what is in a topic, and what comes to it."""

import argparse
from typing import TYPE_CHECKING, Any

from gpfn.errors import SetupError

if TYPE_CHECKING:
    from gpfn.bridge.operating.topic_span import Span
    from gpfn.bridge.record import Record
    from gpfn.limits import Limits

__all__ = ["add_tail_arguments", "tail"]

_USUAL = 10
_WIDTH = 100


def add_tail_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the topic, the part of it, and how it is shown."""
    from gpfn.cli.bridge_topic import add_examples, add_span_arguments, add_topic_arguments
    from gpfn.cli.options import whole

    parser.add_argument("topic", metavar="TOPIC", help="its name; of a file its path")
    add_topic_arguments(parser)
    add_span_arguments(parser)
    parser.add_argument("--all", action="store_true", help="from the oldest record on (default: "
                        f"from the newest {_USUAL} of each partition on)")  # fmt: skip
    parser.add_argument("--count", type=whole(1), metavar="N", help="end after N records; "
                        "the newest N of each partition, where no beginning is "
                        "given")  # fmt: skip
    parser.add_argument("-f", "--follow", action=argparse.BooleanOptionalAction, default=None,
                        help="wait for more, until Ctrl-C (default: unless --until or an end of "
                        "--offsets is given)")  # fmt: skip
    parser.add_argument("--as", dest="shown", choices=("events", "raw"), default="events",
                        help="events a line each (default), or headers and values as they "
                        "are")  # fmt: skip
    parser.add_argument("--width", type=whole(), metavar="N", default=_WIDTH, help="characters "
                        f"of an event's data that are shown, 0 for all (default: "
                        f"{_WIDTH})")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print a JSON object a line")
    add_examples(
        parser,
        "gpfn bridge tail forecasts",
        "gpfn bridge tail readings --kafka 127.0.0.1:9092 --since 10m --no-follow",
        "gpfn bridge tail readings --offsets 2:100-120 --as raw",
        "gpfn bridge tail forecasts --queue .gpfn/queue.db --count 3 --json",
        "gpfn bridge tail answers.jsonl --file",
    )


def tail(args: argparse.Namespace) -> int:
    """Show records until the end of what was asked for, or until Ctrl-C."""
    from contextlib import closing
    from itertools import islice

    from gpfn.bridge.operating.browsing import browse
    from gpfn.cli.bridge_topic import topic_of
    from gpfn.limits import Limits
    from gpfn.log import Log

    topic, span = topic_of(args, args.topic), _span(args)
    follow = _follows(args, span)
    limits, log = Limits.from_env(), Log("bridge")
    records = browse(topic.place, topic.name, span, follow=follow, form=topic.form, log=log.warning)
    with closing(records):
        for record in islice(records, args.count):
            print("\n".join(_lines(record, args, limits)), flush=follow)
    return 0


def _span(args: argparse.Namespace) -> "Span":
    from gpfn.cli.bridge_topic import parse_span

    span = parse_span(args)
    if args.all and any(bound is not None for bound in span):
        raise SetupError("leave it out: times and offsets say where to begin", field="--all")
    if args.all or span.since is not None or span.first is not None or span.until is not None:
        return span
    return span._replace(newest=args.count or _USUAL)


def _follows(args: argparse.Namespace, span: "Span") -> bool:
    ends = span.until is not None or span.last is not None
    if args.follow and ends:
        raise SetupError("there is an end: leave out --follow or the end", field="--follow")
    return not ends if args.follow is None else bool(args.follow)


def _lines(record: "Record", args: argparse.Namespace, limits: "Limits") -> list[str]:
    from gpfn.cli.bridge_records import (
        document_text,
        event_document_of,
        event_line,
        raw_document,
        raw_lines,
    )

    if args.json:
        document: dict[str, Any] = (
            raw_document(record) if args.shown == "raw" else event_document_of(record, limits)
        )
        return [document_text(document)]
    if args.shown == "raw":
        return raw_lines(record)
    return [event_line(record, limits, args.width)]
