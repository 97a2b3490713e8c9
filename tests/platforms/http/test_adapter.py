"""The application as any ASGI server may call it: the messages of the specification."""

import asyncio
import json
import subprocess
import sys
from collections.abc import MutableMapping
from typing import Any

import pytest

from gpfn.errors import ModelFailed, SetupError
from gpfn.function import Function
from gpfn.platforms.http.adapter import AsgiApp
from gpfn.platforms.http.settings import HttpSettings

Sent = list[MutableMapping[str, Any]]


def app(**settings: Any) -> AsgiApp:
    function = Function(lambda payload: payload.json(), takes="payload", name="same")
    return AsgiApp(function, HttpSettings(**{"threads": 1, **settings}))


def exchange(served: AsgiApp, scope: dict[str, Any], *received: dict[str, Any]) -> Sent:
    """Call the application with what is received; return what it sends."""
    sent: Sent = []
    coming = iter(received)

    async def receive() -> MutableMapping[str, Any]:
        return next(coming)

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    asyncio.run(served(scope, receive, send))
    return sent


def http(path: str = "/", method: str = "POST", **scope: Any) -> dict[str, Any]:
    headers = [(b"transfer-encoding", b"chunked")]
    return {"type": "http", "method": method, "path": path, "headers": headers, **scope}


def piece(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def test_lifespan_opens_the_function() -> None:
    served = app()
    sent = exchange(
        served, {"type": "lifespan"}, {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}
    )
    kinds = [message["type"] for message in sent]
    assert kinds == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert served.function.is_open


def test_without_lifespan_the_first_call_opens_it() -> None:
    served = app()
    start, body = exchange(served, http(), piece(b"[1,", more=True), piece(b"2]"))
    assert start["status"] == 200
    assert dict(start["headers"])[b"content-length"] == b"5"
    assert body == {"type": "http.response.body", "body": b"[1,2]", "more_body": False}


def test_without_lifespan_readiness_opens_it() -> None:
    async def ready() -> list[int]:
        statuses: list[int] = []

        async def receive() -> MutableMapping[str, Any]:
            return piece(b"")

        async def send(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        while statuses[-1:] != [200]:
            await served(http("/health/ready", "GET"), receive, send)
            await asyncio.sleep(0.01)
        return statuses

    served = app()
    assert 503 in asyncio.run(ready())


@pytest.mark.parametrize("path", ["/mounted", "/mounted/", "/mounted/same"])
def test_mounted_below_a_path(path: str) -> None:
    start, _ = exchange(app(), http(path, root_path="/mounted"), piece(b"1"))
    assert start["status"] == 200


def test_a_websocket_is_refused() -> None:
    [message] = exchange(app(), {"type": "websocket", "path": "/"})
    assert message["type"] == "websocket.close"


def test_an_unknown_scope_is_left_alone() -> None:
    assert exchange(app(), {"type": "telegraph"}) == []


def test_a_client_that_is_gone_gets_nothing() -> None:
    assert exchange(app(), http(), piece(b"[", more=True), {"type": "http.disconnect"}) == []


def test_an_answer_before_the_body_is_followed_by_a_drain() -> None:
    pieces = (piece(b"x", more=True), piece(b"y", more=True), piece(b"z"))
    start, body, end = exchange(app(), http("/nowhere"), *pieces)
    assert start["status"] == 404
    assert (b"connection", b"close") in start["headers"]
    assert body["more_body"]
    assert end == {"type": "http.response.body", "body": b""}


def test_a_failure_of_our_own_is_answered_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Injected: nothing that a caller sends is known to cause one."""
    served = app()

    def broken(*_args: object) -> None:
        raise ModelFailed("from within")

    monkeypatch.setattr(served.service._service, "_page", broken)
    start, body = exchange(served, {**http("/health/live", "GET"), "headers": []})
    assert start["status"] == 502
    assert json.loads(body["body"])["error"]["type"] == "model-failed"


def test_a_view_goes_out_as_bytes() -> None:
    from gpfn.message import Message

    function = Function(lambda _: Message(memoryview(b"abc"), "text/x"), takes="payload", name="v")
    _, body = exchange(AsgiApp(function, HttpSettings(threads=1)), http(), piece(b""))
    assert body["body"] == b"abc"
    assert type(body["body"]) is bytes


def test_making_one_loads_neither_an_event_loop_nor_anything_else_heavy() -> None:
    """Every function's file makes one, and a cold start on Fn would pay for it."""
    code = (
        "import sys; from gpfn.function.function import Function;"
        "before = set(sys.modules);"
        "app = Function(lambda payload: payload, takes='payload').asgi;"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    added = set(done.stdout.split())
    assert "gpfn.platforms.http.adapter" in added
    assert added <= {
        "gpfn.platforms",
        "gpfn.platforms.http",
        "gpfn.platforms.http.adapter",
    }


def test_wrong_settings_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPFN_QUEUE", "many")
    with pytest.raises(SetupError, match="GPFN_QUEUE: expected a whole number"):
        exchange(AsgiApp(Function(lambda payload: payload, takes="payload")), http())
