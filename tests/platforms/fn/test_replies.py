"""Who is to blame decides the reply, by invoke and by trigger, and nobody takes the process."""

import json
import re
from pathlib import Path

import orjson
import pytest

from tests.platforms.fn.container import Container, Reply, call_bytes, container, trigger

FILES = Path(__file__).parent / "files"

FAILURES = {
    b"refuse": (200, 400, "invalid-tensor"),
    b"backend": (502, 502, "backend-unreachable"),
    b"late": (504, 504, "backend-timeout"),
    b"fail": (502, 500, "internal-error"),
    b"exit": (502, 500, "internal-error"),
}


@pytest.fixture(scope="module", params=["handler", "later"])
def echo(request: pytest.FixtureRequest) -> "object":
    with container(FILES / "echo.py", request.param) as running:
        yield running
        assert running.process.poll() is None


def document(reply: Reply) -> dict[str, object]:
    """Return the error in a reply."""
    assert reply.header("content-type") == "application/problem+json"
    return dict(orjson.loads(reply.body)["error"])


@pytest.mark.parametrize("body", FAILURES)
def test_a_failure_by_invoke(echo: Container, body: bytes) -> None:
    status, inner, kind = FAILURES[body]
    reply = echo.call(call_bytes(body))
    assert reply.status == status
    assert document(reply)["status"] == inner
    assert document(reply)["type"] == kind
    assert b"secret" not in reply.body
    assert echo.call(call_bytes(b"good")).body == b"good"


@pytest.mark.parametrize("body", FAILURES)
def test_a_failure_by_trigger(echo: Container, body: bytes) -> None:
    _, inner, kind = FAILURES[body]
    reply = echo.call(call_bytes(body, *trigger()))
    assert reply.status == 200
    assert reply.header("fn-http-status") == str(inner)
    assert document(reply)["type"] == kind


def test_a_good_call_by_trigger(echo: Container) -> None:
    reply = echo.call(call_bytes(b"good", *trigger("Accept: */*")))
    assert (reply.status, reply.body) == (200, b"good")
    assert reply.header("fn-http-status") == "200"
    assert reply.header("content-type") == "text/plain"


def test_an_event_in_binary_mode_by_trigger_and_by_invoke(echo: Container) -> None:
    headers = ("Ce-Id: 42", "Ce-Specversion: 1.0", "Ce-Type: t", "Ce-Source: /s")
    plain = echo.call(call_bytes(b"[1]", *headers, content_type="application/json"))
    wrapped = echo.call(call_bytes(b"[1]", *trigger(*headers), content_type="application/json"))
    assert plain.body == wrapped.body == b"[1]"
    assert plain.header("ce-type") == wrapped.header("fn-http-h-ce-type") == "t.response"
    assert plain.header("content-type") == wrapped.header("content-type") == "application/json"
    assert wrapped.header("ce-type") is None


def test_a_structured_event_as_fn_invoke_sends_it(echo: Container) -> None:
    event = orjson.dumps({"specversion": "1.0", "id": "1", "source": "/", "type": "t", "data": [1]})
    for headers in ((), ("Fn-Intent: cloudevent",)):
        reply = echo.call(call_bytes(event, *headers))
        assert reply.header("content-type") == "application/cloudevents+json"
        assert orjson.loads(reply.body)["type"] == "t.response"


def test_the_intent_makes_a_broken_event_an_error(echo: Container) -> None:
    broken = b'{"id": "1", "source": "/", "type": "t"}'
    assert echo.call(call_bytes(broken)).body == broken
    error = document(echo.call(call_bytes(broken, "Fn-Intent: cloudevent")))
    assert error["type"] == "invalid-event"
    assert error["field"] == "specversion"


def test_headers_that_a_function_returns_go_back_repeated() -> None:
    with container(FILES / "echo.py", "message") as running:
        reply = running.call(call_bytes(b"x", "X-A: 1", "X-A: 2", "Ce-Subject: s"))
        assert reply.all("x-a") == ["1", "2"]
        assert reply.header("ce-subject") == "s"
        assert reply.header("fn-call-id") is None
        wrapped = running.call(call_bytes(b"x", *trigger("X-A: 1", "X-A: 2")))
        assert wrapped.all("fn-http-h-x-a") == ["1", "2"]
        assert wrapped.header("x-a") is None


def test_the_log_has_what_the_caller_does_not_get() -> None:
    with container(FILES / "echo.py") as running:
        running.call(call_bytes(b"fail"))
        running.call(call_bytes(b"refuse"))
        running.call(call_bytes(b"good"))
        assert running.stop() == 0
        lines = running.log.splitlines()
    start = " error fn echo call=01M7YJCV41R00040J6M000001T "
    assert [line for line in lines if line.endswith(f"{start}RuntimeError: secret")]  # of the trace
    calls = [line for line in lines if " ms (" in line]
    assert [line.split()[5] for line in calls] == ["500", "400", "200"]
    assert "data[0]: expected 20 numbers, got 19" in calls[1]
    for stage in ("decode", "predict", "encode"):
        assert f"{stage} 0." in calls[2]
    assert " 4 B in 4 B out rss " in calls[2]
    assert " info fn echo ready: import 0." in lines[0]


def test_a_trace_id_is_logged_and_the_log_is_json_when_asked_for() -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    parent = f"traceparent: 00-{trace}-00f067aa0ba902b7-01"
    with container(FILES / "echo.py", environ={"GPFN_LOG": "json"}) as running:
        running.call(call_bytes(b"good", *trigger(parent)))
        running.call(call_bytes(b"fail", parent))
        assert running.stop() == 0
        ready, good, failed, bad = map(json.loads, running.log.splitlines())
    assert ready["seconds"]["import"] > 0
    assert [good["trace_id"], failed["trace_id"], bad["trace_id"]] == [trace] * 3
    assert good["call"] == bad["call"] == "01M7YJCV41R00040J6M000001T"
    assert (good["status"], bad["status"]) == (200, 500)
    assert list(good["stages_ms"]) == list(good["stages_rss"]) == ["decode", "predict", "encode"]
    assert failed["trace"].startswith("Traceback")


def test_a_quiet_log_has_failures_only() -> None:
    with container(FILES / "echo.py", environ={"GPFN_LOG": "quiet"}) as running:
        for body in (b"good", b"refuse", b"fail"):
            running.call(call_bytes(body))
        assert running.stop() == 0
        lines = running.log.splitlines()
    assert lines
    assert all(" error fn echo call=01M7YJCV41R00040J6M000001T " in line for line in lines)


@pytest.mark.parametrize("what", [b"closed", b"gone", b"odd", b"raise"])
def test_no_function_breaks_the_log(what: bytes) -> None:
    with container(FILES / "mirror.py", "destroys") as running:
        running.call(call_bytes(what))
        for _ in range(2):
            assert running.call(call_bytes(b"")).body == b"fine"
        assert running.stop() == 0


def test_nothing_a_caller_sends_makes_a_line_of_its_own_in_the_log() -> None:
    with container(FILES / "mirror.py", "fails") as running:
        running.call(call_bytes(b"x", start="POST /call?a%0Acall HTTP/1.1"))
        running.call(call_bytes(b"caller"))
        running.stop()
        start = re.compile(r"[\d-]{10}T[\d:.]{12}Z (info|error) fn ")
        assert all(start.match(line) for line in running.log.splitlines())
