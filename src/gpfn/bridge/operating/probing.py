"""Whether what a bridge names is there, found out without reading or writing a record."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gpfn.bridge.destinations import CHOSEN
from gpfn.bridge.opening import kafka_settings, open_sink
from gpfn.errors import CannotConnect, GpfnError, SetupError
from gpfn.http.address import parse_url

if TYPE_CHECKING:
    from gpfn.bridge.spec import BridgeSpec, Place, RouteSpec
    from gpfn.log import Log

__all__ = ["probe_destination", "probe_sink", "probe_source"]

_SECONDS = 5.0


async def probe_source(place: Place) -> GpfnError | None:
    """Return what keeps a source from being read, None when nothing does."""
    try:
        await _PROBES[place.kind](place)
    except GpfnError as error:
        return error
    return None


async def probe_sink(spec: BridgeSpec, log: Log) -> GpfnError | None:
    """Return what keeps a bridge's topics from being written to."""
    if spec.sink.kind in ("file", "queue"):
        return None  # made when they are written to
    sink = open_sink(spec.sink, log)
    try:
        await sink.start(spec.written)
    except GpfnError as error:
        return error
    finally:
        await sink.stop(_SECONDS)
    return None


async def probe_destination(route: RouteSpec) -> GpfnError | None:
    """Return why a route's function cannot be called: a file, or an address to connect to."""
    urls = [url.removesuffix("*") for url in route.allow] if route.call == CHOSEN else [route.call]
    try:
        for url in urls:
            if "://" in url:
                await _connect(url)
            else:
                _find_function(url)
    except GpfnError as error:
        return error
    return None


def _find_function(path: str) -> None:
    try:
        from gpfn.hosts.target import find_target
    except ImportError:  # an image has no YAML: what is there is found when it is loaded
        return
    find_target(path)


async def _connect(url: str) -> None:
    address = parse_url(url)
    context = None
    if address.scheme == "https":  # a certificate that is refused keeps every call away
        import ssl

        context = ssl.create_default_context()
    try:
        async with asyncio.timeout(_SECONDS):
            _, writer = await asyncio.open_connection(address.host, address.port, ssl=context)
        writer.close()
    except TimeoutError:
        raise CannotConnect(f"{address.shown}: no connection within {_SECONDS:g} s") from None
    except OSError as error:
        raise CannotConnect(f"{address.shown}: {error.strerror or error}") from None


async def _probe_kafka(place: Place) -> None:
    from gpfn.bridge.kafka.admin import KafkaAdmin

    def ask() -> None:
        admin = KafkaAdmin(kafka_settings(place), side="source")
        admin.connect()
        for facts in admin.topics(place.topics, "source.topics"):
            if not facts.may_read:
                raise SetupError(f"{facts.name} may not be read", field="source.topics")

    await asyncio.to_thread(ask)


async def _probe_nats(place: Place) -> None:
    from gpfn.bridge.nats.client import connect_nats, leave
    from gpfn.bridge.nats.settings import read_nats_settings
    from gpfn.bridge.nats.streams import open_stream

    settings = read_nats_settings(place.address, place.settings, "source.settings")
    connection = await connect_nats(settings, lambda _: None)
    try:
        for topic in place.topics:
            await open_stream(connection, settings, topic)
    finally:
        await leave(connection)


async def _probe_queue(place: Place) -> None:
    from pathlib import Path

    from gpfn.bridge.sqlite.reading import open_queue

    path = Path(place.address)
    if path.exists():  # it is made by who runs or writes first
        with open_queue(path):
            return


async def _probe_file(place: Place) -> None:
    from pathlib import Path

    if place.address != "-" and not Path(place.address).exists():
        raise SetupError("there is no such file", field=place.address)


_PROBES = {
    "kafka": _probe_kafka,
    "nats": _probe_nats,
    "queue": _probe_queue,
    "file": _probe_file,
}
