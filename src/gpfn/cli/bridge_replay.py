"""``gpfn bridge replay``: records of a topic through the routes of a bridge once more."""

import argparse
from contextlib import closing
from typing import TYPE_CHECKING, Any

from gpfn.errors import SetupError, escaped

if TYPE_CHECKING:
    from gpfn.bridge.engine import Bridge
    from gpfn.bridge.operating.replaying import Planned, Step
    from gpfn.bridge.operating.topic_span import Span
    from gpfn.bridge.spec import BridgeSpec
    from gpfn.cli.bridge_screen import BridgeScreen
    from gpfn.cli.bridge_topic import Topic
    from gpfn.log import Log

__all__ = ["add_replay_arguments", "replay"]

_DRAW_SECONDS = 0.5


def add_replay_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the bridge, the records, and what is done with them."""
    from gpfn.cli.bridge_topic import add_examples, add_span_arguments

    parser.add_argument("--bridge", metavar="FILE", help="whose routes, replies and dead letters "
                        "(default: bridge.toml)")  # fmt: skip
    parser.add_argument("--topic", metavar="TOPIC", help="where the records are (default: the one "
                        "that the bridge reads)")  # fmt: skip
    add_span_arguments(parser)
    parser.add_argument("--all", action="store_true", help="all records that are there")
    parser.add_argument("--route", metavar="NAME", help="send all of them to this route alone, "
                        "whatever it matches")  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="only tell what would be called")
    parser.add_argument("--json", action="store_true", help="print a JSON object a line")
    add_examples(
        parser,
        "gpfn bridge replay --topic readings --since 2026-11-28T10:00 --until 2026-11-28T11:00",
        "gpfn bridge replay --topic readings --offsets 2:5-20 --route forecast --dry-run",
    )


def replay(args: argparse.Namespace) -> int:
    """Send them, or tell what would be done with each; no group's offsets move."""
    from gpfn.bridge.operating.browsing import browse, browse_batches
    from gpfn.bridge.operating.replaying import only_route
    from gpfn.cli.bridge_place import bridge_of
    from gpfn.log import Log

    span = _span(args)
    spec = bridge_of(args)
    if args.route is not None:
        spec = only_route(spec, args.route)
    topic, log = _topic(args, spec), Log("bridge")
    if args.dry_run:
        records = browse(topic.place, topic.name, span, form=topic.form, log=log.warning)
        with closing(records):
            _tell(spec, records, as_json=args.json)
    else:
        batches = browse_batches(topic.place, topic.name, span, form=topic.form, log=log.warning)
        _run(spec, batches, log, as_json=args.json)
    return 0


def _span(args: argparse.Namespace) -> "Span":
    from gpfn.cli.bridge_topic import parse_span

    span = parse_span(args)
    bounded = any(bound is not None for bound in span)
    if bounded == args.all:
        told = "leave it out beside times and offsets"
        if not bounded:
            told = "say which records: --since and --until, --offsets, or --all"
        raise SetupError(told, field="--all")
    return span


def _topic(args: argparse.Namespace, spec: "BridgeSpec") -> "Topic":
    from pathlib import Path

    from gpfn.cli.bridge_topic import find_topic

    read = spec.source.topics or (spec.source.address,)
    if args.topic is None and len(read) > 1:
        told = f"the bridge reads {len(read)} topics: say which, {', '.join(read)}"
        raise SetupError(told, field="--topic")
    return find_topic(spec, args.topic or read[0], Path(args.bridge or "").parent)


def _run(spec: "BridgeSpec", batches: Any, log: "Log", *, as_json: bool) -> None:
    from gpfn.bridge.opening import open_bridge
    from gpfn.bridge.operating.replaying import RangeSource
    from gpfn.cli.bridge_screen import make_screen
    from gpfn.http.loop.process import run_loop
    from gpfn.limits import Limits

    source = RangeSource(batches)
    bridge = open_bridge(spec, limits=Limits.from_env(), log=log, source=source)
    with make_screen(bridge, as_json=as_json, quiet=False) as screen:
        run_loop(lambda: _until_done(bridge, screen))


async def _until_done(bridge: "Bridge", screen: "BridgeScreen") -> None:
    import asyncio
    import signal

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, bridge.stop)
    drawing = asyncio.create_task(_draw(screen))
    try:
        await bridge.run()
    finally:
        drawing.cancel()


async def _draw(screen: "BridgeScreen") -> None:
    import asyncio

    while True:
        await asyncio.sleep(_DRAW_SECONDS)
        screen.draw()


def _tell(spec: "BridgeSpec", records: Any, *, as_json: bool) -> None:
    """Print a line for each record, and then how many each route would take."""
    import json

    from gpfn.bridge.operating.replaying import plan
    from gpfn.limits import Limits

    counts: dict[str, int] = {}
    total = 0
    for planned in plan(spec, records, Limits.from_env()):
        total += 1
        for name in _counted(planned):
            counts[name] = counts.get(name, 0) + 1
        print(json.dumps(_document(planned)) if as_json else _line(planned))
    if as_json:
        print(json.dumps({"records": total, "counts": counts}))
        return
    told = "  ".join([f"{escaped(name)} {count}" for name, count in sorted(counts.items())])
    print(f"{total} records, nothing was called" + (f":  {told}" if told else ""))


def _counted(planned: "Planned") -> list[str]:
    """Return what a record counts as: each route that calls, each outcome that is none."""
    steps = planned.steps
    called = [step.route if step.outcome == "called" else step.outcome for step in steps]
    return called or [planned.outcome]


def _line(planned: "Planned") -> str:
    record, event, outcome, reason, steps = planned
    place = f"{record.partition}:{record.offset}"
    words = [] if event is None else [event.type, event.source, event.id]
    end = f"{outcome}: {reason}"
    if outcome == "called":
        end = ", ".join([_told(step) for step in steps])
    return "  ".join([place, *map(escaped, words), f"-> {escaped(end)}"])


def _told(step: "Step") -> str:
    told = step.call if step.outcome == "called" else f"{step.outcome}: {step.reason}"
    return f"{step.route} ({told})"


def _document(planned: "Planned") -> dict[str, Any]:
    record, event, outcome, reason, steps = planned
    named = None
    if event is not None:
        named = {"type": event.type, "source": event.source, "id": event.id}
    place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
    found = {"event": named, "outcome": outcome, "reason": reason}
    routes = {
        "routes": [step.route for step in steps],
        "calls": [step.call for step in steps],
        "outcomes": [step.outcome for step in steps],
    }
    return {**place, **found, **routes}
