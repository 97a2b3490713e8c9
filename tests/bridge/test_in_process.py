"""A function in the bridge's own process: answers, failures, and calls that never end."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gpfn.bridge.answers import Answer
from gpfn.bridge.destinations import open_destination
from gpfn.bridge.in_process import InProcess
from gpfn.bridge.matching import filter_of
from gpfn.bridge.spec import RouteSpec
from gpfn.errors import BackendTimeout
from gpfn.events import Event
from gpfn.events.modes import read, write

FUNCTION = """
import time
from gpfn import Function

def work(event):
    if event.id.startswith("hang"):
        time.sleep(600)
    if event.id == "fail":
        raise RuntimeError("no")
    return event.id

handler = Function(work, takes="event", name="work").fn
"""


def ask(folder: Path, *rounds: list[str], seconds: float) -> list[list[Answer]]:
    """Call the function with all of a round at once, one round after the other."""
    (folder / "func.py").write_text(FUNCTION)

    async def called(function: InProcess, ids: list[str]) -> list[Answer]:
        loop = asyncio.get_running_loop()
        told: list[asyncio.Future[Answer]] = [loop.create_future() for _ in ids]
        for name, future in zip(ids, told, strict=True):
            event = Event(type="t", source="/s", id=name)
            function.call(write((event,), "binary"), event, seconds, future.set_result)
        async with asyncio.timeout(20):
            return await asyncio.gather(*told)

    async def main() -> list[list[Answer]]:
        function = InProcess(str(folder))
        try:
            return [await called(function, ids) for ids in rounds]
        finally:
            function.close()

    return asyncio.run(main())


def test_answers_and_failures(tmp_path: Path) -> None:
    ((good, bad),) = ask(tmp_path, ["a", "fail"], seconds=5.0)
    assert isinstance(good, tuple)
    assert isinstance(bad, tuple)
    received = read(good[1])
    assert good[0] == 200
    assert received is not None
    assert received.events[0].attribute("causationid") == "a"
    assert bad[0] == 500


def test_a_routes_variables_are_the_functions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They go over those that are set, and over func.yaml's, which are there where none is set."""
    monkeypatch.setattr(os, "environ", dict(os.environ) | {"GIVEN": "old", "KEPT": "old"})
    (tmp_path / "func.yaml").write_text(
        "schema_version: 20180708\nname: f\nconfig: {GIVEN: y, KEPT: y, NAMED: y, ONLY: y}\n"
    )
    (tmp_path / "func.py").write_text(
        "import json, os, pathlib\nfrom gpfn import Function\n"
        'pathlib.Path(__file__).with_name("seen").write_text(json.dumps(dict(os.environ)))\n'
        'handler = Function(lambda event: 1, takes="event").fn\n'
    )
    spec = RouteSpec(
        "f", filter_of({}, "match"), str(tmp_path), config={"GIVEN": "r", "NAMED": "r"}
    )
    open_destination(spec.call, config=spec.config).close()
    seen = json.loads((tmp_path / "seen").read_text())
    assert [seen[name] for name in ("GIVEN", "KEPT", "NAMED", "ONLY")] == ["r", "old", "r", "y"]


def test_calls_that_hang_are_answered_for_and_keep_nobody_waiting(tmp_path: Path) -> None:
    cores = len(os.sched_getaffinity(0))
    hanging = [f"hang-{n}" for n in range(3 * cores)]
    late, good = ask(tmp_path, hanging, [str(n) for n in range(20)], seconds=0.5)
    assert all(isinstance(answer, BackendTimeout) for answer in late)
    assert all(isinstance(answer, tuple) and answer[0] == 200 for answer in good)


def test_a_bridge_whose_function_hangs_ends_at_sigterm(tmp_path: Path) -> None:
    (tmp_path / "func.py").write_text(FUNCTION)
    event = '{"specversion":"1.0","id":"hang-1","source":"/s","type":"t"}\n'
    (tmp_path / "in.jsonl").write_text(event)
    command = [sys.executable, "-m", "gpfn", "bridge", "run", "bridge.toml"]
    (tmp_path / "bridge.toml").write_text(
        '[source]\nfile = "in.jsonl"\nfollow = true\n[[route]]\ncall = "func.py"\n'
        "[delivery]\ndrain = 0.5\n"
    )
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        time.sleep(3.0)
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
    finally:
        process.kill()
        process.wait()
