"""Events in Kafka records: gpfn against the `cloudevents` package 2.x, without a broker.

In binary mode a record has 1 kB of bytes as its value, six `ce_` headers and a content type; in
structured mode the data are 1 kB of JSON. Both sides get and give what a client library does: the
value as bytes, the headers as pairs. So the package's dict of headers is made from them, and taken
apart again, which is its way to be used. What it gives are its events, whose time is a datetime;
it checks neither URIs nor characters.

    python benchmarks/event_record.py [--quick] [--json FILE]
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from cloudevents.core.bindings import kafka
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from gpfn.events import Event, from_sdk, to_sdk
from gpfn.events.kafka import read_record, write_record
from gpfn.limits import Limits

__all__ = ["main"]

GOAL = 0.33
LIMITS = Limits()
FORMAT = JSONFormat()
ATTRIBUTES: dict[str, Any] = {
    "id": "c5c7a8b0-reading-4711",
    "source": "https://example.com/sensors/7",
    "type": "com.example.reading",
    "time": "2026-11-29T10:00:00Z",
    "extensions": {"destination": "forecast"},
}
EVENTS = {
    "binary": Event(
        **ATTRIBUTES, datacontenttype="application/octet-stream", data=bytes(range(256)) * 4
    ),
    "structured": Event(**ATTRIBUTES, data={"readings": [20.5 + at / 8 for at in range(170)]}),
}
Record = tuple[Any, Any]


def read_ours(record: Record) -> object:
    """Read a record with gpfn."""
    return read_record(*record, LIMITS)


def write_ours(mode: Any, event: Event) -> object:
    """Write a record with gpfn."""
    return write_record(event, mode)


def read_theirs(record: Record) -> object:
    """Read a record with the package."""
    value, headers = record
    return kafka.from_kafka(kafka.KafkaMessage(dict(headers), None, value), FORMAT, CloudEvent)


def write_theirs(mode: str) -> Callable[[Any], Record]:
    """Return how the package writes a record."""
    write = kafka.to_binary if mode == "binary" else kafka.to_structured

    def written(event: Any) -> Record:
        message = write(event, FORMAT)
        return message.value, list(message.headers.items())

    return written


def microseconds(work: Callable[[Any], object], subject: object, calls: int) -> float:
    """Return the microseconds of processor time of one call, over a run of them."""
    started = time.process_time()
    for _ in range(calls):
        work(subject)
    return (time.process_time() - started) / calls * 1e6


def figure(what: str, mine: Any, theirs: Any, *, quick: bool) -> dict[str, Any]:
    """Measure one way; each side is a function and its subject, and they take turns."""
    calls, rounds = (200, 3) if quick else (5000, 25)
    for side in (mine, theirs):
        microseconds(*side, calls)
    pairs = [(microseconds(*mine, calls), microseconds(*theirs, calls)) for _ in range(rounds)]
    ours, other = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = ours / other
    return {
        "what": what,
        "value": round(ours, 2),
        "unit": "µs",
        "peer": f"cloudevents 2.x: {other:.1f} µs",
        "ratio": round(ratio, 3),
        "goal": f"≤ {GOAL}",
        "ok": ratio <= GOAL,
    }


def figures(*, quick: bool) -> list[dict[str, Any]]:
    """Measure both modes, both ways, after a look that both sides say the same."""
    found = []
    for mode, event in EVENTS.items():
        record = write_record(event, mode)  # type: ignore[arg-type]
        theirs = to_sdk(event)
        assert read_record(*record, LIMITS) == event == from_sdk(read_theirs(record))
        assert read_record(*write_theirs(mode)(theirs), LIMITS) == event
        ways = {
            "read": ((read_ours, record), (read_theirs, record)),
            "write": ((partial(write_ours, mode), event), (write_theirs(mode), theirs)),
        }
        for verb, sides in ways.items():
            what = f"{verb} a Kafka record, {mode} mode, 1 kB"
            found.append(figure(what, *sides, quick=quick))
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print or write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="a short run that judges nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    args = parser.parse_args(argv)
    text = json.dumps(figures(quick=args.quick), ensure_ascii=False, indent=2)
    if args.json:
        args.json.write_text(text + "\n")
    else:
        print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
