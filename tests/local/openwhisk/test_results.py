"""What an action's process answers, and what the platform makes of it: one row each."""

import json
from typing import Any

import pytest

from gpfn.local.calling import CallFailure, CallOutcome, ProcessAnswer
from gpfn.local.openwhisk.results import (
    APPLICATION_ERROR,
    DEVELOPER_ERROR,
    MOST_RESULT_BYTES,
    SUCCESS,
    is_shutting_down,
    response_of,
    status_of,
    whisk_error,
)

NO_RUN = "The action did not produce a valid response and exited unexpectedly."
INVALID = "The action did not produce a valid JSON or JSON Array response"
LATE = "The action exceeded its time limits of 2000 milliseconds"


def answered(
    body: bytes, status: int = 200, failure: CallFailure = "", *, length: bool = True
) -> CallOutcome:
    headers = (("content-length", str(len(body))),) if length else (("connection", "close"),)
    return CallOutcome(ProcessAnswer(status, headers, body), failure)


@pytest.mark.parametrize(
    ("body", "status", "code", "result"),
    [
        (b'{"a":1}', 200, SUCCESS, {"a": 1}),
        (b"{}", 200, SUCCESS, {}),
        (b'{"error":"x","more":1}', 200, APPLICATION_ERROR, {"error": "x"}),
        (b'{"error":null}', 200, APPLICATION_ERROR, {"error": None}),
        (b'{"inner":{"error":"x"}}', 200, SUCCESS, {"inner": {"error": "x"}}),
        (b'[1,{"error":"x"}]', 200, SUCCESS, [1, {"error": "x"}]),
        (b'"text"', 200, DEVELOPER_ERROR, {"error": f'{INVALID}: "text"'}),
        (b"12", 200, DEVELOPER_ERROR, {"error": f"{INVALID}: 12"}),
        (b"null", 200, DEVELOPER_ERROR, {"error": f"{INVALID}: null"}),
        (b"no JSON", 200, DEVELOPER_ERROR, {"error": f"{INVALID}: no JSON"}),
        (b"\xff", 200, DEVELOPER_ERROR, {"error": f"{INVALID}: �"}),
        (b"", 200, DEVELOPER_ERROR, {"error": f"{INVALID}."}),
        (b'{"error":"x"}', 500, DEVELOPER_ERROR, {"error": "x"}),
        (b'{"error":"x"}', 404, DEVELOPER_ERROR, {"error": "x"}),
        (b'{"a":1}', 400, DEVELOPER_ERROR, {"error": f'{INVALID}: {{"a":1}}'}),
        (b"[1]", 502, DEVELOPER_ERROR, {"error": f"{INVALID}: [1]"}),
        (b'{"a":1}', 201, DEVELOPER_ERROR, {"error": f'{INVALID}: {{"a":1}}'}),
    ],
)
def test_an_answer_to_run(body: bytes, status: int, code: int, result: Any) -> None:
    response = response_of(answered(body, status), 2000)
    assert (response.code, response.result) == (code, result)
    assert response.size == len(body.decode("utf-8", "replace"))


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        ("start failed", "The action did not initialize and exited unexpectedly."),
        ("start timed out", f"{LATE} during initialization."),
        ("init timed out", f"{LATE} during initialization."),
        ("init failed", "The action did not initialize and exited unexpectedly."),
        ("timed out", f"{LATE}."),
        ("crashed", NO_RUN),
        ("broken", NO_RUN),
        ("memory", "The action exhausted its memory and was aborted."),
    ],
)
def test_no_answer_is_a_developer_error(failure: CallFailure, error: str) -> None:
    response = response_of(CallOutcome(None, failure), 2000)
    assert (response.code, response.result) == (DEVELOPER_ERROR, {"error": error})


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"error":"no code"}', "no code"),
        (b'{"error":{"a":1}}', {"a": 1}),
        (b'{"a":1}', 'The action failed during initialization: {"a":1}'),
        (b"oh no", "The action failed during initialization: oh no"),
        (b"[1]", "The action failed during initialization: [1]"),
        (b"", "The action failed during initialization."),
    ],
)
def test_init_that_says_no(body: bytes, error: Any) -> None:
    response = response_of(answered(body, 502, "init failed"), 2000)
    assert (response.code, response.result) == (DEVELOPER_ERROR, {"error": error})


def test_a_body_whose_length_is_not_told_is_none() -> None:
    response = response_of(answered(b'{"a":1}', length=False), 2000)
    assert (response.code, response.result) == (DEVELOPER_ERROR, {"error": NO_RUN})


def test_a_result_of_just_the_limit_is_one() -> None:
    body = json.dumps({"a": "x" * (MOST_RESULT_BYTES - 9)}).encode()
    assert len(body) == MOST_RESULT_BYTES
    assert response_of(answered(body), 2000).code == SUCCESS


@pytest.mark.parametrize("status", [200, 500])
def test_a_longer_result_is_the_actions_error_with_what_was_read_of_it(status: int) -> None:
    body = b'{"a":"' + b"x" * MOST_RESULT_BYTES + b'"}'
    response = response_of(answered(body, status), 2000)
    assert response.code == APPLICATION_ERROR  # so its process is kept
    assert response.size == len(body)
    told = "The action produced a response that exceeded the allowed length: "
    whole = f"{told}{len(body)} > 1048576 bytes. The truncated response was: "
    assert response.result == {"error": whole + body[:MOST_RESULT_BYTES].decode()}


def test_a_result_that_nests_without_end_is_invalid() -> None:
    deep = b'{"a":' + b"[" * 900 + b"]" * 900 + b"}"
    assert response_of(answered(deep), 2000).code == DEVELOPER_ERROR


def test_503_asks_for_another_process() -> None:
    assert is_shutting_down(answered(b"", 503))
    assert is_shutting_down(answered(b"", 503, "init failed"))
    assert not is_shutting_down(answered(b"", 500))
    assert not is_shutting_down(CallOutcome(None, "crashed"))


def test_rest_answers_by_the_response() -> None:
    responses = [
        response_of(answered(b"{}"), 1),
        response_of(answered(b'{"error":1}'), 1),
        response_of(answered(b"1"), 1),
        whisk_error("x"),
    ]
    assert [status_of(each) for each in responses] == [200, 502, 502, 500]
    assert [each.status for each in responses] == [
        "success",
        "application error",
        "action developer error",
        "whisk internal error",
    ]


def test_the_document_hides_the_code() -> None:
    assert response_of(answered(b'{"a":1}'), 1).document() == {
        "result": {"a": 1},
        "size": 7,
        "success": True,
        "status": "success",
    }
