"""The event bridge against the same job by hand: what an event costs, and what it waits for.

A real Kafka with topics of 4 partitions, the real ``gpfn bridge run``, and a function that is
keep-alive HTTP on loopback, each in a process of its own. Events are 1 kB with six attributes,
of 64 keys; replies are events of 120 bytes. The bridge runs as it is meant to: by key, with a
dead-letter topic, retries, a circuit and its metrics. The floor (``peers/bridge_floor.py``) is
a loop that consumes, calls and produces, and gives up at any fault. After each run it is
checked that no event was replied to twice, and none committed that has no reply.

    python benchmarks/bridge.py [--quick] [--million] [--json FILE]

The processors are shared by broker, bridge, function and this: how many events that makes a
second says as much of the machine as of the bridge. What holds everywhere are the processor
time of an event beside the floor's of the same run, and shares of an arithmetic limit.
``--million`` measures memory over a million events, in a few minutes more.
"""

import argparse
import json
import signal
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bridge_latency import RATE, latencies, latency
from bridge_local import file_figures, queue_figures
from bridge_running import Span, figure, function, grown, spent
from bridge_world import KEYS, Line, World, running
from run import table

__all__ = ["main"]

SLOW = 0.005
"""Seconds that a call of the slow function takes."""
WAYS = (("key", 16, 2500), ("key", 64, 3300), ("none", 64, 8000))
"""Order, calls in flight, and the events a second that are the goal with the slow function."""
COST_GOAL, RATE_GOAL = 1.6, 12_000
P50_GOAL, P99_GOAL = 3.0, 40.0
GROWTH_GOAL, MORE_GOAL = 5.0, 40.0
MILLION = 1_000_000


class Sizes(NamedTuple):
    """How much is done of each."""

    rounds: int
    floors: tuple[str, ...]
    events: int
    """Of one run beside the floors."""
    slow: tuple[int, int, int]
    """Of the runs with the slow function; without events there is none."""
    timed: int
    """Of one run that measures latencies."""
    queue: int
    file: int
    grown: tuple[int, int]
    """Between so many events the memory is compared."""


FLOORS = {
    "serial": "by hand, one after the other",
    "bytes": "by hand, without the events' attributes",
    "in-flight": "by hand, 16 in flight in an event loop",
}
FULL = Sizes(
    rounds=3,
    floors=("serial", "bytes", "in-flight"),
    events=60_000,
    slow=(12_000, 16_000, 40_000),
    timed=1500,
    queue=30_000,
    file=60_000,
    grown=(20_000, 200_000),
)
SHORT = Sizes(
    rounds=1,
    floors=("serial", "in-flight"),
    events=6_000,
    slow=(800, 0, 2_000),
    timed=100,
    queue=1_000,
    file=2_000,
    grown=(2_000, 6_000),
)


def beside_floors(world: World, source: str, sizes: Sizes) -> list[dict[str, Any]]:
    """Measure consume, call and produce; all ways take turns, so that noise meets all of them.

    The first bridge goes on for as long as its growth is measured.
    """
    ours: list[Span] = []
    floors: dict[str, list[Span]] = {kind: [] for kind in sizes.floors}
    more = 0.0
    with function(world.folder) as port:
        for number in range(sizes.rounds):
            with world.bridge(source, port) as line:
                last = sizes.events if number else sizes.grown[1]
                looks = line.process.watch(line.done, last)
            ours.append(spent(looks, sizes.events // 5, sizes.events))
            more = more if number else grown(looks, *sizes.grown)
            for kind, found in floors.items():
                with world.floor(kind, source, port) as line:
                    found.append(_spent(line, sizes.events))
    return [
        _rates(ours, floors["serial"]),
        *[_costs(ours, found, kind) for kind, found in floors.items()],
        _size(ours, floors["serial"]),
        _growth(more / 1e6, *sizes.grown),
    ]


def _spent(line: Line, events: int) -> Span:
    return spent(line.process.watch(line.done, events), events // 5, events)


def _rates(ours: Sequence[Span], floor: Sequence[Span]) -> dict[str, Any]:
    peer = statistics.median(each.rate for each in floor)
    return figure(
        "consume, call and produce, one bridge",
        statistics.median(each.rate for each in ours),
        "events/s",
        peer=f"{FLOORS['serial']}: {peer:.0f} /s",
        ratio=statistics.median(a.rate / b.rate for a, b in zip(ours, floor, strict=True)),
        goal=f"≥ {RATE_GOAL} /s on processors of its own",
    )


def _costs(ours: Sequence[Span], floor: Sequence[Span], kind: str) -> dict[str, Any]:
    ratio = statistics.median(a.cost / b.cost for a, b in zip(ours, floor, strict=True))
    judged = kind == "serial"
    return figure(
        "consume, call and produce, processor time of an event",
        statistics.median(each.cost for each in ours),
        "µs",
        peer=f"{FLOORS[kind]}: {statistics.median(each.cost for each in floor):.1f} µs",
        ratio=ratio,
        goal=COST_GOAL if judged else None,
        ok=ratio <= COST_GOAL if judged else None,
    )


def _size(ours: Sequence[Span], floor: Sequence[Span]) -> dict[str, Any]:
    mine, bare = (max(each.resident for each in found) / 1e6 for found in (ours, floor))
    return figure(
        "memory of a bridge at work",
        mine,
        "MB",
        peer=f"the same by hand: {bare:.0f} MB",
        ratio=mine / bare,
        goal=f"≤ that + {MORE_GOAL:g} MB",
        ok=mine <= bare + MORE_GOAL,
    )


def _growth(more: float, first: int, last: int) -> dict[str, Any]:
    return figure(
        f"growth of a bridge between {first:,} and {last:,} events",
        more,
        "MB",
        goal=f"< {GROWTH_GOAL:g} MB",
        ok=more < GROWTH_GOAL,
    )


def slow_function(world: World, source: str, sizes: Sizes) -> list[dict[str, Any]]:
    """Measure calls that take 5 ms each, by key and in no order."""
    figures = []
    with function(world.folder, SLOW) as port:
        alone = _call_alone(port)
        for (order, in_flight, goal), events in zip(WAYS, sizes.slow, strict=True):
            if not events:
                continue
            with world.bridge(source, port, order=order, in_flight=in_flight) as line:
                rate = _spent(line, events).rate
            lanes = min(in_flight, KEYS) if order == "key" else in_flight
            limit = lanes / SLOW
            how = f"by key ({KEYS} keys)" if order == "key" else "in no order"
            figures.append(
                figure(
                    f"a function of 5 ms, {in_flight} in flight, {how}",
                    rate,
                    "events/s",
                    peer=f"{lanes} / 5 ms: {limit:.0f} /s; a call alone: {alone * 1e3:.1f} ms",
                    ratio=rate / limit,
                    goal=f"≥ {goal} /s",
                    ok=rate >= goal,
                )
            )
    return figures


def _call_alone(port: int) -> float:
    """Return the seconds of a call that nothing else is under way with."""
    request = b"POST / HTTP/1.1\r\nhost: f\r\ncontent-length: 2\r\n\r\n{}"
    taken = []
    with socket.create_connection(("127.0.0.1", port)) as connection:
        for _ in range(30):
            began = time.perf_counter()
            connection.sendall(request)
            connection.recv(65536)
            taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def waiting(world: World, sizes: Sizes) -> list[dict[str, Any]]:
    """Measure how long an event is under way; bridge and floor take turns."""
    ours: list[float] = []
    floor: list[float] = []
    with function(world.folder) as port:
        for _ in range(sizes.rounds):
            source = world.topic()
            with world.bridge(source, port) as line:
                ours += latencies(world, line, source, sizes.timed)
            source = world.topic()
            with world.floor("serial", source, port, linger=0) as line:
                floor += latencies(world, line, source, sizes.timed)
    what = f"producer to consumer of the reply, {RATE} events a second"
    mine, theirs = latency(ours), latency(floor)
    return [
        figure(
            f"{what}, {name}",
            taken,
            "ms",
            peer=f"by hand: {other:.2f} ms",
            ratio=taken / other,
            goal=f"≤ {goal:g} ms",
            ok=taken <= goal,
        )
        for name, taken, other, goal in (
            ("p50", mine.p50, theirs.p50, P50_GOAL),
            ("p99", mine.p99, theirs.p99, P99_GOAL),
        )
    ]


def measure(folder: Path, sizes: Sizes) -> list[dict[str, Any]]:
    """Measure everything."""
    with running(folder) as world:
        source = world.topic(max(sizes.events, sizes.grown[1], *sizes.slow))
        figures = [
            *beside_floors(world, source, sizes),
            *slow_function(world, source, sizes),
            *waiting(world, sizes),
        ]
    return [*figures, *queue_figures(folder, sizes.queue), *file_figures(folder, sizes.file)]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print a table, and write the figures when asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="a short run that judges nothing")
    parser.add_argument("--million", action="store_true", help="memory over a million events")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    args = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the broker has to end with this
    sizes = SHORT if args.quick else FULL
    if args.million:
        sizes = sizes._replace(grown=(FULL.grown[0], MILLION))
    with tempfile.TemporaryDirectory(prefix="gpfn-bridge-") as name:
        found = measure(Path(name), sizes)
    print(table(found))
    if args.json:
        args.json.write_text(json.dumps(found, ensure_ascii=False, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
