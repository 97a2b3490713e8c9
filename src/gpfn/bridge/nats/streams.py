"""Streams, consumers and subjects of JetStream, as the bridge needs them.

A topic is one subject, without wildcards: each subject is a partition of its own behind the
seam, which is paused and counted by itself. Its stream has to exist, or is made when that is
asked for: on disk, with the limits of the settings, the oldest records leaving first.

A group reads a topic through one durable pull consumer. Its name is made of both, and of a hash
of both, so that no two groups share one by accident::

    forecasts reads readings.new   →   forecasts-readings_new-1a2b3c4d
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Literal, NamedTuple

from gpfn.bridge.nats.client import NatsConnection
from gpfn.bridge.nats.link import JetStreamRefused, ask
from gpfn.bridge.nats.settings import NatsSettings
from gpfn.errors import SetupError, escaped

__all__ = ["Consumer", "check_topic", "consumer_name", "open_consumer", "open_stream"]

_NANO = 1_000_000_000
_LONGEST_TOPIC = 250
_LONGEST_PART = 80
_NOT_OURS = ("$", "_INBOX.")
_SHARED = {"ack_policy": "explicit", "max_deliver": -1, "replay_policy": "instant"}


class Consumer(NamedTuple):
    """A group's consumer of a topic.

    ``made`` is when that was, in digits: a name that was used before does not count.
    """

    topic: str
    stream: str
    name: str
    made: str


def check_topic(topic: str, field: str = "") -> str:
    """Return a topic that is one subject. Raises SetupError; its field is the topic, or told."""
    field = field or escaped(topic) or "topic"
    if len(topic.encode("utf-8", "replace")) > _LONGEST_TOPIC:
        raise SetupError(f"longer than {_LONGEST_TOPIC} bytes", field=field)
    if not topic.isprintable() or " " in topic or topic.startswith(_NOT_OURS):
        raise SetupError("not a subject that is read or written", field=field)
    tokens = topic.split(".")
    if "*" in tokens or ">" in tokens:
        raise SetupError("a topic is one subject, without wildcards", field=field)
    if not all(tokens):
        raise SetupError("an empty part between dots", field=field)
    return topic


def consumer_name(group: str, topic: str) -> str:
    """Return the name of a group's consumer."""
    told = sha256(f"{group}\0{topic}".encode("utf-8", "replace")).hexdigest()[:8]
    return f"{_name(group)}-{_name(topic)}-{told}"


def _name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", text)[:_LONGEST_PART]


async def open_stream(connection: NatsConnection, settings: NatsSettings, topic: str) -> str:
    """Return the name of a topic's stream, which is made where that is asked for.

    Raises SetupError with the topic as its field when there is none.
    """
    found = await ask(connection, settings, "STREAM.NAMES", {"subject": topic})
    if names := found.get("streams"):
        return str(names[0])
    if not settings.create:
        raise SetupError(
            f"no stream of {settings.where} takes this subject (create = on makes one)",
            field=topic,
        )
    name = _name(topic)
    config = {
        "name": name,
        "subjects": [topic],
        "retention": "limits",
        "storage": "file",
        "discard": "old",
        "max_bytes": settings.max_bytes,
        "max_age": int(settings.max_age * _NANO),
        "num_replicas": settings.replicas,
    }
    try:
        await ask(connection, settings, f"STREAM.CREATE.{name}", config)
    except JetStreamRefused as error:
        raise SetupError(f"its stream {name} cannot be made: {error}", field=topic) from None
    return name


async def open_consumer(
    connection: NatsConnection,
    settings: NatsSettings,
    topic: str,
    group: str,
    start: Literal["earliest", "latest"],
) -> Consumer:
    """Return a group's consumer of a topic, which is made where there is none.

    ``start`` is where a group begins that has none yet. Raises SetupError with the topic as its
    field.
    """
    stream = await open_stream(connection, settings, topic)
    name = consumer_name(group, topic)
    wanted = _SHARED | {
        "durable_name": name,
        "description": f"gpfn bridge, group {_name(group)}",
        "filter_subject": topic,
        "deliver_policy": "all" if start == "earliest" else "new",
        "ack_wait": int(settings.ack_wait * _NANO),
        "max_ack_pending": settings.max_ack_pending,
    }
    try:
        known = await _consumer(connection, settings, stream, name)
        if known is not None:
            wanted = _changed(known["config"], wanted, topic)
        body = {"stream_name": stream, "config": wanted}
        call = f"CONSUMER.DURABLE.CREATE.{stream}.{name}"
        made = await ask(connection, settings, call, body)
    except JetStreamRefused as error:
        raise SetupError(f"the group's consumer cannot be made: {error}", field=topic) from None
    return Consumer(topic, stream, name, re.sub(r"\D", "", str(made.get("created")))[:14])


async def _consumer(
    connection: NatsConnection, settings: NatsSettings, stream: str, name: str
) -> dict[str, Any] | None:
    try:
        return await ask(connection, settings, f"CONSUMER.INFO.{stream}.{name}")
    except JetStreamRefused as error:
        if error.code == 404:
            return None
        raise


def _changed(known: Mapping[str, Any], wanted: Mapping[str, Any], topic: str) -> dict[str, Any]:
    """Return a consumer's own configuration with our bounds: where it began is not changed."""
    if known.get("deliver_subject") or known.get("ack_policy") != "explicit":
        raise SetupError(
            f"the consumer {wanted['durable_name']} is not one that is pulled and acknowledged",
            field=topic,
        )
    ours = {name: wanted[name] for name in ("ack_wait", "max_ack_pending", "max_deliver")}
    return {**known, **ours}
