"""Functions in folders and actions in text, and what is asked of them."""

import asyncio
import json
import os
import textwrap
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from gpfn.hosts.fn import call_id
from gpfn.hosts.fn_request import encode_request
from gpfn.hosts.host import Invocation
from gpfn.local.calling import CallOutcome, FunctionCall
from gpfn.local.deployed import ActionCode, Deployed
from gpfn.local.supervisor.settings import SupervisorSettings
from gpfn.local.supervisor.supervisor import Supervisor

__all__ = [
    "ECHO",
    "PATIENT",
    "action",
    "body_of",
    "function",
    "is_busy",
    "on_fn",
    "on_openwhisk",
    "served",
    "supervised",
    "texts",
    "until",
]

T = TypeVar("T")

PATIENT = SupervisorSettings(start_seconds=60.0)
"""Truth mode, where a machine that is busy with other tests has more time to start something."""

ECHO = """
def handler(ctx, data=None):
    return data.getvalue()
"""


def function(folder: Path, source: str, name: str = "func.py", **fields: object) -> Deployed:
    """Write a function into a folder; returns it as deployed."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(textwrap.dedent(source))
    key = str(fields.pop("key", folder.name))
    given = {"revision": "1", "file": file, "idle_timeout": 30.0, **fields}
    return Deployed(key=key, platform="fn", name=folder.name, **given)  # type: ignore[arg-type]


def action(source: str, *, name: str = "a", **fields: object) -> Deployed:
    """Return an action whose code is sent with /init."""
    code = ActionCode(textwrap.dedent(source), binary=False)
    given = {"revision": "1", "code": code, "memory": 256, "timeout": 20.0, **fields}
    return Deployed(key=f"guest/{name}", platform="openwhisk", name=name, **given)  # type: ignore[arg-type]


def on_fn(body: bytes = b"", *, seconds: float = 10.0, wait: float = 20.0) -> FunctionCall:
    """Return a call as an Fn server sends it."""
    identifier = call_id()
    request = Invocation(body, "text/plain", timeout=max(2.0, seconds + 1))
    return FunctionCall(identifier, encode_request(request, identifier), seconds, wait)


def on_openwhisk(
    value: object = None, *, seconds: float = 10.0, wait: float = 20.0, **environ: str
) -> FunctionCall:
    """Return a call as OpenWhisk's invoker sends it."""
    body = json.dumps({"value": {} if value is None else value, "activation_id": "a" * 32})
    return FunctionCall("a" * 32, body.encode(), seconds, wait, tuple(environ.items()))


def body_of(outcome: CallOutcome) -> bytes:
    """Return what was answered, of a call that has an answer."""
    assert outcome.answer is not None, outcome
    assert outcome.failure == "", outcome
    return outcome.answer.body


def texts(outcome: CallOutcome) -> list[str]:
    """Return the lines of a call's log that are none of the runner's own."""
    lines = [text for _, _, text in outcome.log]
    return [text for text in lines if "gpfn" not in text and " info " not in text]


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds; fails after ten seconds without it."""
    late = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < late, "it never came to that"
        await asyncio.sleep(0.01)


def is_busy(supervisor: Supervisor) -> bool:
    """Say whether a process has a call."""
    return any(fact.state == "busy" for fact in supervisor.processes())


async def served(
    work: Callable[[Supervisor], Awaitable[T]], settings: SupervisorSettings | None = None
) -> T:
    """Do something with a supervisor, and see that nothing of it is left."""
    supervisor = Supervisor(settings or PATIENT)
    try:
        return await work(supervisor)
    finally:
        await supervisor.close()
        assert not supervisor.processes()
        left = [name for name in os.listdir("/tmp") if name.startswith(f"gpfn-dev-{os.getpid()}-")]
        assert not left


def supervised(
    work: Callable[[Supervisor], Awaitable[T]], settings: SupervisorSettings | None = None
) -> T:
    """Run :func:`served` on a loop of its own."""
    results: list[T] = []

    async def main() -> None:  # asyncio.run writes down its result, which may be large
        results.append(await served(work, settings))

    asyncio.run(main())
    return results[0]
