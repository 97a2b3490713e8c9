"""The same file under the stock FDK and under our runner gives the same replies."""

from pathlib import Path

import orjson
import pytest

from gpfn.platforms.fn.adapter import FnHandler
from tests.platforms.fn.container import FDK, OURS, Reply, call_bytes, container, trigger

FILES = Path(__file__).parent / "files"

EVENT = orjson.dumps(
    {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "subject": "x", "data": [1]}
)
BINARY = ("Ce-Id: 42", "Ce-Specversion: 1.0", "Ce-Type: t", "Ce-Source: /s", "Ce-Subject: x")
LATE = "2020-01-01T00:00:00Z"
CALLS = {
    "plain": call_bytes(b"abc"),
    "empty": call_bytes(),
    "large": call_bytes(bytes(range(256)) * 4000, content_type="application/octet-stream"),
    "structured as text": call_bytes(EVENT),
    "structured": call_bytes(EVENT, content_type="application/cloudevents+json"),
    "binary": call_bytes(b"[1]", *BINARY, content_type="application/json"),
    "binary by trigger": call_bytes(b"[1]", *trigger(*BINARY), content_type="application/json"),
    "plain by trigger": call_bytes(b"abc", *trigger("User-Agent: curl/8", "X: 1")),
    "the intent": call_bytes(b'{"id": "1"}', "Fn-Intent: cloudevent"),
    "late": call_bytes(b"abc", deadline=LATE),
    "late by trigger": call_bytes(b"abc", *trigger(), deadline=LATE),
    **{
        f"{body.decode()}{how}": call_bytes(body, *headers)
        for body in (b"refuse", b"backend", b"late", b"fail", b"exit")
        for how, headers in (("", ()), (" by trigger", trigger()))
    },
}
OF_THE_SERVER = ("connection", "keep-alive", "fn-fdk-version", "fn-fdk-runtime", "content-length")


def replies(command: list[str], handler: str) -> dict[str, Reply]:
    """Return the reply to every call."""
    with container(FILES / "echo.py", handler, command=command) as running:
        found = {case: running.call(data) for case, data in CALLS.items()}
        assert running.process.poll() is None
    return found


def comparable(reply: Reply) -> tuple[object, ...]:
    """Leave out what the servers say of themselves, and what is new in every event."""
    headers = {
        name: value
        for name, value in reply.headers
        if name not in (*OF_THE_SERVER, "ce-id", "ce-time", "fn-http-h-ce-id", "fn-http-h-ce-time")
    }
    body: object = reply.body
    if reply.header("content-type") == "application/cloudevents+json":
        body = {k: v for k, v in orjson.loads(reply.body).items() if k not in ("id", "time")}
    return reply.status, headers, body


@pytest.mark.parametrize("handler", ["handler", "later"])
def test_same_replies(handler: str) -> None:
    ours, stock = replies(OURS, handler), replies(FDK, handler)
    assert {case: reply.status for case, reply in ours.items()} == {
        case: reply.status for case, reply in stock.items()
    }
    for case, reply in ours.items():
        assert comparable(reply) == comparable(stock[case]), case


def test_the_failures_are_logged_under_the_stock_fdk_too() -> None:
    with container(FILES / "echo.py", "handler", command=FDK) as running:
        running.call(call_bytes(b"fail"))
        running.stop()
        assert "call=01M7YJCV41R00040J6M000001T RuntimeError: secret" in running.log


def test_an_adapter_shows_its_function() -> None:
    from gpfn import Function

    function = Function(lambda payload: payload, takes="payload")
    assert isinstance(function.fn, FnHandler)
    assert function.fn.function is function
    assert function.fn is function.fn
