"""What is large is read and written in a thread, and its memory counted before it is spent.

A text of a few megabytes can stand for gigabytes of values, and reading it for seconds in
which the loop would answer nobody. The reader of JSON cannot be interrupted in a thread
either: so there is a bound on what one text may stand for, and binary data is the way for more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from gpfn.errors import TooLarge
from gpfn.v1.envelope import parsed_bytes

if TYPE_CHECKING:
    import numpy as np

    from gpfn.http.loop.exchange import Exchange, Response
    from gpfn.serving.engine.inference import Done
    from gpfn.serving.routing import HttpProtocol
    from gpfn.serving.service import Service

__all__ = ["LARGE_BODY", "LARGE_REPLY", "answering", "hold_parsed", "is_large", "later"]

LARGE_BODY = 64 << 10
LARGE_REPLY = 16 << 10
"""Bytes and numbers that take about a millisecond to read and to write: more is for a thread."""
_FREE_BYTES = 64 << 20
"""What reading a text may take of memory without asking: as many are read as there are cores."""
_MOST_BYTES = 256 << 20
"""What it may take at all: about half a second of reading, which nothing can interrupt."""


def hold_parsed(service: Service, exchange: Exchange, text: bytes) -> None:
    """Take the memory that a text's values need of the budget that bodies have.

    It is given back with the exchange. Raises TooLarge for more than a text ever gets,
    Overloaded for more than there is.
    """
    size = parsed_bytes(text)
    most = max(_FREE_BYTES, min(_MOST_BYTES, service.settings.loop().body_bytes))
    if size > most:
        told = f"about {size} bytes to read this JSON, of {most}"
        told += " (GPFN_MAX_INFLIGHT_BYTES)" if most < _MOST_BYTES else ""
        raise TooLarge(f"{told}; send it over /v2 as binary data", field="body")
    if size > _FREE_BYTES:
        service.budget.change(size)
        exchange.held += size


def later(
    service: Service,
    exchange: Exchange,
    work: Callable[[], object],
    then: Callable[..., None],
    protocol: HttpProtocol,
) -> None:
    """Have work done in a thread, unless the client has left, and go on with its result."""

    def unless_gone() -> object:
        return None if exchange.gone else work()

    def go_on(result: object) -> None:
        if result is not None:
            then(result)

    service.background.in_thread(exchange, unless_gone, go_on, protocol)


_Results = Mapping[str, "np.ndarray"]


def is_large(results: _Results) -> bool:
    """Say whether writing results as text takes long enough for a thread."""
    return sum([array.size for array in results.values()]) > LARGE_REPLY


def answering(
    service: Service,
    exchange: Exchange,
    protocol: HttpProtocol,
    write: Callable[[_Results], Response],
    large: Callable[[_Results], bool] = is_large,
) -> Done:
    """Return what hears the results of an inference and answers with what ``write`` makes of them.

    What ``large`` says takes long is written in a thread.
    """

    def done(results: _Results | None, error: BaseException | None) -> None:
        if results is None:
            service.fail(exchange, error, protocol)
            return
        try:
            if large(results):
                answer = partial(service.answer, exchange)
                later(service, exchange, partial(write, results), answer, protocol)
            else:
                service.answer(exchange, write(results))
        except Exception as failed:  # noqa: BLE001 - every request is answered
            service.fail(exchange, failed, protocol)

    return done
