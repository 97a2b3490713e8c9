"""How long a connection may take for each thing, and what happens when it takes longer.

One look at all connections a second is cheaper than a timer for each, which every request
would have to set and to cancel.
"""

from __future__ import annotations

import select
from typing import TYPE_CHECKING

from gpfn.errors import InvalidRequest

if TYPE_CHECKING:
    from gpfn.http.loop.connection import LoopConnection
    from gpfn.http.loop.server import LoopSettings

__all__ = ["BODY", "HEAD", "IDLE", "check", "has_unread"]

IDLE, HEAD, BODY = range(3)
"""What a connection waits for: a request, the rest of a head, the rest of a body."""

_LINGER_SECONDS = 2.0
"""How long the rest of a refused request is read and thrown away."""


def check(connection: LoopConnection, now: float, settings: LoopSettings) -> None:
    """End what takes too long; an answer that is being made has its own deadline."""
    unsent = connection.transport.get_write_buffer_size()
    if unsent or connection.blocked:
        _check_progress(connection, now, unsent, settings.write_seconds)
    elif connection.closing:
        # TLS has its own time-out for its end, and hides what is not sent
        secure = connection.transport.get_extra_info("sslcontext") is not None
        most = settings.write_seconds if secure else _LINGER_SECONDS
        _check_progress(connection, now, unsent, most)
    elif connection.answering:
        return
    elif connection.phase == BODY:
        late = connection.incoming.late if connection.incoming else None
        if late is not None:
            connection.refuse(late)
        else:
            _check_arrival(connection, now, settings.body_seconds, "body")
    elif connection.phase == HEAD:
        _check_arrival(connection, now, settings.head_seconds, "head")
    elif now - connection.since > settings.idle_seconds and not has_unread(connection):
        connection.close(unread=False)


def has_unread(connection: LoopConnection) -> bool:
    """Say whether something lies in the socket: closing now would reset what was just asked."""
    if connection.transport.is_closing():
        return False
    descriptor = connection.transport.get_extra_info("socket").fileno()
    if descriptor < 0:
        return False
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def _check_progress(connection: LoopConnection, now: float, unsent: int, most: float) -> None:
    """Give up on a client that has read nothing of its answer for that long."""
    if unsent and unsent != connection.unsent:
        connection.unsent = unsent
        connection.since = now
    elif now - connection.since > most:
        connection.transport.abort()


def _check_arrival(connection: LoopConnection, now: float, most: float, part: str) -> None:
    if now - connection.since > most:
        detail = f"the {part} took over {most:g} s to come"
        connection.refuse(InvalidRequest(detail, field=part, status=408))
