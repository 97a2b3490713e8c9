"""What a function needs, measured: started once under Fn's contract, and its process looked at."""

import time
from dataclasses import dataclass
from pathlib import Path

from gpfn.errors import GpfnError
from gpfn.invoke.fn import Fn
from gpfn.invoke.platform import Request
from gpfn.invoke.target import Target

__all__ = ["Measured", "measure"]

_SETTLE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds from the process's start until it listens, its bytes, its threads.

    ``problem`` says why it could not be started; the numbers are 0 then.
    """

    start: float = 0.0
    memory: int = 0
    threads: int = 0
    problem: str = ""


def measure(target: Target, request: Request | None = None) -> Measured:
    """Start the function, call it once, and look at its process.

    Without a request an empty one is sent: it is answered with an error document, and
    the model is warmed up already.
    """
    platform = Fn(target)
    try:
        seconds = platform.start()
        platform.call(request or Request())
        time.sleep(_SETTLE_SECONDS)
        return Measured(seconds, platform.memory(), _threads(platform))
    except GpfnError as error:
        last = next((line for line in reversed(platform.log().splitlines()) if line.strip()), "")
        return Measured(problem=last.removeprefix("gpfn: ") or str(error))
    finally:
        platform.stop()


def _threads(platform: Fn) -> int:
    return len(list(Path(f"/proc/{platform.pid()}/task").iterdir()))
