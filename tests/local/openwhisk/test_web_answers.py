"""What the caller of a web action gets, by the extension that it asked for."""

import json
from typing import Any

import pytest

from gpfn.http.loop import Response
from gpfn.local.openwhisk.results import (
    SUCCESS,
    ActivationResponse,
    application_error,
    developer_error,
    whisk_error,
)
from gpfn.local.openwhisk.web_answers import split_extension, web_response

NESTED = """{
  "a": {
    "b": [1, {
      "c": "é"
    }],
    "d": {

    }
  }
}"""
NOT_HTTP = "Response is not valid 'message/http'."
OTHER_TYPE = "Response type in header did not match generated content type."


def answer(result: Any, extension: str = ".http") -> Response:
    return web_response(ActivationResponse(SUCCESS, result), extension, "t1")


def body(response: Response) -> bytes:
    return b"".join(bytes(buffer) for buffer in response.buffers)


def seen(response: Response) -> tuple[int, str, bytes]:
    return response.status, dict(response.headers).get("content-type", ""), body(response)


def told(response: Response) -> tuple[int, str]:
    document = json.loads(body(response))
    assert document["code"] == "t1"
    assert seen(response)[1] == "application/json"
    return response.status, document["error"]


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a", ("a", ".http")),
        ("a.json", ("a", ".json")),
        ("a.b.svg", ("a.b", ".svg")),
        ("a.png", ("a.png", ".http")),
        ("a.http.text", ("a.http", ".text")),
    ],
)
def test_the_extension_is_one_of_five(name: str, parts: tuple[str, str]) -> None:
    assert split_extension(name) == parts


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ({"body": "<p>"}, (200, "text/html; charset=UTF-8", b"<p>")),
        ({"body": "x", "statusCode": 201}, (201, "text/html; charset=UTF-8", b"x")),
        ({"body": "x", "statusCode": "202"}, (202, "text/html; charset=UTF-8", b"x")),
        ({"body": "x", "statusCode": 203.0}, (203, "text/html; charset=UTF-8", b"x")),
        ({"body": {"a": 1}}, (200, "application/json", b'{\n  "a": 1\n}')),
        ({"body": [1, 2]}, (200, "application/json", b"[1, 2]")),
        ({"body": 12}, (200, "application/json", b"12")),
        ({"body": True}, (200, "application/json", b"true")),
        ({"body": ""}, (204, "", b"")),
        ({"body": None}, (204, "", b"")),
        ({"plain": "result"}, (204, "", b"")),
        ({}, (204, "", b"")),
        ({"statusCode": 404}, (404, "", b"")),
        ({"statusCode": 404, "headers": {"content-type": "text/plain"}}, (404, "", b"")),
        ({"statusCode": 204, "body": "x"}, (204, "", b"")),
        (
            {"headers": {"Content-Type": "text/csv"}, "body": "a,b"},
            (200, "text/csv; charset=UTF-8", b"a,b"),
        ),
        (
            {"headers": {"Content-Type": "text/csv; charset=latin-1; a=b"}, "body": "é"},
            (200, "text/csv; a=b; charset=UTF-8", "é".encode()),
        ),
        (
            {"headers": {"Content-Type": "application/json"}, "body": "{}"},
            (200, "application/json", b"{}"),
        ),
        (
            {"headers": {"Content-Type": "application/json"}, "body": "eyJhIjoxfQ=="},
            (200, "application/json", b'{"a":1}'),
        ),
        (
            {"headers": {"Content-Type": "image/png"}, "body": "iVBORw=="},
            (200, "image/png", b"\x89PNG"),
        ),
        (
            {"headers": {"Content-Type": "image/png"}, "body": "iVBORw"},
            (200, "image/png", b"\x89PNG"),
        ),
        (
            {"headers": {"Content-Type": "application/cloudevents+json"}, "body": {"a": []}},
            (200, "application/cloudevents+json", b'{\n  "a": []\n}'),
        ),
    ],
)
def test_http(result: Any, expected: tuple[int, str, bytes]) -> None:
    assert seen(answer(result)) == expected


@pytest.mark.parametrize(
    ("result", "error"),
    [
        ({"statusCode": True}, NOT_HTTP),
        ({"statusCode": "x"}, NOT_HTTP),
        ({"statusCode": " 200"}, NOT_HTTP),
        ({"statusCode": 200.5}, NOT_HTTP),
        ({"statusCode": 1e300}, NOT_HTTP),
        ({"statusCode": 999}, NOT_HTTP),
        ({"statusCode": None}, NOT_HTTP),
        ({"statusCode": [200]}, NOT_HTTP),
        ({"headers": []}, NOT_HTTP),
        ({"headers": "x"}, NOT_HTTP),
        ({"headers": None}, NOT_HTTP),
        ({"headers": {"a": {}}}, NOT_HTTP),
        ({"headers": {"a": None}}, NOT_HTTP),
        ({"headers": {"a": [["b", {}]]}}, NOT_HTTP),
        ({"headers": {"a b": "c"}}, NOT_HTTP),
        ({"headers": {"a": "b\r\nc: d"}}, NOT_HTTP),
        ({"headers": {"a": "\N{SNOWMAN}"}}, NOT_HTTP),
        ({"headers": {"a": ["b", "\N{SNOWMAN}"]}, "body": {"c": 1}}, NOT_HTTP),
        (
            {"headers": {"content-type": "text"}, "body": "x"},
            "Response did not specify a known content-type.",
        ),
        ({"headers": {"content-type": "image/png"}, "body": "no base64!"}, OTHER_TYPE),
        ({"headers": {"content-type": "image/png"}, "body": "é"}, OTHER_TYPE),
        ({"headers": {"content-type": "text/plain"}, "body": {"a": 1}}, OTHER_TYPE),
        ({"headers": {"content-type": "text/html"}, "body": [1]}, OTHER_TYPE),
        ({"headers": {"content-type": "text"}, "body": {"a": 1}}, OTHER_TYPE),
    ],
)
def test_what_the_platform_rejects_is_rejected(result: Any, error: str) -> None:
    assert told(answer(result)) == (400, error)


def test_headers_are_text_numbers_and_lists() -> None:
    given = {"X-A": "1", "X-B": 2, "X-C": True, "Set-Cookie": ["a=1", "b=2"], "Content-Length": 9}
    response = answer({"headers": given, "body": "x"})
    assert response.headers == (
        ("content-type", "text/html; charset=UTF-8"),
        ("x-a", "1"),
        ("x-b", "2"),
        ("x-c", "true"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
    )


@pytest.mark.parametrize(
    ("extension", "result", "expected"),
    [
        (
            ".json",
            {"a": {"b": [1, {"c": "é"}], "d": {}}},
            (
                200,
                "application/json",
                NESTED.encode(),
            ),
        ),
        (".html", {"html": "<p>"}, (200, "text/html; charset=UTF-8", b"<p>")),
        (".html", {"body": "<b>", "html": "<p>"}, (200, "text/html; charset=UTF-8", b"<b>")),
        (".svg", {"svg": "<svg/>"}, (200, "image/svg+xml", b"<svg/>")),
        (".text", {"text": "hi"}, (200, "text/plain; charset=UTF-8", b"hi")),
        (".text", {"text": 1.5}, (200, "text/plain; charset=UTF-8", b"1.5")),
        (".text", {"text": False}, (200, "text/plain; charset=UTF-8", b"false")),
        (".text", {"text": None}, (200, "text/plain; charset=UTF-8", b"null")),
        (".text", {"body": {"a": 1}}, (200, "text/plain; charset=UTF-8", b'{\n  "a": 1\n}')),
    ],
)
def test_projections(extension: str, result: Any, expected: tuple[int, str, bytes]) -> None:
    assert seen(answer(result, extension)) == expected


@pytest.mark.parametrize(
    ("extension", "result", "expected"),
    [
        (".html", {"a": 1}, (400, "Response is not valid 'text/html'.")),
        (".html", {"html": {"a": 1}}, (400, "Response is not valid 'text/html'.")),
        (".svg", {"svg": 1}, (400, "Response is not valid 'image/svg+xml'.")),
        (".text", {"a": 1}, (404, "Response does not include requested property.")),
    ],
)
def test_a_projection_that_is_not_there(
    extension: str, result: Any, expected: tuple[int, str]
) -> None:
    assert told(answer(result, extension)) == expected


@pytest.mark.parametrize(
    ("extension", "error", "expected"),
    [
        (".http", {"statusCode": 422, "body": "no"}, (422, "text/html; charset=UTF-8", b"no")),
        (".json", {"a": 1}, (200, "application/json", b'{\n  "a": 1\n}')),
        (".json", [1], (200, "application/json", b"[1]")),
        (".text", "no", (200, "text/plain; charset=UTF-8", b"no")),
        (".html", "<p>no", (200, "text/html; charset=UTF-8", b"<p>no")),
    ],
)
def test_an_application_error_is_unwrapped(
    extension: str, error: Any, expected: tuple[int, str, bytes]
) -> None:
    assert seen(web_response(application_error(error), extension, "t1")) == expected


def test_an_error_that_is_a_text_is_no_http() -> None:
    assert told(web_response(application_error("no"), ".http", "t1")) == (400, NOT_HTTP)
    error = "Response is not valid 'application/json'."
    assert told(web_response(application_error("no"), ".json", "t1")) == (400, error)


@pytest.mark.parametrize("response", [developer_error("secret"), whisk_error("secret")])
def test_other_errors_tell_nothing(response: ActivationResponse) -> None:
    expected = (400, "There was an error processing your request.")
    assert told(web_response(response, ".json", "t1")) == expected


def test_an_array_is_no_result_of_a_web_action() -> None:
    assert told(answer([1], ".json")) == (500, "There was an internal server error.")


def test_a_deep_result_is_written() -> None:
    value: Any = 1
    for _ in range(190):
        value = {"a": value}
    assert json.loads(body(answer(value, ".json"))) == value
