"""Web actions over HTTP: who may call them, how, and what other sites' pages are told."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from gpfn.local.calling import CallOutcome, FunctionCall
from gpfn.local.deployed import Deployed
from gpfn.local.openwhisk.invoking import InvokingSettings
from gpfn.local.openwhisk.refusing import NOT_ALLOWED
from tests.local.openwhisk.calls_server import CallsServer, answered, calls_server
from tests.local.openwhisk.whisk_server import AUTH, Reply

ID = "x-openwhisk-activation-id"
ALLOWED = "Authorization, Origin, X-Requested-With, Content-Type, Accept, User-Agent"


@pytest.fixture
def server() -> Iterator[CallsServer]:
    with calls_server(settings=InvokingSettings(blocking_seconds=0.3)) as server:
        export(server, "a")
        yield server


def export(server: CallsServer, name: str, **annotations: Any) -> None:
    given = {"web-export": True, **{key.replace("_", "-"): v for key, v in annotations.items()}}
    pairs = [{"key": key, "value": value} for key, value in given.items()]
    server.make(name, annotations=pairs)


def web(
    server: CallsServer,
    path: str,
    method: str = "GET",
    body: Any = None,
    headers: Sequence[tuple[str, str]] = (),
    **more: Any,
) -> Reply:
    given = {"auth": None, **more}
    return server.server.ask(method, f"/api/v1/web/guest/{path}", body, headers, **given)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH"])
def test_all_methods_reach_it_without_a_key(server: CallsServer, method: str) -> None:
    reply = web(server, "default/a.json?x=1", method)
    assert reply.status == 200
    found = reply.json
    assert (found["x"], found["__ow_method"], found["__ow_path"]) == ("1", method.lower(), "")
    assert "__ow_user" not in found
    assert len(reply.headers[ID]) == 32


def test_head_has_no_body(server: CallsServer) -> None:
    reply = web(server, "default/a.json", "HEAD")
    assert (reply.status, reply.body) == (200, b"")
    assert server.scripted.last["value"]["__ow_method"] == "head"


def test_the_path_behind_it_is_as_it_came(server: CallsServer) -> None:
    assert web(server, "default/a.json/b%20c/d?x").json["__ow_path"] == "/b%20c/d"
    assert web(server, "default/a.json/").json["__ow_path"] == "/"


def test_who_has_the_key_is_named(server: CallsServer) -> None:
    assert web(server, "default/a.json", auth=AUTH).json["__ow_user"] == "guest"
    assert "__ow_user" not in web(server, "default/a.json", auth="Basic eDp5").json


def test_http_is_the_default_and_a_plain_result_is_204(server: CallsServer) -> None:
    reply = web(server, "default/a")
    assert (reply.status, reply.body) == (204, b"")
    server.scripted.scripts["a"] = answered({"statusCode": 418, "headers": {"X-A": 1}, "body": "x"})
    reply = web(server, "default/a.http")
    assert (reply.status, reply.body, reply.headers["x-a"]) == (418, b"x", "1")
    assert reply.headers["content-type"] == "text/html; charset=UTF-8"


def test_a_body_of_an_object_for_a_text_type_is_the_platforms_error(server: CallsServer) -> None:
    headers = {"content-type": "text/plain"}
    server.scripted.scripts["a"] = answered({"headers": headers, "body": {"a": 1}})
    told = "Response type in header did not match generated content type."
    assert (web(server, "default/a").status, web(server, "default/a").error) == (400, told)


def test_an_action_in_a_package(server: CallsServer) -> None:
    assert server.api("PUT", "packages/p", {}).status == 200
    export(server, "p/b")
    assert web(server, "p/b.json").status == 200
    assert web(server, "default/b.json").status == 404


@pytest.mark.parametrize(
    "path", ["default/none", "default/private", "none/a", "default/a.json.json"]
)
def test_what_is_not_for_everybody_is_not_there(server: CallsServer, path: str) -> None:
    server.make("private", annotations=[{"key": "web-export", "value": "true"}])
    reply = web(server, path, auth=AUTH)
    assert (reply.status, reply.error) == (404, "The requested resource does not exist.")


@pytest.mark.parametrize("namespace", ["other", "_", "%5F", "guest%2Fx", "%00", "%FF"])
def test_another_namespace_is_not_there(server: CallsServer, namespace: str) -> None:
    reply = server.server.ask("GET", f"/api/v1/web/{namespace}/default/a.json", auth=None)
    assert (reply.status, reply.error) == (404, "The requested resource does not exist.")


def test_a_package_or_a_trigger_is_no_web_action(server: CallsServer) -> None:
    for path in ("packages/p", "triggers/t"):
        assert server.api("PUT", path, {}).status == 200
    for path in ("default/p", "default/t.json", "t/a", "default/p/a"):
        reply = web(server, path)
        assert (reply.status, reply.error) == (404, "The requested resource does not exist.")


def test_defaults_that_are_final_are_kept(server: CallsServer) -> None:
    pairs = [{"key": "web-export", "value": True}, {"key": "final", "value": True}]
    server.make("a", annotations=pairs, parameters=[{"key": "secret", "value": "mine"}])
    reply = web(server, "default/a.json?secret=x")
    assert (reply.status, reply.error) == (400, NOT_ALLOWED)
    assert web(server, "default/a.json?other=x").json["secret"] == "mine"
    assert web(server, "default/a.json", "POST", {"__ow_user": "root"}).status == 400


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", "eyJhIjoxfQ=="),
        ("application/json; charset=utf-8", "eyJhIjoxfQ=="),
        ("application/cloudevents+json", "eyJhIjoxfQ=="),
        ("application/cloudevents+json; charset=utf-8", '{"a":1}'),
        ("text/plain", '{"a":1}'),
        ("image/png", "eyJhIjoxfQ=="),
    ],
)
def test_a_raw_action_gets_the_body_by_its_media_type(
    server: CallsServer, content_type: str, body: str
) -> None:
    export(server, "a", raw_http=True)
    reply = web(server, "default/a.json?x=1&x=2", "POST", b'{"a":1}', media=content_type)
    assert (reply.json["__ow_body"], reply.json["__ow_query"]) == (body, "x=1&x=2")
    assert reply.json["__ow_headers"]["content-type"] == content_type
    assert "x" not in reply.json


def test_the_platform_answers_for_pages_of_other_sites(server: CallsServer) -> None:
    reply = web(server, "default/a", "OPTIONS")
    assert (reply.status, reply.body) == (200, b"")
    assert not server.scripted.seen
    for each in (reply, web(server, "default/a.json")):
        assert each.headers["access-control-allow-origin"] == "*"
        allowed = "OPTIONS, GET, DELETE, POST, PUT, HEAD, PATCH"
        assert each.headers["access-control-allow-methods"] == allowed
        assert each.headers["access-control-allow-headers"] == ALLOWED
    asked = (("Access-Control-Request-Headers", "x-mine"),)
    reply = web(server, "default/a", "OPTIONS", headers=asked)
    assert reply.headers["access-control-allow-headers"] == "x-mine"


def test_pages_of_other_sites_may_call_it_and_nothing_else(server: CallsServer) -> None:
    page = (("Origin", "http://example.org"), ("Sec-Fetch-Site", "cross-site"))
    assert web(server, "default/a.json", "POST", {"x": 1}, page).json["x"] == 1
    reply = server.api("POST", "actions/a?blocking=true", {}, headers=page)
    assert reply.status == 403


def test_an_action_may_answer_for_itself(server: CallsServer) -> None:
    export(server, "a", web_custom_options=True, require_whisk_auth="s3")
    reply = web(server, "default/a.json", "OPTIONS")
    assert (reply.status, reply.json["__ow_method"]) == (200, "options")
    assert "access-control-allow-origin" not in reply.headers
    assert web(server, "default/a.json").status == 401


@pytest.mark.parametrize(
    ("wanted", "headers", "auth", "status"),
    [
        ("s3cret", (("X-Require-Whisk-Auth", "s3cret"),), None, 200),
        ("s3cret", (("X-Require-Whisk-Auth", "other"),), None, 401),
        ("s3cret", (), AUTH, 401),
        (1234, (("X-Require-Whisk-Auth", "1234"),), None, 200),
        (1234, (), None, 401),
        (True, (), AUTH, 200),
        (True, (), None, 401),
        (False, (), None, 200),
        ({"a": 1}, (), AUTH, 401),
        ("", (), None, 401),
        ("", (("X-Require-Whisk-Auth", ""),), None, 200),
    ],
)
def test_require_whisk_auth(
    server: CallsServer,
    wanted: Any,
    headers: Sequence[tuple[str, str]],
    auth: str | None,
    status: int,
) -> None:
    export(server, "a", require_whisk_auth=wanted)
    reply = web(server, "default/a.json", headers=headers, auth=auth)
    assert reply.status == status
    if status == 401:
        told = "Authentication is possible but has failed or not yet been provided."
        assert reply.error == told


@pytest.mark.parametrize(
    ("outcome", "extension", "status", "told"),
    [
        (answered({"error": {"statusCode": 422, "body": "no"}}), "http", 422, None),
        (answered({"error": "no"}), "http", 400, "Response is not valid 'message/http'."),
        (CallOutcome(None, "crashed"), "json", 400, "There was an error processing your request."),
        (CallOutcome(None, "busy"), "json", 429, "Too many concurrent requests in flight."),
        (answered([1]), "json", 500, "There was an internal server error."),
        (answered({"a": 1}), "text", 404, "Response does not include requested property."),
    ],
)
def test_failures(
    server: CallsServer, outcome: CallOutcome, extension: str, status: int, told: str | None
) -> None:
    server.scripted.scripts["a"] = outcome
    reply = web(server, f"default/a.{extension}")
    assert reply.status == status
    if told is not None:
        assert reply.error == told
    assert [(each.via, each.status) for each in server.told()] == [("web", status)]


def test_a_result_that_takes_too_long_is_202(server: CallsServer) -> None:
    async def slow(_: Deployed, __: FunctionCall) -> CallOutcome:
        await asyncio.sleep(0.5)
        return answered({})

    server.scripted.scripts["a"] = slow
    reply = web(server, "default/a.json")
    assert (reply.status, reply.error) == (202, "Response not yet ready.")
    assert server.wait_for(reply.headers[ID])["response"]["success"]


def test_bodies_are_bounded(server: CallsServer) -> None:
    reply = web(server, "default/a.json", "POST", b"x" * ((1 << 20) + 1), media="text/plain")
    told = "Request larger than allowed: 1048577 > 1048576 bytes."
    assert (reply.status, reply.error) == (413, told)
    large = b"\x89" * (1 << 20)  # as base64 it is no message any more
    reply = web(server, "default/a.json", "POST", large, media="image/png")
    assert (reply.status, reply.error) == (500, "There was an internal server error.")


@pytest.mark.parametrize("body", [b"{", b"[" * 100_000, b"\xff\xfe"])
def test_a_body_that_is_no_json_is_400(server: CallsServer, body: bytes) -> None:
    reply = web(server, "default/a.json", "POST", body)
    assert reply.status == 400
    assert reply.error.startswith("The request content was malformed:\n")


def test_a_sequence_may_be_one(server: CallsServer) -> None:
    server.make(
        "s",
        {"kind": "sequence", "components": ["/_/a"]},
        annotations=[{"key": "web-export", "value": True}],
    )
    assert web(server, "default/s.json?x=1").json["x"] == "1"
