"""What `bridge.py` measures with: real processes, and what is seen of them from outside.

A process is watched: how many replies are there, and what it has computed until then. Figures
are differences between two such looks in the middle of a run, so that neither start nor end
counts.
"""

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["HERE", "PATIENCE", "Process", "Sample", "Span", "figure", "function", "grown", "spent"]

HERE = Path(__file__).resolve().parent
PATIENCE = 120.0
LOOK_SECONDS = 0.05


class Sample(NamedTuple):
    """One look at a process: when, how many replies there were, µs computed, bytes resident."""

    at: float
    done: int
    computed: float
    resident: int


class Span(NamedTuple):
    """What lies between two looks."""

    rate: float
    """Events a second."""
    cost: float
    """Microseconds of processor time of an event, all threads together."""
    resident: int
    """Most bytes in it."""


class Process:
    """A process of a program of ours, which is ended by its pid, whatever happens."""

    def __init__(self, words: Sequence[object], folder: Path) -> None:
        """Begin ``python WORDS``; what it prints is in a file of the folder."""
        descriptor, name = tempfile.mkstemp(".log", dir=folder)
        self.log = Path(name)
        command = [sys.executable, *map(str, words)]
        with os.fdopen(descriptor, "wb") as file:
            self.popen = subprocess.Popen(command, stdout=file, stderr=file)

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        self.popen.kill()
        self.popen.wait()

    def word(self, name: str) -> str:
        """Wait for a line that begins with a word, and return the rest of it."""
        end = time.monotonic() + PATIENCE
        while True:
            for line in self.log.read_text().splitlines():
                if line.startswith(f"{name} "):
                    return line[len(name) + 1 :]
            self.check(end)
            time.sleep(0.01)

    def check(self, end: float) -> None:
        """Raise SystemExit when it has ended, or the time is up."""
        ended = self.popen.poll() is not None
        if ended or time.monotonic() > end:
            what = "has ended" if ended else "takes too long"
            raise SystemExit(f"{self.popen.args!r} {what}: {self.log.read_text()[-3000:]}")

    def look(self, done: int) -> Sample:
        """Return what is seen of it now."""
        folder = Path(f"/proc/{self.popen.pid}")
        computed = sum([_nanoseconds(task) for task in folder.glob("task/*/schedstat")])
        pages = int((folder / "statm").read_text().split()[1])
        resident = pages * os.sysconf("SC_PAGE_SIZE")
        return Sample(time.perf_counter(), done, computed / 1e3, resident)

    def watch(self, done: Callable[[], int], until: int) -> list[Sample]:
        """Look at it again and again, until so many replies are there."""
        samples: list[Sample] = []
        end = time.monotonic() + PATIENCE + until / 1000
        while not samples or samples[-1].done < until:
            self.check(end)
            samples.append(self.look(done()))
            time.sleep(LOOK_SECONDS)
        return samples

    def end(self) -> None:
        """End it in order, as an operator does."""
        self.popen.send_signal(signal.SIGTERM)
        code = self.popen.wait(PATIENCE)
        if code:
            told = self.log.read_text()[-3000:]
            raise SystemExit(f"{self.popen.args!r} ended with {code}: {told}")


@contextmanager
def function(folder: Path, seconds: float = 0.0) -> Iterator[int]:
    """Run the function whose calls take so long; give its port."""
    with Process([HERE / "peers" / "bridge_function.py", seconds], folder) as process:
        yield int(process.word("ready"))


def _nanoseconds(task: Path) -> int:
    try:
        return int(task.read_text().split()[0])
    except (FileNotFoundError, ProcessLookupError):
        return 0  # a thread that has just ended


def spent(samples: Sequence[Sample], first: int, last: int) -> Span:
    """Return what lies between the looks that saw ``first`` and ``last`` replies.

    In a run so short that one look saw both, it is what lies between that and the look before.
    """
    end = next(at for at, sample in enumerate(samples) if sample.done >= last)
    begin = next(at for at, sample in enumerate(samples) if sample.done >= first)
    before, after = samples[min(begin, end - 1)], samples[end]
    done = after.done - before.done
    return Span(
        done / (after.at - before.at),
        (after.computed - before.computed) / done,
        max(sample.resident for sample in samples[: end + 1]),
    )


def grown(samples: Sequence[Sample], first: int, last: int) -> float:
    """Return the bytes that a process has grown by between ``first`` and ``last`` replies.

    What is resident goes up and down with what is being fetched: the medians of two tenths of
    the way are compared, behind the first one and before the last one.
    """
    tenth = (last - first) / 10
    begin = next(at for at, sample in enumerate(samples) if sample.done >= first)
    early = [each.resident for each in samples[begin:] if each.done <= first + tenth]
    late = [each.resident for each in samples if last - tenth <= each.done]
    early = early or [samples[begin].resident]  # a run so short that it went by between two looks
    return statistics.median(late) - statistics.median(early)


def figure(
    what: str,
    value: float,
    unit: str,
    *,
    peer: str = "none",
    ratio: float | None = None,
    goal: str | float | None = None,
    ok: bool | None = None,
) -> dict[str, Any]:
    """Return a figure as `run.py` takes it."""
    rounded = round(value) if abs(value) >= 100 else round(value, 2)
    return {
        "what": what,
        "value": rounded,
        "unit": unit,
        "peer": peer,
        "ratio": None if ratio is None else round(ratio, 2),
        "goal": goal,
        "ok": ok,
    }
