"""Functions that do what they should not: each is told for what it did, and nothing is left."""

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from gpfn.local.calling import CallOutcome
from gpfn.local.supervisor.settings import SupervisorSettings
from gpfn.local.supervisor.supervisor import Supervisor
from gpfn.local.supervisor.tree import find_members, has_ended, resident
from tests.local.supervisor.functions import (
    ECHO,
    PATIENT,
    action,
    body_of,
    function,
    on_fn,
    on_openwhisk,
    supervised,
    texts,
    until,
)

QUICK = SupervisorSettings(start_seconds=2.5)


def one_call(deployed, call, settings=None) -> CallOutcome:
    """Call a function once with a supervisor of its own."""

    async def work(supervisor: Supervisor) -> CallOutcome:
        return await supervisor.call(deployed, call)

    return supervised(work, settings)


def all_ended(folder: Path) -> bool:
    """Say whether the processes whose ids a function wrote into a folder have ended."""
    late = time.monotonic() + 2.0
    numbers = [int(path.name) for path in folder.iterdir()]
    assert numbers
    while not all(map(has_ended, numbers)) and time.monotonic() < late:
        time.sleep(0.01)
    return all(map(has_ended, numbers))


def test_one_that_never_listens(tmp_path: Path) -> None:
    # the runner listens while it loads, unless its window says otherwise
    source = "import time\nprint('loading', flush=True)\ntime.sleep(60)\n" + ECHO
    deployed = function(tmp_path / "f", source, environ={"GPFN_START_WINDOW": "50"})
    outcome = one_call(deployed, on_fn(), QUICK)
    assert outcome.failure == "start timed out"
    assert outcome.detail == "it did not listen within 2.5 s: loading"
    assert 2.5 <= outcome.stages.start < 5
    assert texts(outcome) == ["loading"]
    assert has_ended(outcome.pid)


def test_one_that_exits_at_once(tmp_path: Path) -> None:
    source = (
        "import os, sys\nsys.stderr.write('no such weights\\n')\nsys.stderr.flush()\nos._exit(3)"
    )
    outcome = one_call(function(tmp_path / "f", source), on_fn())
    assert outcome.failure == "start failed"
    assert outcome.detail == "it ended with exit code 3 before it listened: no such weights"
    assert outcome.cold


def test_one_that_cannot_be_started(tmp_path: Path) -> None:
    settings = SupervisorSettings(program=("/no/such/program",), truth=False)
    outcome = one_call(function(tmp_path / "f", ECHO), on_fn(), settings)
    assert outcome.failure == "start failed"
    assert "/no/such/program" in outcome.detail
    assert one_call(function(tmp_path / "f", ECHO)._replace(file=None), on_fn()).failure == (
        "start failed"
    )


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("A=B", "x", "has a name or a value that no process can be given"),
        ("NUL", "a\0b", "has a name or a value that no process can be given"),
        ("LARGE", "x" * (1 << 17), "is over 131072 bytes, which no process can be given"),
    ],
)
def test_a_variable_that_no_process_can_have_is_named(
    tmp_path: Path, name: str, value: str, told: str
) -> None:
    deployed = function(tmp_path / "f", ECHO, environ={name: value})
    outcome = one_call(deployed, on_fn())
    assert outcome.failure == "start failed"
    assert outcome.detail.endswith(f"the variable {name!r} of the configuration {told}")


@pytest.mark.parametrize("truth", [True, False])
def test_a_path_of_its_own_is_the_functions_and_starts_nothing_of_ours(
    tmp_path: Path, truth: bool
) -> None:
    source = "import os\ndef handler(ctx, data=None):\n    return os.environ['PATH']\n"
    given = {"PATH": "/nowhere", "HOSTNAME": "evil", "FN_LISTENER": "unix:/tmp/evil.sock"}
    deployed = function(tmp_path / "f", source, environ=given)
    assert body_of(one_call(deployed, on_fn(), PATIENT._replace(truth=truth))) == b"/nowhere"
    left = action("import os\ndef main(args):\n    return dict(os.environ)\n", environ=given)
    assert b'"/nowhere"' in body_of(one_call(left, on_openwhisk(), PATIENT._replace(truth=truth)))


def test_nothing_is_done_after_the_time_limit_was_told(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    source = f"""
        import os, threading
        def write():
            while True:
                with open({str(mark)!r}, "a") as file:
                    file.write("x")
        def handler(ctx, data=None):
            for _ in range(3):
                threading.Thread(target=write, daemon=True).start()
            write()
        """

    async def work(supervisor: Supervisor) -> None:
        outcome = await supervisor.call(deployed, on_fn(seconds=0.4))
        size = mark.stat().st_size
        assert outcome.failure == "timed out"
        assert outcome.detail == "it was ended after 0.4 s"
        assert size > 0
        assert has_ended(outcome.pid)
        await asyncio.sleep(0.2)
        assert mark.stat().st_size == size

    deployed = function(tmp_path / "f", source)
    supervised(work, SupervisorSettings(truth=False))  # it may write here


def test_no_thread_computes_after_the_time_limit_was_told(tmp_path: Path) -> None:
    source = f"""
        import os, threading
        def spin():
            while True:
                pass
        def main(args):
            if os.fork() == 0:
                spin()
            for _ in range(3):
                threading.Thread(target=spin).start()
            open(f"{tmp_path}/{{os.getpid()}}", "w")
            spin()
        def handler(ctx, data=None):
            main({{}})
        """
    (tmp_path / "seen").mkdir()
    source = source.replace(f"{tmp_path}/", f"{tmp_path}/seen/")

    async def work(supervisor: Supervisor) -> None:
        on = ((function(tmp_path / "f", source), on_fn(seconds=1.0)),)
        on += ((action(source), on_openwhisk(seconds=1.0)),)
        for deployed, call in on:
            outcome = await supervisor.call(deployed, call)
            assert outcome.failure == "timed out"
            assert not find_members(outcome.pid, "none")
        assert all_ended(tmp_path / "seen")

    supervised(work, SupervisorSettings(truth=False))  # it may write here


def test_one_that_ignores_sigterm_ends(tmp_path: Path) -> None:
    source = """
        import signal, time
        def handler(ctx, data=None):
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
            time.sleep(60)
        """
    outcome = one_call(function(tmp_path / "f", source), on_fn(seconds=0.3))
    assert outcome.failure == "timed out"
    assert outcome.stages.run < 2
    assert has_ended(outcome.pid)


def test_a_kill_in_the_middle_of_a_call_is_told(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    source = f"""
        import os, sys, time
        def handler(ctx, data=None):
            if data.getvalue() == b"die":
                print("half done", flush=True)
                open({str(mark)!r}, "w").close()
                time.sleep(60)
            return data.getvalue()
        """
    deployed = function(tmp_path / "f", source)

    async def work(supervisor: Supervisor) -> None:
        assert body_of(await supervisor.call(deployed, on_fn(b"a"))) == b"a"
        call = asyncio.create_task(supervisor.call(deployed, on_fn(b"die")))
        await until(mark.exists)
        os.kill(supervisor.processes()[0].pid, signal.SIGKILL)
        outcome = await call
        assert outcome.failure == "crashed"
        assert outcome.detail.startswith("it ended with SIGKILL in the call: ")
        assert texts(outcome) == ["half done"]
        again = await supervisor.call(deployed, on_fn(b"b"))
        assert body_of(again) == b"b"
        assert again.cold

    supervised(work, SupervisorSettings(truth=False))  # it may write here


def test_an_action_that_exits_in_a_call_is_told() -> None:
    outcome = one_call(action("import os\ndef main(args):\n    os._exit(7)\n"), on_openwhisk())
    assert outcome.failure == "crashed"
    assert outcome.detail == "it ended with exit code 7 in /run"


def test_an_action_that_refuses_its_code(tmp_path: Path) -> None:
    outcome = one_call(action("def main(args)\n"), on_openwhisk())
    assert outcome.failure == "init failed"
    assert outcome.answer is not None
    assert outcome.answer.status == 502
    assert any("SyntaxError" in text for _, _, text in outcome.log)


def test_an_action_that_loads_for_too_long() -> None:
    outcome = one_call(action("import time\ntime.sleep(60)\n"), on_openwhisk(seconds=0.5))
    assert outcome.failure == "init timed out"
    assert outcome.stages.init >= 0.5
    assert outcome.stages.run == 0
    assert has_ended(outcome.pid)


def test_one_that_prints_a_hundred_megabytes(tmp_path: Path) -> None:
    source = """
        import os
        def handler(ctx, data=None):
            line = b"x" * 1023 + b"\\n"
            block = line * 1024
            for _ in range(100):
                os.write(1, block)
            return "done"
        """
    loud, quiet = function(tmp_path / "loud", source), function(tmp_path / "quiet", ECHO)

    async def work(supervisor: Supervisor) -> None:
        assert body_of(await supervisor.call(quiet, on_fn(b"warm"))) == b"warm"
        before = resident(os.getpid())
        call = asyncio.create_task(supervisor.call(loud, on_fn(seconds=30)))
        slowest = 0.0
        while not call.done():
            began = time.monotonic()
            assert body_of(await supervisor.call(quiet, on_fn(b"q"))) == b"q"
            slowest = max(slowest, time.monotonic() - began)
            await asyncio.sleep(0.02)
        outcome = await call
        assert body_of(outcome) == b"done"
        assert sum(len(text) for _, _, text in outcome.log) < 1_100_000
        assert outcome.log[-1][2].startswith("-----max log size 1048576 bytes exceeded")
        assert resident(os.getpid()) - before < 30 << 20
        assert slowest < 2
        assert body_of(await supervisor.call(loud, on_fn(seconds=30))) == b"done"

    supervised(work)


def test_a_line_without_an_end_is_bounded() -> None:
    source = """
        import sys
        def main(args):
            sys.stdout.write("y" * (30 << 20))
            return {}
        """
    outcome = one_call(action(source), on_openwhisk())
    assert body_of(outcome) == b"{}"
    assert sum(len(text) for _, _, text in outcome.log) <= (10 << 20) + 200
    assert "Logs were truncated" in outcome.log[-1][2]


def test_a_thousand_processes_end(tmp_path: Path) -> None:
    source = """
        import os, time
        def handler(ctx, data=None):
            made = 0
            for _ in range(1000):
                try:
                    if not os.fork():
                        time.sleep(60)
                        os._exit(0)
                    made += 1
                except OSError:
                    break
            return str(made)
        """
    deployed = function(tmp_path / "f", source)

    async def work(supervisor: Supervisor) -> int:
        outcome = await supervisor.call(deployed, on_fn())
        return -1 if outcome.answer is None else int(body_of(outcome))

    assert supervised(work) < 50


def test_grandchildren_end_with_it(tmp_path: Path) -> None:
    place = tmp_path / "pids"
    place.mkdir()
    source = f"""
        import os, time
        def handler(ctx, data=None):
            if not os.fork():
                os.setsid()
                if not os.fork():
                    for number in range(3):
                        os.close(number)
                    open(os.path.join({str(place)!r}, str(os.getpid())), "w").close()
                    time.sleep(60)
                os._exit(0)
            time.sleep(60)
        """
    deployed = function(tmp_path / "f", source)
    for truth in (False,):
        outcome = one_call(deployed, on_fn(seconds=1.0), SupervisorSettings(truth=truth))
        assert outcome.failure == "timed out"
        assert all_ended(place)


def test_more_memory_than_it_may(tmp_path: Path) -> None:
    source = """
        def handler(ctx, data=None):
            return str(len(bytearray(b"x" * (400 << 20))))
        """
    deployed = function(tmp_path / "f", source, memory=128)
    outcome = one_call(deployed, on_fn())
    assert outcome.failure == "memory"
    assert outcome.detail == "it was ended for more than its 128 MB of memory"


def test_an_answer_of_another_status_ends_the_process(tmp_path: Path) -> None:
    deployed = action("def main(args):\n    return 7\n")

    async def work(supervisor: Supervisor) -> None:
        first = await supervisor.call(deployed, on_openwhisk())
        assert first.failure == ""
        second = await supervisor.call(deployed, on_openwhisk())
        assert second.cold  # a developer's error costs the container

    supervised(work)
