"""The bridge with nothing installed: a SQLite queue, and files with the function in the process."""

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

from bridge_running import HERE, PATIENCE, Process, Span, figure, function, spent
from bridge_world import KEYS, VALUE, headers_of

from gpfn.bridge.record import Outgoing
from gpfn.bridge.sqlite.queue import Queue
from gpfn.bridge.sqlite.sink import QueueSink
from gpfn.errors import GpfnError

__all__ = ["file_figures", "queue_figures"]

UNDER_WAY = 2000
"""Records that the sender waits for at most."""
QUEUE_GOAL = 5000
CONFIG = """
[source]
queue = "queue.db"
topics = ["readings"]
group = "forecasts"
[[route]]
match = {{ destination = "forecast" }}
call = "http://127.0.0.1:{port}/"
reply = {{ topic = "forecasts" }}
[dead-letter]
topic = "dead"
"""
FUNCTION = """
from gpfn import Function

FORECASTS = {"forecasts": list(range(1000, 1021))}

forecast = Function(lambda event: FORECASTS, takes="event", reply_type="com.example.forecast")
handler = forecast.fn
"""


def queue_figures(folder: Path, events: int) -> list[dict[str, Any]]:
    """Measure a queue: events are written to it while the bridge reads them."""
    singly = one_by_one(folder / "singly.db", events)
    with function(folder) as port:
        path = folder / "queue.toml"
        path.write_text(CONFIG.format(port=port))
        words = ["-m", "gpfn", "bridge", "run", path, "--json"]
        with Process(words, folder) as process, counting(folder / "queue.db", process) as done:
            asyncio.run(send(folder / "queue.db", 0, 1))  # so that both are there
            process.watch(done, 1)
            sender = Thread(target=lambda: asyncio.run(send(folder / "queue.db", 1, events)))
            began = process.look(1)
            sender.start()
            whole = spent([began, *process.watch(done, events)], 1, events)
            sender.join(PATIENCE)
            process.end()
            assert done() == events, "events were replied to twice"
    what = "SQLite queue with sync FULL, sent, called and replied to"
    return [
        figure(
            what,
            whole.rate,
            "events/s",
            peer=f"only inserted, one by one: {singly:.0f} /s",
            ratio=whole.rate / singly,
            goal=f"≥ {QUEUE_GOAL}",
            ok=whole.rate >= QUEUE_GOAL,
        ),
        figure("SQLite queue, processor time of the bridge of an event", whole.cost, "µs"),
    ]


async def send(path: Path, first: int, last: int) -> None:
    """Write events from one number to another, as fast as the queue takes them."""
    sink = QueueSink(Queue(path))
    await sink.start(["readings"])
    room = asyncio.Semaphore(UNDER_WAY)

    def delivered(error: GpfnError | None) -> None:
        assert error is None, error
        room.release()

    for number in range(first, last):
        await room.acquire()
        headers = tuple(headers_of(f"reading-{number}"))
        sink.send(Outgoing("readings", b"sensor-%d" % (number % KEYS), VALUE, headers), delivered)
    await sink.stop(PATIENCE)


@contextmanager
def counting(path: Path, process: Process) -> Iterator[Callable[[], int]]:
    """Give what tells how many replies a queue has got."""
    query = "SELECT next FROM topics WHERE name = 'forecasts'"
    end = time.monotonic() + PATIENCE
    while not path.is_file() or not path.stat().st_size:
        process.check(end)
        time.sleep(0.01)
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=20.0)) as database:

        def done() -> int:
            found = database.execute(query).fetchone()
            return 0 if found is None else int(found[0])

        yield done


def one_by_one(path: Path, events: int) -> float:
    """Return how many inserts a second a file takes, each of them on the disk before the next."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("CREATE TABLE records (id INTEGER PRIMARY KEY, headers BLOB, value BLOB)")
        headers = json.dumps([name for name, _ in headers_of("reading-1")]).encode()
        row = (headers + b"".join(value for _, value in headers_of("reading-1")), VALUE)
        inserts = max(events // 5, 100)
        began = time.perf_counter()
        for _ in range(inserts):
            database.execute("INSERT INTO records (headers, value) VALUES (?, ?)", row)
        return inserts / (time.perf_counter() - began)


def file_figures(folder: Path, events: int) -> list[dict[str, Any]]:
    """Measure files: the bridge and a plain loop take turns over the same events."""
    (folder / "func.py").write_text(FUNCTION)
    source = folder / "events.jsonl"
    data = json.loads(VALUE)
    with source.open("w") as file:
        for number in range(events):
            attributes = {n[3:]: v.decode() for n, v in headers_of(f"r-{number}") if n[:3] == "ce_"}
            event = {**attributes, "datacontenttype": "application/json", "data": data}
            file.write(json.dumps(event, separators=(",", ":")) + "\n")
    ours = through(folder, events, "-m", "gpfn", "bridge", "run", "--follow", "--json",
                   "--from", source, "--call", folder / "func.py", "--to")  # fmt: skip
    loop = through(folder, events, HERE / "peers" / "bridge_files.py", folder / "func.py", source)
    what = "file to file, a function in the process"
    return [
        figure(
            what,
            ours.rate,
            "events/s",
            peer=f"a loop that does it: {loop.rate:.0f} /s",
            ratio=ours.rate / loop.rate,
        ),
        figure(
            f"{what}, processor time of an event",
            ours.cost,
            "µs",
            peer=f"that loop: {loop.cost:.1f} µs",
            ratio=ours.cost / loop.cost,
        ),
    ]


def through(folder: Path, events: int, *words: object) -> Span:
    """Run what answers to the file that is its last word, and check the answers."""
    answers = folder / f"answers-{time.monotonic_ns()}.jsonl"
    answers.touch()
    with Process([*words, answers], folder) as process, answers.open("rb") as file:
        lines = 0

        def done() -> int:
            nonlocal lines
            lines += file.read().count(b"\n")
            return lines

        found = spent(process.watch(done, events), events // 10, events)
        process.end()
    causes = {json.loads(line)["causationid"] for line in answers.read_bytes().splitlines()}
    assert len(causes) == events, "an event was not answered"
    return found
