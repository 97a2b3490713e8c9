"""Actions of OpenWhisk that outlast its patience: their results are asked for, on real sockets."""

import asyncio
import json
import socket
import time
from collections.abc import Callable, Sequence

import pytest

from gpfn.bridge import activations
from gpfn.bridge.answers import Answer, judge
from gpfn.bridge.destinations import open_destination
from gpfn.errors import BackendTimeout, BrokenReply, CannotConnect
from gpfn.events import Event
from gpfn.events.modes import write
from gpfn.limits import Limits
from tests.graphpipe.scripted import Seen, read_request, scripted

ID = "0123456789abcdef0123456789abcdef"
EVENT = Event(type="t", source="/s", id="1")
REPLY = {
    "specversion": "1.0",
    "id": "r",
    "source": "/a",
    "type": "t",
    "data": [12345678901234567890],
}
ACCEPTED = (202, {"activationId": ID})
NOT_YET = (404, {"error": "The requested resource does not exist."})
ACTION = "/api/v1/namespaces/_/actions/pkg/f"

Given = tuple[int, object]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activations, "_ASK_SECONDS", 0.02)


def record(success: bool, status: str, result: object) -> Given:
    """Return an activation's record."""
    response = {"success": success, "status": status, "result": result}
    return 200, {"activationId": ID, "duration": 70_000, "response": response}


def ask(
    answers: Sequence[Given],
    path: str = ACTION,
    seconds: float = 5.0,
    headers: tuple[tuple[str, str], ...] = (),
    after: Callable[[object], None] = lambda _: None,
) -> tuple[Answer, Seen]:
    """Call an action whose platform gives these answers; the last of them for ever."""
    left = list(answers)

    def script(sock: socket.socket, seen: Seen) -> None:
        while True:
            read_request(sock, seen)
            status, document = left.pop(0) if len(left) > 1 else left[0]
            body = document if isinstance(document, bytes) else json.dumps(document).encode()
            head = f"HTTP/1.1 {status} x\r\nContent-Type: application/json\r\n"
            sock.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    with scripted(script) as server:

        async def main() -> Answer:
            url = f"http://user:key@127.0.0.1:{server.port}{path}"
            destination = open_destination(url, headers=headers)
            told: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
            destination.call(write((EVENT,), "binary"), EVENT, seconds, told.set_result)
            try:
                after(destination)
                async with asyncio.timeout(10):
                    return await told
            finally:
                destination.close()

        return asyncio.run(main()), server


def asked(seen: Seen) -> list[str]:
    return [head.decode().split(" HTTP")[0] for head, _ in seen.requests]


def test_the_result_is_asked_for_until_it_is_there() -> None:
    given = [ACCEPTED, NOT_YET, (503, {}), NOT_YET, record(True, "success", REPLY)]
    answer, seen = ask(given)
    assert isinstance(answer, tuple)
    verdict = judge(answer, Limits())
    assert (verdict.kind, [reply.id for reply in verdict.replies]) == ("done", ["r"])
    assert verdict.replies[0].json() == [12345678901234567890]
    assert asked(seen) == [
        f"POST {ACTION}?blocking=true&result=true",
        *[f"GET /api/v1/namespaces/_/activations/{ID}"] * 4,
    ]
    assert {seen.header("authorization", n) for n in range(5)} == {"Basic dXNlcjprZXk="}


def test_the_routes_headers_go_along() -> None:
    headers = (("Authorization", "Bearer t"), ("x-tenant", "a"))
    _, seen = ask([ACCEPTED, record(True, "success", REPLY)], headers=headers)
    assert seen.header("authorization", 1) == "Bearer t"
    assert seen.header("x-tenant", 1) == "a"


def test_the_record_is_with_who_called() -> None:
    """Not in the namespace of the action, which may be somebody else's."""
    _, seen = ask(
        [ACCEPTED, record(True, "success", REPLY)], "/api/v1/namespaces/other/actions/p/f"
    )
    assert asked(seen)[1] == f"GET /api/v1/namespaces/_/activations/{ID}"


@pytest.mark.parametrize(
    ("status", "code"),
    [("application error", 502), ("action developer error", 502), ("whisk internal error", 500)],
)
def test_a_failure_is_what_it_would_have_been_in_time(status: str, code: int) -> None:
    answer, _ = ask([ACCEPTED, record(False, status, {"error": "x"})])
    assert isinstance(answer, tuple)
    assert (answer[0], bytes(answer[1].body)) == (code, b'{"error":"x"}')


def test_what_does_not_end_in_time_failed() -> None:
    began = time.monotonic()
    answer, seen = ask([ACCEPTED, NOT_YET], seconds=0.3)
    assert isinstance(answer, BackendTimeout)
    assert ID in str(answer)
    assert "key" not in str(answer)
    assert 0.25 < time.monotonic() - began < 3
    assert len(seen.requests) > 3


def test_who_may_not_ask_is_told_so() -> None:
    answer, _ = ask([ACCEPTED, (403, {"error": "no"})])
    assert isinstance(answer, tuple)
    assert answer[0] == 403


@pytest.mark.parametrize(
    "body",
    [
        b"no JSON",
        b"[]",
        b'{"response": 1}',
        b'{"response": {}}',
        b'{"response": {"success": true, "result": ' + b"[" * 400 + b"]" * 400 + b"}}",
    ],
)
def test_a_record_that_is_none_is_a_broken_reply(body: bytes) -> None:
    answer, _ = ask([ACCEPTED, (200, body)])
    assert isinstance(answer, BrokenReply)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (f"{ACTION}?blocking=false", {"activationId": ID}),  # nobody is waited for
        ("/other", {"activationId": ID}),  # no action
        (ACTION, {"activationId": "../../actions/other"}),
        (ACTION, {"activationId": 5}),
        (ACTION, b"accepted"),
        (ACTION, b""),
    ],
)
def test_another_202_is_an_answer(path: str, body: object) -> None:
    answer, seen = ask([(202, body)], path)
    assert isinstance(answer, tuple)
    assert answer[0] == 202
    assert len(seen.requests) == 1


def test_who_waits_is_told_when_it_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activations, "_ASK_SECONDS", 2.0)

    def close(destination: object) -> None:
        asyncio.get_running_loop().call_later(0.5, destination.close)  # type: ignore[attr-defined]

    answer, seen = ask([ACCEPTED, NOT_YET], seconds=9.0, after=close)
    assert isinstance(answer, CannotConnect)
    assert len(seen.requests) == 1
