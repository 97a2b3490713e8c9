"""What a web action gets of a request, by its media type, raw or not."""

import base64
from typing import Any

import pytest

from gpfn.local.openwhisk.refusing import NOT_ALLOWED, WhiskRefusal
from gpfn.local.openwhisk.web_arguments import WebCall, web_arguments


def request(body: bytes = b"", content_type: str = "", query: str = "", **more: Any) -> WebCall:
    headers = (("content-type", content_type),) if content_type else ()
    return WebCall("POST", headers, "", query, body)._replace(**more)


def arguments(asked: WebCall, *final: str, raw: bool = False) -> dict[str, Any]:
    found = web_arguments(asked, final, raw=raw)
    assert found.pop("__ow_method") == asked.method.lower()
    assert found.pop("__ow_path") == asked.path
    del found["__ow_headers"]
    return found


def base64_of(body: bytes) -> str:
    return base64.b64encode(body).decode()


@pytest.mark.parametrize(
    ("body", "content_type", "plain", "raw"),
    [
        (b'{"a":1}', "application/json", {"a": 1}, "base64"),
        (b'{"a":1}', "application/json; charset=utf-8", {"a": 1}, "base64"),
        (b'{"a":1}', "application/cloudevents+json", {"a": 1}, "base64"),
        (b'{"a":1}', "application/cloudevents+json; charset=utf-8", {"a": 1}, '{"a":1}'),
        (b'{"a":1}', "application/problem+json", {"a": 1}, '{"a":1}'),
        (b"[1,2]", "application/json", {"__ow_body": [1, 2]}, "base64"),
        (b'"text"', "application/json", {"__ow_body": "text"}, "base64"),
        (b"null", "application/json", {"__ow_body": None}, "base64"),
        (b"", "application/json", {}, ""),
        (b"", "", {}, ""),
        (b"", "text/plain", {"__ow_body": ""}, ""),
        (b"hello", "text/plain", {"__ow_body": "hello"}, "hello"),
        (b"hello", "text/plain; charset=iso-8859-1", {"__ow_body": "hello"}, "hello"),
        (b"hello", "text/x-unknown", {"__ow_body": "aGVsbG8="}, "base64"),
        (b"<a/>", "application/xml", {"__ow_body": "<a/>"}, "<a/>"),
        (b"<a/>", "image/svg+xml", {"__ow_body": "PGEvPg=="}, "base64"),
        (b"\x89PNG", "image/png", {"__ow_body": "iVBORw=="}, "base64"),
        (b"\x89PNG", "", {"__ow_body": "iVBORw=="}, "base64"),
        (b"\x89PNG", "no type", {"__ow_body": "iVBORw=="}, "base64"),
        (
            b"a=1&b=x+y&a=2",
            "application/x-www-form-urlencoded",
            {"a": "2", "b": "x y"},
            "a=1&b=x+y&a=2",
        ),
    ],
)
def test_a_body_by_its_media_type(
    body: bytes, content_type: str, plain: dict[str, Any], raw: str
) -> None:
    asked = request(body, content_type)
    assert arguments(asked) == plain
    expected = base64_of(body) if raw == "base64" else raw
    assert arguments(asked, raw=True) == {"__ow_query": "", "__ow_body": expected}


def test_the_bodys_members_are_over_the_querys() -> None:
    asked = request(b'{"a":1}', "application/json", "a=x&b=y&b=z&c=&d")
    assert arguments(asked) == {"a": 1, "b": "z", "c": "", "d": ""}


def test_the_context_is_the_requests() -> None:
    headers = (("x-a", "1"), ("x-a", "2"), ("content-length", "2"), ("cookie", "c"))
    asked = WebCall("GET", headers, "/b/c", "", b"", "guest")
    assert web_arguments(asked, (), raw=False) == {
        "__ow_method": "get",
        "__ow_headers": {"x-a": "2", "cookie": "c"},
        "__ow_path": "/b/c",
        "__ow_user": "guest",
    }


def test_a_body_without_a_type_is_said_to_be_bytes() -> None:
    found = web_arguments(request(b"x"), (), raw=False)
    assert found["__ow_headers"] == {"content-type": "application/octet-stream"}


@pytest.mark.parametrize(
    ("query", "rendered"),
    [
        ("a=b%20c&d", "a=b+c&d"),
        ("a=b+c", "a=b+c"),
        ("x=%c3%a9/?:@", "x=%C3%A9/?:@"),
        ("a=1%2B1&b=%26", "a=1%2B1&b=%26"),
        ("", ""),
    ],
)
def test_the_query_of_a_raw_action_is_written_as_the_platform_writes_it(
    query: str, rendered: str
) -> None:
    assert arguments(request(query=query), raw=True)["__ow_query"] == rendered


@pytest.mark.parametrize(
    "asked",
    [
        request(query="secret=x"),
        request(b'{"secret":1}', "application/json"),
        request(b"secret=1", "application/x-www-form-urlencoded"),
        request(query="__ow_method=get"),
        request(b'{"__ow_user":"x"}', "application/json"),
        request(b' {"__ow_body":"x"}', "application/json"),
    ],
)
def test_final_and_reserved_arguments_are_refused_but_of_raw_actions(asked: WebCall) -> None:
    with pytest.raises(WhiskRefusal) as refused:
        web_arguments(asked, ("secret",), raw=False)
    assert (refused.value.status, refused.value.message) == (400, NOT_ALLOWED)
    assert web_arguments(asked, ("secret",), raw=True)


@pytest.mark.parametrize(
    "body", [b"{", b"\xff", b"[" * 100_000, b"[" * 500 + b"]" * 500, b'{"a":NaN}']
)
def test_a_body_that_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(WhiskRefusal) as refused:
        web_arguments(request(body, "application/json"), (), raw=False)
    assert refused.value.status == 400
    assert refused.value.message.startswith("The request content was malformed:\n")


def test_a_query_of_too_many_fields_is_refused() -> None:
    with pytest.raises(WhiskRefusal):
        web_arguments(request(query="a&" * 5000), (), raw=False)
