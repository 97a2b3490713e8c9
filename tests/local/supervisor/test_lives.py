"""How long processes live: idle time, revisions, queues, and what is left at the end."""

import asyncio
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from gpfn.local.supervisor.leftovers import remove_leftovers
from gpfn.local.supervisor.supervisor import Supervisor
from gpfn.local.supervisor.tree import has_ended
from tests.local.supervisor.functions import (
    ECHO,
    PATIENT,
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

SLEEPY = """
import os, time
def handler(ctx, data=None):
    time.sleep(float(data.getvalue()))
    return str(os.getpid())
"""


def state_of(pid: int) -> str:
    """Return a process's state as /proc has it: T stands still."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_two_hundred_calls_over_twenty_functions(tmp_path: Path) -> None:
    source = "def handler(ctx, data=None):\n    return b'%s ' + data.getvalue()\n"
    deployed = [function(tmp_path / f"f{n}", source.replace("%s", f"f{n}")) for n in range(20)]

    async def work(supervisor: Supervisor) -> None:
        calls = [
            supervisor.call(deployed[number % 20], on_fn(b"%d" % number, seconds=60, wait=60))
            for number in range(200)
        ]
        outcomes = await asyncio.gather(*calls)
        answers = [body_of(outcome) for outcome in outcomes]
        assert answers == [b"f%d %d" % (number % 20, number) for number in range(200)]
        facts = supervisor.processes()
        assert {fact.key for fact in facts} == {f"f{number}" for number in range(20)}
        assert len(facts) <= 40

    supervised(work, PATIENT._replace(most_per_function=2, start_seconds=60.0))


def test_more_processes_than_may_be_give_way(tmp_path: Path) -> None:
    deployed = [function(tmp_path / f"f{number}", ECHO) for number in range(4)]

    async def work(supervisor: Supervisor) -> None:
        for _ in range(2):
            calls = [supervisor.call(one, on_fn(b"x", wait=30)) for one in deployed]
            assert [body_of(outcome) for outcome in await asyncio.gather(*calls)] == [b"x"] * 4
        assert len(supervisor.processes()) <= 2

    supervised(work, PATIENT._replace(most_processes=2))


def test_another_process_starts_when_calls_wait(tmp_path: Path) -> None:
    deployed = function(tmp_path / "f", SLEEPY)

    async def work(supervisor: Supervisor) -> None:
        calls = [supervisor.call(deployed, on_fn(b"0.3")) for _ in range(5)]
        outcomes = await asyncio.gather(*calls)
        assert len({body_of(outcome) for outcome in outcomes}) == 3
        assert len(supervisor.processes()) == 3
        assert any(outcome.stages.wait > 0.2 for outcome in outcomes)

    supervised(work, PATIENT._replace(most_per_function=3))


def test_a_full_queue_is_busy(tmp_path: Path) -> None:
    deployed = function(tmp_path / "f", SLEEPY)

    async def work(supervisor: Supervisor) -> None:
        first = asyncio.create_task(supervisor.call(deployed, on_fn(b"1.0")))
        await until(lambda: is_busy(supervisor))
        second = asyncio.create_task(supervisor.call(deployed, on_fn(b"0", wait=0.2)))
        await asyncio.sleep(0.05)
        third = await supervisor.call(deployed, on_fn(b"0"))
        assert (third.failure, third.detail) == ("busy", "1 calls wait already")
        late = await second
        assert (late.failure, late.detail) == ("busy", "no process came free within 0.2 s")
        assert late.stages.wait >= 0.2
        body_of(await first)

    supervised(work, PATIENT._replace(most_per_function=1, most_waiting=1))


def test_idle_time_counts_between_calls_alone(tmp_path: Path) -> None:
    deployed = function(tmp_path / "f", SLEEPY, idle_timeout=0.3)

    async def work(supervisor: Supervisor) -> None:
        outcome = await supervisor.call(deployed, on_fn(b"0.9"))
        body_of(outcome)
        assert supervisor.processes()[0].state == "idle"
        await until(lambda: not supervisor.processes() and has_ended(outcome.pid))

    supervised(work)


def test_another_revision_is_another_process(tmp_path: Path) -> None:
    old = function(tmp_path / "f", "def handler(ctx, data=None):\n    return 'old'\n")

    async def work(supervisor: Supervisor) -> None:
        first = await supervisor.call(old, on_fn())
        new = function(tmp_path / "f", "def handler(ctx, data=None):\n    return 'new'\n")
        second = await supervisor.call(new._replace(revision="2"), on_fn())
        assert (body_of(first), body_of(second)) == (b"old", b"new")
        await until(lambda: has_ended(first.pid))
        assert [fact.revision for fact in supervisor.processes()] == ["2"]

    supervised(work)


def test_a_call_that_runs_outlives_its_revision(tmp_path: Path) -> None:
    deployed = function(tmp_path / "f", SLEEPY)

    async def work(supervisor: Supervisor) -> None:
        first = asyncio.create_task(supervisor.call(deployed, on_fn(b"0.8")))
        await until(lambda: is_busy(supervisor))
        second = await supervisor.call(deployed._replace(revision="2"), on_fn(b"0"))
        body_of(second)
        outcome = await first
        assert body_of(outcome) == str(outcome.pid).encode()
        await until(lambda: has_ended(outcome.pid))
        assert not has_ended(second.pid)

    supervised(work)


def test_a_renewed_function_goes_on_with_new_processes(tmp_path: Path) -> None:
    deployed = function(tmp_path / "f", SLEEPY)

    async def work(supervisor: Supervisor) -> None:
        first = asyncio.create_task(supervisor.call(deployed, on_fn(b"0.5")))
        await until(lambda: is_busy(supervisor))
        waiting = asyncio.create_task(supervisor.call(deployed, on_fn(b"0")))
        await asyncio.sleep(0.02)
        supervisor.renew("f")
        old, new = body_of(await first), body_of(await waiting)
        assert old != new
        supervisor.renew("f")
        assert body_of(await supervisor.call(deployed, on_fn(b"0"))) not in (old, new)
        supervisor.renew("never was")

    supervised(work, PATIENT._replace(most_per_function=1))


def test_a_function_may_ask_for_fewer_processes(tmp_path: Path) -> None:
    deployed = function(tmp_path / "f", SLEEPY, instances=2)

    async def work(supervisor: Supervisor) -> None:
        calls = [supervisor.call(deployed, on_fn(b"0.2")) for _ in range(5)]
        assert len({body_of(outcome) for outcome in await asyncio.gather(*calls)}) == 2

    supervised(work, PATIENT._replace(most_per_function=3))


def test_a_forgotten_function_ends_after_its_call(tmp_path: Path) -> None:
    deployed = function(tmp_path / "f", SLEEPY)

    async def work(supervisor: Supervisor) -> None:
        first = asyncio.create_task(supervisor.call(deployed, on_fn(b"0.5")))
        await until(lambda: is_busy(supervisor))
        waiting = asyncio.create_task(supervisor.call(deployed, on_fn(b"0")))
        await asyncio.sleep(0.02)
        supervisor.forget("f")
        assert (await waiting).failure == "removed"
        outcome = await first
        body_of(outcome)
        await until(lambda: has_ended(outcome.pid))
        supervisor.forget("never was")

    supervised(work, PATIENT._replace(most_per_function=1))


def test_a_caller_that_leaves_ends_its_call(tmp_path: Path) -> None:
    deployed = function(tmp_path / "f", SLEEPY)

    async def work(supervisor: Supervisor) -> None:
        call = asyncio.create_task(supervisor.call(deployed, on_fn(b"30")))
        await until(lambda: is_busy(supervisor))
        await asyncio.sleep(0.3)  # it was given a process, and has sent its request by now
        pid = supervisor.processes()[0].pid
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await until(lambda: has_ended(pid))
        body_of(await supervisor.call(deployed, on_fn(b"0")))

    supervised(work)


def test_the_end_ends_calls_that_run(tmp_path: Path) -> None:
    deployed = function(tmp_path / "f", SLEEPY)

    async def work(supervisor: Supervisor) -> None:
        call = asyncio.create_task(supervisor.call(deployed, on_fn(b"30")))
        await until(lambda: is_busy(supervisor))
        began = time.monotonic()
        await supervisor.close()
        assert time.monotonic() - began < 2
        assert (await call).failure == "crashed"
        assert (await supervisor.call(deployed, on_fn(b"0"))).failure == "start failed"

    supervised(work)


def test_it_stands_still_between_calls(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    source = f"""
        import threading, time
        def tick():
            while True:
                time.sleep(0.005)
                with open({str(mark)!r}, "a") as file:
                    file.write("x")
        threading.Thread(target=tick, daemon=True).start()
        def handler(ctx, data=None):
            return data.getvalue()
        """
    deployed = function(tmp_path / "f", source)
    mark.touch()

    async def work(supervisor: Supervisor) -> None:
        outcome = await supervisor.call(deployed, on_fn(b"1"))
        await until(lambda: state_of(outcome.pid) == "T")
        assert supervisor.processes()[0].state == "frozen"
        size = mark.stat().st_size
        await asyncio.sleep(0.1)
        assert mark.stat().st_size == size
        again = await supervisor.call(deployed, on_fn(b"2"))
        assert body_of(again) == b"2"
        assert again.pid == outcome.pid
        await until(lambda: state_of(outcome.pid) == "T")  # each time, not only once

    supervised(work)


def test_without_truth_it_goes_on(tmp_path: Path) -> None:
    deployed = function(tmp_path / "f", ECHO)

    async def work(supervisor: Supervisor) -> None:
        outcome = await supervisor.call(deployed, on_fn(b"1"))
        await asyncio.sleep(0.2)
        assert state_of(outcome.pid) == "S"

    supervised(work, PATIENT._replace(truth=False))


def test_what_is_written_between_calls_is_the_next_ones(tmp_path: Path) -> None:
    deployed = action("""
        import os, threading, time
        def later(name):
            time.sleep(0.1)
            os.write(1, f"late of {name}\\n".encode())
        def main(args):
            print("call", args["name"])
            os.write(2, b"trouble\\n")
            threading.Thread(target=later, args=(args["name"],)).start()
            return {}
        """)

    async def work(supervisor: Supervisor) -> None:
        first = await supervisor.call(deployed, on_openwhisk({"name": "a"}))
        assert sorted(texts(first)) == ["call a", "trouble"]
        assert {stream for _, stream, text in first.log if text == "trouble"} == {"stderr"}
        assert all(abs(when - time.time()) < 60 for when, _, _ in first.log)
        await asyncio.sleep(0.5)
        second = await supervisor.call(deployed, on_openwhisk({"name": "b"}))
        assert sorted(texts(second)) == ["call b", "late of a", "trouble"]

    supervised(work)


def test_logs_of_calls_at_a_time_are_apart(tmp_path: Path) -> None:
    source = """
        import time
        def handler(ctx, data=None):
            for number in range(20):
                print(data.getvalue().decode(), number, flush=True)
                time.sleep(0.005)
            return b""
        """
    deployed = function(tmp_path / "f", source)

    async def work(supervisor: Supervisor) -> None:
        names = [f"call-{number}" for number in range(12)]
        calls = [supervisor.call(deployed, on_fn(name.encode())) for name in names]
        for name, outcome in zip(names, await asyncio.gather(*calls), strict=True):
            assert texts(outcome) == [f"{name} {number}" for number in range(20)]

    supervised(work, PATIENT._replace(most_per_function=3))


def test_what_a_killed_supervisor_left_is_removed(tmp_path: Path) -> None:
    left = Path(f"/tmp/gpfn-dev-{2**22 - 1}-abc")
    other = Path(f"/tmp/gpfn-dev-{os.getpid()}x")
    for folder in (left, other):
        (folder / "tmp").mkdir(parents=True, exist_ok=True)
    try:
        deployed = function(tmp_path / "f", ECHO)

        async def work(supervisor: Supervisor) -> None:
            body_of(await supervisor.call(deployed, on_fn(b"1")))

        supervised(work)
        assert not left.exists()
        assert other.exists()
    finally:
        (other / "tmp").rmdir()
        other.rmdir()


def test_what_the_functions_of_a_killed_supervisor_had_started_ends() -> None:
    def started(**environ: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(["sleep", "60"], env={**os.environ, **environ})

    dead, alive = 2**22 - 1, os.getpid()
    listens = {"FN_LISTENER": f"unix:/tmp/gpfn-dev-{dead}-abc/iofs/lsnr.sock"}
    left = [started(TMPDIR=f"/tmp/gpfn-dev-{dead}-abc/tmp"), started(**listens)]
    others = [started(TMPDIR=f"/tmp/gpfn-dev-{alive}-abc/tmp"), started(NAME="/tmp/gpfn-dev-1-a/")]
    try:
        remove_leftovers()
        assert [each.wait(5) for each in left] == [-signal.SIGKILL] * 2
        assert [each.poll() for each in others] == [None, None]
    finally:
        for each in (*left, *others):
            each.kill()
            each.wait()


def test_a_process_that_died_between_calls_costs_no_call(tmp_path: Path) -> None:
    deployed = [function(tmp_path / "f", ECHO), action("def main(args):\n    return args\n")]

    async def work(supervisor: Supervisor) -> None:
        for one, make in zip(deployed, (on_fn, on_openwhisk), strict=True):
            for _ in range(3):
                outcome = await supervisor.call(one, make())
                body_of(outcome)
                os.kill(outcome.pid, signal.SIGKILL)
                while not has_ended(outcome.pid):
                    time.sleep(0.001)  # the loop stands, and does not hear of it

    supervised(work)


def test_nobody_waits_for_a_function_without_processes(tmp_path: Path) -> None:
    deployed = function(tmp_path / "f", ECHO)

    async def work(supervisor: Supervisor) -> None:
        calls = [supervisor.call(deployed, on_fn(b"x")) for _ in range(8)]
        outcomes = await asyncio.gather(*calls)
        assert {outcome.failure for outcome in outcomes} == {"start failed"}
        assert all("/no/such" in outcome.detail for outcome in outcomes)

    supervised(work, PATIENT._replace(program=("/no/such",), truth=False, most_per_function=2))
