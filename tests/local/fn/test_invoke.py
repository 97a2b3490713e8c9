"""Calls over HTTP: what goes down to the function, what the caller gets, what is kept of it."""

import asyncio
import base64
import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from gpfn.local.calling import CallFailure, CallOutcome, CallStages, ProcessAnswer
from gpfn.local.fn.answers import FAILURES
from tests.local.fn.fn_server import FnServer, Reply, Said, answered, fn_server

CURL = {"User-Agent": "curl/7.88.1", "Accept": "*/*"}
FN = {"User-Agent": "Go-http-client/1.1", "Accept-Encoding": "gzip", "Content-Type": "text/plain"}
CE = {
    "Ce-Id": "42",
    "Ce-Source": "/s",
    "Ce-Specversion": "1.0",
    "Ce-Type": "t",
    "Cookie": "a=b",
    "Authorization": "Bearer q",
    "Content-Type": "application/json",
}


@pytest.fixture(scope="module")
def server() -> Iterator[FnServer]:
    with fn_server() as running:
        yield running


@pytest.fixture(scope="module")
def fn(server: FnServer) -> Any:
    app = server.made("/v2/apps", name="raw", config={"A": "app", "B": "app"})
    fields = {"app_id": app["id"], "name": "dump", "image": "dump:1", "timeout": 7}
    fn = server.made("/v2/fns", **fields, config={"B": "fn"})
    trigger = {"app_id": app["id"], "fn_id": fn["id"], "type": "http"}
    server.made("/v2/triggers", **trigger, name="dump", source="/dump")
    return fn


class AtOnce(Said):
    """A caller whose function answers at once, and of which it is known later that it rests."""

    def begin(self, deployed: Any, call: Any, told: Any, done: Any) -> bool:
        loop = asyncio.get_running_loop()
        outcome = self.answer(deployed, call)
        if outcome.answer is not None:
            loop.call_soon(told, outcome.answer)
        loop.call_later(0.3, done, outcome)
        return True


def test_a_call_is_answered_before_its_record_is_made() -> None:
    with fn_server(make=AtOnce) as server:
        app = server.made("/v2/apps", name="raw")
        fn = server.made("/v2/fns", app_id=app["id"], name="f", image="f:1")
        began = time.monotonic()
        reply = server.ask("POST", f"/invoke/{fn['id']}", b"one")
        assert (reply.status, reply.body) == (200, b"hi")
        assert server.on_loop(lambda: [call.id for call in server.calls.running])
        assert time.monotonic() - began < 0.3, "it was not waited for what is done behind"
        server.said.answer = lambda _, __: CallOutcome(None, "crashed", "gone")
        assert server.ask("POST", f"/invoke/{fn['id']}", b"two").status == 502
        kept = server.on_loop(lambda: server.calls.recent(9))
        assert [(one.status, one.reply.length) for one in kept][1:] == [(200, 2)]
        assert not server.on_loop(lambda: server.calls.running)


def ask_raw(server: FnServer, method: str, path: str, body: bytes, *headers: Any) -> Reply:
    """Send headers as they are given, also one several times."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=30)
    connection.putrequest(method, path, skip_accept_encoding=True)
    for name, value in headers:
        connection.putheader(name, value)
    if body:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    response = connection.getresponse()
    found = {name.lower(): value for name, value in response.getheaders()}
    reply = Reply(response.status, found, response.read())
    connection.close()
    return reply


def timeless(data: bytes, server: FnServer) -> bytes:
    """Blank out the call's id, its deadline and the port."""
    data = re.sub(rb"(Fn-Call-Id: )\w{26}\r\n", rb"\1ID\r\n", data)
    data = re.sub(rb"(Fn-Deadline: )[-0-9]+T[:0-9]+Z\r\n", rb"\1TIME\r\n", data)
    return data.replace(f":{server.port}".encode(), b":PORT").replace(b":18080", b":PORT")


SENT: dict[str, tuple[str, str, bytes, list[tuple[str, str]]]] = {
    "invoke, 8 byte body": ("POST", "", b'{"a":1}\n', [*FN.items()]),
    "invoke, empty body": ("POST", "", b"", [*FN.items()]),
    "invoke, 100000 byte body": ("POST", "", b"x" * 100_000, [*FN.items()]),
    "invoke endpoint by curl with ce-* headers and a repeated header": (
        "POST",
        "",
        b"abc",
        [
            *CURL.items(),
            ("ce-id", "42"),
            ("ce-specversion", "1.0"),
            ("x-a", "1"),
            ("X-A", "2"),
            ("content-type", "application/octet-stream"),
        ],
    ),
    "trigger, GET with a query": ("GET", "/t/raw/dump?x=1&y=%20z", b"", [*CURL.items()]),
    "trigger, PUT with ce-*, cookie, authorization and a repeated header": (
        "PUT",
        "/t/raw/dump",
        b"[1,2]",
        [*CURL.items(), *CE.items(), ("x-a", "1"), ("x-a", "2")],
    ),
}


@pytest.mark.parametrize("case", SENT)
def test_the_function_gets_the_bytes_that_a_real_server_sent(
    shared: Path, server: FnServer, fn: Any, case: str
) -> None:
    lines = (shared / "reference" / "wire" / "fn-socket.jsonl").read_text().splitlines()
    recorded = {each["case"]: each.get("raw_base64", "") for each in map(json.loads, lines)}
    method, path, body, headers = SENT[case]
    reply = ask_raw(server, method, path or f"/invoke/{fn['id']}", body, *headers)
    deployed, call = server.said.calls[-1]
    expected = base64.b64decode(recorded[case])
    assert timeless(call.body, server) == timeless(expected, server)
    assert reply.headers["fn-call-id"] == call.id
    assert call.id.encode() in call.body
    assert (call.seconds, deployed.timeout) == (7.0, 7.0)


def test_what_belongs_to_the_connection_goes_no_further(server: FnServer, fn: Any) -> None:
    headers = {
        "TE": "gzip",
        "Keep-Alive": "timeout=5",
        "Proxy-Authorization": "Basic x",
        "Trailer": "X",
        "Fn-Call-Id": "mine",
        "Fn-Deadline": "never",
        "Fn-Http-Method": "PATCH",
    }
    ask_raw(server, "POST", f"/invoke/{fn['id']}", b"x", *headers.items())
    head = server.said.calls[-1][1].body.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    names = [line.partition(":")[0] for line in head]
    assert sorted(names) == [
        "Accept-Encoding",
        "Fn-Call-Id",
        "Fn-Deadline",
        "Fn-Http-Method",
        "Host",
        "Transfer-Encoding",
        "User-Agent",
    ]
    assert "User-Agent: Go-http-client/1.1" in head
    ask_raw(server, "PATCH", "/t/raw/dump", b"x", *headers.items(), ("Te", "trailers"))
    sent = server.said.calls[-1][1].body
    assert b"Fn-Http-Method: PATCH\r\n" in sent
    assert b"Fn-Http-H-Fn-Call-Id: mine\r\n" in sent
    assert b"Fn-Http-H-Te: trailers\r\n" in sent
    assert b"Fn-Http-H-Host" not in sent
    assert b"Keep-Alive" not in sent


def test_the_environment_is_the_config_and_what_the_platform_sets(
    server: FnServer, fn: Any
) -> None:
    server.ask("POST", f"/invoke/{fn['id']}")
    deployed = server.said.calls[-1][0]
    assert deployed.environ == {
        "A": "app",
        "B": "fn",
        "FN_APP_ID": fn["app_id"],
        "FN_FN_ID": fn["id"],
        "FN_MEMORY": "128",
        "FN_TYPE": "sync",
    }
    assert (deployed.key, deployed.name, deployed.memory) == (fn["id"], "raw/dump", 128)


def test_what_changes_a_process_changes_its_revision(server: FnServer, fn: Any) -> None:
    def revision() -> str:
        server.ask("POST", f"/invoke/{fn['id']}")
        return server.said.calls[-1][0].revision

    path, seen = f"/v2/fns/{fn['id']}", [revision()]
    assert revision() == seen[0]
    for changes in (
        {"memory": 256},
        {"idle_timeout": 31},
        {"image": "dump:2"},
        {"config": {"C": "1"}},
        {"annotations": {"a": 1}},
    ):
        server.ask("PUT", path, changes)
        seen.append(revision())
    server.ask("PUT", f"/v2/apps/{fn['app_id']}", {"config": {"D": "1"}})
    seen.append(revision())
    assert len(set(seen)) == len(seen)


# replies


def call(server: FnServer, fn: Any, outcome: CallOutcome, *, trigger: bool = False) -> Reply:
    server.said.answer = lambda _, __: outcome
    if trigger:
        return server.ask("GET", "/t/raw/dump")
    return server.ask("POST", f"/invoke/{fn['id']}")


def failed(failure: CallFailure) -> CallOutcome:
    return CallOutcome(None, failure, "because")


REPLIED: list[tuple[CallOutcome, int, str]] = [
    (failed("busy"), 503, "Timed out - server too busy"),
    (failed("timed out"), 504, "Timed out"),
    (failed("crashed"), 502, "error receiving function response"),
    (failed("broken"), 502, "error receiving function response"),
    (failed("memory"), 502, "error receiving function response"),
    (answered(502, b"my secret"), 502, "function failed"),
    (answered(504, b"my secret"), 504, "Timed out"),
    (answered(500, b"my secret"), 502, "invalid function response"),
    (answered(404, b"my secret"), 502, "invalid function response"),
    (answered(302, b"my secret"), 502, "invalid function response"),
    (answered(201, b"my secret"), 502, "invalid function response"),
    (
        CallOutcome(ProcessAnswer(418, (), b"my secret"), "broken", "418"),
        502,
        "invalid function response",
    ),
    (
        failed("start failed"),
        502,
        (
            "Container failed to initialize, please ensure you are using the latest fdk and"
            " check the logs"
        ),
    ),
    (
        failed("start timed out"),
        504,
        (
            "Container initialization timed out, please ensure you are using the latest fdk"
            " and check the logs"
        ),
    ),
]


@pytest.mark.parametrize("trigger", [False, True])
@pytest.mark.parametrize(("outcome", "status", "message"), REPLIED)
def test_a_call_without_an_answer(
    server: FnServer, fn: Any, outcome: CallOutcome, status: int, message: str, trigger: bool
) -> None:
    reply = call(server, fn, outcome, trigger=trigger)
    assert (reply.status, reply.document) == (status, {"message": message})
    assert reply.headers["content-type"] == "application/json; charset=utf-8"
    assert len(reply.headers["fn-call-id"]) == 26
    assert reply.headers.get("retry-after") == ("15" if status == 503 else None)
    kept = server.last_call()
    said = outcome.answer and f"the function answered {outcome.answer.status}: my secret"
    assert (kept.status, kept.failure) == (status, outcome.failure)
    assert kept.detail == (outcome.detail or said)


def test_every_failure_has_a_reply() -> None:
    assert {*FAILURES, ""} == {*get_args(CallFailure)}


def test_an_invocation_is_always_200_with_the_headers_as_they_are(
    server: FnServer, fn: Any
) -> None:
    headers = [
        ("content-type", "application/cloudevents+json"),
        ("ce-id", "1"),
        ("fn-http-status", "404"),
        ("fn-http-h-x", "y"),
        ("connection", "close"),
        ("transfer-encoding", "chunked"),
        ("content-length", "99"),
    ]
    reply = call(server, fn, answered(200, b"{}", *headers))
    assert (reply.status, reply.body) == (200, b"{}")
    assert reply.headers["content-type"] == "application/cloudevents+json"
    assert reply.headers["ce-id"] == "1"
    assert reply.headers["fn-http-status"] == "404"
    assert reply.headers["fn-http-h-x"] == "y"
    assert reply.headers["content-length"] == "2"
    assert "transfer-encoding" not in reply.headers


@pytest.mark.parametrize(
    ("status", "expected"),
    [("404", 404), ("201", 201), ("204", 204), ("999", 999), ("x", 200), ("0", 200), ("1000", 200)],
)
def test_a_trigger_has_the_status_that_the_function_says(
    server: FnServer, fn: Any, status: str, expected: int
) -> None:
    reply = call(server, fn, answered(200, b"b", ("fn-http-status", status)), trigger=True)
    assert reply.status == expected


@pytest.mark.parametrize("status", ["001", "100", "199"])
def test_a_status_that_http_has_not_for_answers_is_an_error(
    server: FnServer, fn: Any, status: str
) -> None:
    reply = call(server, fn, answered(200, b"b", ("fn-http-status", status)), trigger=True)
    assert (reply.status, reply.body) == (500, b"")


def test_a_trigger_has_the_headers_that_the_function_wraps_and_no_others(
    server: FnServer, fn: Any
) -> None:
    headers = [
        ("content-type", "text/html"),
        ("fn-http-h-location", "/there"),
        ("fn-http-h-set-cookie", "a=1"),
        ("fn-http-h-set-cookie", "b=2"),
        ("fn-http-h-", "nothing"),
        ("fn-http-h-transfer-encoding", "chunked"),
        ("fn-http-h-content-length", "1000"),
        ("fn-http-h-connection", "close"),
        ("ce-id", "dropped"),
        ("fn-http-status", "302"),
    ]
    server.said.answer = lambda _, __: answered(200, b"body", *headers)
    connection = http.client.HTTPConnection(server.host, server.port, timeout=30)
    connection.request("GET", "/t/raw/dump")
    response = connection.getresponse()
    found = sorted((name.lower(), value) for name, value in response.getheaders())
    assert response.read() == b"body"
    connection.close()
    ours = ("date", "x-request-id", "fn-call-id")
    assert response.status == 302
    assert [pair for pair in found if pair[0] not in ours] == [
        ("content-length", "4"),
        ("content-type", "text/html"),
        ("location", "/there"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [("x y", "1"), ("", "1"), ("x", "a\r\nb: c"), ("x", "a\0b"), ("x", "日本"), ("ö", "1")],
)
def test_a_header_that_is_none_is_left_out(
    server: FnServer, fn: Any, name: str, value: str
) -> None:
    reply = call(server, fn, answered(200, b"fine", (name, value)))
    assert (reply.status, reply.body) == (200, b"fine")
    assert "x" not in reply.headers
    assert "b" not in reply.headers


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (b"hello", "text/plain; charset=utf-8"),
        (b"\x89PNG\r\n\x1a\n...", "image/png"),
        (b"\x00\x01", "application/octet-stream"),
        (b"", None),
    ],
)
def test_a_body_without_a_media_type_is_looked_at(
    server: FnServer, fn: Any, body: bytes, media_type: str | None
) -> None:
    reply = call(server, fn, answered(200, body))
    assert reply.headers.get("content-type") == media_type


def test_a_detached_call_is_waited_for_and_answered_without_its_body(
    server: FnServer, fn: Any
) -> None:
    server.said.answer = lambda _, __: answered(200, b"body")
    headers = {"Fn-Invoke-Type": "detached"}
    reply = server.ask("POST", f"/invoke/{fn['id']}", headers=headers)
    assert (reply.status, reply.body) == (200, b"")


def test_an_image_that_nobody_has_mapped_is_told_with_what_to_do(server: FnServer, fn: Any) -> None:
    app = fn["app_id"]
    made = server.made("/v2/fns", app_id=app, name="unmapped", image="unknown/image:9")
    before = len(server.said.calls)
    reply = server.ask("POST", f"/invoke/{made['id']}")
    assert reply.status == 502
    assert "nothing stands for the image unknown/image:9" in reply.message
    assert "--map unknown/image:9=FOLDER" in reply.message
    assert len(server.said.calls) == before
    assert server.last_call().failure == "start failed"


# what is kept


def test_every_call_becomes_a_record(server: FnServer, fn: Any) -> None:
    told: list[Any] = []
    end = server.calls.subscribe(told.append)
    stages, log = CallStages(0.1, 0.2, 0.0, 0.3), ((1.0, "stderr", "hello"),)
    answer = ProcessAnswer(200, (("content-type", "text/csv"),), b"out")
    server.said.answer = lambda _, __: CallOutcome(answer, "", "", True, stages, log, 4096)
    headers = {"User-Agent": "curl/8", "Content-Type": "text/plain"}
    reply = server.ask("POST", "/t/raw/dump", b"in", headers)
    server.on_loop(server.calls.flush)
    end()
    begun, ended = told
    assert (begun.id, begun.key, begun.caller) == (reply.headers["fn-call-id"], fn["id"], "curl")
    kept = server.on_loop(lambda: server.calls.find(begun.id))
    assert kept is not None
    assert kept == ended
    assert kept.via == "trigger /t/raw/dump"
    assert (kept.name, kept.status, kept.cold, kept.memory) == ("raw/dump", 200, True, 4096)
    assert (kept.stages, kept.log) == (stages, log)
    assert kept.request == ("text/plain", b"in", 2)
    assert kept.reply == ("text/csv", b"out", 3)
    assert not server.calls.running


def test_a_failed_call_is_told_in_the_log(server: FnServer, fn: Any) -> None:
    call(server, fn, failed("crashed"))
    server.on_loop(lambda: None)  # whose turn is after the line's
    assert "raw/dump: crashed: because (502 to " in server.log[-1]


def test_a_caller_that_fails_itself_breaks_nothing_else(server: FnServer, fn: Any) -> None:
    def breaks(_: object, __: object) -> CallOutcome:
        raise KeyError("a bug")

    server.said.answer = breaks
    reply = server.ask("POST", f"/invoke/{fn['id']}")
    assert (reply.status, reply.message) == (500, "internal server error")
    assert any("a bug" in line for line in server.log)
    assert not server.calls.running
    assert call(server, fn, answered(200, b"again")).body == b"again"


def test_a_body_over_the_limit_is_refused_before_it_is_sent(server: FnServer, fn: Any) -> None:
    with socket.create_connection((server.host, server.port), timeout=30) as client:
        head = f"POST /invoke/{fn['id']} HTTP/1.1\r\nHost: {server.host}:{server.port}\r\n"
        client.sendall(f"{head}Content-Length: 99999999999\r\n\r\n".encode())
        reply = client.recv(65536)
    assert reply.startswith(b"HTTP/1.1 413 ")
    assert b'{"message":"Request content too large"}\n' in reply


def test_calls_at_the_same_time_are_independent(server: FnServer, fn: Any) -> None:
    server.said.answer = lambda _, each: answered(200, each.body.rpartition(b"\r\n0\r\n")[0][-3:])
    replies: dict[int, bytes] = {}

    def one(number: int) -> None:
        body = f"{number:03}".encode()
        replies[number] = server.ask("POST", f"/invoke/{fn['id']}", body).body

    threads = [threading.Thread(target=one, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert replies == {number: f"{number:03}".encode() for number in range(40)}
