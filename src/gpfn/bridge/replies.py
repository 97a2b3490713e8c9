"""A function's reply as a record, with what led to it, and the bridges that it went over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpfn.bridge.reading import HOPS, hops_of
from gpfn.bridge.record import Outgoing
from gpfn.events.kafka import RecordMode, write_record
from gpfn.media import EVENT_PROTOBUF

if TYPE_CHECKING:
    from gpfn.bridge.lanes import Task
    from gpfn.bridge.spec import RouteSpec
    from gpfn.events.attributes import Value
    from gpfn.events.event import Event

__all__ = ["outgoing_reply"]

_CARRIED = ("traceparent", "tracestate", "correlationid")
_MOST_HOPS = (1 << 31) - 1


def outgoing_reply(spec: RouteSpec, task: Task, reply: Event) -> Outgoing:
    """Return a reply as the record of the route's topic.

    It keeps the key of its cause, so that the order of a key goes on. ``causationid`` and the
    trace are added where the function has not set them.
    """
    cause = task.event
    added: dict[str, Value] = {HOPS: min(hops_of(cause), _MOST_HOPS - 1) + 1}
    if reply.attribute("causationid") is None:
        added["causationid"] = cause.id
    for name in _CARRIED:
        carried = cause.attribute(name)
        if carried is not None and reply.attribute(name) is None:
            added[name] = carried
    value, headers = write_record(reply.extended(added), _mode(spec, task))
    return Outgoing(spec.reply, task.record.key, value, headers)


def _mode(spec: RouteSpec, task: Task) -> RecordMode:
    if spec.reply_mode != "same":
        return spec.reply_mode
    if not task.is_structured:
        return "binary"
    is_protobuf = task.content_type.lower().startswith(EVENT_PROTOBUF)
    return "protobuf" if is_protobuf else "structured"
