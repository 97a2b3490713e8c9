"""What the console shows of functions, and how it calls one: as any other client does.

A call from the console goes over HTTP to the server it comes from, so that what is shown is what
a caller gets: the same routes, limits and replies. A function of Fn and the action of the same
image are one function with several ways.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from gpfn.errors import GpfnError, InvalidRequest
from gpfn.http.address import parse_url, request_head
from gpfn.http.loop.client import LoopClient
from gpfn.local.calls import CallRecord, Calls, RunningCall
from gpfn.local.console.sending import is_object
from gpfn.local.console.shell import action_target, web_target
from gpfn.local.console.views import SentEvent, ShownFunction
from gpfn.local.openwhisk.api import GUEST_KEY

if TYPE_CHECKING:
    from gpfn.http.response import HttpResponse
    from gpfn.local.fn.entities import FnEntities
    from gpfn.local.fn.entity import Fn
    from gpfn.local.folders import LocalFunction
    from gpfn.local.images import LocalImages
    from gpfn.local.openwhisk.entities import WhiskEntities
    from gpfn.local.openwhisk.records import WhiskAction
    from gpfn.local.supervisor.supervisor import ProcessFacts, Supervisor

__all__ = ["Deployments", "OfferedFunctions"]

_MOST = 500
_SECONDS = 330.0
_KEPT_SECONDS = 10.0
_MOST_SAMPLE = 1 << 20
_MOST_SAMPLES = 20
_MOST_CODE = 64 << 10
_MOST_ANSWER = 128 << 20
_IDS = ("fn-call-id", "x-openwhisk-activation-id")
_AGENT = ("User-Agent", "console/1")
_TAKES_IMAGES = (b"Classifier(", b"ImageInput(", b"Prepare(")
_BUSY, _WARM = ("busy", "starting"), ("idle", "frozen")


class Deployments(NamedTuple):
    """What is deployed on both platforms, and what its images stand for."""

    fns: FnEntities
    actions: WhiskEntities
    images: LocalImages


class OfferedFunctions:
    """What is deployed now (a :class:`gpfn.local.console.views.ConsoleFunctions`)."""

    def __init__(
        self,
        deployments: Deployments,
        supervisor: Supervisor,
        calls: Calls,
        urls: Sequence[str],
        edits: Mapping[str, Sequence[float]],
    ) -> None:
        """``urls`` are where Fn and OpenWhisk are, ``edits`` when functions' files changed."""
        self._fns, self._actions, self._images = deployments
        self._supervisor = supervisor
        self._calls = calls
        self._fn, self._whisk = (parse_url(url) for url in urls)
        self._edits = edits

    def functions(self) -> Sequence[ShownFunction]:
        """Return all functions and actions, sorted by name."""
        actions = {str(one.ref): one for one in self._actions.actions(limit=_MOST)}
        processes: dict[str, list[ProcessFacts]] = {}
        for facts in self._supervisor.processes():
            processes.setdefault(facts.key, []).append(facts)
        fns = [
            fn for app in self._fns.apps(limit=_MOST) for fn in self._fns.fns(app.id, limit=_MOST)
        ]
        found = [self._of_fn(fn, actions, processes) for fn in fns[:_MOST]]
        found += [self._of_action(one, processes) for one in actions.values()]
        return sorted(found, key=lambda one: (one.name, one.app, one.key))

    def _of_fn(
        self,
        fn: Fn,
        actions: dict[str, WhiskAction],
        processes: Mapping[str, Sequence[ProcessFacts]],
    ) -> ShownFunction:
        app = self._fns.app(fn.app_id).name
        same = f"guest/{fn.name}"
        action = actions.get(same)
        if action is not None and action.exec.image == fn.image:
            del actions[same]
        else:
            action = None
        keys = (fn.id, same) if action else (fn.id,)
        triggers = self._fns.triggers(fn.app_id, fn_id=fn.id, limit=1)
        trigger = quote(f"/t/{app}{triggers[0].source}") if triggers else ""
        ways = ("fn", *(["trigger"] if trigger else []), *(["openwhisk"] if action else []))
        shown = ShownFunction(
            fn.id, fn.name, app, keys, memory_limit=fn.memory, ways=ways, invoke_id=fn.id,
            trigger=trigger, action=fn.name if action else "",
        )  # fmt: skip
        return self._completed(shown, fn.image, processes)

    def _of_action(
        self, action: WhiskAction, processes: Mapping[str, Sequence[ProcessFacts]]
    ) -> ShownFunction:
        ref = action.ref
        name = f"{ref.package}/{ref.name}" if ref.package else ref.name
        shown = ShownFunction(
            str(ref),
            name,
            keys=(str(ref),),
            memory_limit=action.limits.memory,
            ways=("openwhisk",),
            action=name,
        )
        if action.exec.components:
            names = ", ".join(each.name for each in action.exec.components)
            return shown._replace(state="sequence", reason=f"of {names}")
        return self._completed(shown, action.exec.image, processes)

    def _completed(
        self, shown: ShownFunction, image: str, processes: Mapping[str, Sequence[ProcessFacts]]
    ) -> ShownFunction:
        """Add how its processes are, and what its folder has."""
        facts = [each for key in shown.keys for each in processes.get(key, ())]
        state, reason = self._state(shown.keys, facts)
        function = self._images.function(image) if image else None
        folder = function.folder if function else None
        return shown._replace(
            state=state,
            reason=reason,
            memory=max((each.memory for each in facts), default=0),
            processes=len(facts),
            samples=tuple(_samples(folder)),
            image=function is not None and _takes_images(function),
            saved=tuple(self._edits.get(shown.name, ())),
        )

    def _state(self, keys: Sequence[str], facts: Sequence[ProcessFacts]) -> tuple[str, str]:
        if any(each.state in _BUSY for each in facts):
            return "busy", self._runs(keys)
        if any(each.state in _WARM for each in facts):
            return "warm", ""
        last = [record for key in keys for record in self._calls.recent(1, key=key)]
        newest = max(last, key=lambda record: record.number, default=None)
        if newest is not None and newest.failure:
            return "failed", newest.detail or newest.failure
        return "cold", "not called yet" if newest is None else "no process runs"

    def _runs(self, keys: Sequence[str]) -> str:
        """Return in words what runs now."""
        began = [call.began for call in self._calls.running if call.key in keys]
        if not began:
            return ""
        since = time.strftime("since %H:%M:%S UTC", time.gmtime(min(began)))
        return f"{len(began)} calls, the first {since}" if len(began) > 1 else f"a call {since}"

    def sample(self, key: str, name: str) -> bytes:
        """Return a sample of a function. Raises InvalidRequest (404) for an unknown one."""
        shown = self._shown(key)
        function = self._images.function(self._image(shown))
        if function is None or name not in shown.samples:
            raise InvalidRequest("there is no such sample", field="sample", status=404)
        try:
            with (function.folder / name).open("rb") as file:
                return file.read(_MOST_SAMPLE)
        except OSError as error:
            told = f"the sample cannot be read: {error.strerror}"
            raise InvalidRequest(told, field="sample", status=404) from None

    def _shown(self, key: str) -> ShownFunction:
        shown = next((one for one in self.functions() if one.key == key), None)
        if shown is None:
            raise InvalidRequest("there is no such function", field="function", status=404)
        return shown

    def _image(self, shown: ShownFunction) -> str:
        if shown.invoke_id:
            return self._fns.fn(shown.invoke_id).image
        actions = {str(one.ref): one for one in self._actions.actions(limit=_MOST)}
        return actions[shown.key].exec.image

    # calls

    async def send(self, event: SentEvent) -> CallRecord:
        """Call a function as a client of its platform does, and return the call as kept.

        Raises what is wrong with the request as a GpfnError.
        """
        shown = self._shown(event.key)
        if event.way not in shown.ways:
            raise InvalidRequest(f"{shown.name} is not called as {event.way:.40}", field="way")
        if event.cold:
            for key in shown.keys:
                self._supervisor.renew(key)
        kept: dict[str, CallRecord] = {}
        came = asyncio.Event()

        def follow(call: CallRecord | RunningCall) -> None:
            if isinstance(call, CallRecord) and call.caller == "console":
                kept[call.id] = call
                came.set()

        unsubscribe = self._calls.subscribe(follow)
        try:
            answer = await self._sent(shown, event)
            return await _kept_one(answer, kept, came)
        finally:
            unsubscribe()

    async def _sent(self, shown: ShownFunction, event: SentEvent) -> HttpResponse:
        address = self._whisk if event.way == "openwhisk" else self._fn
        line, headers = _asked(shown, event)
        method, _, target = line.partition(" ")
        head = request_head(method, address._replace(target=target), None, [_AGENT, *headers])
        client = LoopClient(address, connections=1, limit=_MOST_ANSWER)
        answered: asyncio.Future[HttpResponse | GpfnError]
        answered = asyncio.get_running_loop().create_future()
        try:
            client.send(head, event.body, _SECONDS, answered.set_result)
            answer = await answered
        finally:
            client.close()
        if isinstance(answer, GpfnError):
            raise answer
        return answer


async def _kept_one(
    answer: HttpResponse, kept: Mapping[str, CallRecord], came: asyncio.Event
) -> CallRecord:
    """Return the record of the call that was answered: it may be written after the answer."""
    call = next((answer.headers[name] for name in _IDS if name in answer.headers), "")
    if not call:
        told = bytes(answer.body[:300]).decode(errors="replace")
        raise InvalidRequest(f"refused with {answer.status}: {told}", status=answer.status)
    async with asyncio.timeout(_KEPT_SECONDS):
        while call not in kept:
            came.clear()
            await came.wait()
    return kept[call]


def _asked(shown: ShownFunction, event: SentEvent) -> tuple[str, list[tuple[str, str]]]:
    """Return the method and the target for an event, and the headers that say what it is."""
    kind = [("Content-Type", event.media_type)] if event.media_type else []
    if event.line:
        return event.line, kind
    if event.way == "trigger":
        return f"POST {shown.trigger}", kind
    if event.way != "openwhisk":
        return f"POST /invoke/{shown.invoke_id}", kind
    if not is_object(event.media_type, event.body):  # only a web action takes that
        return f"POST {web_target(shown.action)}", kind
    basic = f"Basic {base64.b64encode(GUEST_KEY.encode()).decode()}"
    json = [("Content-Type", "application/json"), ("Authorization", basic)]
    return f"POST {action_target(shown.action)}", json


def _samples(folder: Path | None) -> Iterator[str]:
    """Yield the names of the samples that a function's folder has."""
    if folder is None:
        return
    names = sorted(path.name for path in folder.glob("sample*.*"))
    yield from [name for name in names if (folder / name).is_file()][:_MOST_SAMPLES]


def _takes_images(function: LocalFunction) -> bool:
    """Say whether a function is one of images, by its own words: it is not loaded for that."""
    try:
        with function.target.file.open("rb") as file:
            code = file.read(_MOST_CODE)
    except OSError:  # its next call says so
        return False
    return any(word in code for word in _TAKES_IMAGES)
