"""ModelStreamInfer: many questions on one call, answered in their order.

Clients tell replies apart by their ids, and where those are empty by the order. What is wrong
with one question is told in a message with its id, and the stream goes on.
"""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from gpfn.errors import GpfnError, Overloaded
from gpfn.oip.grpc_messages import encode_grpc_reply, stream_answer
from gpfn.oip.request import InferCall
from gpfn.serving.grpc.calls import GrpcCalls, told
from gpfn.serving.grpc.question import GrpcQuestion

__all__ = ["IN_FLIGHT", "InferStreams"]

IN_FLIGHT = 64
"""Questions of one stream that are asked and not answered yet; the next is read after that."""


class _Refused(NamedTuple):
    """A question that was not asked: why, and its id."""

    error: BaseException
    id: str


_Asked = GrpcQuestion | _Refused | None  # None: no more will come


class InferStreams:
    """Answers the streams of a server, ``most`` at once."""

    def __init__(self, calls: GrpcCalls, most: int) -> None:
        self._calls = calls
        self._most = most
        self._readers: set[asyncio.Task[None]] = set()

    @property
    def open(self) -> int:
        """How many streams there are."""
        return len(self._readers)

    async def handle(self, _: Any, context: Any) -> None:
        """Answer one stream, until the client ends it and all is answered."""
        calls = self._calls
        try:
            calls.check("ModelStreamInfer", context)
            if self.open >= self._most or calls.stopping:
                raise Overloaded("the server stops" if calls.stopping else "too many open streams")
        except GpfnError as error:
            calls.fail(error, context)
            return
        asked: asyncio.Queue[_Asked] = asyncio.Queue()
        room = asyncio.Semaphore(IN_FLIGHT)
        reader = asyncio.get_running_loop().create_task(self._read(asked, room, context))
        self._readers.add(reader)
        try:
            while (question := await asked.get()) is not None:
                await context.write(await self._answer(question))
                room.release()
        finally:
            self._readers.discard(reader)
            reader.cancel()
            while not asked.empty():
                left = asked.get_nowait()
                if isinstance(left, GrpcQuestion):
                    left.leave()
                    calls.in_flight -= 1

    def stop(self) -> None:
        """Read no more from any stream; what was asked is answered, then they end."""
        for reader in self._readers:
            reader.cancel()

    async def _read(
        self, asked: asyncio.Queue[_Asked], room: asyncio.Semaphore, context: Any
    ) -> None:
        from grpc.aio import EOF

        try:
            while True:
                await room.acquire()
                data = await context.read()
                if data is EOF:
                    return
                asked.put_nowait(await self._ask(data))
        except Exception as error:  # noqa: BLE001 - a stream that broke off
            self._calls.note(error)
        finally:
            asked.put_nowait(None)

    async def _ask(self, data: bytes) -> GrpcQuestion | _Refused:
        identity = ""
        try:
            asked = self._calls.read(data)
            identity = asked.id
            question = await self._calls.ask(asked)
        except Exception as error:  # noqa: BLE001 - every question is answered
            return _Refused(error, identity)
        self._calls.in_flight += 1
        return question

    async def _answer(self, question: GrpcQuestion | _Refused) -> bytes:
        if isinstance(question, _Refused):
            error = question.error
        else:
            try:
                return stream_answer(await question.reply(final=True))
            except Exception as failed:  # noqa: BLE001 - every question is answered
                error = failed
            finally:
                self._calls.in_flight -= 1
        self._calls.note(error)
        call = InferCall(question.id, {}, {}, {}, (), binary=True)
        return stream_answer(encode_grpc_reply("", "", {}, call), told(error))
