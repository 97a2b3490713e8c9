"""How a command ends at a signal: by an exception, so that it clears up on the way."""

import signal
from types import FrameType
from typing import Any, NoReturn

__all__ = ["raise_at"]


def raise_at(*numbers: int) -> dict[int, Any]:
    """Have these signals raise SystemExit, as Ctrl-C raises KeyboardInterrupt.

    What is half written is removed then, and what was started is ended. Returns the handlers
    that there were before, by signal.
    """
    return {number: signal.signal(number, _leave) for number in numbers}


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
