"""What a bridge is made of, once its file was read and every value in it checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

from gpfn.bridge.lanes import Order
from gpfn.bridge.matching import Matches
from gpfn.bridge.retrying import RetryPolicy

__all__ = [
    "FOREVER",
    "Batch",
    "BridgeSpec",
    "CircuitSpec",
    "Delivery",
    "Kind",
    "Mode",
    "Place",
    "RouteSpec",
]

Kind: TypeAlias = Literal["kafka", "nats", "queue", "file"]
Mode: TypeAlias = Literal["same", "binary", "structured"]
"""How an event is written: as it came, or always in one mode."""

FOREVER = float("inf")
"""An age that no event reaches."""


class Place(NamedTuple):
    """A queue: its kind, where it is, and what its client library is set to.

    ``address`` is Kafka's ``host:port`` list, a URL of NATS, or the path of a SQLite queue or of
    a file to read; files to write are topics. ``settings`` may hold secrets: they are never
    shown.
    """

    kind: Kind
    address: str = ""
    topics: tuple[str, ...] = ()
    group: str = ""
    instance: str = ""
    start: Literal["earliest", "latest"] = "earliest"
    follow: bool = False
    settings: Mapping[str, str] = {}


class Batch(NamedTuple):
    """How many events are called together at most, and the seconds that the first one waits."""

    events: int
    wait: float


class CircuitSpec(NamedTuple):
    """How many failures in a row open a circuit, and the first and the longest pause then."""

    failures: int = 20
    first: float = 1.0
    most: float = 30.0


class RouteSpec(NamedTuple):
    """Which events go to which function, and what becomes of the reply.

    ``call`` is a URL, the path of a function, or ``destination``: then it is the event's, which
    has to begin with one of ``allow``. ``reply`` is a topic, or empty where nobody wants one.
    Times are in seconds. ``config`` are variables for a function in this process. ``call``,
    ``headers`` and ``config`` may hold secrets: they are never shown.
    """

    name: str
    matches: Matches
    call: str
    reply: str = ""
    reply_mode: Mode = "same"
    send: Mode = "same"
    order: Order = "key"
    in_flight: int = 64
    timeout: float = 30.0
    retry: RetryPolicy = RetryPolicy()
    circuit: CircuitSpec = CircuitSpec()
    batch: Batch | None = None
    max_age: float = FOREVER
    headers: tuple[tuple[str, str], ...] = ()
    allow: tuple[str, ...] = ()
    config: Mapping[str, str] = {}


class Delivery(NamedTuple):
    """What holds for all routes.

    ``held`` records of a partition, and ``held_bytes`` of all together, may be unfinished
    before no more are taken; ``gap`` may be finished beyond an unfinished one. ``drain`` are the
    seconds that calls get to end at a rebalance and at the end. Whether replies may go to a topic
    that is read again is ``loops``; an event goes over ``hops`` bridges at most. Records that are
    no events are wrapped into one, or are dead letters. ``remember`` are the events whose second
    coming is left out.
    """

    to_all: bool = False
    held: int = 1000
    held_bytes: int = 64 << 20
    gap: int = 10_000
    drain: float = 20.0
    loops: bool = False
    hops: int = 8
    wrap: bool = False
    remember: int = 0


class BridgeSpec(NamedTuple):
    """A whole bridge. ``dead_letter`` is a topic, or empty: then the bridge stops at such a record.

    ``listen`` is where metrics and health are, ``host:port``, or empty.
    """

    source: Place
    sink: Place
    routes: tuple[RouteSpec, ...]
    dead_letter: str = ""
    delivery: Delivery = Delivery()
    listen: str = ""

    @property
    def written(self) -> tuple[str, ...]:
        """The topics that are written to, each once."""
        topics = [route.reply for route in self.routes] + [self.dead_letter]
        return tuple(dict.fromkeys(topic for topic in topics if topic))
