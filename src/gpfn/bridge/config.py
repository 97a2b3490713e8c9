"""The file of a bridge, read and checked: every mistake names its place in it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, cast

from gpfn.bridge.config_routes import (
    MOST,
    Secrets,
    check_routes,
    ended,
    path_in,
    read_route,
    texts_of,
    values_of,
)
from gpfn.bridge.spec import BridgeSpec, Delivery, Kind, Place
from gpfn.errors import SetupError
from gpfn.models.toml_table import Table, read_toml

__all__ = ["KINDS", "check_loops", "read_bridge"]

KINDS: tuple[Kind, ...] = ("kafka", "nats", "queue", "file")
"""The queues; the key of each in ``[source]`` and ``[sink]`` holds its address."""


def read_bridge(path: Path, environ: Mapping[str, str] = os.environ) -> BridgeSpec:
    """Return what a bridge.toml says. Raises SetupError whose field is the place in it.

    Paths in it are from the folder that it is in.
    """
    top, folder = read_toml(path), path.parent
    secrets = Secrets(environ, folder)
    source = _source(top.table("source"), secrets, folder)
    written = top.optional("sink")
    sink = source._replace(topics=()) if written is None else _sink(written, secrets, folder)
    if written is not None:  # without it the settings are for both sides
        _check_side(source, "source")
        _check_side(sink, "sink")
    delivery = _delivery(top.optional("delivery") or Table({}))
    routes = tuple(read_route(table, secrets, folder) for table in top.listed("route"))
    if not routes:
        raise top.wrong("at least one is needed, [[route]]", "route")
    dead = top.optional("dead-letter")
    topic = "" if dead is None else ended(dead, dead.text("topic"))
    spec = ended(top, BridgeSpec(source, sink, routes, topic, delivery, top.text("listen", "")))
    check_routes(routes)
    if sink.kind == "file":
        spec = _with_paths(spec, folder)
    check_loops(spec)
    return spec


def _with_paths(spec: BridgeSpec, folder: Path) -> BridgeSpec:
    """Return a bridge that writes to files with their paths from its folder."""

    def path(topic: str, field: str) -> str:
        return path_in(folder, topic, field) if topic not in ("", "-") else topic

    routes = [
        route._replace(reply=path(route.reply, f"route[{n}].reply.topic"))
        for n, route in enumerate(spec.routes)
    ]
    dead_letter = path(spec.dead_letter, "dead-letter.topic")
    return spec._replace(routes=tuple(routes), dead_letter=dead_letter)


def _source(table: Table, secrets: Secrets, folder: Path) -> Place:
    kind, address = _address(table, folder)
    place = Place(kind, address)
    if kind == "file":
        return ended(table, place._replace(follow=bool(table.choice("follow"))))
    place = place._replace(settings=values_of(table, "settings", secrets))
    _check_names(place, "source")
    place = place._replace(topics=texts_of(table, "topics"), group=table.text("group", "gpfn"))
    if not place.topics:
        raise table.wrong("expected at least one topic", "topics")
    if kind == "kafka":
        instance = secrets.value(table.text("instance", ""), table.place_of("instance"))
        place = place._replace(instance=instance)
    if kind != "queue":
        start = table.one_of("start", ("earliest", "latest"), "earliest")
        place = place._replace(start=cast("Literal['earliest', 'latest']", start))
    return ended(table, place)


def _sink(table: Table, secrets: Secrets, folder: Path) -> Place:
    kind, address = _address(table, folder, written=True)
    place = Place(kind, address)
    if kind in ("kafka", "nats"):  # the others have none for who writes
        place = place._replace(settings=values_of(table, "settings", secrets))
    _check_names(place, "sink")
    return ended(table, place)


def _check_names(place: Place, side: str) -> None:
    """Raise SetupError for a setting that is none of its queue; Kafka's library knows its own."""
    known: tuple[str, ...] = ("keep", "lease")
    if place.kind == "kafka":
        return
    if place.kind == "nats":
        from gpfn.bridge.nats.settings import SETTINGS

        known = SETTINGS
    for name in place.settings:
        if name not in known:
            detail = f"unknown key; known: {', '.join(known)}"
            raise SetupError(detail, field=f"{side}.settings.{name}")


def _check_side(place: Place, side: Literal["source", "sink"]) -> None:
    """Raise SetupError for a setting that only the other side of its queue has."""
    others: tuple[str, ...] = ()
    if place.kind == "kafka":
        from gpfn.bridge.kafka.client import READING, WRITING

        others = WRITING if side == "source" else READING
    elif place.kind == "nats" and side == "sink":
        from gpfn.bridge.nats.settings import READING as NATS_READING

        others = NATS_READING
    for name in place.settings:
        if name.startswith(others):
            other = "written" if side == "source" else "read"
            detail = f"this setting is of a queue that is {other}, which this one is not"
            raise SetupError(detail, field=f"{side}.settings.{name}")


def _address(table: Table, folder: Path, *, written: bool = False) -> tuple[Kind, str]:
    """Return which queue it is, and where; files that are written are named by the topics."""
    kinds = [kind for kind in KINDS if kind in table]
    if len(kinds) != 1:
        raise table.wrong(f"expected one of {', '.join(KINDS)}")
    kind = kinds[0]
    if kind == "file" and written:
        if not table.flag("file"):
            raise table.wrong("expected true: files are named by the topics", "file")
        return kind, ""
    address = table.text(kind)
    is_path = kind in ("queue", "file") and address != "-"
    return kind, path_in(folder, address, table.place_of(kind)) if is_path else address


def _delivery(table: Table) -> Delivery:
    usual = Delivery()
    delivery = Delivery(
        to_all=table.one_of("routes", ("first", "all"), "first") == "all",
        held=table.count("held", 1, MOST) or usual.held,
        held_bytes=table.size("held_bytes", usual.held_bytes),
        gap=table.count("gap", 1, MOST) or usual.gap,
        drain=table.duration("drain", 0.0, 3600.0, usual.drain),
        loops=bool(table.choice("loops")),
        hops=table.count("hops", 1, MOST) or usual.hops,
        wrap=table.one_of("others", ("dead-letter", "wrap"), "dead-letter") == "wrap",
        remember=table.count("remember", 0, MOST) or 0,
    )
    return ended(table, delivery)


def check_loops(spec: BridgeSpec) -> None:
    """Raise SetupError when what is written to is read again by this bridge."""
    read = spec.source.topics
    if spec.source.kind == "file":
        read = (spec.source.address,) if spec.source.address != "-" else ()
    elif spec.source[:2] != spec.sink[:2]:
        return
    if spec.dead_letter in read:
        raise SetupError(
            "this topic is read: a dead letter would come again for ever", field="dead-letter.topic"
        )
    for n, route in enumerate(spec.routes):
        if route.reply and route.reply == spec.dead_letter:
            field = f"route[{n}].reply.topic"
            raise SetupError("replies and dead letters need topics of their own", field=field)
        if route.reply in read and not spec.delivery.loops:
            detail = "this topic is read, so replies go round; delivery.loops = true allows it"
            raise SetupError(detail, field=f"route[{n}].reply.topic")
