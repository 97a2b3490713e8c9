"""A function started as each platform would, asked once, and looked at.

Files are read-only where the platform has them so (:mod:`gpfn.build.confined`), a call has the
time of func.yaml, and the process's memory and threads are counted.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gpfn.build.entry import names_of
from gpfn.build.sample import SampleCall
from gpfn.errors import BackendTimeout, GpfnError, SetupError
from gpfn.hosts.child import ProcessHost
from gpfn.hosts.host import Host, Invocation, InvocationResult, make_host
from gpfn.hosts.log import records
from gpfn.hosts.target import Target
from gpfn.platforms.row import Platform
from gpfn.platforms.table import find_platform, platforms_with

__all__ = ["Measured", "measure", "triable"]

_SETTLE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds from the process's start until it listens, its bytes at most, its threads.

    ``seconds`` is the time of the sample's call. ``problem`` says why the function could not be
    started, and the numbers are 0 then; ``failure`` why the sample was not answered.
    """

    start: float = 0.0
    memory: int = 0
    threads: int = 0
    problem: str = ""
    seconds: float = 0.0
    failure: str = ""


def triable(target: Target) -> Iterator[Platform]:
    """Yield the platforms whose name for the handler the function's file defines."""
    try:
        defined = names_of(target.file)
    except SetupError:
        defined = []  # starting it tells why
    for row in platforms_with("runner"):
        handler = target.handler if row.name == "fn" else row.handler
        if row.host and (row.name == "fn" or handler in defined):
            yield row


def measure(target: Target, platform: str = "fn", sample: SampleCall | None = None) -> Measured:
    """Start the function within the platform's limits, call it once, and look at its process.

    Without a sample an empty body is sent: whatever that is answered, the model is warm then.
    """
    host = make_host(platform, target)
    if isinstance(host, ProcessHost):
        host.program = _confined(target, find_platform(platform, "host"))
    try:
        start = host.start()
        began = time.perf_counter()
        told = _asked(host, target, sample)
        seconds = time.perf_counter() - began
        time.sleep(_SETTLE_SECONDS)  # the log comes behind the reply
        failure = told if isinstance(told, str) else _why(told, host.log())
        pid = host.pid() if isinstance(host, ProcessHost) else 0
        memory, threads = _peak(pid) or host.memory(), _threads(pid)
        return Measured(start, memory, threads, "", seconds, failure)
    except GpfnError as error:
        return Measured(problem=_last_words(host.log()) or str(error))
    finally:
        host.stop()


def _confined(target: Target, row: Platform) -> tuple[str, ...]:
    """Return the program that stands for ``gpfn``."""
    read_only = row.image is not None and "--read-only" in row.image.sandbox
    folder = str(target.folder) if read_only else ""
    command = (sys.executable, "-P", "-m", "gpfn.build.confined")
    return (*command, folder, str(target.memory))


def _asked(host: Host, target: Target, sample: SampleCall | None) -> InvocationResult | str:
    """Call it once; return the answer, or why there is none."""
    if sample is None or sample.problem:
        host.call(Invocation(timeout=target.timeout))
        return ""
    try:
        return host.call(Invocation(sample.body, sample.media_type, timeout=target.timeout))
    except BackendTimeout as error:
        return str(error)
    except GpfnError as error:
        return _last_words(host.log()) or str(error)


def _why(answer: InvocationResult, log: str) -> str:
    """Return why an answer failed: what the log says, else the answer; nothing when it did not."""
    if not answer.failed:
        return ""
    try:
        document = json.loads(answer.body)
    except ValueError:
        document = None
    inner = document.get("error", document) if isinstance(document, dict) else None
    detail = inner.get("detail") if isinstance(inner, dict) else inner
    told = [str(one["message"]) for one in records(log) if one.get("level") == "error"]
    if told:
        return told[-1]
    field = f"{inner['field']}: " if isinstance(inner, dict) and inner.get("field") else ""
    return f"{field}{detail}" if detail else f"status {answer.status}"


def _last_words(log: str) -> str:
    """Return what a process said before it ended: its last record, or its last line."""
    if found := [str(record["message"]) for record in records(log) if "message" in record]:
        return found[-1]
    lines = [line for line in log.splitlines() if line.strip()]
    return lines[-1].removeprefix("gpfn: ") if lines else ""


def _peak(pid: int) -> int:
    """Return the most bytes that a process has had; 0 when the system does not tell."""
    try:
        words = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").split()
        return int(words[words.index("VmHWM:") + 1]) * 1024
    except (OSError, ValueError):
        return 0


def _threads(pid: int) -> int:
    """Count the threads of a process and of its children; a platform counts both."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = {int(child) for task in tasks for child in _text(task / "children").split()}
    except OSError:
        return 0
    return len(tasks) + sum(map(_threads, children))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""  # not every kernel tells children
