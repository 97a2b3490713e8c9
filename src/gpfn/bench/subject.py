"""The server under load: started here, or found by its address; what it spends and batches."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import quote

import orjson

from gpfn.bench.asking import AskedModel, ask
from gpfn.errors import BrokenReply, GpfnError, SetupError
from gpfn.hosts.child import Child, command_line
from gpfn.hosts.log import listening_url, readable, records
from gpfn.http.address import Address, parse_url

__all__ = [
    "Counts",
    "Processes",
    "counts",
    "free_port",
    "local_processes",
    "read_metrics",
    "read_statistics",
    "started",
]

_START_SECONDS = 120.0
_LISTENS = "0A"
_TICKS = os.sysconf("SC_CLK_TCK")
_SAMPLE = re.compile(
    r"^gpfn_inference_(?P<what>batches_total|rows_total|compute_seconds_(?:sum|count)"
    r"|batch_rows_(?:bucket|count))\{(?P<labels>[^}]*)\} (?P<number>\S+)$",
    re.MULTILINE,
)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


class Processes:
    """The processes of a server, by those that it began with; their children count too."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = tuple(pids)

    def seconds(self) -> float:
        """Return the processor time that they have used so far."""
        return sum(self.each().values())

    def each(self) -> dict[int, float]:
        """Return the same for each of them, by its process id."""
        found, new = dict[int, float](), list(self._pids)
        while new:
            pid = new.pop()
            if pid not in found:
                found[pid] = _seconds(pid)
                new += _children(pid)
        return found

    def busy_since(self, before: Mapping[int, float]) -> int:
        """Return how many of them have worked since then: a tenth of the busiest, or more."""
        spent = [seconds - before.get(pid, 0.0) for pid, seconds in self.each().items()]
        return sum(one > max(spent) / 10 for one in spent)


def _seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _children(pid: int) -> list[int]:
    with suppress(OSError):  # it has ended, or is another user's
        tasks = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
        return [int(number) for text in tasks for number in text.split()]
    return []


@contextmanager
def started(model: str, options: Sequence[str]) -> Iterator[tuple[Address, Processes]]:
    """Have ``gpfn serve`` serve a model on a free port, and end it with the block.

    Yields when it is ready. Raises SetupError with its own words when it is not.
    """
    words = ["serve", "--model", model, "--listen", "127.0.0.1:0", *options]
    environ = {**os.environ, "GPFN_LOG": "json"}
    child = Child([*command_line("gpfn"), *words], Path.cwd(), environ)
    try:
        _wait(child, _workers(options))
        yield parse_url(listening_url(child.log())), Processes([child.pid])
    finally:
        child.stop()


def _workers(options: Sequence[str]) -> int:
    words = " ".join(options).replace("--workers=", "--workers ").split()
    number = words[words.index("--workers") + 1 :][:1] if "--workers" in words else []
    return int(number[0]) if number and number[0].isdecimal() else 1


def _wait(child: Child, workers: int) -> None:
    try:
        child.wait_until(lambda: _is_ready(child, workers), _START_SECONDS)
    except SetupError as error:
        said = readable(child.log(), "quiet").strip() or child.log().strip()
        raise SetupError(f"gpfn serve: {said or error.detail}") from None


def _is_ready(child: Child, workers: int) -> bool:
    """Say whether each worker has the model: it logs that, and answers for itself alone."""
    found = records(child.log())
    url = next((record["url"] for record in found if "url" in record), "")
    if not url or sum("seconds" in record for record in found) < workers:
        return False
    try:
        ask(parse_url(url), "GET", "control/is_ready")
    except GpfnError:
        return False
    return True


def local_processes(address: Address) -> Processes | None:
    """Return the processes that listen at an address of this machine; None if not ours to see."""
    if not _is_here(address.host):
        return None
    sockets = {f"socket:[{inode}]" for inode in _listening(address.port)}
    found = [pid for pid in _pids() if sockets & _open_files(pid)]
    return Processes(found) if found else None


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listening(port: int) -> Iterator[str]:
    """Yield the inodes of the sockets that listen on a port."""
    for table in ("tcp", "tcp6"):
        with suppress(OSError):  # it has ended, or is another user's
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENS and int(fields[1].rpartition(":")[2], 16) == port:
                    yield fields[9]


def _pids() -> Iterator[int]:
    with suppress(OSError):  # it has ended, or is another user's
        yield from (int(name) for name in os.listdir("/proc") if name.isdigit())


def _open_files(pid: int) -> set[str]:
    found = set[str]()
    with suppress(OSError):  # it has ended, or is another user's
        for name in os.listdir(f"/proc/{pid}/fd"):
            with suppress(OSError):  # closed meanwhile
                found.add(os.readlink(f"/proc/{pid}/fd/{name}"))
    return found


class Counts(NamedTuple):
    """What the server has counted so far: calls of the model, their rows, their seconds.

    ``batches`` has the calls by their rows, or by the most rows of a bucket.
    """

    calls: float = 0.0
    rows: float = 0.0
    compute: float = 0.0
    batches: Mapping[int, int] = MappingProxyType({})

    def since(self, before: Counts) -> Counts:
        """Return what was counted after ``before``."""
        batches = {
            rows: more
            for rows, count in sorted(self.batches.items())
            if (more := count - before.batches.get(rows, 0)) > 0
        }
        calls, rows, compute = (a - b for a, b in zip(self[:3], before[:3], strict=True))
        return Counts(calls, rows, compute, batches)


def free_port() -> int:
    """Return a port of loopback that nothing listens on now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def counts(model: AskedModel) -> Counts | None:
    """Return what the server tells of its batches, None when it tells nothing.

    gpfn tells it in ``/metrics``, others in the Open Inference Protocol's statistics.
    """
    statistics = f"v2/models/{quote(model.name, safe='')}/stats"
    for path, read in (("metrics", read_metrics), (statistics, read_statistics)):
        with suppress(GpfnError):  # another kind of server
            found = read(ask(model.server, "GET", path), model.name)
            if found.calls:
                return found
    return None


_UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError)


def read_statistics(content: bytes, _name: str = "") -> Counts:
    """Read the Open Inference Protocol's statistics of a model: all its versions together.

    Raises BrokenReply.
    """
    try:
        return _statistics(content)
    except _UNREADABLE as error:
        raise BrokenReply("statistics that cannot be read") from error


def read_metrics(content: bytes, name: str) -> Counts:
    """Read gpfn's metrics of a model, of all models when it has no name. Raises BrokenReply."""
    try:
        return _metrics(content.decode(), name)
    except _UNREADABLE as error:
        raise BrokenReply("metrics that cannot be read") from error


def _statistics(content: bytes) -> Counts:
    batches: dict[int, int] = {}
    calls = rows = compute = 0.0
    for version in orjson.loads(content)["model_stats"]:
        calls += int(version["execution_count"])
        rows += int(version["inference_count"])
        for row in version.get("batch_stats", ()):
            size, done = int(row["batch_size"]), row["compute_infer"]
            batches[size] = batches.get(size, 0) + int(done["count"])
            compute += int(done["ns"]) / 1e9
    return Counts(calls, rows, compute, batches)


def _metrics(text: str, name: str) -> Counts:
    sums: dict[str, float] = {}
    below: dict[int, float] = {}  # each bucket of a histogram counts the smaller ones too
    for found in _SAMPLE.finditer(text):
        labels = dict(_LABEL.findall(found["labels"]))
        if name and labels.get("model") != name:
            continue
        number, what = float(found["number"]), found["what"]
        sums[what] = sums.get(what, 0.0) + number
        if what == "batch_rows_bucket" and labels["le"] != "+Inf":
            below[int(labels["le"])] = below.get(int(labels["le"]), 0) + number
    calls, requests = sums.get("batches_total", 0.0), sums.get("compute_seconds_count", 0.0)
    # the histogram has the seconds of a call once for each of its requests
    compute = sums.get("compute_seconds_sum", 0.0) * calls / max(requests, 1.0)
    below[2 * max(below, default=1)] = sums.get("batch_rows_count", 0.0)
    ends = [0.0, *(below[most] for most in sorted(below))]
    batches = {most: int(b - a) for most, a, b in zip(sorted(below), ends, ends[1:], strict=False)}
    return Counts(calls, sums.get("rows_total", 0.0), compute, batches)
