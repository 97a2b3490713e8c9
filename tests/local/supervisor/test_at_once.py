"""Warm calls, which a resting process is asked at once: without a task, and as safe as others."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from gpfn.local.calling import CallOutcome, FunctionCall, ProcessAnswer
from gpfn.local.deployed import Deployed
from gpfn.local.supervisor import asked
from gpfn.local.supervisor import supervisor as supervising
from gpfn.local.supervisor.answer import AnswerReader
from gpfn.local.supervisor.settings import SupervisorSettings
from gpfn.local.supervisor.supervisor import Supervisor
from gpfn.local.supervisor.tree import has_ended
from tests.local.supervisor.functions import (
    ECHO,
    action,
    body_of,
    function,
    is_busy,
    on_fn,
    on_openwhisk,
    supervised,
    texts,
    until,
)

ANSWERS = """
    import os, sys, time
    def handler(ctx, data=None):
        asked = data.getvalue().decode()
        print("asked", asked, flush=True)
        if asked == "die":
            os._exit(3)
        if asked.isdigit():
            time.sleep(int(asked))
        if asked.startswith("large"):
            return "x" * int(asked[5:])
        return asked
    """


def at_once(
    supervisor: Supervisor, deployed: Deployed, call: FunctionCall
) -> "asyncio.Future[CallOutcome]":
    """Begin a call that has to be begun at once."""
    outcome: asyncio.Future[CallOutcome] = asyncio.get_running_loop().create_future()
    assert supervisor.begin(deployed, call, lambda _: None, outcome.set_result)
    return outcome


def test_ordinary_calls_make_no_task_and_read_no_head_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers: list[AnswerReader] = []

    def reader(limit: int) -> AnswerReader:
        readers.append(AnswerReader(limit))
        return readers[-1]

    monkeypatch.setattr(asked, "AnswerReader", reader)
    deployed = function(tmp_path / "f", ECHO)

    async def work(supervisor: Supervisor) -> None:
        tasks: list[Any] = []
        timers: list[Any] = []
        loop = asyncio.get_running_loop()

        def make(its_loop: asyncio.AbstractEventLoop, what: Any, **_: Any) -> asyncio.Task[Any]:
            tasks.append(what)
            return asyncio.Task(what, loop=its_loop)

        first = await supervisor.call(deployed, on_fn(b"0000"))
        assert len(readers) == 1
        loop.set_task_factory(make)
        call_at = loop.call_at

        def noted(when: float, then: Any, *words: Any, **more: Any) -> asyncio.TimerHandle:
            timers.append(then)
            return call_at(when, then, *words, **more)

        monkeypatch.setattr(loop, "call_at", noted)
        for number in range(100):
            outcome = await at_once(supervisor, deployed, on_fn(b"%04d" % number))
            assert body_of(outcome) == b"%04d" % number
            assert (outcome.pid, outcome.cold) == (first.pid, False)
            assert outcome.memory > 1_000_000
            assert outcome.stages.run > 0
        assert not tasks
        assert len(readers) == 1
        limits = [timer for timer in timers if getattr(timer, "__name__", "") == "_look"]
        assert len(limits) < 50, "not two timers a call"

    supervised(work)


def test_an_answer_is_told_before_anything_is_written_down_of_it(tmp_path: Path) -> None:
    """The loop sends when its turn is over: what is done in the same turn is waited for."""
    deployed = function(tmp_path / "f", ECHO)

    async def work(supervisor: Supervisor) -> None:
        await supervisor.call(deployed, on_fn(b"warm"))
        told: list[str] = []
        done: asyncio.Future[CallOutcome] = asyncio.get_running_loop().create_future()

        def answered(answer: ProcessAnswer) -> None:
            told.append("answered")
            assert (answer.body, is_busy(supervisor)) == (b"now", True)

        def over(outcome: CallOutcome) -> None:
            told.append("over")
            done.set_result(outcome)

        assert supervisor.begin(deployed, on_fn(b"now"), answered, over)
        assert body_of(await done) == b"now"
        assert told == ["answered", "over"]
        assert not is_busy(supervisor)

    supervised(work)


def test_answers_that_differ_are_read_each(tmp_path: Path) -> None:
    deployed = function(tmp_path / "f", ANSWERS)

    async def work(supervisor: Supervisor) -> None:
        await supervisor.call(deployed, on_fn(b"warm"))
        for size in (0, 1, 4, 4, 70_000, 200_000, 4, 65_536, 65_536):
            outcome = await at_once(supervisor, deployed, on_fn(b"large%d" % size))
            assert body_of(outcome) == b"x" * size
            assert texts(outcome) == [f"asked large{size}"]

    supervised(work)


def test_a_process_is_ended_before_its_caller_hears_that_time_is_over(tmp_path: Path) -> None:
    deployed = function(tmp_path / "f", ANSWERS)

    async def work(supervisor: Supervisor) -> None:
        warm = await supervisor.call(deployed, on_fn(b"warm", seconds=30))
        dead: list[bool] = []
        outcome = at_once(supervisor, deployed, on_fn(b"30", seconds=0.4))
        outcome.add_done_callback(lambda _: dead.append(has_ended(warm.pid)))
        told = await outcome
        await asyncio.sleep(0)
        assert (told.failure, told.detail) == ("timed out", "it was ended after 0.4 s")
        assert texts(told) == ["asked 30"]
        assert 0.4 <= told.stages.run < 5
        assert dead == [True]
        assert body_of(await supervisor.call(deployed, on_fn(b"again"))) == b"again"

    supervised(work)


def test_a_time_limit_counts_from_its_own_call(tmp_path: Path) -> None:
    deployed = function(tmp_path / "f", ANSWERS)

    async def work(supervisor: Supervisor) -> None:
        await supervisor.call(deployed, on_fn(b"warm", seconds=0.8))
        for _ in range(8):  # longer together than one has
            await asyncio.sleep(0.2)
            assert body_of(await at_once(supervisor, deployed, on_fn(b"x", seconds=0.8))) == b"x"
        told = await at_once(supervisor, deployed, on_fn(b"30", seconds=0.8))
        assert told.failure == "timed out"
        assert 0.79 <= told.stages.run < 5

    supervised(work)


def test_one_that_dies_in_the_call_has_crashed(tmp_path: Path) -> None:
    deployed = function(tmp_path / "f", ANSWERS)

    async def work(supervisor: Supervisor) -> None:
        first = await supervisor.call(deployed, on_fn(b"warm"))
        told = await at_once(supervisor, deployed, on_fn(b"die"))
        assert told.failure == "crashed"
        assert "exit code 3" in told.detail
        assert texts(told) == ["asked die"]
        second = await supervisor.call(deployed, on_fn(b"again"))
        assert (second.cold, second.pid != first.pid) == (True, True)

    supervised(work)


def test_one_that_answers_too_much_is_broken(tmp_path: Path) -> None:
    deployed = function(tmp_path / "f", ANSWERS)

    async def work(supervisor: Supervisor) -> None:
        await supervisor.call(deployed, on_fn(b"warm"))
        told = await at_once(supervisor, deployed, on_fn(b"large5000"))
        assert told.failure == "broken"
        assert "more than 1000 bytes" in told.detail
        await until(lambda: not supervisor.processes())

    supervised(work, SupervisorSettings(start_seconds=60.0, answer_bytes=1000))


def test_what_cannot_be_asked_at_once_is_left_to_the_other_way(tmp_path: Path) -> None:
    deployed = function(tmp_path / "f", ANSWERS)
    other = action("def main(args):\n    return args")

    def begun(supervisor: Supervisor, one: Deployed, call: FunctionCall) -> bool:
        return supervisor.begin(one, call, pytest.fail, lambda outcome: pytest.fail(str(outcome)))

    async def work(supervisor: Supervisor) -> None:
        assert not begun(supervisor, deployed, on_fn(b"never started"))
        first = await supervisor.call(deployed, on_fn(b"warm"))
        busy = at_once(supervisor, deployed, on_fn(b"1"))
        assert not begun(supervisor, deployed, on_fn(b"all are busy"))
        assert (await busy).pid == first.pid
        assert not begun(supervisor, deployed._replace(revision="2"), on_fn(b"changed"))
        await until(lambda: not supervisor.processes())
        again = await supervisor.call(deployed, on_fn(b"warm"))
        os.kill(again.pid, signal.SIGKILL)
        while not has_ended(again.pid):
            pass  # the loop has not heard of it
        assert not begun(supervisor, deployed, on_fn(b"dead"))
        assert body_of(await supervisor.call(other, on_openwhisk({"a": 1}))) == b'{"a":1}'
        assert not begun(supervisor, other, on_openwhisk())
        kept = await supervisor.call(other, on_openwhisk({"a": 2}))
        assert not kept.cold

    supervised(work)


def test_a_frozen_process_is_thawed_for_it(tmp_path: Path) -> None:
    deployed = function(tmp_path / "f", ECHO)

    async def work(supervisor: Supervisor) -> None:
        first = await supervisor.call(deployed, on_fn(b"warm"))
        await until(lambda: supervisor.processes()[0].state == "frozen")
        outcome = await at_once(supervisor, deployed, on_fn(b"thawed"))
        assert (body_of(outcome), outcome.pid) == (b"thawed", first.pid)

    supervised(work)


def test_a_supervisor_that_closes_tells_those_who_wait(tmp_path: Path) -> None:
    deployed = function(tmp_path / "f", ANSWERS)

    async def work(supervisor: Supervisor) -> None:
        await supervisor.call(deployed, on_fn(b"warm"))
        waiting = at_once(supervisor, deployed, on_fn(b"30", seconds=60))
        assert is_busy(supervisor)
        await supervisor.close()
        assert waiting.done()
        assert (await waiting).failure in ("crashed", "broken")
        assert not supervisor.begin(deployed, on_fn(), pytest.fail, pytest.fail)

    supervised(work)


def test_the_machine_is_looked_at_once_and_before_the_first_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    look = supervising._look_round
    monkeypatch.setattr(supervising, "_look_round", lambda name: (looks.append(name), look(name)))
    deployed = function(tmp_path / "f", ECHO)

    async def work(supervisor: Supervisor) -> None:
        await supervisor.prepare()
        assert looks == [""]
        assert body_of(await supervisor.call(deployed, on_fn(b"x"))) == b"x"
        assert looks == [""]

    supervised(work)
