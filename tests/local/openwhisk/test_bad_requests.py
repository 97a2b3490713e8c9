"""Whoever asks with another key, or for what is no name, is refused as the platform refuses it."""

import json
import socket
from collections.abc import Iterator

import pytest

from gpfn.local.openwhisk.api import GUEST_KEY
from tests.local.openwhisk.test_actions import CODE, PYTHON
from tests.local.openwhisk.whisk_server import AUTH, Reply, WhiskServer, basic, whisk_server

NO_KEY = "The resource requires authentication, which was not supplied with the request"
WRONG_KEY = "The supplied authentication is invalid"
ILLEGAL = "The name of the entity contains illegal characters."
MALFORMED = "The request content was malformed:\n"
MANY = [
    "/api/v1/namespaces",
    "/api/v1/namespaces/_/actions",
    "/api/v1/namespaces/_/actions/none",
    "/api/v1/namespaces/other/triggers",
    "/api/v1/namespaces/_/nonsense",
    "/api/v1/web/whisk.system/apimgmt/getApi.http",
]


@pytest.fixture(scope="module")
def server() -> Iterator[WhiskServer]:
    with whisk_server() as made:
        yield made
        assert not made.log
        assert made.api("GET", "actions?count=true").json == {"actions": 0}


def refused(reply: Reply, status: int) -> str:
    assert reply.status == status, reply
    assert reply.json["code"]
    return reply.error


# the key


@pytest.mark.parametrize("path", MANY)
@pytest.mark.parametrize(
    ("auth", "message"),
    [
        (None, NO_KEY),
        (basic("23bc46b1-71f6-4ed5-8c54-816aa4f8c502:" + "x" * 64), WRONG_KEY),
        (basic(GUEST_KEY + " "), WRONG_KEY),
        (basic(GUEST_KEY.partition(":")[0]), WRONG_KEY),
        (basic(""), WRONG_KEY),
        (f"Bearer {GUEST_KEY}", WRONG_KEY),
        (GUEST_KEY, WRONG_KEY),
        ("Basic", WRONG_KEY),
        ("Basic !!!", WRONG_KEY),
        ("", WRONG_KEY),
        (AUTH.replace("Basic ", "Basic " + "A" * 20_000), WRONG_KEY),
    ],
)
def test_without_the_key_nothing_is_told(
    server: WhiskServer, path: str, auth: str | None, message: str
) -> None:
    reply = server.ask("GET", path, auth=auth)
    assert refused(reply, 401) == message
    challenge = 'Basic realm="OpenWhisk secure realm",charset=UTF-8'
    assert reply.headers["www-authenticate"] == challenge


def test_two_keys_are_none(server: WhiskServer) -> None:
    reply = server.ask("GET", MANY[0], headers=[("Authorization", basic("a:b"))])
    assert refused(reply, 400) == "more than one authorization header"


@pytest.mark.parametrize("path", ["/", "/api/v1", "/api/v1/"])
def test_what_the_server_is_it_tells_everybody(server: WhiskServer, path: str) -> None:
    assert server.ask("GET", path, auth=None).json["description"].startswith("OpenWhisk")


def test_the_scheme_has_no_case(server: WhiskServer) -> None:
    assert server.ask("GET", MANY[0], auth=AUTH.replace("Basic", "bASIC")).json == ["guest"]


def test_a_transaction_has_the_id_of_the_request(server: WhiskServer) -> None:
    reply = server.ask("GET", "/api/v1/nothing", headers=[("X-Request-ID", "mine-1")])
    assert reply.json["code"] == reply.headers["x-request-id"] == "mine-1"
    assert server.ask("GET", MANY[0]).headers["x-request-id"]


# names


@pytest.mark.parametrize(
    "name",
    [
        "a%20", "%20a", "-a", ".", "..", "a%2Fb", "a%00b", "%00", "a%0Ab", "a!b", "%E2%9D%84",
        "a%3Fb", "a%22", "%FF", "%C3%28", "a%7Fb", "a%25",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "path", ["actions/{}", "actions/p/{}", "actions/{}/x", "packages/{}", "rules/{}"]
)
def test_what_is_no_name(server: WhiskServer, path: str, name: str) -> None:
    for method in ("PUT", "GET", "DELETE"):
        body = {} if method == "PUT" else None
        assert refused(server.api(method, path.format(name), body), 400) == ILLEGAL


@pytest.mark.parametrize("length", [257, 300, 5000])
def test_a_name_that_is_too_long(server: WhiskServer, length: int) -> None:
    error = refused(server.api("PUT", f"actions/{'a' * length}", PYTHON), 400)
    assert error == f"Name segement longer than allowed: {length} > 256."
    reply = server.ask("GET", f"/api/v1/namespaces/{'n' * length}/actions")
    assert refused(reply, 400) == f"Namespace longer than allowed: {length} > 256."


@pytest.mark.parametrize("namespace", ["a%2Fb", "%00", "-", "%20", "a!"])
def test_what_is_no_namespace(server: WhiskServer, namespace: str) -> None:
    reply = server.ask("GET", f"/api/v1/namespaces/{namespace}/actions")
    assert refused(reply, 400) == "The namespace contains illegal characters."


@pytest.mark.parametrize("name", ["a", "_", "0", "a%20b", "a@b.c&d-e", "_a", "x" * 256, "A.B-"])
def test_what_is_a_name(server: WhiskServer, name: str) -> None:
    assert server.api("PUT", f"actions/{name}", PYTHON).status == 200
    assert server.api("GET", f"actions/{name}").status == 200
    assert server.api("DELETE", f"actions/{name}").status == 200


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("actions", "other"),
        ("actions/a", "other/a"),
        ("actions/p/a", "other/p/a"),
        ("rules/r", "other/r"),
    ],
)
def test_another_namespace_is_not_the_callers(server: WhiskServer, path: str, shown: str) -> None:
    reply = server.ask("GET", f"/api/v1/namespaces/other/{path}")
    said = f"The supplied authentication is not authorized to access '{shown}'."
    assert refused(reply, 403) == said


# paths and methods


@pytest.mark.parametrize(
    "path",
    [
        "/api",
        "/api/v2/namespaces",
        "/api/v1/namespaces/_/apis",
        "/api/v1/namespaces/_/actions/a/b/c",
        "/nothing",
        "/api/v1/namespaces/_//actions",
    ],
)
def test_what_is_no_path(server: WhiskServer, path: str) -> None:
    assert refused(server.ask("GET", path), 404) == "The requested resource could not be found."


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/api/v1/namespaces", "GET"),
        ("PUT", "/api/v1/namespaces/_/actions", "GET"),
        ("PATCH", "/api/v1/namespaces/_/packages/p", "PUT, GET, DELETE"),
        ("PATCH", "/api/v1/namespaces/_/rules/r", "PUT, GET, DELETE, POST"),
    ],
)
def test_what_is_no_method(server: WhiskServer, method: str, path: str, allowed: str) -> None:
    reply = server.ask(method, path, {})
    assert refused(reply, 405) == f"HTTP method not allowed, supported methods: {allowed}"
    assert reply.headers["allow"] == allowed


def test_head_is_as_get_without_a_body(server: WhiskServer) -> None:
    reply = server.ask("HEAD", "/api/v1/namespaces")
    assert (reply.status, reply.headers["content-length"], reply.body) == (200, "9", b"")


def raw(server: WhiskServer, *lines: str) -> tuple[int, dict[str, str]]:
    """Send the head of a request and no body; return status and document of the answer."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock:
        sock.sendall("\r\n".join([*lines, "", ""]).encode())
        head, _, body = sock.recv(65536).partition(b"\r\n\r\n")
    document = json.loads(body)
    assert {*document} == {"error", "code"}
    return int(head.split()[1]), document


def test_a_name_of_another_server_is_refused(server: WhiskServer) -> None:
    first = "GET /api/v1/namespaces HTTP/1.1"
    status, _ = raw(server, first, "Host: evil.example", f"Authorization: {AUTH}")
    assert status == 403


# bodies


@pytest.mark.parametrize("collection", ["actions", "packages", "triggers", "rules"])
@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"nonsense",
        b'{"a":1,}',
        b"{'a': 1}",
        b"\xff\xfe{\0}\0",
        b'"\xff"',
        b'{"publish": NaN}',
        b"{} {}",
        b"\0",
    ],
)
def test_what_is_no_json(server: WhiskServer, collection: str, body: bytes) -> None:
    assert refused(server.api("PUT", f"{collection}/x", body), 400).startswith(MALFORMED)


@pytest.mark.parametrize("collection", ["actions", "packages", "triggers", "rules"])
def test_what_is_no_object_or_nothing(server: WhiskServer, collection: str) -> None:
    for body in ([], 5, "text", True):
        reply = server.api("PUT", f"{collection}/x", json.dumps(body).encode())
        assert refused(reply, 400) == f"{MALFORMED}Object expected in field 'exec'"
    reply = server.api("PUT", f"{collection}/x", b"")
    assert refused(reply, 400) == "Request entity expected but not supplied"


@pytest.mark.parametrize("collection", ["actions", "packages", "triggers", "rules"])
@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("publish", "yes", 'Expected JsBoolean, but got "yes"'),
        ("version", 1, "semantic version malformed"),
        ("version", "0.0.0", "semantic version malformed"),
        ("version", "9" * 400, "semantic version malformed"),
        ("parameters", {"a": 1}, "parameters malformed!"),
        ("parameters", [1], "parameters malformed!"),
        ("parameters", [{"key": "a"}], "parameters malformed!"),
        ("parameters", [{"key": 1, "value": 1}], "parameters malformed!"),
        ("parameters", [{"key": "a", "value": 1, "init": "no"}], "parameters malformed!"),
        ("annotations", "x", "parameters malformed!"),
    ],
)
def test_wrong_types(
    server: WhiskServer, collection: str, field: str, value: object, message: str
) -> None:
    body = PYTHON | {"trigger": "/_/t", "action": "/_/a", field: value}
    assert refused(server.api("PUT", f"{collection}/x", body), 400) == MALFORMED + message


@pytest.mark.parametrize("value", [5, [5], {"a": 1}])
def test_annotations_to_take_away_are_names(server: WhiskServer, value: object) -> None:
    body = PYTHON | {"delAnnotations": value}
    assert refused(server.api("PUT", "actions/x", body), 400).startswith(f"{MALFORMED}Expected ")


def test_unknown_fields_are_passed_over(server: WhiskServer) -> None:
    body = PYTHON | {"name": "other", "namespace": "evil", "unknown": {"a": [1]}, "revision": 9}
    made = server.api("PUT", "actions/known", body).json
    assert (made["namespace"], made["name"]) == ("guest", "known")
    assert "unknown" not in made
    assert server.api("DELETE", "actions/known").status == 200


@pytest.mark.parametrize("depth", [202, 1000, 100_000])
def test_what_is_too_deep(server: WhiskServer, depth: int) -> None:
    for opened, closed in ((b"[", b"]"), (b'{"a":', b"}")):
        value = opened * depth + b"1" + closed * depth
        body = b'{"parameters":[{"key":"a","value":' + value + b"}]}"
        assert refused(server.api("PUT", "triggers/x", body), 400).startswith(MALFORMED)


def test_what_is_deep_comes_back(server: WhiskServer) -> None:
    body = b'{"parameters":[{"key":"a","value":' + b"[" * 190 + b"]" * 190 + b"}]}"
    assert server.api("PUT", "triggers/deep", body).status == 200
    assert b"[" * 190 in server.api("GET", "triggers/deep").body
    assert server.api("DELETE", "triggers/deep").status == 200


def test_a_nul_in_a_value_comes_back(server: WhiskServer) -> None:
    pair = {"key": "a\0b", "value": "c\0d"}
    server.api(
        "PUT", "actions/nul", {"exec": {"kind": "python:3", "code": "\0x"}, "parameters": [pair]}
    )
    kept = server.api("DELETE", "actions/nul").json
    assert (kept["exec"]["code"], kept["parameters"]) == ("\0x", [pair])


@pytest.mark.parametrize(
    ("media", "shown"),
    [
        ("text/plain", "text/plain"),
        ("application/cloudevents+json", "application/cloudevents+json"),
        ("application/x-www-form-urlencoded", "application/x-www-form-urlencoded"),
        (None, "application/octet-stream"),
    ],
)
def test_other_media_types(server: WhiskServer, media: str | None, shown: str) -> None:
    for collection in ("actions", "triggers", "packages", "rules"):
        reply = server.api("PUT", f"{collection}/x", PYTHON, media=media)
        said = f"The request's Content-Type [{shown}] is not supported. Expected:\napplication/json"
        assert refused(reply, 415) == said


def test_json_with_a_charset(server: WhiskServer) -> None:
    assert (
        server.api("PUT", "triggers/c", {}, media="Application/JSON; charset=UTF-8").status == 200
    )
    assert server.api("DELETE", "triggers/c").status == 200


# sizes


def test_parameters_over_a_megabyte(server: WhiskServer) -> None:
    for field in ("parameters", "annotations"):
        pair = {"key": "k", "value": "x" * ((1 << 20) - 2)}
        reply = server.api("PUT", "triggers/x", {field: [pair]})
        assert refused(reply, 413) == f"{field} larger than allowed: 1048577 > 1048576 bytes."
    pair["value"] = "x" * ((1 << 20) - 3)
    assert server.api("PUT", "triggers/x", {"parameters": [pair]}).status == 200
    assert server.api("DELETE", "triggers/x").status == 200


def test_code_of_48_megabytes_and_more(server: WhiskServer) -> None:
    most = 48 << 20
    body = b'{"exec":{"kind":"python:3","code":"%b"}}'
    reply = server.api("PUT", "actions/x", body % (b"A" * (most + 1)))
    assert refused(reply, 413) == f"exec larger than allowed: {most + 1} > {most} bytes."
    reply = server.api("PUT", "actions/x", body % (b"A" * most))
    assert reply.json["exec"]["binary"] is True
    assert len(server.api("GET", "actions/x?code=false").body) < 1000
    assert len(server.api("DELETE", "actions/x").json["exec"]["code"]) == most


PUT = "PUT /api/v1/namespaces/_/actions/x HTTP/1.1"
JSON = "Content-Type: application/json"


def test_a_body_that_is_too_large_is_refused_before_it_comes(server: WhiskServer) -> None:
    size = "Content-Length: 60000000"
    status, _ = raw(server, PUT, "Host: 127.0.0.1", f"Authorization: {AUTH}", JSON, size)
    assert status == 413


def test_a_stranger_need_not_send_a_body(server: WhiskServer) -> None:
    status, document = raw(server, PUT, "Host: 127.0.0.1", JSON, "Content-Length: 40000000")
    assert (status, document["error"]) == (401, NO_KEY)


def test_a_length_that_is_none(server: WhiskServer) -> None:
    for length in ("9" * 5000, "-1", "1.5", "\u00b2"):
        status, _ = raw(server, PUT, "Host: 127.0.0.1", f"Content-Length: {length}")
        assert status in (400, 401, 413, 431)


def test_many_fields_in_a_query(server: WhiskServer) -> None:
    reply = server.api("GET", "actions?" + "&".join(f"a{number}=1" for number in range(2000)))
    assert refused(reply, 400)


def test_code_is_told_by_its_look_in_no_time(server: WhiskServer) -> None:
    almost = "A" * (4 << 20) + "!" + "=" * 3
    body = {"exec": {"kind": "python:3", "code": almost}}
    assert server.api("PUT", "actions/x", body).json["exec"]["binary"] is False
    assert CODE not in server.api("DELETE", "actions/x").json["exec"]["code"]
