"""A crowd of asyncio clients who ask one model all the time, and keep what they are told."""

import asyncio
import json
import threading
import time
from collections import Counter
from typing import NamedTuple

__all__ = ["Answer", "Crowd"]


class Answer(NamedTuple):
    """The version that an answer names, and the values that it has."""

    version: str
    values: tuple[float, ...]


class Crowd:
    """``count`` connections to a port, each of which asks as soon as it is answered."""

    def __init__(self, port: int, count: int, path: str, document: object) -> None:
        self.answers: Counter[Answer] = Counter()
        self.errors: list[str] = []
        body = json.dumps(document).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
        self._request = head.encode() + body
        self._port = port
        self._count = count
        self._stop = False
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> "Crowd":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop = True
        self._thread.join(60)
        assert not self._thread.is_alive()

    def until_answered_by(self, version: str, seconds: float = 30.0) -> None:
        """Wait until somebody was answered by this version: the crowd has met it."""
        end = time.monotonic() + seconds
        while version not in {answer.version for answer in [*self.answers]}:
            assert time.monotonic() < end, f"nobody was answered by {version}"
            time.sleep(0.01)

    async def _run(self) -> None:
        await asyncio.gather(*[self._ask() for _ in range(self._count)])

    async def _ask(self) -> None:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            while not self._stop:
                writer.write(self._request)
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
                start = head.lower().index(b"content-length: ") + 16
                size = int(head[start : head.index(b"\r", start)])
                body = await asyncio.wait_for(reader.readexactly(size), 30)
                self._note(head, body)
            writer.close()
        except Exception as error:
            self.errors.append(repr(error))

    def _note(self, head: bytes, body: bytes) -> None:
        if not head.startswith(b"HTTP/1.1 200 "):
            self.errors.append((head + body).decode())
            return
        found = json.loads(body)
        (output,) = found["outputs"]
        self.answers[Answer(found["model_version"], tuple(output["data"]))] += 1
