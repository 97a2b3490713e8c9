"""Reading one step ahead: while a chunk is computed, the next one is read by another thread.

Readers spend their time in native code that lets Python go on. One step, so memory holds one
chunk more and no queue.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["ahead"]

_T = TypeVar("_T")


def ahead(steps: Iterator[_T]) -> Iterator[_T]:
    """Give what ``steps`` gives, whose next step is taken while the caller has one.

    An error of a step is raised where that step would be given. However it ends, no thread is
    at work after it, and ``steps`` is closed.
    """
    end = object()
    with ThreadPoolExecutor(1, thread_name_prefix="gpfn-reader") as pool:
        coming = pool.submit(next, steps, end)
        try:
            while (found := coming.result()) is not end:
                coming = pool.submit(next, steps, end)
                yield found  # type: ignore[misc] # it is not the end
        finally:
            coming.cancel()
            pool.shutdown(wait=True)
            close = getattr(steps, "close", None)
            if close is not None:
                close()
