"""A batch of 64 forecast events against the same 64 events one by one.

Both sides call the function ``functions/forecast`` with the bytes of messages and get the bytes
of answers. As a batch the events are one inference of the recurrent network, one by one they
are 64; besides, a batch saves what a message costs. How much of the gain that is shows the
batch whose events the model computes by themselves, as for a function with a handler. In the
process the function is called as its runner does; over HTTP, ``gpfn run http`` serves it, one
connection asks, and the server's processor time counts.

    python benchmarks/event_batch.py [--quick] [--json FILE]
"""

import argparse
import http.client
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson

from gpfn.function import load_function
from gpfn.message import Message

__all__ = ["main"]

ROOT = Path(__file__).resolve().parents[1]
STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
FUNCTION = str(ROOT / "functions" / "forecast" / "func.py")
GPFN = str(Path(sys.executable).parent / "gpfn")
EVENTS = 64
GOAL = 3.0
PATIENCE = 60.0


class Messages(NamedTuple):
    """The same events each in a message of its own, and all in one."""

    singles: list[Message]
    batch: Message


def messages() -> Messages:
    """Return the sample event again and again, each with other numbers of full length."""
    sample = json.loads((ROOT / "ce_samples" / "forecast.json").read_text())
    random = np.random.default_rng(7)
    events = [
        {**sample, "id": f"series-{number}", "data": random.uniform(15, 40, (1, 20, 1)).tolist()}
        for number in range(EVENTS)
    ]
    singles = [Message(orjson.dumps(event), STRUCTURED) for event in events]
    return Messages(singles, Message(orjson.dumps(events), BATCH))


def check(single: Sequence[bytes], batch: bytes) -> None:
    """Make sure that both ways give the same answers, to the last digit."""
    answers = json.loads(batch)
    assert len(answers) == len(single) == EVENTS
    for one, other in zip(map(json.loads, single), answers, strict=True):
        assert one["causationid"] == other["causationid"]
        assert one["data"] == other["data"], "the answer for a row is that of the row alone"


def in_the_process(asked: Messages, *, quick: bool) -> list[dict[str, Any]]:
    """Measure all ways, which take turns, so that noise meets all of them."""
    forecast = load_function(FUNCTION)
    contract = forecast.contract

    def singly() -> list[bytes]:
        return [bytes(forecast.answer(message).message.body) for message in asked.singles]

    def together() -> bytes:
        return bytes(forecast.answer(asked.batch).message.body)

    def in_a_batch() -> bytes:
        contract.together = False
        try:
            return together()
        finally:
            contract.together = True

    for way in (together, together, in_a_batch):  # the first one times a row
        check(singly(), way())
    ways = (singly, together, in_a_batch)
    rounds = 3 if quick else 150
    taken = [[microseconds(way) for way in ways] for _ in range(rounds)]
    singles, joint, apart = (statistics.median(times) for times in zip(*taken, strict=True))
    where = "in the process, an event"
    return [
        figure(f"as one inference, {where}", joint, singles, GOAL),
        figure(f"as 64 inferences, {where}", apart, singles, None),
    ]


def over_http(asked: Messages, *, quick: bool) -> dict[str, Any]:
    """Measure the processor time of a server that is asked over one connection."""
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as (pid, connection):

        def ask(message: Message) -> bytes:
            headers = {"content-type": message.content_type}
            connection.request("POST", "/", bytes(message.body), headers)
            response = connection.getresponse()
            body = response.read()
            assert response.status == 200, body
            return body

        ask(asked.batch)
        check([ask(message) for message in asked.singles], ask(asked.batch))
        taken = []
        for _ in range(3 if quick else 60):
            began = processor_time(pid)
            for message in asked.singles:
                ask(message)
            between = processor_time(pid)
            for _ in range(5):
                ask(asked.batch)
            taken.append((between - began, (processor_time(pid) - between) / 5))
    singles, joint = (statistics.median(times) for times in zip(*taken, strict=True))
    return figure("as one inference, over HTTP, processor time of an event", joint, singles, None)


@contextmanager
def served(folder: Path) -> Iterator[tuple[int, http.client.HTTPConnection]]:
    """Serve the function in a process of its own; give its number and a connection."""
    log = folder / "log"
    command = [GPFN, "run", "http", FUNCTION, "--port", "0"]
    environ = {name: value for name, value in os.environ.items() if name != "GP_SERVER_URL"}
    with log.open("wb") as file:
        server = subprocess.Popen(command, stdout=file, stderr=file, env=environ)
    try:
        until = time.monotonic() + PATIENCE
        found = None
        while found is None:
            if server.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"the server did not start: {log.read_text()}")
            time.sleep(0.01)
            found = re.search(r"listening on http://[^\s:]+:(\d+)", log.read_text())
        connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=PATIENCE)
        yield server.pid, connection
        connection.close()
    finally:
        server.terminate()
        server.wait()


def processor_time(process: int) -> float:
    """Return the microseconds that all threads of a process have computed."""
    tasks = Path(f"/proc/{process}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e3


def figure(how: str, took: float, other: float, goal: float | None) -> dict[str, Any]:
    """Return one figure: what an event of a batch costs, and how much less than alone."""
    return {
        "what": f"forecast, {EVENTS} events in one batch {how}",
        "value": round(took / EVENTS, 1),
        "unit": "µs",
        "peer": f"one by one: {other / EVENTS:.1f} µs",
        "ratio": round(other / took, 2),
        "goal": None if goal is None else f"≥ {goal:g}",
        "ok": None if goal is None else other / took >= goal,
    }


def microseconds(way: Callable[[], object]) -> float:
    """Return the microseconds of processor time of one call."""
    started = time.process_time()
    way()
    return (time.process_time() - started) * 1e6


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print or write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="a short run that judges nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    args = parser.parse_args(argv)
    asked = messages()
    found = [*in_the_process(asked, quick=args.quick), over_http(asked, quick=args.quick)]
    text = json.dumps(found, ensure_ascii=False, indent=2)
    if args.json:
        args.json.write_text(text + "\n")
    else:
        print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
