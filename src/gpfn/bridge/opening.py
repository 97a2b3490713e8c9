"""From a bridge's file to a bridge: its queues and destinations, each loaded when it is used."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gpfn.bridge.destinations import open_destination
from gpfn.bridge.engine import Bridge
from gpfn.errors import SetupError
from gpfn.settings import parse_duration

if TYPE_CHECKING:
    from gpfn.bridge.destinations import Destination
    from gpfn.bridge.record import Outgoing
    from gpfn.bridge.seam import Delivered, Sink, Source
    from gpfn.bridge.spec import BridgeSpec, Place
    from gpfn.bridge.sqlite.queue import Queue
    from gpfn.limits import Limits
    from gpfn.log import Log

__all__ = ["kafka_settings", "open_bridge", "open_sink"]

_LONGEST_KEPT = 10 * 366 * 86400.0


def open_bridge(
    spec: BridgeSpec, *, limits: Limits, log: Log, source: Source | None = None
) -> Bridge:
    """Return the bridge of a spec; nothing is read before it runs.

    A ``source`` that is given takes the place of the spec's own. Raises SetupError for what
    cannot be opened; MissingExtra for a client that is not installed.
    """
    destinations = [_destination(spec, n, limits) for n in range(len(spec.routes))]
    opener = _Opener(log, spec.dead_letter)
    if source is None:
        source = _SOURCES[spec.source.kind](opener, spec)
    sink = _SINKS[spec.sink.kind](opener, spec.sink)
    return Bridge(spec, source, sink, destinations, limits=limits, log=log)


def open_sink(place: Place, log: Log) -> Sink:
    """Return what writes to a queue."""
    return _SINKS[place.kind](_Opener(log), place)


class _Opener:
    """What the queues of a bridge share."""

    def __init__(self, log: Log, dead_letter: str = "") -> None:
        self.log = log
        self.dead_letter = dead_letter
        self._queues: dict[str, Queue] = {}

    def queue(self, path: str) -> Queue:
        """Return the SQLite queue of a file: one for source and sink, which commits for both."""
        from gpfn.bridge.sqlite.queue import Queue

        if path not in self._queues:
            self._queues[path] = Queue(Path(path), warn=self.log.warning)
        return self._queues[path]


def _destination(spec: BridgeSpec, number: int, limits: Limits) -> Destination:
    route = spec.routes[number]
    try:
        return open_destination(
            route.call,
            headers=route.headers,
            allow=route.allow,
            config=route.config,
            in_flight=route.in_flight,
            limit=limits.body_bytes,
        )
    except SetupError as error:
        if error.field in ("call", "allow"):
            error.field = f"route[{number}].{error.field}"
            raise
        raise SetupError(str(error), field=f"route[{number}].call") from error.__cause__


def _kafka_source(opener: _Opener, spec: BridgeSpec) -> Source:
    from gpfn.bridge.kafka.source import KafkaSource

    place = spec.source
    return KafkaSource(
        kafka_settings(place),
        place.topics,
        place.group,
        instance=place.instance,
        start=place.start,
        drain_seconds=spec.delivery.drain,
        log=opener.log.warning,
    )


def _kafka_sink(opener: _Opener, place: Place) -> Sink:
    from gpfn.bridge.kafka.sink import KafkaSink

    return KafkaSink(kafka_settings(place), log=opener.log.warning)


def kafka_settings(place: Place) -> dict[str, str]:
    """Return what Kafka's client is set to."""
    return {"bootstrap.servers": place.address, **place.settings}


def _nats_source(opener: _Opener, spec: BridgeSpec) -> Source:
    from gpfn.bridge.nats.source import NatsSource

    place = spec.source
    return NatsSource(
        place.address,
        place.topics,
        place.group,
        start=place.start,
        settings=place.settings,
        log=opener.log.warning,
    )


def _nats_sink(opener: _Opener, place: Place) -> Sink:
    from gpfn.bridge.nats.sink import NatsSink

    return NatsSink(place.address, settings=place.settings, log=opener.log.warning)


def _queue_source(opener: _Opener, spec: BridgeSpec) -> Source:
    from gpfn.bridge.sqlite.source import QueueSource

    place, delivery = spec.source, spec.delivery
    return QueueSource(
        opener.queue(place.address),
        place.topics,
        place.group,
        window=delivery.held,
        window_bytes=delivery.held_bytes,
        **_durations(place, ("keep", "lease")),
    )


def _durations(place: Place, known: Sequence[str]) -> dict[str, float]:
    """Return the settings of a SQLite queue, in seconds. Raises SetupError for an unknown one."""
    unknown = sorted(place.settings.keys() - set(known))
    if unknown:
        field = f"source.settings.{unknown[0]}"
        raise SetupError(f"unknown key; known: {', '.join(known)}", field=field)
    return {
        name: parse_duration(text, field=f"source.settings.{name}", most=_LONGEST_KEPT)
        for name, text in place.settings.items()
    }


def _queue_sink(opener: _Opener, place: Place) -> Sink:
    from gpfn.bridge.sqlite.sink import QueueSink

    return QueueSink(opener.queue(place.address))


def _file_source(opener: _Opener, spec: BridgeSpec) -> Source:
    from gpfn.bridge.files.source import FileSource

    place, delivery = spec.source, spec.delivery
    return FileSource(
        place.address,
        follow=place.follow,
        window=delivery.held,
        window_bytes=delivery.held_bytes,
        warn=opener.log.warning,
    )


def _file_sink(opener: _Opener, _place: Place) -> Sink:
    return _Files(opener.dead_letter)


class _Files:
    """A sink whose topics are files, one of them for dead letters, which are whole records."""

    def __init__(self, dead_letter: str) -> None:
        self._dead_letter = dead_letter
        self._sinks: dict[str, Sink] = {}

    async def start(self, topics: Sequence[str]) -> None:
        from gpfn.bridge.files.sink import FileSink

        for topic in topics:
            form: Literal["events", "records"] = "events"
            if topic == self._dead_letter:
                form = "records"
            sink = FileSink(topic, form=form)
            await sink.start([topic])
            self._sinks[topic] = sink

    def send(self, outgoing: Outgoing, delivered: Delivered) -> None:
        self._sinks[outgoing.topic].send(outgoing, delivered)

    async def stop(self, seconds: float) -> None:
        await asyncio.gather(*[sink.stop(seconds) for sink in self._sinks.values()])


_SOURCES: Mapping[str, Callable[[_Opener, BridgeSpec], Source]] = {
    "kafka": _kafka_source,
    "nats": _nats_source,
    "queue": _queue_source,
    "file": _file_source,
}
_SINKS: Mapping[str, Callable[[_Opener, Place], Sink]] = {
    "kafka": _kafka_sink,
    "nats": _nats_sink,
    "queue": _queue_sink,
    "file": _file_sink,
}
