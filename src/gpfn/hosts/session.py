"""Calling a started function a number of times, and how long everything took."""

import statistics
import time
from dataclasses import dataclass, field

from gpfn.hosts.host import Host, Invocation, InvocationResult
from gpfn.hosts.log import readable, start_seconds
from gpfn.settings import LOG_FORMS, read_choice

__all__ = ["StartedFunction", "Timings"]


@dataclass(slots=True)
class Timings:
    """Seconds: ``parts`` are what the runner's log says that starting was made of."""

    start: float = 0.0
    calls: list[float] = field(default_factory=list)
    parts: dict[str, float] = field(default_factory=dict)
    memory: int = 0

    def rows(self) -> list[tuple[str, str]]:
        """Return the table's rows: a name, and a time or a size."""
        rows = [("start-up", _ms(self.start))]
        rows += [(f"  {name}", _ms(seconds)) for name, seconds in self.parts.items()]
        if self.calls:
            rows.append(("first call", _ms(self.calls[0])))
        if len(self.calls) > 1:
            later = self.calls[1:]
            rows.append((f"later calls, median of {len(later)}", _ms(statistics.median(later))))
        if self.memory:
            rows.append(("memory", f"{self.memory / 1e6:.1f} MB"))
        return rows

    def shown(self) -> dict[str, object]:
        """Return it for ``--json``, in seconds and bytes."""
        later = self.calls[1:]
        return {
            "start": self.start,
            **self.parts,
            "first_call": self.calls[0] if self.calls else None,
            "later_calls_median": statistics.median(later) if later else None,
            "calls": len(self.calls),
            "memory_bytes": self.memory,
        }


class StartedFunction:
    """A function on a platform, from start to stop; a context manager."""

    def __init__(self, platform: Host) -> None:
        self.host = platform
        self.timings = Timings()

    def __enter__(self) -> "StartedFunction":
        try:
            self.timings.start = self.host.start()
        except BaseException:
            self.host.stop()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.host.stop()

    def call(self, request: Invocation, repeat: int = 1) -> InvocationResult:
        """Call ``repeat`` times, at least once; returns the first failed answer, or the last."""
        for _ in range(max(1, repeat)):
            began = time.perf_counter()
            answer = self.host.call(request)
            self.timings.calls.append(time.perf_counter() - began)
            if answer.failed:
                break
        self.timings.memory = self.host.memory()
        self.timings.parts = start_seconds(self.host.log())
        return answer

    def log(self) -> str:
        """Return what the function wrote, its records in the form that GPFN_LOG names here.

        Raises SetupError when that is no form.
        """
        return readable(self.host.log(), read_choice("GPFN_LOG", LOG_FORMS[0], LOG_FORMS))


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms"
