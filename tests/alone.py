"""A process's memory, and a measurement of it in a process of its own.

What earlier tests have freed or still hold, and what their threads do, would be counted as
growth in the process that runs the tests.
"""

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

__all__ = ["alone", "peak", "resident"]


def alone(measure: Callable[..., int], *given: object) -> int:
    """Call a module's function in a fresh interpreter; what it gives or raises comes back."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(measure, *given).result()


def resident(process: int | str = "self") -> int:
    """Return the resident bytes of a process; of this one when none is named."""
    pages = Path(f"/proc/{process}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def peak() -> int:
    """Return the most bytes that were ever resident since this process's program began.

    Not ``ru_maxrss``, which begins at what the parent had when it started the process.
    """
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))
