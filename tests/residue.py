"""What requests leave behind in the process that refused them or failed at them.

The processes are to run with a garbage collector that never begins (``NO_COLLECTOR`` in a
function's file): what stays then would have stayed until it begins, which is to say that
any number of bodies may pile up before it does.
"""

import os
import re
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.alone import resident

__all__ = [
    "NO_COLLECTOR",
    "REFUSED",
    "chunked",
    "growth",
    "processor_seconds",
    "sized",
    "status_of",
]

NO_COLLECTOR = "import gc\n\ngc.set_threshold(0)\n"
_CHUNK = 1 << 16


def chunked(target: str, body: bytes, media_type: str = "application/json") -> bytes:
    """Return a request in many chunks, so that most of a body has come when it is refused."""
    parts = [body[start : start + _CHUNK] for start in range(0, len(body), _CHUNK)]
    return b"".join(
        [
            _head(target, "Transfer-Encoding: chunked", media_type),
            *[b"%x\r\n%b\r\n" % (len(part), part) for part in parts],
            b"0\r\n\r\n",
        ]
    )


def sized(target: str, body: bytes, media_type: str = "application/json") -> bytes:
    """Return a request with the length of its body."""
    return _head(target, f"Content-Length: {len(body)}", media_type) + body


def status_of(connection: socket.socket, data: bytes) -> int:
    """Send what is taken of ``data``; return the status that is told, in the document at best."""
    connection.settimeout(30)
    with suppress(BrokenPipeError, ConnectionResetError):  # answered before all of it was sent
        connection.sendall(data)
    reply = connection.recv(_CHUNK)
    if b"\r\n\r\n{" not in reply and b"json\r\n" in reply:
        reply += connection.recv(_CHUNK)
    told = re.search(rb'"status":(\d+)', reply) or re.match(rb"HTTP/1\.1 (\d+)", reply)
    assert told, reply
    return int(told[1])


def growth(pid: int, again: Callable[[], object], times: int = 10) -> int:
    """Return by how many bytes a process has grown over ``times`` calls, after the first two."""
    for _ in range(2):
        again()
    before = resident(pid)
    for _ in range(times):
        again()
    return resident(pid) - before


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has spent."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _head(target: str, framing: str, media_type: str) -> bytes:
    lines = [f"POST {target} HTTP/1.1", "Host: a", framing, f"Content-Type: {media_type}"]
    return "\r\n".join([*lines, "", ""]).encode()


REFUSED = {
    "over the limit, in chunks": (chunked("/", bytes(7_000_000)), 413),
    "over the limit, with its length": (sized("/", bytes(7_000_000)), 413),
    "broken, in chunks": (chunked("/", b"[" * 5_000_000), 400),
    "broken, with its length": (sized("/", b"[" * 5_000_000), 400),
}
"""What a server with a limit of some 6 MB refuses, and the status that says so."""
