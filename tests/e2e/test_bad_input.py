"""What callers get wrong: the answer names the fault, and the next call succeeds.

Each row goes to one process of the forecast function after another, under Fn's contract,
under the stock FDK and over HTTP; a good call follows every bad one.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
import pytest

from gpfn.hosts.host import Invocation, InvocationResult, StartedFunction, make_host
from gpfn.hosts.http import HttpHost
from gpfn.hosts.target import find_target

PLATFORMS = ["fn", "fdk", "http"]
GOOD = Invocation(json.dumps([0.5] * 20).encode())
BINARY = (
    ("ce-specversion", "1.0"),
    ("ce-id", "1"),
    ("ce-source", "/s"),
    ("ce-type", "t"),
)


class Row(NamedTuple):
    """A bad request, and what its answer must say."""

    request: Invocation
    status: int
    type: str
    field: str | None
    detail: str = ""


def event(**members: object) -> bytes:
    """Return a structured event of these members; None takes one out."""
    whole = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": [1] * 20}
    return orjson.dumps({k: v for k, v in (whole | members).items() if v is not None})


def inference(datatype: str, data: object) -> bytes:
    tensor = {"name": "series", "shape": [20], "datatype": datatype, "data": data}
    return orjson.dumps({"inputs": [tensor]})


OCTETS = "application/octet-stream"
TENTHS = np.full(20, 0.1).tobytes()
FLOAT64 = (("ce-dtype", "float64"), ("ce-shape", "20"))

ROWS = {
    "empty body": Row(Invocation(b""), 400, "invalid-tensor", "body", "empty"),
    "spaces": Row(Invocation(b"  \n"), 400, "invalid-request", "body", "not JSON"),
    "not JSON": Row(Invocation(b"hello"), 400, "invalid-request", "body", "not JSON"),
    "cut off": Row(Invocation(b"[1, 2"), 400, "invalid-request", "body", "not JSON"),
    "NaN": Row(Invocation(b"[NaN]"), 400, "invalid-request", "body", "not JSON"),
    "an object": Row(
        Invocation(b'{"hello": 1}'), 400, "invalid-tensor", "body.hello", "unknown input"
    ),
    "a string": Row(Invocation(b'"hello"'), 400, "invalid-tensor", "body", "expected"),
    "true": Row(Invocation(b"true"), 400, "invalid-tensor", "body", "expected"),
    "null": Row(Invocation(b"null"), 400, "invalid-tensor", "body", "expected"),
    "a number": Row(Invocation(b"7"), 400, "invalid-tensor", "body", "got 1"),
    "19 numbers": Row(Invocation(orjson.dumps([1] * 19)), 400, "invalid-tensor", "body", "got 19"),
    "19 in an event": Row(
        Invocation(event(data=[1] * 19)), 400, "invalid-tensor", "data", "multiple of 20, got 19"
    ),
    "no numbers": Row(Invocation(b"[]"), 400, "invalid-tensor", "body", "got 0"),
    "strings": Row(
        Invocation(orjson.dumps(["a"] * 20)), 400, "invalid-tensor", "body[0]", "number"
    ),
    "a string among numbers": Row(
        Invocation(event(data=[[1] * 3 + ["x"] + [1] * 16])), 400, "invalid-tensor", "data[0][3]"
    ),
    "ragged": Row(
        Invocation(b"[[1,2],[3]]"), 400, "invalid-tensor", "body[1]", "expected 2 numbers"
    ),
    "nested 10,000 deep": Row(
        Invocation(b"[" * 10_000 + b"]" * 10_000), 400, "invalid-request", "body", "not JSON"
    ),
    "an event nested 10,000 deep": Row(
        Invocation(event(data="DEEP").replace(b'"DEEP"', b"[" * 10_000 + b"]" * 10_000)),
        400,
        "invalid-event",
        "data",
        "nested deeper than",
    ),
    "nested 40 deep": Row(
        Invocation(b"[" * 40 + b"1" + b"]" * 40), 413, "too-large", "body", "16 dimensions"
    ),
    "infinite in float32": Row(Invocation(b"[1e39]"), 400, "invalid-tensor", "body[0]", "float32"),
    "wrong dtype": Row(Invocation(inference("BYTES", ["a"] * 20)), 400, "invalid-tensor", None),
    "unknown dtype": Row(
        Invocation(inference("FP128", [1] * 20)), 400, "invalid-tensor", "body.inputs[0].datatype"
    ),
    "a dtype that does not fit": Row(
        Invocation(TENTHS, OCTETS, (*BINARY, *FLOAT64)), 400, "invalid-tensor", "data[0]", "float32"
    ),
    "bytes of no number": Row(
        Invocation(b"abcde", OCTETS), 400, "invalid-tensor", "body", "multiple"
    ),
    "another media type": Row(
        Invocation(b"\xff\xd8", "image/jpeg"), 415, "unsupported-media", None, "image/jpeg"
    ),
    "a pickle in an npy": Row(
        Invocation(np.array([object()]).dumps(), "application/x-npy"), 400, "invalid-tensor", "body"
    ),
    "a broken GraphPipe message": Row(
        Invocation(b"\x08\x00\x00\x00gpgpgpgp", "application/vnd.graphpipe"),
        400,
        "invalid-message",
        None,
    ),
    "data_base64 that is not": Row(
        Invocation(event(data=None, data_base64="!!!")),
        400,
        "invalid-event",
        "data_base64",
        "base64",
    ),
    "data and data_base64": Row(
        Invocation(event(data_base64="AAAA")), 400, "invalid-event", "data_base64"
    ),
    "an event without data": Row(
        Invocation(event(data=None)), 400, "invalid-event", "data", "missing"
    ),
    "an event without id": Row(Invocation(event(id=None)), 400, "invalid-event", "id", "missing"),
    "an event whose type is a number": Row(Invocation(event(type=7)), 400, "invalid-event", "type"),
    "an event of the future": Row(
        Invocation(event(specversion="9.0")), 400, "invalid-event", "specversion"
    ),
    "a line break in an attribute": Row(
        Invocation(event(subject="a\r\nx-evil: 1")), 400, "invalid-event", "subject"
    ),
    "not UTF-8": Row(Invocation(b'["\xff"]'), 400, "invalid-request", "body", "not JSON"),
    "an event that is not UTF-8": Row(
        Invocation(event(subject="SUBJECT").replace(b"SUBJECT", b"\xff\xfe")),
        400,
        "invalid-event",
        "body",
    ),
    "expired": Row(
        Invocation(event(expirytime="2001-01-01T00:00:00Z")),
        504,
        "deadline-exceeded",
        None,
        "passed",
    ),
    "an expiry that is no time": Row(
        Invocation(event(expirytime="soon")), 400, "invalid-event", "expirytime", "soon"
    ),
}


@pytest.fixture(scope="module", params=PLATFORMS)
def running(request: pytest.FixtureRequest, root: Path) -> Iterator[StartedFunction]:
    target = find_target(str(root / "functions" / "forecast"))
    with StartedFunction(make_host(request.param, target)) as session:
        yield session


def document(answer: InvocationResult) -> dict[str, Any]:
    assert answer.failed, answer
    assert answer.content_type == "application/problem+json"
    found: dict[str, Any] = json.loads(answer.body)["error"]
    return found


def check_good(session: StartedFunction) -> None:
    answer = session.call(GOOD)
    assert not answer.failed, answer
    assert np.shape(json.loads(answer.body)) == (1, 20, 1)


@pytest.mark.parametrize("name", ROWS)
def test_the_answer_names_the_fault_and_the_next_call_succeeds(
    running: StartedFunction, name: str
) -> None:
    row = ROWS[name]
    found = document(running.call(row.request))
    assert (found["status"], found["type"]) == (row.status, row.type), found
    assert row.detail in found["detail"]
    if row.field is not None:
        assert found["field"] == row.field
    check_good(running)


def test_a_body_of_100_mb(running: StartedFunction) -> None:
    """Refused while it comes: by a status, where the server does not read it to its end."""
    body = b"[" + b"0," * 50_000_000 + b"0]"
    before = running.host.memory()
    found = document(running.call(Invocation(body, timeout=60)))
    assert (found["status"], found["type"]) == (413, "too-large")
    assert "GPFN_MAX_BODY_BYTES" in found["detail"]
    check_good(running)
    if "FDK" not in (type(running.host).__doc__ or ""):  # the stock one keeps what it got
        assert running.host.memory() - before < 30e6


def test_a_deadline_that_is_past(running: StartedFunction) -> None:
    late = Invocation(GOOD.body, timeout=0)
    if isinstance(running.host, HttpHost):  # where nobody but the event states one
        expired = (*BINARY, ("ce-expirytime", "2001-01-01T00:00:00Z"))
        late = Invocation(GOOD.body, "application/json", expired)
    found = document(running.call(late))
    assert (found["status"], found["type"]) == (504, "deadline-exceeded")
    check_good(running)


def test_an_encoded_line_break_does_not_become_a_header(running: StartedFunction) -> None:
    evil = (*BINARY, ("ce-subject", "a%0D%0Ax-evil: 1"), ("ce-traceparent", "b%0aX-Evil: 2"))
    answer = running.call(Invocation(GOOD.body, "application/json", evil))
    assert "x-evil" not in dict(answer.headers)
    check_good(running)


def test_a_callers_headers_do_not_come_back(running: StartedFunction) -> None:
    request = Invocation(GOOD.body, "application/json", (("fn-http-status", "204"), ("x-a", "1")))
    answer = running.call(request)
    assert answer.status == 200
    assert {"fn-http-status", "x-a"}.isdisjoint(dict(answer.headers))


def test_one_bad_event_in_a_batch(running: StartedFunction) -> None:
    events = [orjson.loads(event(id=str(i))) for i in range(3)]
    events[1]["data"] = ["x"]
    request = Invocation(orjson.dumps(events), "application/cloudevents-batch+json")
    first, second, third = json.loads(running.call(request).body)
    assert (first["type"], third["type"]) == ("t.response", "t.response")
    assert (second["type"], second["causationid"]) == ("t.error", "1")
    assert second["data"]["error"]["type"] == "invalid-tensor"


@pytest.mark.parametrize("platform", ["fn", "http"])
def test_ten_thousand_bad_calls_do_not_grow_the_process(platform: str, root: Path) -> None:
    target = find_target(str(root / "functions" / "forecast"))
    rows = [row.request for row in ROWS.values() if len(row.request.body) < 1000]
    with StartedFunction(make_host(platform, target)) as session:
        session.call(GOOD)
        for index in range(500):
            assert session.host.call(rows[index % len(rows)]).failed
        before = session.host.memory()
        for index in range(10_000):
            session.host.call(rows[index % len(rows)])
        grown = session.host.memory() - before
        check_good(session)
    assert grown < 1e6
