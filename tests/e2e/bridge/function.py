"""A function that replies, fails and waits as the events' ids ask for, and keeps a journal.

``python function.py PORT JOURNAL``. A line of the journal is the id of an event that it was
called with. An id may have ``slow`` in it (it takes 5 s), ``long`` (27 s), ``poison`` (400),
``once`` (503 at the first call), ``down`` (503 at each), ``strange`` (a reply that is no event),
``huge`` (a reply of 100 MB) or ``endless``.
``DELAY`` in the environment are the seconds that every call takes.
"""

import asyncio
import os
import sys

_REPLY = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nce-specversion: 1.0\r\n"
    b"ce-id: reply-%b\r\nce-source: /function\r\nce-type: reply\r\nce-causationid: %b\r\n"
    b"content-length: 1\r\n\r\n1"
)
_STATUS = b"HTTP/1.1 %d X\r\ncontent-length: 2\r\n\r\nno"
_DELAY = float(os.environ.get("DELAY", "0"))


class Function(asyncio.Protocol):
    """One connection."""

    journal: "int"
    seen: set[bytes] = set()  # noqa: RUF012 - of all connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.data = b""

    def data_received(self, data: bytes) -> None:
        self.data += data
        while (end := self.data.find(b"\r\n\r\n")) >= 0:
            head = self.data[:end].decode("latin-1").lower()
            fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
            length = int(fields.get("content-length", 0))
            if len(self.data) < end + 4 + length:
                return
            body = self.data[end + 4 : end + 4 + length]
            self.data = self.data[end + 4 + length :]
            self.answer(fields.get("ce-id", "?").encode(), body)

    def answer(self, name: bytes, _body: bytes) -> None:
        os.write(self.journal, name + b"\n")
        first = name not in self.seen
        self.seen.add(name)
        reply = _REPLY % (name, name)
        if b"poison" in name:
            reply = _STATUS % 400
        elif b"down" in name or (b"once" in name and first):
            reply = _STATUS % 503
        elif b"strange" in name:
            reply = (
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n[]"
            )
        elif b"huge" in name:
            reply = b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n" + bytes(100_000_000)
        elif b"endless" in name:
            reply = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + 200 * (
                b"10000\r\n" + bytes(1 << 16) + b"\r\n"
            )
        delay = 27.0 if b"long" in name else 5.0 if b"slow" in name else _DELAY
        if delay:
            asyncio.get_running_loop().call_later(delay, self.write, reply)
        else:
            self.write(reply)

    def write(self, reply: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(reply)


async def main() -> None:
    """Serve until it is killed."""
    Function.journal = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Function, "127.0.0.1", int(sys.argv[1]))
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
