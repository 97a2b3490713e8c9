"""Handlers written for the stock FDK run unchanged, and better."""

from pathlib import Path

import orjson
import pytest

from gpfn import __version__
from tests.platforms.fn.container import (
    FDK,
    LATER,
    OURS,
    Container,
    call_bytes,
    container,
    trigger,
)

FILES = Path(__file__).parent / "files"
MIRROR = FILES / "mirror.py"


@pytest.fixture(scope="module")
def fails() -> "object":
    with container(MIRROR, "fails") as running:
        yield running
        assert running.process.poll() is None


@pytest.mark.parametrize("command", [OURS, FDK], ids=["ours", "fdk"])
@pytest.mark.parametrize("by_trigger", [False, True])
def test_what_fn_init_writes_runs_under_both(command: list[str], by_trigger: bool) -> None:
    headers = trigger("Accept: */*") if by_trigger else []
    with container(FILES / "greeter.py", "handler", command=command) as running:
        for body, name in ((b'{"name": "Ada"}', "Ada"), (b"", "World")):
            reply = running.call(call_bytes(body, *headers))
            assert reply.status == 200
            assert orjson.loads(reply.body) == {"message": f"Hello {name}"}
            assert reply.header("content-type") == "application/json"
            assert reply.header("fn-http-status") == ("200" if by_trigger else None)


TYPES = {
    "none": (b"", "text/plain"),
    "text": ("caf\xe9".encode(), "text/plain"),
    "empty": (b"", "text/plain"),
    "bytes": (b"\0\1", "text/plain"),
    "bytearray": (b"ab", "text/plain"),
    "memoryview": (b"bc", "text/plain"),
    "stream": (b"stream", "text/plain"),
    "dict": (b'{"a": [1, null]}', "application/json"),
    "nothing": (b"{}", "application/json"),
    "list": (b"[]", "application/json"),
    "zero": (b"0", "application/json"),
    "false": (b"false", "application/json"),
}
SAME_UNDER_FDK = ("none", "text", "empty", "bytes", "bytearray")


def test_what_a_handler_may_return() -> None:
    with container(MIRROR, "returns") as running:
        for kind, (body, media_type) in TYPES.items():
            reply = running.call(call_bytes(kind.encode()))
            assert (reply.status, reply.body) == (200, body), kind
            assert reply.header("content-type") == media_type, kind
        for kind, says in (
            ("object", b"returned a object, which is no reply"),
            ("nan", b"returned what is not JSON: Out of range float values"),
            ("bytes inside", b"returned what is not JSON: Object of type bytes"),
        ):
            reply = running.call(call_bytes(kind.encode()))
            assert reply.status == 502
            assert says in reply.body


@pytest.mark.parametrize("by_trigger", [False, True])
def test_a_response_of_the_fdks_own_says_one_version(tmp_path: Path, by_trigger: bool) -> None:
    file = tmp_path / "func.py"
    file.write_text(
        "from fdk import response\n\n\ndef handler(ctx, data=None):\n"
        "    return response.Response(ctx, response_data='x', headers={'Content-Type': 'a/b'})\n"
    )
    with container(file) as running:
        reply = running.call(call_bytes(b"", *(trigger() if by_trigger else ())))
    assert (reply.status, reply.body) == (200, b"x")
    assert reply.all("fn-fdk-version") == [f"gpfn/{__version__}"]
    assert reply.all("content-type") == ["a/b"]
    assert not [name for name, _ in reply.headers if name.endswith("runtime")], "nobody's affair"


def test_what_a_handler_may_return_is_what_the_fdk_sends() -> None:
    with container(MIRROR, "returns", command=FDK) as running:
        for kind in SAME_UNDER_FDK:
            reply = running.call(call_bytes(kind.encode()))
            assert (reply.body, reply.header("content-type")) == TYPES[kind]


def told(command: list[str], *headers: str) -> dict[str, object]:
    """Return what the context tells a handler."""
    file = FILES / "mirror.py"
    with container(file, "seen", command=command, environ={"GREETING": "hello"}) as running:
        return dict(orjson.loads(running.call(call_bytes(b"abc", *headers)).body))


def test_the_context_by_invoke() -> None:
    seen = told(OURS, "X-A: 1", "X-A: 2", "Ce-Id: 42")
    headers = seen.pop("Headers")
    assert isinstance(headers, dict)
    assert headers["x-a"] == ["1", "2"]
    assert headers["ce-id"] == "42"
    assert headers["content-type"] == "text/plain"
    assert headers["user-agent"] == "Go-http-client/1.1"
    assert seen == {
        "AppID": "01M7YJCN19R00040J6M000001Q",
        "AppName": None,
        "FnID": "01M7YJCN2BR00040J6M000001R",
        "FnName": None,
        "CallID": "01M7YJCV41R00040J6M000001T",
        "Config": "hello",
        "HTTPHeaders": {},
        "Format": "http-stream",
        "Deadline": LATER,
        "RequestURL": None,
        "Method": None,
        "body": "abc",
    }


def test_the_context_by_trigger() -> None:
    seen = told(OURS, *trigger("User-Agent: curl/8", "X-A: 1", "X-A: 2", method="PUT"))
    headers = seen["Headers"]
    assert isinstance(headers, dict)
    assert headers["user-agent"] == "curl/8"
    assert headers["x-a"] == ["1", "2"]
    assert headers["fn-intent"] == "httprequest"
    assert seen["HTTPHeaders"] == {"user-agent": "curl/8", "x-a": ["1", "2"]}
    assert seen["Method"] == "PUT"
    assert seen["RequestURL"] == "http://h/t/a/f?x=1"


def test_headers_and_status_that_a_handler_sets() -> None:
    wanted = {"headers": {"Location": "/x", "Set-Cookie": ["a=1", "b=2"], "Content-Type": "a/b"}}
    moved = orjson.dumps({**wanted, "status": 302})
    with container(MIRROR, "sets") as running:
        plain = running.call(call_bytes(moved))
        assert (plain.status, plain.body) == (200, b"done")
        assert plain.header("location") == "/x"
        assert plain.all("set-cookie") == ["a=1", "b=2"]
        assert plain.all("content-type") == ["a/b"]
        wrapped = running.call(call_bytes(moved, *trigger()))
        assert wrapped.header("fn-http-status") == "302"
        assert wrapped.header("fn-http-h-location") == "/x"
        assert wrapped.all("fn-http-h-set-cookie") == ["a=1", "b=2"]
        assert wrapped.all("content-type") == ["a/b"]


@pytest.mark.parametrize(
    "wanted",
    [
        {"headers": {"X": "a\r\nY: b"}},
        {"headers": {"X\r\nY": "b"}},
        {"headers": {"X": "\u20ac"}},
        {"headers": {}, "status": 99},
    ],
)
def test_headers_that_would_break_the_reply(wanted: dict[str, object]) -> None:
    with container(MIRROR, "sets") as running:
        reply = running.call(call_bytes(orjson.dumps(wanted)))
        assert reply.status == 502
        assert reply.header("y") is None
        assert running.call(call_bytes(b'{"headers": {}}')).body == b"done"


def test_an_async_handler() -> None:
    with container(MIRROR, "later") as running:
        for _ in range(3):
            assert running.call(call_bytes(b"abc")).body == b"cba"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"exit", 502),
        (b"strange", 502),
        (b"interrupt", 502),
        (b"value", 502),
        (b"timeout", 504),
        (b"caller", 200),
        (b"backend", 502),
    ],
)
def test_what_a_handler_may_raise(fails: Container, body: bytes, status: int) -> None:
    reply = fails.call(call_bytes(body))
    assert reply.status == status
    assert set(orjson.loads(reply.body)) == {"error"}
    assert b"secret" not in reply.body
    assert fails.call(call_bytes(b"fine")).body == b"fine"


def test_a_deadline_that_has_passed_is_not_begun(fails: Container) -> None:
    before = fails.log.count("SystemExit")
    assert fails.call(call_bytes(b"exit", deadline="2020-01-01T00:00:00Z")).status == 504
    assert fails.log.count("SystemExit") == before
