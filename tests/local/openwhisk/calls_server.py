"""OpenWhisk's REST with calls: by processes, or by what a test answers in their place."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gpfn.local.calling import CallOutcome, FunctionCall, FunctionCaller, ProcessAnswer
from gpfn.local.calls import CallRecord, Calls
from gpfn.local.deployed import Deployed, MappedImage, Resolve
from gpfn.local.openwhisk.activations import WhiskActivations
from gpfn.local.openwhisk.asking import WhiskRoute
from gpfn.local.openwhisk.entities import WhiskEntities
from gpfn.local.openwhisk.invoking import InvokingSettings
from gpfn.local.openwhisk.service import WhiskCalls
from gpfn.local.state import State
from gpfn.local.supervisor.supervisor import Supervisor
from gpfn.log import Log
from tests.local.openwhisk.whisk_server import Reply, WhiskServer, whisk_server

__all__ = ["CallsServer", "Scripted", "answered", "calls_server", "python", "real_server"]

Script = Callable[[Deployed, FunctionCall], Awaitable[CallOutcome]]


def answered(value: Any, *, status: int = 200, **more: Any) -> CallOutcome:
    """Return the outcome of a process that answered with a value, or with bytes."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    answer = ProcessAnswer(status, (("content-length", str(len(body))),), body)
    return CallOutcome(answer, **more)


class Scripted:
    """Stands where the supervisor does: answers with what it got, or as a test says by name."""

    def __init__(self) -> None:
        self.seen: list[tuple[Deployed, FunctionCall]] = []
        self.scripts: dict[str, Script | CallOutcome] = {}

    def begin(self, deployed: Deployed, call: FunctionCall, answered: Any, done: Any) -> bool:
        return False

    async def call(self, deployed: Deployed, call: FunctionCall) -> CallOutcome:
        self.seen.append((deployed, call))
        script = self.scripts.get(deployed.name)
        if script is None:
            return answered(json.loads(call.body)["value"])
        return script if isinstance(script, CallOutcome) else await script(deployed, call)

    def forget(self, key: str) -> None:
        raise AssertionError(key)

    async def close(self) -> None:
        """There is nothing to end."""

    @property
    def last(self) -> dict[str, Any]:
        """What the last call's ``/run`` was sent."""
        document: dict[str, Any] = json.loads(self.seen[-1][1].body)
        return document


class CallsServer:
    """A server, what calls functions for it, and the calls that there were."""

    def __init__(self, server: WhiskServer, caller: FunctionCaller, calls: Calls) -> None:
        self.server = server
        self.caller = caller
        self._calls = calls
        self.log: list[str] = []
        self.api = server.api

    def running(self) -> list[str]:
        """Return the ids of the calls that have begun and not ended."""
        return [each.id for each in self._calls.running]

    def told(self) -> list[CallRecord]:
        """Return what is kept of the calls that are over, the newest first."""

        async def read() -> list[CallRecord]:
            found = [self._calls.get(each.number) for each in self._calls.recent()]
            return [each for each in found if each is not None]

        records: list[CallRecord] = self.on_loop(read())
        return records

    @property
    def scripted(self) -> Scripted:
        assert isinstance(self.caller, Scripted)
        return self.caller

    def make(self, name: str, exec_: Mapping[str, Any] | None = None, **more: Any) -> None:
        """Make an action; in a package when its name has a slash."""
        body = {"exec": exec_ or {"kind": "blackbox", "image": "example/a:1"}, **more}
        reply = self.api("PUT", f"actions/{name}?overwrite=true", body)
        assert reply.status == 200, reply

    def sequence(self, name: str, *components: str) -> None:
        """Make a sequence of actions that are there."""
        self.make(name, {"kind": "sequence", "components": [f"/_/{each}" for each in components]})

    def invoke(self, name: str, body: Any = None, query: str = "blocking=true") -> Reply:
        """Call an action, blocking if nothing else is asked for."""
        return self.api("POST", f"actions/{name}?{query}", {} if body is None else body)

    def activation(self, identifier: str, part: str = "") -> Any:
        """Return the record of an activation, which has to be there."""
        reply = self.api("GET", f"activations/{identifier}{part}")
        assert reply.status == 200, reply
        return reply.json

    def wait_for(self, identifier: str) -> Any:
        """Return the record of an activation when it is over."""
        for _ in range(400):
            reply = self.api("GET", f"activations/{identifier}")
            if reply.status == 200:
                return reply.json
            assert reply.status == 404
            self.on_loop(asyncio.sleep(0.025))
        raise AssertionError(f"no record of {identifier}")

    def on_loop(self, work: Any) -> Any:
        """Do something on the loop's thread."""
        loop = self.server._server.loop
        return asyncio.run_coroutine_threadsafe(work, loop).result(30)


def python(source: str) -> dict[str, Any]:
    """Return an action's code of Python."""
    return {"kind": "python:default", "code": source}


@contextmanager
def calls_server(
    place: Path | None = None,
    *,
    caller: FunctionCaller | None = None,
    images: Mapping[str, MappedImage] | None = None,
    resolve: Resolve | None = None,
    settings: InvokingSettings | None = None,
) -> Iterator[CallsServer]:
    """Serve entities and calls; ``caller`` is scripted unless there is another one.

    Without ``images`` every image stands for a file that only the scripted caller can run.
    """
    caller = caller or Scripted()

    def known(image: str) -> MappedImage | None:
        return MappedImage("1", Path("func.py")) if images is None else images.get(image)

    def more(state: State, entities: WhiskEntities) -> Sequence[WhiskRoute]:
        calls = Calls(state)
        whisk = WhiskCalls(
            entities,
            caller,
            calls,
            WhiskActivations(state),
            resolve=resolve or known,
            unknown=lambda image: f"gpfn dev --map {image}=FOLDER says which is meant",
            log=Log("test", sink=lambda line, _: served.log.append(line.decode())),
            settings=settings,
        )
        made.append((whisk, calls))
        return whisk.routes

    made: list[tuple[WhiskCalls, Calls]] = []
    with whisk_server(place, more) as server:
        served = CallsServer(server, caller, made[0][1])
        try:
            yield served
        finally:
            served.on_loop(made[0][0].close())
            served.on_loop(caller.close())
    assert not served.log


def real_server(place: Path | None = None, **more: Any) -> Any:
    """Serve calls by real processes."""
    return calls_server(place, caller=Supervisor(), **more)
