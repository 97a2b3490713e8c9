"""``gpfn bridge dead``: the dead letters of a bridge: list, show, retry, drop.

A letter that is retried is written to where it came from, and dropped when the queue has
confirmed that. Who kills this in between finds the record twice, never not at all.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gpfn.errors import SetupError, escaped

if TYPE_CHECKING:
    from gpfn.bridge.operating.dead_topic import DeadTopic
    from gpfn.bridge.record import Record
    from gpfn.bridge.spec import BridgeSpec, Place
    from gpfn.cli.bridge_topic import Topic

__all__ = ["add_dead_arguments", "dead"]

_SHOWN = 100
_ABOUT = {
    "list": "a line for each dead letter",
    "show": "everything of one",
    "retry": "write them to where they came from once more, and drop them then",
    "drop": "let them not be listed any more",
}
_EXAMPLES = (
    "gpfn bridge dead list",
    "gpfn bridge dead show 17",
    "gpfn bridge dead retry 17 18",
    "gpfn bridge dead retry --all --bridge bridge.toml",
    "gpfn bridge dead drop 2:17 --kafka 127.0.0.1:9092 --topic readings.dead",
    "gpfn bridge dead list --file --topic dead.jsonl --json",
)


class _Letters(NamedTuple):
    """Dead letters, where they are, and where those go that are retried.

    ``origins`` are the topics that may be written to, by the name that letters have for them;
    empty where that is not known.
    """

    topic: "Topic"
    dead: "DeadTopic"
    back: "Place"
    origins: Mapping[str, str]


def add_dead_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare a sub-command for each thing to do with them."""
    from gpfn.cli.bridge_topic import add_examples, add_topic_arguments
    from gpfn.cli.options import whole

    add_examples(parser, *_EXAMPLES)
    actions = parser.add_subparsers(dest="what", required=True, metavar="ACTION")
    for name, about in _ABOUT.items():
        added = actions.add_parser(name, help=about, description=about, allow_abbrev=False)
        if name == "show":
            added.add_argument("offset", metavar="OFFSET", help="as it is listed: 17, or 2:17")
        elif name != "list":
            added.add_argument("offsets", metavar="OFFSET", nargs="*", help="as they are listed: "
                               "17, or 2:17")  # fmt: skip
            added.add_argument("--all", action="store_true", help="all that are there now")
        else:
            added.add_argument("--count", type=whole(1), metavar="N", default=_SHOWN, help="print "
                               f"at most so many (default: {_SHOWN}; JSON has all)")  # fmt: skip
        if name == "retry":
            added.add_argument("--to", metavar="TOPIC", help="write all of them to this topic "
                               "instead")  # fmt: skip
        added.add_argument("--topic", help="the dead-letter topic (default: the bridge's)")
        add_topic_arguments(added)
        added.add_argument("--json", action="store_true", help="print JSON")
        add_examples(added, *[line for line in _EXAMPLES if f"dead {name}" in line])


def dead(args: argparse.Namespace) -> int:
    """Do one of them."""
    _ACTIONS[args.what](args, _letters(args))
    return 0


def _letters(args: argparse.Namespace) -> _Letters:
    from gpfn.bridge.operating.dead_topic import open_dead_topic
    from gpfn.cli.bridge_place import bridge_of
    from gpfn.cli.bridge_topic import Topic, topic_of
    from gpfn.log import Log

    log = Log("bridge")
    if args.is_file or args.kafka or args.nats or args.queue:
        if args.topic is None:
            raise SetupError("expected the dead-letter topic", field="--topic")
        topic = topic_of(args, args.topic)
        if args.is_file and args.what == "retry" and not args.to:
            raise SetupError("expected the file that they are written to", field="--to")
        back, origins = topic.place, {}
    else:
        spec = bridge_of(args)
        topic = Topic(spec.sink, args.topic or spec.dead_letter)
        if args.topic is not None:
            topic = topic_of(args, args.topic)
        if not topic.name:
            raise SetupError("the bridge has none: name a topic", field="dead-letter.topic")
        same = spec.sink[:2] == spec.source[:2]  # then its settings are those to write with
        back, origins = spec.sink if same else spec.source, _origins(spec)
    absent = args.topic is None  # the bridge's own is made by the first letter
    dead = open_dead_topic(topic.place, topic.name, log.warning, may_be_absent=absent)
    return _Letters(topic, dead, back, origins)


def _origins(spec: "BridgeSpec") -> dict[str, str]:
    """Return what a bridge reads, by the name that records have for it."""
    if spec.source.kind == "file":
        return {Path(spec.source.address).name: spec.source.address}
    return {topic: topic for topic in spec.source.topics}


def _list(args: argparse.Namespace, letters: _Letters) -> None:
    from gpfn.bridge.operating.dead_facts import facts_of
    from gpfn.cli.bridge_records import document_text
    from gpfn.cli.table import print_table

    found = letters.dead.letters()
    if args.json:
        for record in found:
            print(document_text(_document(record)))
        return
    rows = []
    for record in islice(found, args.count):
        facts = facts_of(record)
        code, attempts = _shown(facts.code), _shown(facts.attempts)
        told = (facts.outcome or "-", code, attempts, facts.origin or "-", facts.reason or "-")
        rows.append((_name(record), _when(record), *map(escaped, told)))
    left = sum(1 for _ in found)
    if not rows:
        print(f"no dead letters in {letters.topic.name}")
        return
    header = ("offset", "when", "outcome", "code", "attempts", "origin", "reason")
    print_table(rows, header, right=(0, 3, 4))
    if left:
        print(f"and {left} more: --count shows them")


def _show(args: argparse.Namespace, letters: _Letters) -> None:
    from gpfn.bridge.dead_letter import original
    from gpfn.bridge.operating.dead_facts import facts_of
    from gpfn.cli.bridge_records import document_text, raw_lines
    from gpfn.cli.table import print_table

    (record,) = _found(letters, [args.offset])
    if args.json:
        print(document_text(_document(record)))
        return
    facts = facts_of(record)
    told = {name: value for name, value in facts._asdict().items() if value not in (None, "")}
    for name in ("topic", "partition", "offset"):
        told.pop(name, None)
    rows = [("origin", facts.origin or "-"), *[(name, str(value)) for name, value in told.items()]]
    print_table([(name, escaped(value)) for name, value in rows])
    print("\n".join(raw_lines(record._replace(headers=tuple(original(record.headers))))))


def _retry(args: argparse.Namespace, letters: _Letters) -> None:
    from gpfn.bridge.operating.dead_retry import retry_letters
    from gpfn.log import Log

    chosen, done = _chosen(args, letters), 0

    def told(count: int) -> None:
        nonlocal done
        done += count

    try:
        retry_letters(
            letters.dead,
            chosen,
            letters.back,
            to=args.to or "",
            origins=letters.origins,
            log=Log("bridge"),
            told=told,
        )
    finally:
        _print_done(args, letters, done, "retried")


def _drop(args: argparse.Namespace, letters: _Letters) -> None:
    from gpfn.bridge.operating.dead_retry import parts_of

    chosen, done = _chosen(args, letters), 0
    try:
        for part in parts_of(chosen):
            letters.dead.drop(part)
            done += len(part)
    finally:
        _print_done(args, letters, done, "dropped")


def _print_done(args: argparse.Namespace, letters: _Letters, done: int, word: str) -> None:
    if args.json:
        import json

        print(json.dumps({"topic": letters.topic.name, word: done}))
    else:
        print(f"{done} {'letter' if done == 1 else 'letters'} of {letters.topic.name} {word}")


def _chosen(args: argparse.Namespace, letters: _Letters) -> "Iterator[Record]":
    """Return the letters that are meant, once it is known that all of them are there."""
    if args.all == bool(args.offsets):
        raise SetupError("expected offsets, or --all for every letter", field="OFFSET")
    return letters.dead.letters() if args.all else iter(_found(letters, args.offsets))


def _found(letters: _Letters, texts: Sequence[str]) -> "list[Record]":
    """Return the letters of some offsets; raises SetupError for one that is not there."""
    wanted = dict.fromkeys([_parse_offset(text) for text in texts])
    found: dict[tuple[int | None, int], Record] = {}
    for record in letters.dead.letters():
        for place in ((None, record.offset), (record.partition, record.offset)):
            if place in wanted:
                if place in found:
                    told = f"several partitions have it: say which, {record.partition}:{place[1]}"
                    raise SetupError(told, field=str(place[1]))
                found[place] = record
    for partition, offset in wanted:
        if (partition, offset) not in found:
            name = str(offset) if partition is None else f"{partition}:{offset}"
            raise SetupError(f"no dead letter of {letters.topic.name} has this offset", field=name)
    every = {(record.partition, record.offset): record for record in found.values()}
    return list(every.values())


def _parse_offset(text: str) -> tuple[int | None, int]:
    from gpfn.settings import read_digits

    number, colon, rest = text.rpartition(":")
    partition, offset = read_digits(number) if colon else None, read_digits(rest)
    if offset is None or (colon and partition is None):
        raise SetupError(f"expected an offset such as 17 or 2:17, got {text!r:.60}", field="OFFSET")
    return partition, offset


def _document(record: "Record") -> dict[str, Any]:
    from gpfn.bridge.dead_letter import original
    from gpfn.bridge.operating.dead_facts import facts_of
    from gpfn.cli.bridge_records import raw_document

    raw = raw_document(record._replace(headers=tuple(original(record.headers))))
    return {**raw, "letter": facts_of(record)._asdict()}


def _name(record: "Record") -> str:
    return f"{record.partition}:{record.offset}"


def _when(record: "Record") -> str:
    from gpfn.log import timestamp

    return "-" if record.time < 0 else timestamp(record.time * 1_000_000)


def _shown(number: int | None) -> str:
    return "-" if number is None else str(number)


_ACTIONS: Mapping[str, Callable[[argparse.Namespace, _Letters], None]] = {
    "list": _list,
    "show": _show,
    "retry": _retry,
    "drop": _drop,
}
