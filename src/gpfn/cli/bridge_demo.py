"""``gpfn bridge demo``: 1,000 events go round: one is poisoned, one is late, one is retried.

Everything is in one process and one SQLite file, in a folder that is removed at the end.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpfn.bridge.engine import Bridge
    from gpfn.bridge.record import Outgoing, Record
    from gpfn.bridge.spec import BridgeSpec
    from gpfn.events import Event

__all__ = ["add_demo_arguments", "demo"]

_FUNCTION = '''\
"""Doubles a number. The first call for 300 fails, and it refuses what is no number."""

from gpfn import Function
from gpfn.errors import InvalidEvent

seen = set()


def double(event):
    number = event.json()
    if not isinstance(number, int):
        raise InvalidEvent("expected a number", field="data")
    if number == 300 and number not in seen:
        seen.add(number)
        raise RuntimeError("this call fails, the next one does not")
    return 2 * number


double = Function(double, takes="event", reply_type="com.example.doubled")
handler = double.fn
'''
_POISONED, _RETRIED, _LATE = 100, 300, 500


def add_demo_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare how many events there are."""
    parser.add_argument("--events", metavar="N", default="1000", help="at least 1000 (default)")
    parser.add_argument("--json", action="store_true", help="print a JSON object")


def demo(args: argparse.Namespace) -> int:
    """Send the events, run the bridge until all are dealt with, and show what came of them."""
    import asyncio
    from tempfile import TemporaryDirectory

    from gpfn.settings import parse_whole

    count = parse_whole(args.events, field="--events", least=1000, most=1_000_000)
    with TemporaryDirectory(prefix="gpfn-bridge-") as name:
        folder = Path(name)
        (folder / "func.py").write_text(_FUNCTION, encoding="utf-8")
        document = asyncio.run(_go_round(folder, count, as_json=args.json))
    if args.json:
        import json

        print(json.dumps(document))
    return 0


async def _go_round(folder: Path, count: int, *, as_json: bool) -> dict[str, object]:
    import time

    from gpfn.bridge.opening import open_bridge
    from gpfn.cli.bridge_screen import document_of, make_screen
    from gpfn.limits import Limits
    from gpfn.log import Log

    spec = _spec(folder)
    await _send(spec, count)
    bridge = open_bridge(spec, limits=Limits(), log=Log("bridge", form="quiet"))
    began = time.perf_counter()
    if as_json:
        await _until_done(bridge, count)
    else:
        print(f"{count} events are in {spec.source.topics[0]}; a function doubles their numbers")
        with make_screen(bridge, as_json=False, quiet=False):
            await _until_done(bridge, count)
    seconds = time.perf_counter() - began
    if not as_json:
        _show(spec, seconds, count)
    return {**document_of(bridge), "seconds": round(seconds, 3)}


def _spec(folder: Path) -> "BridgeSpec":
    from gpfn.bridge.matching import filter_of
    from gpfn.bridge.spec import BridgeSpec, Place, RouteSpec

    queue = str(folder / "queue.db")
    route = RouteSpec("double", filter_of({}, "match"), str(folder / "func.py"), reply="doubled")
    source = Place("queue", queue, ("numbers",), "demo")
    return BridgeSpec(source, Place("queue", queue), (route,), "numbers.dead")


async def _send(spec: "BridgeSpec", count: int) -> None:
    import asyncio

    from gpfn.bridge.opening import open_sink
    from gpfn.errors import GpfnError
    from gpfn.log import Log

    sink = open_sink(spec.source, Log("bridge", form="quiet"))
    topic = spec.source.topics[0]
    await sink.start([topic])
    loop = asyncio.get_running_loop()
    told: list[asyncio.Future[GpfnError | None]] = [loop.create_future() for _ in range(count)]
    for number, future in enumerate(told):
        sink.send(_record(topic, _event(number)), future.set_result)
    errors = [error for error in await asyncio.gather(*told) if error is not None]
    await sink.stop(5.0)
    if errors:
        raise errors[0]


def _event(number: int) -> "Event":
    from gpfn.events import Event

    late = {"expirytime": "2020-01-01T00:00:00Z"} if number == _LATE else {}
    return Event(
        type="com.example.number",
        source="/demo",
        id=str(number),
        data="poison" if number == _POISONED else number,
        extensions=late,
    )


def _record(topic: str, event: "Event") -> "Outgoing":
    from gpfn.bridge.record import Outgoing
    from gpfn.events.kafka import write_record

    value, headers = write_record(event, "structured")
    return Outgoing(topic, event.id[-1:].encode(), value, headers)


async def _until_done(bridge: "Bridge", count: int) -> None:
    import asyncio

    running = asyncio.create_task(bridge.run())
    while not running.done() and sum(bridge.figures.counts.values()) < count:
        await asyncio.sleep(0.01)
    bridge.stop()
    await running


def _show(spec: "BridgeSpec", seconds: float, count: int) -> None:
    from gpfn.bridge.sqlite.reading import open_queue, read_records
    from gpfn.events.kafka import read_record

    with open_queue(Path(spec.source.address)) as store:
        replies = list(read_records(store, "doubled"))
        (dead,) = read_records(store, "numbers.dead")
    print(f"{count} events in {seconds:.1f} s, {len(replies)} replies; the first:")
    event = read_record(replies[0].value, replies[0].headers)
    assert event is not None, "a reply is an event"  # noqa: S101
    print(f"  {event.attribute('causationid')} -> {event.json()}, type {event.type}")
    print(f"number {_RETRIED} was called twice, number {_LATE} was too late")
    print(f"number {_POISONED} is a dead letter: {_header(dead, 'gpfn_reason')}")
    print(f"  {(dead.value or b'').decode()}")
    print(f"  knativeerrordata: {_header(dead, 'ce_knativeerrordata')}")


def _header(record: "Record", name: str) -> str:
    return next((value or b"").decode() for key, value in record.headers if key == name)
