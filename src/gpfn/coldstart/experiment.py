"""Start a function again and again, call it, and read from its log where the time went."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from gpfn.errors import BackendError
from gpfn.hosts.host import Host, Invocation, make_host
from gpfn.hosts.log import Record, records
from gpfn.hosts.target import Target

__all__ = ["STAGES", "Progress", "Sample", "cold_calls", "warm_calls"]

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
_NAMES = {"before": "preprocess", "after": "postprocess"}  # the log's stages as called here

Progress = Callable[[int, int], None]
"""Called with how many calls are done and how many there will be."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One call: seconds and resident bytes by stage, and the seconds that a caller waited."""

    seconds: Mapping[str, float]
    memory: Mapping[str, int]
    total: float


def cold_calls(target: Target, request: Invocation, runs: int, progress: Progress) -> list[Sample]:
    """Start the function ``runs`` times, each time for one call.

    Raises BackendError when a call fails: errors take other times than answers.
    """
    samples = []
    for run in range(runs):
        with _stopping(make_host(_PLATFORM, target)) as platform:
            started = platform.start()
            waited = _timed(platform, request)
            found = records(platform.log())
        samples.append(_cold_sample(found, started, waited))
        progress(run + 1, runs)
    return samples


def warm_calls(target: Target, request: Invocation, calls: int, progress: Progress) -> list[Sample]:
    """Start the function once and call it ``calls`` times after a first one.

    Raises BackendError when a call fails.
    """
    waited = []
    with _stopping(make_host(_PLATFORM, target)) as platform:
        platform.start()
        _timed(platform, request)
        for call in range(calls):
            waited.append(_timed(platform, request))
            if call % 16 == 15 or call + 1 == calls:
                progress(call + 1, calls)
        found = _calls(records(platform.log()))[1:]
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


def _calls(found: Sequence[Record]) -> list[Record]:
    """Return what the runner logged of calls, one record for each activation.

    Raises BackendError when there is none: no gpfn function writes the log.
    """
    calls = [record for record in found if "stages_ms" in record]
    if not calls:
        raise BackendError("the function logs no stages; only functions of gpfn do")
    return calls


def _cold_sample(found: Sequence[Record], started: float, call: float) -> Sample:
    """Return the sample of a first call; what starting took besides its parts is the process."""
    (record,) = _calls(found)
    ready = next((other for other in reversed(found) if "seconds" in other), {})
    parts: dict[str, float] = ready.get("seconds", {})
    process = max(0.0, started - sum(parts.values()))
    sample = _sample(record, call)
    return Sample(
        {"process start": process, **parts, **sample.seconds},
        {**ready.get("stages_rss", {}), **sample.memory},
        started + call,
    )


def _sample(record: Record, total: float) -> Sample:
    times = {_NAMES.get(name, name): ms / 1e3 for name, ms in record["stages_ms"].items()}
    seconds = {name: spent for name, spent in times.items() if name in STAGES}
    seconds["transport"] = max(0.0, total - sum(seconds.values()))
    sizes = {_NAMES.get(name, name): size for name, size in record["stages_rss"].items()}
    return Sample(seconds, {**sizes, "main": record["rss"]}, total)
