"""Functions under the supervisor of `gpfn dev`, against the runner alone on its socket.

The call is the one of `fn_runner.py`: a CloudEvent of 669 bytes to an echo, chunked and with the
headers of Fn's agent, on a kept connection. Alone, a blocking client waits for the answer; under
the supervisor an event loop does, which also gives the call a process and a time limit, reads
the log, looks at memory and sets the timers of freezing and idling. Both sides of the warm call
are on one core each, and take turns. The peer of the parallel clients is a real Fn server's
worst (989 ms at most, p95 229 ms).

    python benchmarks/local.py [--quick] [--json FILE]
"""

import argparse
import asyncio
import compileall
import json
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from fn_runner import BODY, CORES, OURS, PLAIN, ROOT, alternate, cold, echo, event, request

from gpfn.local.calling import CallOutcome, FunctionCall
from gpfn.local.deployed import Deployed
from gpfn.local.supervisor.settings import SupervisorSettings
from gpfn.local.supervisor.supervisor import Supervisor

__all__ = ["main"]

CLIENTS = 6
FN_WORST = 989.0
"""Milliseconds, of six clients on one function of a real Fn server."""
LENIENT = SupervisorSettings(truth=False)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure everything and print or write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="a short run that judges nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    args = parser.parse_args(argv)
    compileall.compile_dir(ROOT / "src", quiet=1)
    rounds, calls = (1, 200) if args.quick else (7, 2000)
    figures = [warm(rounds, calls), parallel(300 if args.quick else 1200)]
    figures += starts(2 if args.quick else 15)
    text = json.dumps(figures, ensure_ascii=False, indent=2)
    if args.json:
        args.json.write_text(text + "\n")
    else:
        print(text)
    return 0


def supervised(
    work: Callable[[Callable[[], Awaitable[CallOutcome]]], Awaitable[float]],
    settings: SupervisorSettings | None = None,
) -> float:
    """Give ``work`` what calls the echo once, under a supervisor of its own."""

    async def run() -> float:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "func.py"
            file.write_text(PLAIN)
            deployed = Deployed("echo", "fn", "echo", "1", file=file)
            call = FunctionCall("01M7YJCV41R00040J6M000001T", request(event(BODY)), 30.0, 30.0)
            supervisor = Supervisor(settings)
            try:
                return await work(lambda: supervisor.call(deployed, call))
            finally:
                await supervisor.close()

    return asyncio.run(run())


async def answered(outcome: Awaitable[CallOutcome]) -> CallOutcome:
    """Wait for a call that has to be answered well."""
    done = await outcome
    if done.answer is None or done.answer.status != 200:
        raise RuntimeError(f"refused: {done}")
    return done


def warm(rounds: int, calls: int) -> dict[str, Any]:
    """Compare the medians of a warm call."""
    pair = (CORES[0], CORES[-1])

    async def many(call: Callable[[], Awaitable[CallOutcome]]) -> float:
        first = await answered(call())
        os.sched_setaffinity(first.pid, {pair[0]})
        os.sched_setaffinity(0, {pair[1]})
        taken = []
        for _ in range(calls):
            begun = time.perf_counter()
            await call()
            taken.append(time.perf_counter() - begun)
        os.sched_setaffinity(0, CORES)
        await answered(call())
        return statistics.median(taken) * 1e6

    sides = [lambda: echo(OURS, PLAIN, calls, pair, BODY), lambda: supervised(many)]
    alone, ours = alternate(sides, rounds)
    what = f"gpfn dev, warm call of {BODY} bytes under the supervisor"
    return figure(what, "µs", ours, f"the runner alone: {alone:.1f} µs", ours / alone, 2.5)


def parallel(calls: int) -> dict[str, Any]:
    """Measure the slowest hundredth of the calls of six clients on one function."""

    async def many(call: Callable[[], Awaitable[CallOutcome]]) -> float:
        await asyncio.gather(*(answered(call()) for _ in range(CLIENTS)))
        taken: list[float] = []

        async def client() -> None:
            for _ in range(calls // CLIENTS):
                begun = time.perf_counter()
                await answered(call())
                taken.append(time.perf_counter() - begun)

        await asyncio.gather(*(client() for _ in range(CLIENTS)))
        return sorted(taken)[len(taken) * 99 // 100] * 1e3

    slow = supervised(many)
    found = figure(
        f"gpfn dev, {CLIENTS} clients on one function, p99",
        "ms",
        slow,
        f"a real Fn server: {FN_WORST:.0f} ms at most",
        slow / FN_WORST,
        None,
    )
    return {**found, "goal": "≤ 50 ms", "ok": slow <= 50}


def starts(rounds: int) -> list[dict[str, Any]]:
    """Compare the first call with the runner's own start, with limits and without."""

    async def first(call: Callable[[], Awaitable[CallOutcome]]) -> float:
        begun = time.perf_counter()
        await answered(call())
        return (time.perf_counter() - begun) * 1e3

    data = request(event(BODY))
    sides = [
        lambda: cold(OURS, PLAIN, data),
        lambda: supervised(first),
        lambda: supervised(first, LENIENT),
    ]
    alone, true, lenient = alternate(sides, rounds)
    peer = f"the runner alone: {alone:.1f} ms"
    return [
        figure("gpfn dev, first call, truth mode", "ms", true, peer, true / alone, None),
        figure("gpfn dev, first call, lenient", "ms", lenient, peer, lenient / alone, None),
    ]


def figure(
    what: str, unit: str, value: float, peer: str, ratio: float, limit: float | None
) -> dict[str, Any]:
    """Return one figure whose goal is on the ratio, if it has one."""
    return {
        "what": what,
        "value": round(value, 2),
        "unit": unit,
        "peer": peer,
        "ratio": round(ratio, 3),
        "goal": None if limit is None else f"≤ {limit}",
        "ok": None if limit is None else ratio <= limit,
    }


if __name__ == "__main__":
    raise SystemExit(main())
