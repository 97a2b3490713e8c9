"""One client of the soak: calls of every kind on one connection after the other, all checked."""

import asyncio
import gzip
import json
import random
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import numpy as np

from gpfn.graphpipe import InferRequest
from gpfn.graphpipe.decode import decode_response
from gpfn.graphpipe.encode import encode_request
from gpfn.limits import Limits

__all__ = ["HTTP", "KINDS", "OPENWHISK", "SERVE", "Client", "Dialect", "Wrong"]

SMALL, LARGE = 4, 240_000  # float32 numbers; the large ones are about a megabyte


class Wrong(Exception):
    """An answer that is not the right one."""


class Reply(NamedTuple):
    """One response."""

    status: int
    closes: bool
    body: bytes


class Dialect(NamedTuple):
    """How one server is asked: a path, bodies of numbers, and what faults are answered with."""

    path: str
    kind: str
    encode: Callable[[np.ndarray], bytes]
    decode: Callable[[bytes], np.ndarray]
    not_json: int
    wrong_shape: tuple[bytes, int]
    gzipped: int


def _tensor(values: np.ndarray) -> bytes:
    return b"".join(encode_request(InferRequest(tensors=(values,))))


def _parameters(values: np.ndarray) -> bytes:
    return b'{"value":{"x":%b}}' % json.dumps(values.tolist()).encode()


def _result(body: bytes) -> np.ndarray:
    return np.array(json.loads(body)["output"], np.float32)


HTTP = Dialect(
    "/",
    "application/octet-stream",
    lambda values: values.tobytes(),
    lambda body: np.frombuffer(body, np.float32),
    400,
    (b"odd", 400),
    200,
)
SERVE = Dialect(
    "/",
    "application/octet-stream",
    _tensor,
    lambda body: decode_response(body, Limits()).tensors[0],
    415,
    (_tensor(np.zeros(9, np.float32))[:-8], 400),
    200,
)
OPENWHISK = Dialect(
    "/run",
    "application/json",
    _parameters,
    _result,
    400,
    (b'{"value":{"x":[[1],[2,3]]}}', 200),
    400,
)


class Client:
    """One connection after the other to a server, and calls on it that are checked."""

    def __init__(self, port: int, dialect: Dialect, chance: random.Random) -> None:
        self._port = port
        self._dialect = dialect
        self.chance = chance
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def first(self) -> None:
        """A call that takes a while."""
        await self._good(self._values(1))

    async def small(self) -> None:
        """A good call."""
        await self._good(self._values(SMALL))

    async def large(self) -> None:
        """A good call of a megabyte."""
        size = LARGE if self._dialect.kind != "application/json" else LARGE // 6
        await self._good(self._values(size))

    async def not_json(self) -> None:
        """A body that is no JSON, of the media type JSON."""
        await self._send(self._request(b'{"x": [1, 2', kind="application/json"))
        self._expect(await self._reply(), self._dialect.not_json)

    async def wrong_shape(self) -> None:
        """A body that is no array of the right shape."""
        body, status = self._dialect.wrong_shape
        await self._send(self._request(body))
        reply = await self._reply()
        self._expect(reply, status)
        if status == 200 and b'"error"' not in reply.body:
            raise Wrong(f"no error: {reply.body[:99]!r}")

    async def broken(self) -> None:
        """Framing that is refused; a call behind it must not be answered."""
        self.leave()
        broken = self.chance.choice(
            [
                b"X : 1\r\n",
                b"Content-Length: 1\r\n",
                b"Transfer-Encoding: chunked\r\n",
                b"\0: 1\r\n",
            ]
        )
        good = self._request(self._dialect.encode(self._values(SMALL)))
        await self._send(good.replace(b"Host: a\r\n", b"Host: a\r\n" + broken) + good)
        self._expect(await self._reply(), 400)
        assert self._reader is not None
        if await self._reader.read(1):
            raise Wrong("an answer behind a refusal")
        self.leave()

    async def leaving(self) -> None:
        """A client that leaves within its request, or before the answer."""
        request = self._request(self._dialect.encode(self._values(SMALL)))
        await self._send(request[: self.chance.choice([20, len(request) - 3, len(request)])])
        assert self._writer is not None
        if self.chance.random() < 0.5:
            self._writer.transport.abort()
        self.leave()

    async def slow(self) -> None:
        """A body in pieces, with pauses."""
        values = self._values(SMALL)
        request = self._request(self._dialect.encode(values))
        for start in range(0, len(request), len(request) // 4 + 1):
            await self._send(request[start : start + len(request) // 4 + 1])
            await asyncio.sleep(self.chance.uniform(0.05, 0.2))
        self._compare(await self._reply(), values)

    async def gzipped(self) -> None:
        """A compressed body."""
        values = self._values(SMALL)
        body = gzip.compress(self._dialect.encode(values), 1)
        await self._send(self._request(body, "Content-Encoding: gzip\r\n"))
        reply = await self._reply()
        if self._dialect.gzipped == 200:
            self._compare(reply, values)
        else:
            self._expect(reply, self._dialect.gzipped)

    async def pipelined(self) -> None:
        """Five calls at once; the answers come in their order."""
        several = [self._values(SMALL) for _ in range(5)]
        await self._send(b"".join(self._request(self._dialect.encode(one)) for one in several))
        for values in several:
            self._compare(await self._reply(), values)

    def leave(self) -> None:
        """Close the connection."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None

    async def _good(self, values: np.ndarray) -> None:
        chunked = self.chance.random() < 0.3
        await self._send(self._request(self._dialect.encode(values), chunked=chunked))
        self._compare(await self._reply(), values)

    def _values(self, size: int) -> np.ndarray:
        base = self.chance.randrange(1 << 20)
        return np.arange(base, base + size, dtype=np.float32)

    def _request(
        self, body: bytes, line: str = "", *, kind: str = "", chunked: bool = False
    ) -> bytes:
        framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
        kind = kind or self._dialect.kind
        head = (
            f"POST {self._dialect.path} HTTP/1.1\r\nHost: a\r\n{line}"
            f"Content-Type: {kind}\r\n{framing}\r\n\r\n"
        ).encode()
        return head + (b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if chunked else body)

    async def _send(self, data: bytes) -> None:
        if self._writer is None or self._writer.is_closing():
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writer.write(data)
        await self._writer.drain()

    async def _reply(self) -> Reply:
        assert self._reader is not None
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = re.search(r"content-length: (\d+)", head)
        body = await self._reader.readexactly(int(length[1]) if length else 0)
        reply = Reply(int(head[9:12]), "connection: close" in head, body)
        if reply.closes:
            assert self._writer is not None
            self._writer.close()
        return reply

    def _expect(self, reply: Reply, status: int) -> None:
        if reply.status != status:
            raise Wrong(f"{reply.status} instead of {status}: {reply.body[:200]!r}")

    def _compare(self, reply: Reply, values: np.ndarray) -> None:
        self._expect(reply, 200)
        found = self._dialect.decode(reply.body)
        if not np.array_equal(found, 2 * values):
            raise Wrong(f"{found[:3]}… instead of {2 * values[:3]}…")


KINDS: Sequence[tuple[int, Callable[[Client], Awaitable[None]]]] = (
    (60, Client.small),
    (2, Client.large),
    (8, Client.not_json),
    (8, Client.wrong_shape),
    (4, Client.broken),
    (4, Client.leaving),
    (2, Client.slow),
    (6, Client.gzipped),
    (6, Client.pipelined),
)
