"""An answer that is still to come, for who must not wait for it: an event loop.

A request was sent, and nobody sits in a thread until the response comes. Whoever is responsible
for what becomes of it adds a step with :meth:`Pending.then`: a client reads the response, a
model makes arrays of it, a pipeline names the stage that failed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from gpfn.http.connection import Connection

__all__ = ["Pending", "told_size"]

_T = TypeVar("_T")
_U = TypeVar("_U")
_LENGTH_LINE = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,12})[ \t]*\r\n", re.I)


class Pending(Generic[_T]):
    """What a request will be answered with.

    A loop watches ``fileno()``. When there is something to read, ``has_come()`` says whether it
    is all of a usual response: then `finish` waits for nobody. Otherwise that is for a thread.
    """

    __slots__ = ("_connection", "finish")

    def __init__(self, connection: Connection, finish: Callable[[], _T]) -> None:
        """``finish`` returns what the answer is, and raises what is wrong with it."""
        self._connection = connection
        self.finish = finish

    def then(self, step: Callable[[Callable[[], _T]], _U]) -> Pending[_U]:
        """Return the same with one step more, which calls what it is given to get the answer."""
        return Pending(self._connection, partial(step, self.finish))

    def fileno(self) -> int:
        """Return what an event loop watches."""
        return self._connection.fileno()

    def has_come(self) -> bool:
        """Say whether all of a usual response is there: 200, and a body whose length is told."""
        data = self._connection.peek()
        return data.startswith(b"HTTP/1.1 200 ") and 0 < told_size(data) <= len(data)


def told_size(data: bytes, most: int = sys.maxsize) -> int:
    """Return the bytes of a response that has begun so, at most ``most``; 0 when it tells none."""
    end = data.find(b"\r\n\r\n")
    told = _LENGTH_LINE.search(data, 0, end + 2) if end > 0 else None
    return 0 if told is None else min(end + 4 + int(told[1]), most)
