"""Questions and orders to a JetStream stream beside those of a bridge, one connection each.

Where a topic's stream ends, and how single messages leave it. Nothing here makes a stream.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from gpfn.bridge.nats.client import connect_nats, leave
from gpfn.bridge.nats.link import JetStreamRefused, ask
from gpfn.bridge.nats.settings import read_nats_settings
from gpfn.bridge.nats.streams import check_topic, open_stream
from gpfn.errors import BackendError, SetupError

if TYPE_CHECKING:
    from gpfn.bridge.nats.client import NatsConnection
    from gpfn.bridge.nats.settings import NatsSettings

__all__ = ["delete_messages", "last_offset", "looking"]


def looking(settings: Mapping[str, str]) -> dict[str, str]:
    """Return settings with which nothing is made that is not there."""
    return {**settings, "create": "off"}


async def last_offset(address: str, topic: str, settings: Mapping[str, str]) -> int:
    """Return the offset of the newest record of a topic's stream, 0 when it never had one.

    Raises SetupError with the topic as field, or BackendError.
    """
    async with _stream(address, topic, settings) as (connection, read, stream):
        info = await ask(connection, read, f"STREAM.INFO.{stream}")
    state = info.get("state")
    last = state.get("last_seq") if isinstance(state, dict) else None
    if type(last) is not int:
        raise BackendError("the server does not tell the state of a stream", field=topic)
    return last


async def delete_messages(
    address: str, topic: str, offsets: Iterable[int], settings: Mapping[str, str]
) -> int:
    """Delete messages from a topic's stream; returns how many of them were there.

    Raises SetupError with the topic as field where that is not allowed, or BackendError.
    """
    deleted = 0
    async with _stream(address, topic, settings) as (connection, read, stream):
        for offset in offsets:
            body = {"seq": offset, "no_erase": True}
            try:
                await ask(connection, read, f"STREAM.MSG.DELETE.{stream}", body)
            except JetStreamRefused as error:
                if await _is_there(connection, read, stream, offset):
                    told = f"{offset} cannot be deleted: {error}"
                    raise SetupError(told, field=topic) from None
            else:
                deleted += 1
    return deleted


async def _is_there(
    connection: NatsConnection, settings: NatsSettings, stream: str, offset: int
) -> bool:
    """Say whether a message is in a stream: a refusal's number and text do not tell."""
    try:
        await ask(connection, settings, f"STREAM.MSG.GET.{stream}", {"seq": offset})
    except JetStreamRefused as error:
        if error.code == 404:
            return False
        raise
    return True


@asynccontextmanager
async def _stream(
    address: str, topic: str, settings: Mapping[str, str]
) -> AsyncIterator[tuple[NatsConnection, NatsSettings, str]]:
    read = read_nats_settings(address, looking(settings))
    connection = await connect_nats(read, lambda _: None)
    try:
        yield connection, read, await open_stream(connection, read, check_topic(topic))
    finally:
        await leave(connection)
