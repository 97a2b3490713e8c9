"""Whatever an action answers and whoever calls it: the platform's answer, and the server lives."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpfn.local.calling import CallOutcome, ProcessAnswer
from gpfn.local.openwhisk.refusing import WhiskRefusal
from gpfn.local.openwhisk.results import ActivationResponse, response_of
from gpfn.local.openwhisk.web_answers import EXTENSIONS, web_response
from gpfn.local.openwhisk.web_arguments import WebCall, web_arguments
from tests.local.openwhisk.calls_server import CallsServer, calls_server
from tests.local.openwhisk.test_any_body import VALUES

SETTINGS = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
TYPES = st.sampled_from(
    ["", "application/json", "text/plain; charset=x", "image/png", "application/a+json", "a"]
)
HEADERS = st.dictionaries(st.text(max_size=9) | st.just("Content-Type"), TYPES | VALUES, max_size=3)
RESULTS = st.fixed_dictionaries(
    {},
    optional={
        "statusCode": st.integers(-1, 1000) | st.text("0123456789+-", max_size=5) | VALUES,
        "headers": HEADERS | VALUES,
        "body": VALUES | st.text("ABCabc=+/", max_size=8),
        "html": VALUES,
        "svg": VALUES,
        "text": VALUES,
        "error": VALUES,
    },
)


@SETTINGS
@given(result=RESULTS | VALUES, code=st.integers(0, 3), extension=st.sampled_from([*EXTENSIONS]))
def test_any_result_of_a_web_action_is_an_answer(result: Any, code: int, extension: str) -> None:
    if code:
        result = {"error": result}
    response = web_response(ActivationResponse(code, result), extension, "t1")
    assert 200 <= response.status <= 599
    for name, value in response.headers:
        assert name == name.lower()
        assert "\n" not in value
        assert "\r" not in value
    assert all(isinstance(bytes(buffer), bytes) for buffer in response.buffers)


@SETTINGS
@given(
    body=st.binary(max_size=60) | VALUES.map(lambda value: json.dumps(value).encode()),
    status=st.sampled_from([200, 201, 204, 400, 404, 500, 502, 503]),
    length=st.booleans(),
)
def test_any_answer_of_a_process_is_a_response(body: bytes, status: int, length: bool) -> None:
    headers = (("content-length", str(len(body))),) if length else ()
    response = response_of(CallOutcome(ProcessAnswer(status, headers, body)), 1000)
    assert response.code in (0, 1, 2)
    if response.code:
        assert {*response.result} == {"error"}
    else:
        assert status == 200
        assert isinstance(response.result, dict | list)
        assert json.loads(body) == response.result


@SETTINGS
@given(
    body=st.binary(max_size=60) | VALUES.map(lambda value: json.dumps(value).encode()),
    content_type=TYPES | st.just("application/x-www-form-urlencoded") | st.text(max_size=20),
    query=st.text(max_size=30),
    raw=st.booleans(),
)
def test_any_request_is_arguments_or_refused(
    body: bytes, content_type: str, query: str, raw: bool
) -> None:
    asked = WebCall("POST", (("content-type", content_type),), "", query, body)
    refused, found = 0, {}
    try:
        found = web_arguments(asked, ("mine",), raw=raw)
    except WhiskRefusal as refusal:
        refused = refusal.status
    assert refused in (0, 400)
    assert refused or found["__ow_method"] == "post"
    assert raw or "mine" not in found
    assert json.loads(json.dumps(found)) == found


@pytest.fixture(scope="module")
def server() -> Iterator[CallsServer]:
    with calls_server() as server:
        server.make("a", annotations=[{"key": "web-export", "value": True}])
        assert server.api("PUT", "triggers/t", {}).status == 200
        rule = {"name": "r", "trigger": "/_/t", "action": "/_/a"}
        assert server.api("PUT", "rules/r", rule).status == 200
        yield server


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    body=st.binary(max_size=60) | VALUES.map(lambda value: json.dumps(value).encode()),
    path=st.sampled_from(["actions/a?blocking=true", "triggers/t"]),
)
def test_any_body_is_answered(server: CallsServer, body: bytes, path: str) -> None:
    reply = server.api("POST", path, body)
    assert reply.status in (200, 202, 400, 502)
    if reply.status == 400:
        assert reply.error


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(body=VALUES, extension=st.sampled_from([*EXTENSIONS]))
def test_any_call_of_a_web_action_is_answered(
    server: CallsServer, body: Any, extension: str
) -> None:
    reply = server.server.ask("POST", f"/api/v1/web/guest/default/a{extension}", body, auth=None)
    assert 200 <= reply.status < 600
    assert reply.status != 500
