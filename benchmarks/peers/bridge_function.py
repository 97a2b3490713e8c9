"""The function that a bridge calls in benchmarks: keep-alive HTTP, an event of 120 bytes back.

    python bridge_function.py [SECONDS]

Every call takes SECONDS. It reads no more of a request than where that ends, so that what is
measured is the caller; prints ``ready PORT`` once it listens on a free port.
"""

import asyncio
import re
import sys
from collections.abc import Callable
from functools import partial
from itertools import count

__all__ = ["LENGTH", "loop_factory"]

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_DATA = b'{"forecasts":[%s]}' % b",".join(b"%d" % number for number in range(1000, 1021))
_REPLY = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nce-specversion: 1.0\r\n"
    b"ce-id: reply-%%d\r\nce-source: https://example.com/forecasts\r\n"
    b"ce-type: com.example.forecast\r\ncontent-length: %d\r\n\r\n%b" % (len(_DATA), _DATA)
)
_numbers = count()


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return what makes the faster loop, where it is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


class Function(asyncio.Protocol):
    """One connection."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.data += data
        while (end := self.data.find(b"\r\n\r\n")) >= 0:
            length = LENGTH.search(self.data, 0, end + 2)
            size = end + 4 + (int(length[1]) if length else 0)
            if len(self.data) < size:
                return
            self.data = self.data[size:]
            if self.seconds:
                asyncio.get_running_loop().call_later(self.seconds, self.answer)
            else:
                self.answer()

    def answer(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(_REPLY % next(_numbers))


async def main(seconds: float) -> None:
    """Serve until it is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(partial(Function, seconds), "127.0.0.1", 0)
    print(f"ready {server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 0.0))
