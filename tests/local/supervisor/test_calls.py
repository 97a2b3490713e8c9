"""Calls of real processes: answers, stages, logs, and what is kept between two calls."""

from pathlib import Path

from gpfn.local.supervisor.supervisor import Supervisor
from tests.local.supervisor.functions import (
    ECHO,
    action,
    body_of,
    function,
    on_fn,
    on_openwhisk,
    supervised,
    texts,
)


def test_a_function_answers_cold_and_then_warm(tmp_path: Path) -> None:
    deployed = function(tmp_path / "echo", ECHO)

    async def work(supervisor: Supervisor) -> None:
        first = await supervisor.call(deployed, on_fn(b"one"))
        assert body_of(first) == b"one"
        assert first.cold
        assert first.stages.start > 0
        assert first.memory > 5_000_000
        second = await supervisor.call(deployed, on_fn(b"two"))
        assert body_of(second) == b"two"
        assert not second.cold
        assert second.stages.start == 0
        assert second.pid == first.pid
        assert second.stages.run < 0.5

    supervised(work)


def test_an_action_is_initialised_once(tmp_path: Path) -> None:
    deployed = action("""
        import os
        print("imported")
        count = 0
        def main(args):
            global count
            count += 1
            print("call", count)
            return {"count": count, "name": args.get("name"), "env": os.environ["__OW_ACTION_NAME"]}
        """)

    async def work(supervisor: Supervisor) -> None:
        call = on_openwhisk({"name": "n"}, __OW_ACTION_NAME="/guest/a")
        first = await supervisor.call(deployed, call)
        assert b'"count":1' in body_of(first)
        assert b"/guest/a" in body_of(first)
        assert first.stages.init > 0
        assert texts(first) == ["imported", "call 1"]
        second = await supervisor.call(deployed, call)
        assert b'"count":2' in body_of(second)
        assert second.stages.init == 0
        assert texts(second) == ["call 2"]

    supervised(work)


def test_globals_belong_to_one_function(tmp_path: Path) -> None:
    counter = "n = 0\ndef handler(ctx, data=None):\n    global n\n    n += 1\n    return str(n)\n"
    one, other = (function(tmp_path / name, counter) for name in ("one", "other"))

    async def work(supervisor: Supervisor) -> list[bytes]:
        calls = [(one, on_fn()), (one, on_fn()), (other, on_fn())]
        return [body_of(await supervisor.call(deployed, call)) for deployed, call in calls]

    assert supervised(work) == [b"1", b"2", b"1"]
