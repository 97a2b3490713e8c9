"""Receiving a large body straight into its own memory.

A transport hands bytes over as an object of their own; for a small request that is the
fastest way, for a large body it is a copy. So as long as one comes, this protocol takes the
connection's place at the transport, and gives the place back.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpfn.http.loop.connection import LoopConnection
    from gpfn.http.reader import RequestReader

__all__ = ["LargeBody", "change_protocol"]


class LargeBody(asyncio.BufferedProtocol):
    """Receives into the reader's memory; all else is for the connection."""

    __slots__ = ("_connection", "_reader")

    def __init__(self, connection: LoopConnection, reader: RequestReader) -> None:
        self._connection = connection
        self._reader: RequestReader | None = reader

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        """Return the rest of the body's memory, or where it is thrown away."""
        if self._connection.closing:
            self._reader = None  # and with it half a body
        space = None if self._reader is None else self._reader.body_space()
        return self._connection.server.scratch if space is None else space

    def buffer_updated(self, nbytes: int) -> None:
        """Take what has come into the buffer."""
        if self._reader is None or self._connection.closing:
            return
        self._reader.body_received(nbytes)
        self._connection.body_received(complete=not self._reader.reading_body)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the connection."""
        self._connection.connection_lost(exc)

    def eof_received(self) -> bool:
        """Ask the connection."""
        return self._connection.eof_received()

    def pause_writing(self) -> None:
        """Tell the connection."""
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        """Tell the connection."""
        self._connection.resume_writing()


def change_protocol(transport: asyncio.Transport, protocol: asyncio.BaseProtocol) -> None:
    """Let another protocol receive from now on; a loop may have chosen how to read before."""
    transport.pause_reading()
    transport.set_protocol(protocol)
    transport.resume_reading()
