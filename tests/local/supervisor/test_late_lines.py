"""What a function's runner writes of a call that it has answered: it is that call's."""

import asyncio
from pathlib import Path

from gpfn.local.calling import CallOutcome
from gpfn.local.supervisor.supervisor import Supervisor
from tests.local.supervisor.functions import PATIENT, function, on_fn, supervised

RAISES = """
def handler(ctx, data=None):
    raise ValueError("of " + data.getvalue().decode())
"""


def lines(outcome: CallOutcome) -> str:
    """Return the whole log of a call."""
    assert outcome.rest is not None
    return "\n".join(text for _, _, text in outcome.log + outcome.rest())


async def settled(outcome: CallOutcome, *words: str) -> str:
    """Return the log of a call as soon as it has some words."""
    for _ in range(40):
        if all(word in lines(outcome) for word in words):
            break
        await asyncio.sleep(0.001)
    return lines(outcome)


def test_the_trace_of_what_was_raised_is_of_its_own_call(tmp_path: Path) -> None:
    deployed = function(tmp_path / "f", RAISES)

    async def work(supervisor: Supervisor) -> None:
        for name in ("first", "second"):
            call = on_fn(name.encode())
            outcome = await supervisor.call(deployed, call)
            log = await settled(outcome, call.id, "Traceback", f"ValueError: of {name}")
            assert "Traceback" in log
            assert f"ValueError: of {name}" in log
            assert log.count("ValueError: of") == 1

    supervised(work)


def test_it_is_of_its_own_call_also_when_the_next_one_has_begun(tmp_path: Path) -> None:
    deployed = function(tmp_path / "f", RAISES)

    async def work(supervisor: Supervisor) -> None:
        calls = [on_fn(f"number {number:02}".encode()) for number in range(30)]
        outcomes = await asyncio.gather(*(supervisor.call(deployed, call) for call in calls))
        await asyncio.sleep(0.2)
        for number, outcome in enumerate(outcomes):
            log = lines(outcome)
            assert log.count("ValueError: of") == 1, log
            assert f"ValueError: of number {number:02}" in log

    supervised(work, PATIENT._replace(most_per_function=1))


def test_the_last_words_of_a_process_are_none_of_its_runners_good_news(tmp_path: Path) -> None:
    source = "import os, sys\ndef handler(ctx, data=None):\n    {}os._exit(3)\n"
    told = function(tmp_path / "told", source.format("os.write(2, b'out of wheels\\n'); "))
    mute = function(tmp_path / "mute", source.format(""))

    async def work(supervisor: Supervisor) -> None:
        outcome = await supervisor.call(told, on_fn())
        assert outcome.detail == "it ended with exit code 3 in the call: out of wheels"
        outcome = await supervisor.call(mute, on_fn())
        assert outcome.detail == "it ended with exit code 3 in the call"

    supervised(work)


def test_what_is_written_long_after_is_the_next_ones(tmp_path: Path) -> None:
    deployed = function(
        tmp_path / "f",
        """
        import threading, time
        def later():
            time.sleep(0.2)
            print("late", flush=True)
        def handler(ctx, data=None):
            threading.Thread(target=later).start()
        """,
    )

    async def work(supervisor: Supervisor) -> None:
        first = await supervisor.call(deployed, on_fn())
        await asyncio.sleep(0.1)
        lines(first)
        await asyncio.sleep(0.4)
        assert "late" not in lines(first).split("\n")
        second = await supervisor.call(deployed, on_fn())
        assert "late" in [text for _, _, text in second.log]

    supervised(work, PATIENT._replace(truth=False))
