"""Which topic a command of ``gpfn bridge`` means, where it is, and which part of it."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gpfn.errors import SetupError

if TYPE_CHECKING:
    from gpfn.bridge.operating.file_browsing import Form
    from gpfn.bridge.operating.topic_span import Span
    from gpfn.bridge.spec import BridgeSpec, Place

__all__ = [
    "Topic",
    "add_examples",
    "add_span_arguments",
    "add_topic_arguments",
    "find_topic",
    "parse_span",
    "topic_of",
]


class Topic(NamedTuple):
    """A topic and its queue. Of files the name is the path, and the form is that of its lines."""

    place: "Place"
    name: str
    form: "Form" = "events"


def add_examples(parser: argparse.ArgumentParser, *lines: str) -> None:
    """Show command lines below the options."""
    parser.epilog = "\n".join(["examples:", *[f"  {line}" for line in lines]])
    parser.formatter_class = argparse.RawDescriptionHelpFormatter


def add_topic_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare where the topic is."""
    from gpfn.cli.bridge_place import add_place_arguments

    add_place_arguments(parser)
    parser.add_argument("--file", action="store_true", dest="is_file", help="the topic is a file "
                        "of JSON lines")  # fmt: skip


def topic_of(args: argparse.Namespace, name: str) -> Topic:
    """Return the topic of a name; raises SetupError when no queue is named."""
    from gpfn.bridge.spec import Place
    from gpfn.cli.bridge_place import bridge_of, place_of

    if args.is_file:
        if args.kafka or args.nats or args.queue or args.bridge:
            raise SetupError("a file is in no queue: leave out the other one", field="--file")
        return Topic(Place("file", name), name)
    if args.kafka or args.nats or args.queue:
        return Topic(place_of(args), name)
    return find_topic(bridge_of(args), name, Path(args.bridge or "").parent)


def find_topic(spec: "BridgeSpec", name: str, folder: Path) -> Topic:
    """Return a topic of a bridge: in what it writes to if it does, else in what it reads.

    Paths may be from here or, as they are in the bridge's file, from its folder.
    """
    for written in (name, str(folder / name)):
        if written in spec.written:
            is_dead = spec.sink.kind == "file" and written == spec.dead_letter
            return Topic(spec.sink, written, "records" if is_dead else "events")
    address = spec.source.address
    if spec.source.kind == "file" and (name == Path(address).name or str(folder / name) == address):
        name = address
    return Topic(spec.source, name)


def add_span_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare which part of a topic."""
    parser.add_argument("--since", metavar="TIME", help="from a time on, such as 2026-11-28T10:00 "
                        "(UTC without an offset), or 10m for ten minutes ago")  # fmt: skip
    parser.add_argument("--until", metavar="TIME", help="up to a time, which is not included")
    parser.add_argument("--offsets", metavar="[P:]FIRST-LAST", help="from an offset to another, "
                        "both included: 5-20, 5-, or 2:5-20 in partition 2")  # fmt: skip


def parse_span(args: argparse.Namespace) -> "Span":
    """Return that part; raises SetupError with the option as field."""
    from gpfn.bridge.operating.topic_span import Span
    from gpfn.cli.bridge_place import milliseconds

    if args.offsets is not None:
        if args.since is not None or args.until is not None:
            raise SetupError("offsets and times are two ways to say it: take one", field="--since")
        return _offsets(args.offsets)
    since = None if args.since is None else milliseconds(args.since, "--since")
    until = None if args.until is None else milliseconds(args.until, "--until")
    if since is not None and until is not None and since >= until:
        raise SetupError("is not after --since", field="--until")
    return Span(since=since, until=until)


def _offsets(text: str) -> "Span":
    from gpfn.bridge.operating.topic_span import Span
    from gpfn.settings import read_digits

    number, colon, rest = text.rpartition(":")
    first, dash, last = rest.partition("-")
    partition = read_digits(number) if colon else None
    low, high = read_digits(first), read_digits(last) if last or not dash else None
    high = high if dash else low
    wrong = low is None or (colon and partition is None) or (last and high is None)
    if wrong or (high is not None and low is not None and high < low):
        told = f"expected FIRST-LAST such as 5-20, 5- or 2:5-20, got {text!r:.60}"
        raise SetupError(told, field="--offsets")
    return Span(first=low, last=high, partition=partition)
