"""What OpenWhisk makes of requests and results, from the platform's side."""

import base64
import json
import time

import pytest

from gpfn.errors import BrokenReply
from gpfn.hosts.host import Invocation
from gpfn.hosts.openwhisk import from_action, init_body, run_body


def sent(request: Invocation) -> dict[str, object]:
    body, _ = run_body(request, "f", "a" * 32)
    document = json.loads(body)
    assert isinstance(document, dict)
    return document


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/json", "application/x+json"]
)
def test_an_object_is_the_parameters(content_type: str) -> None:
    document = sent(Invocation(b'{"a": [1]}', content_type))
    assert document["value"] == {"a": [1]}
    assert document["activation_id"] == "a" * 32
    assert document["action_name"] == "/guest/f"
    deadline = document["deadline"]
    assert isinstance(deadline, str), "text, whatever the platform's documents say"
    assert 25_000 < int(deadline) - 1000 * time.time() < 31_000


def test_no_body_is_no_parameters() -> None:
    assert sent(Invocation())["value"] == {}


@pytest.mark.parametrize(
    ("request_", "body"),
    [
        (Invocation(b"[1]", "text/plain"), "[1]"),
        (Invocation(b"[1]", "application/json"), base64.b64encode(b"[1]").decode()),
        (Invocation(b"\xff", "image/png"), "/w=="),
        (Invocation(b"a=b", "application/x-www-form-urlencoded"), "a=b"),
        (
            Invocation(b'{"a":1}', "application/cloudevents+json; charset=utf-8", (("X", "y"),)),
            '{"a":1}',
        ),
    ],
)
def test_anything_else_is_a_raw_web_request(request_: Invocation, body: str) -> None:
    value = sent(request_)["value"]
    assert isinstance(value, dict)
    assert value["__ow_body"] == body
    assert value["__ow_headers"]["content-type"] == request_.content_type
    assert value["__ow_method"] == "post"


def test_init_brings_the_context_and_no_code() -> None:
    value = json.loads(init_body("f", 60))["value"]
    assert value["main"] == "main"
    assert "code" not in value
    assert value["env"]["__OW_ACTION_NAME"] == "/guest/f"
    assert all(isinstance(text, str) for text in value["env"].values())


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, b'{"a":1}', 200),
        (200, b"[1]", 200),
        (200, b'{"error":{"status":400}}', 502),
        (502, b'{"error":"x"}', 502),
        (400, b'{"error":"command exited"}', 502),
    ],
)
def test_a_plain_result(status: int, body: bytes, expected: int) -> None:
    answer = from_action(status, body, "i", web=False)
    assert (answer.status, answer.body, answer.call_id) == (expected, body, "i")
    assert answer.failed == (expected != 200)


@pytest.mark.parametrize("body", [b"null", b"5", b'"text"'])
def test_a_result_that_openwhisk_does_not_take(body: bytes) -> None:
    answer = from_action(200, body, "i", web=False)
    assert answer.status == 502
    says = "The action did not produce a valid JSON or JSON Array response: "
    assert json.loads(answer.body) == {"error": says + body.decode()}


@pytest.mark.parametrize(
    ("result", "status", "body"),
    [
        ({"statusCode": 201, "headers": {"content-type": "text/plain"}, "body": "a"}, 201, b"a"),
        ({"headers": {"content-type": "image/png"}, "body": "/w=="}, 200, b"\xff"),
        (
            {"headers": {"content-type": "application/json"}, "body": {"a": [1, None]}},
            200,
            b'{"a":[1,null]}',
        ),
        ({"headers": {"content-type": "application/json"}, "body": '"text"'}, 200, b'"text"'),
        ({"error": {"statusCode": 422, "body": "no"}}, 422, b"no"),
        ({"statusCode": "0404", "body": "no"}, 404, b"no"),
        ({"a": 1}, 204, b""),
    ],
)
def test_a_web_actions_result(result: object, status: int, body: bytes) -> None:
    answer = from_action(200, json.dumps(result).encode(), "i", web=True)
    assert (answer.status, answer.body) == (status, body)


def test_headers_of_a_web_action_may_repeat() -> None:
    result = {"headers": {"Set-Cookie": ["a", "b"], "x-n": 1}, "body": ""}
    answer = from_action(200, json.dumps(result).encode(), "i", web=True)
    assert answer.headers == (("set-cookie", "a"), ("set-cookie", "b"), ("x-n", "1"))


NO_RESULTS = [
    b"",
    b"{",
    b'"text"',
    b"[" * 100_000,
    b"9" * 5000,
    b'{"statusCode": "abc"}',
    b'{"statusCode": null}',
    b'{"statusCode": [200]}',
    b'{"statusCode": true}',
    b'{"statusCode": 99}',
    b'{"statusCode": "' + b"9" * 5000 + b'"}',
    b'{"headers": [1]}',
    b'{"headers": {"content-type": "image/png"}, "body": "a"}',
]


@pytest.mark.parametrize("body", NO_RESULTS)
def test_what_is_no_result(body: bytes) -> None:
    with pytest.raises(BrokenReply):
        from_action(200, body, "i", web=True)
