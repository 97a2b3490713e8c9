"""Start a function again and again, call it, and read from its log where the time went."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NotRequired, TypedDict

from gpfn.errors import BackendError
from gpfn.hosts.host import Host, Invocation, make_host
from gpfn.hosts.target import Target

__all__ = ["STAGES", "Progress", "Record", "Sample", "cold_calls", "records", "warm_calls"]

STAGES = {
    "process start": "from fork to the function's import: the interpreter and gpfn itself",
    "import": "the function's file and what it imports",
    "load": "the model and its library",
    "warm-up": "the model's first call",
    "decode": "the parameters",
    "preprocess": "the image or the numbers, made the model's input",
    "predict": "the model",
    "postprocess": "the model's output, made the answer",
    "encode": "the answer as JSON",
    "transport": "HTTP on both sides, JSON of the parameters, the log",
}
"""The stages in order, and what each is."""

_PLATFORM = "openwhisk"

Progress = Callable[[int, int], None]
"""Called with how many calls are done and how many there will be."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One call: seconds and resident bytes by stage, and the seconds that a caller waited."""

    seconds: Mapping[str, float]
    memory: Mapping[str, int]
    total: float


class Record(TypedDict):
    """What the runner logs of an activation: milliseconds and resident bytes by stage."""

    ms: dict[str, float]
    rss: dict[str, int]
    start_ms: NotRequired[dict[str, float]]
    start_rss: NotRequired[dict[str, int]]


def cold_calls(target: Target, request: Invocation, runs: int, progress: Progress) -> list[Sample]:
    """Start the function ``runs`` times, each time for one call.

    Raises BackendError when a call fails: an experiment on errors would be fast and wrong.
    """
    samples = []
    for run in range(runs):
        with _stopping(make_host(_PLATFORM, target)) as platform:
            started = platform.start()
            waited = _timed(platform, request)
            (record,) = records(platform.log())
        samples.append(_cold_sample(record, started, waited))
        progress(run + 1, runs)
    return samples


def warm_calls(target: Target, request: Invocation, calls: int, progress: Progress) -> list[Sample]:
    """Start the function once and call it ``calls`` times after a first one; raises likewise."""
    waited = []
    with _stopping(make_host(_PLATFORM, target)) as platform:
        platform.start()
        _timed(platform, request)
        for call in range(calls):
            waited.append(_timed(platform, request))
            if call % 16 == 15 or call + 1 == calls:
                progress(call + 1, calls)
        found = records(platform.log())[1:]
    return [_sample(record, total) for record, total in zip(found, waited, strict=True)]


@contextmanager
def _stopping(platform: Host) -> Iterator[Host]:
    try:
        yield platform
    finally:
        platform.stop()


def _timed(platform: Host, request: Invocation) -> float:
    began = time.perf_counter()
    answer = platform.call(request)
    seconds = time.perf_counter() - began
    if answer.failed:
        raise BackendError(f"the function fails on this input: {answer.body[:300]!r}")
    return seconds


def records(log: str) -> list[Record]:
    """Return what the function logged as JSON, one record for each activation.

    Raises BackendError when there is none: the log is off, or no gpfn function writes it.
    """
    found: list[Record] = [
        json.loads(line)["gpfn"] for line in log.splitlines() if line.startswith('{"gpfn":')
    ]
    if not found:
        raise BackendError("the function logs no stages; is GPFN_LOG=quiet set?")
    return found


def _cold_sample(record: Record, started: float, call: float) -> Sample:
    """Return the sample of a first call; what starting took besides its parts is the process."""
    parts = {name: ms / 1e3 for name, ms in record.get("start_ms", {}).items()}
    process = max(0.0, started - sum(parts.values()))
    found = _sample(record, call)
    return Sample(
        {"process start": process, **parts, **found.seconds},
        {**record.get("start_rss", {}), **found.memory},
        started + call,
    )


def _sample(record: Record, total: float) -> Sample:
    seconds = {name: ms / 1e3 for name, ms in record["ms"].items() if name in STAGES}
    seconds["transport"] = max(0.0, total - sum(seconds.values()))
    return Sample(seconds, record["rss"], total)
