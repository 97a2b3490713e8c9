"""A process that reads a topic in a group, for tests that kill it.

``python -m tests.bridge.nats_member URL TOPIC FILE``: each record that comes is written to the
file, its offset and its value on a line, and is done a moment later, many of them out of order.
"""

import asyncio
import random
import sys
from pathlib import Path

from gpfn.bridge.nats.source import NatsSource
from gpfn.bridge.record import Record
from tests.bridge.nats_running import Hears

__all__ = ["main"]


async def main(url: str, topic: str, file: Path) -> None:
    """Read until this is killed."""
    loop = asyncio.get_running_loop()
    settings = {"ack_wait": "1s", "max_ack_pending": "100"}
    source = NatsSource(url, [topic], "g", settings=settings)
    with file.open("a", buffering=1) as log:

        def came(record: Record) -> None:
            log.write(f"{record.offset} {(record.value or b'').decode()}\n")
            loop.call_later(random.random() / 50, source.done, record)

        await source.start(Hears(came))
        print("reads", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
