"""Fn's entities over HTTP: how changes are merged, lists paged, and what is refused how."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gpfn.local.fn.errors import REFUSALS
from tests.local.fn.fn_server import FnServer, Reply, fn_server

JSON = "application/json; charset=utf-8"
DEEP = b'{"name":' + b"[" * 100_000


@pytest.fixture(scope="module")
def running() -> Iterator[FnServer]:
    with fn_server() as running:
        yield running


@pytest.fixture
def server(running: FnServer) -> FnServer:
    """Return the server without anything in it."""
    for app in running.ask("GET", "/v2/apps?per_page=100").document["items"]:
        running.ask("DELETE", f"/v2/apps/{app['id']}")
    return running


@pytest.fixture
def app(server: FnServer) -> Any:
    return server.made("/v2/apps", name="models")


@pytest.fixture
def fn(server: FnServer, app: Any) -> Any:
    return server.made("/v2/fns", app_id=app["id"], name="forecast", image="forecast:0.0.1")


def is_refused(reply: Reply, kind: str) -> bool:
    """Say whether a reply is this refusal, in status, form and words."""
    status, message = REFUSALS[kind]
    form = "text/plain; charset=utf-8" if kind == "invalid json" else JSON
    assert (reply.status, reply.document) == (status, {"message": message})
    assert reply.body.endswith(b"}\n")
    return reply.headers["content-type"] == form


# merging


@pytest.mark.parametrize("kind", ["apps", "fns"])
def test_config_is_merged_and_an_empty_value_removes(
    server: FnServer, app: Any, fn: Any, kind: str
) -> None:
    path = f"/v2/{kind}/{app['id'] if kind == 'apps' else fn['id']}"
    server.ask("PUT", path, {"config": {"a": "1"}})
    server.ask("PUT", path, {"config": {"b": "2", "c": "3"}})
    changed = server.ask("PUT", path, {"config": {"a": "", "c": None}}).document
    assert changed["config"] == {"b": "2"}
    assert server.ask("GET", path).document["config"] == {"b": "2"}
    assert server.ask("PUT", path, {}).document["config"] == {"b": "2"}


def test_annotations_are_merged_and_keep_any_json(server: FnServer, app: Any) -> None:
    path = f"/v2/apps/{app['id']}"
    value = {"list": [1, 2.5, None, True], "text": "<ö>&"}
    server.ask("PUT", path, {"annotations": {"a": value, "b": 7, "c": False}})
    changed = server.ask("PUT", path, {"annotations": {"b": "", "c": None, "d": []}})
    assert changed.document["annotations"] == {"a": value, "d": []}
    assert b"\\u003c" in changed.body


def test_whole_numbers_of_annotations_keep_their_digits(
    server: FnServer, app: Any, fn: Any
) -> None:
    path, large = f"/v2/fns/{fn['id']}", {"a": 123456789012345678901, "b": [-(10**400)]}
    assert server.ask("PUT", path, {"annotations": large}).status == 200
    found = server.ask("GET", path).document["annotations"]
    assert {key: found[key] for key in large} == large
    assert server.ask("POST", f"/invoke/{fn['id']}").status == 200


@pytest.mark.parametrize("value", [b"1e400", b"[-1e999]", b'{"a": 1e400}'])
def test_a_number_beyond_a_double_is_told(server: FnServer, value: bytes) -> None:
    body = b'{"name": "new", "annotations": {"a": %b}}' % value
    assert is_refused(server.ask("POST", "/v2/apps", body), "invalid json")


@pytest.mark.parametrize(("levels", "status"), [(250, 200), (251, 400)])
def test_annotations_are_as_deep_as_lists_can_have_them(
    server: FnServer, app: Any, levels: int, status: int
) -> None:
    body = b'{"annotations": {"a": %b%b}}' % (b"[" * levels, b"]" * levels)
    assert server.ask("PUT", f"/v2/apps/{app['id']}", body).status == status
    assert server.ask("GET", "/v2/apps").status == 200


def test_an_empty_config_of_a_function_is_null_unless_it_was_given(
    server: FnServer, fn: Any
) -> None:
    path = f"/v2/fns/{fn['id']}"
    assert fn["config"] == {}
    assert server.ask("GET", path).document["config"] is None
    assert server.ask("PUT", path, {"memory": 256}).document["config"] is None
    assert server.ask("PUT", path, {"config": {"a": ""}}).document["config"] == {}


def test_zero_is_not_set(server: FnServer, fn: Any) -> None:
    fields = {"memory": 0, "timeout": 0, "idle_timeout": 0, "image": "", "name": "other"}
    same = server.ask("PUT", f"/v2/fns/{fn['id']}", fields).document
    assert same["updated_at"] == fn["updated_at"]
    assert (same["memory"], same["timeout"], same["idle_timeout"]) == (128, 30, 30)
    assert (same["name"], same["image"]) == ("forecast", "forecast:0.0.1")


def test_members_are_found_in_any_case_and_unknown_ones_passed_over(server: FnServer) -> None:
    body = b'{"Name":"x","nothing":[{}],"CONFIG":{"a":"1"},"config":{"b":"2"}} and more'
    made = server.ask("POST", "/v2/apps", body).document
    assert made["name"] == "x"
    assert made["config"] == {"b": "2"}


def test_half_a_surrogate_pair_is_what_go_makes_of_it(server: FnServer, app: Any) -> None:
    changed = server.ask("PUT", f"/v2/apps/{app['id']}", b'{"config":{"a":"x\\ud800y"}}')
    assert changed.document["config"] == {"a": "x\ufffdy"}
    assert server.ask("GET", "/v2/apps?name=%ff").document == {"items": []}


def test_a_trigger_can_get_another_name_and_source(server: FnServer, app: Any, fn: Any) -> None:
    made = server.made(
        "/v2/triggers", app_id=app["id"], fn_id=fn["id"], name="t", type="http", source="/t"
    )
    path = f"/v2/triggers/{made['id']}"
    server.ask("PUT", path, {"name": "u", "source": "/a b/ö", "type": "other"})
    found = server.ask("GET", path).document
    assert (found["name"], found["source"], found["type"]) == ("u", "/a b/ö", "http")
    endpoint = found["annotations"]["fnproject.io/trigger/httpEndpoint"]
    assert endpoint == f"http://{server.host}:{server.port}/t/models/a b/ö"
    assert server.ask("POST", "/t/models/a%20b/%C3%B6").status == 200
    assert is_refused(server.ask("POST", "/t/models/t"), "trigger unknown")


# lists


def test_lists_are_paged_by_a_cursor(server: FnServer, app: Any) -> None:
    for number in range(250):
        server.made("/v2/fns", app_id=app["id"], name=f"f{number:03}", image="f:1")
    path = f"/v2/fns?app_id={app['id']}"
    assert len(server.ask("GET", path).document["items"]) == 30
    assert len(server.ask("GET", f"{path}&per_page=1000").document["items"]) == 100
    for wrong in ("0", "-1", "x", "9" * 50, ""):
        assert len(server.ask("GET", f"{path}&per_page={wrong}").document["items"]) == 30
    names, cursor = [], ""
    while True:
        page = server.ask("GET", f"{path}&per_page=100&cursor={cursor}").document
        names += [item["name"] for item in page["items"]]
        if "next_cursor" not in page:
            break
        cursor = page["next_cursor"]
        assert base64.urlsafe_b64decode(cursor + "==") == names[-1].encode()
    assert names == [f"f{number:03}" for number in range(250)]


def test_a_name_is_matched_exactly(server: FnServer, app: Any) -> None:
    for name in ("fore", "forecast", "Forecast"):
        server.made("/v2/fns", app_id=app["id"], name=name, image="f:1")
    query = f"/v2/fns?app_id={app['id']}&name="
    for name in ("fore", "forecast", "Forecast"):
        assert [f["name"] for f in server.ask("GET", query + name).document["items"]] == [name]
    for name in ("fo", "%25", "fore%00", "x" * 300, "fore%27%20or%201=1"):
        assert server.ask("GET", query + name).document == {"items": []}
    assert len(server.ask("GET", query).document["items"]) == 3


@pytest.mark.parametrize("cursor", ["!", "a", "%00", "a=b=", "ö"])
def test_a_cursor_that_is_none_is_told_as_the_server_tells_it(
    server: FnServer, app: Any, cursor: str
) -> None:
    quoted = cursor.replace("ö", "%C3%B6")
    assert is_refused(server.ask("GET", f"/v2/apps?cursor={quoted}"), "internal")


def test_lists_need_an_app(server: FnServer) -> None:
    assert is_refused(server.ask("GET", "/v2/fns"), "fn app missing")
    assert is_refused(server.ask("GET", "/v2/triggers"), "trigger app missing")
    assert server.ask("GET", "/v2/fns?app_id=nothere").document == {"items": []}


def test_endpoints_are_named_by_the_host_that_was_asked(server: FnServer, fn: Any) -> None:
    host = f"localhost:{server.port}"
    found = server.ask("GET", f"/v2/fns/{fn['id']}", headers={"Host": host}).document
    endpoint = found["annotations"]["fnproject.io/fn/invokeEndpoint"]
    assert endpoint == f"http://{host}/invoke/{fn['id']}"


# ids


def test_entities_are_the_same_after_a_restart(tmp_path: Path) -> None:
    place = tmp_path / "dev.sqlite"
    with fn_server(place) as first:
        app = first.made("/v2/apps", name="models", config={"a": "1"}, annotations={"b": {"c": 1}})
        fn = first.made("/v2/fns", app_id=app["id"], name="f", image="f:1", config={"k": "v"})
        fields = {"app_id": app["id"], "fn_id": fn["id"], "type": "http"}
        trigger = first.made("/v2/triggers", **fields, name="t", source="/t")
    with fn_server(place) as second:
        assert second.ask("GET", f"/v2/apps/{app['id']}").document == app
        found = second.ask("GET", f"/v2/fns/{fn['id']}").document
        assert {**found, "annotations": 0} == {**fn, "annotations": 0}
        assert second.ask("GET", f"/v2/triggers/{trigger['id']}").document["id"] == trigger["id"]


def test_what_hangs_on_an_entity_goes_with_it(server: FnServer, app: Any, fn: Any) -> None:
    fields = {"app_id": app["id"], "fn_id": fn["id"], "name": "t", "type": "http"}
    trigger = server.made("/v2/triggers", **fields, source="/t")
    assert server.ask("POST", "/t/models/t").status == 200
    assert server.ask("DELETE", f"/v2/fns/{fn['id']}").status == 204
    assert is_refused(server.ask("GET", f"/v2/triggers/{trigger['id']}"), "trigger unknown")
    assert is_refused(server.ask("POST", "/t/models/t"), "trigger unknown")
    other = server.made("/v2/fns", app_id=app["id"], name="other", image="o:1")
    assert server.ask("POST", f"/invoke/{other['id']}").status == 200
    assert server.ask("DELETE", f"/v2/apps/{app['id']}").status == 204
    assert is_refused(server.ask("POST", f"/invoke/{other['id']}"), "fn unknown")
    assert server.said.forgotten[-2:] == [fn["id"], other["id"]]


# what is refused


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("", "app name missing"),
        ("x" * 256, "app name long"),
        ("ö" * 128, "app name long"),
        ("a/b", "app name"),
        ("a b", "app name"),
        ("a\0b", "app name"),
        (".", "app name"),
        ("a\n", "app name"),
        ("🎉", "app name"),
    ],
)
def test_names_of_apps_and_triggers(
    server: FnServer, app: Any, fn: Any, name: str, kind: str
) -> None:
    assert is_refused(server.ask("POST", "/v2/apps", {"name": name}), kind)
    fields = {"app_id": app["id"], "fn_id": fn["id"], "type": "http", "source": "/t"}
    of_trigger = kind.replace("app", "trigger")
    assert is_refused(server.ask("POST", "/v2/triggers", {**fields, "name": name}), of_trigger)


@pytest.mark.parametrize("name", ["a-b_c", "ÄÖ", "名前", "٣", "x" * 255, "ö" * 127])
def test_names_of_letters_and_numbers_of_any_script(server: FnServer, name: str) -> None:
    assert server.made("/v2/apps", name=name)["name"] == name


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("", "fn name missing"),
        ("x" * 256, "fn name long"),
        ("a/b", "fn name"),
        ("a b", "fn name"),
        ("ö", "fn name"),
        ("a%20b", "fn name"),
        ("a?", "fn name"),
        ("a\0b", "fn name"),
    ],
)
def test_names_of_functions(server: FnServer, app: Any, name: str, kind: str) -> None:
    fields = {"app_id": app["id"], "image": "f:1", "name": name}
    assert is_refused(server.ask("POST", "/v2/fns", fields), kind)


def test_a_name_of_what_a_path_may_have(server: FnServer, app: Any) -> None:
    server.made("/v2/fns", app_id=app["id"], image="f:1", name="a.b~c$d&e+f=g:h@i_j-k")


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"id": "x"}, "fn id given"),
        ({"app_id": ""}, "fn app missing"),
        ({"app_id": "nothere"}, "app unknown"),
        ({"image": ""}, "fn image missing"),
        ({"memory": 8193}, "fn memory"),
        ({"memory": 1 << 63}, "fn memory"),
        ({"timeout": -1}, "fn timeout"),
        ({"timeout": 301}, "fn timeout"),
        ({"idle_timeout": -5}, "fn idle_timeout"),
        ({"idle_timeout": 3601}, "fn idle_timeout"),
        ({"name": "forecast"}, "fn exists"),
        ({"memory": 1 << 64}, "invalid json"),
        ({"memory": -1}, "invalid json"),
        ({"memory": 1.0}, "invalid json"),
        ({"memory": "128"}, "invalid json"),
        ({"memory": True}, "invalid json"),
        ({"timeout": 1 << 31}, "invalid json"),
        ({"config": {"a": 1}}, "invalid json"),
        ({"config": ["a"]}, "invalid json"),
        ({"annotations": "x"}, "invalid json"),
        ({"name": 7}, "invalid json"),
        ({"created_at": "yesterday"}, "invalid json"),
        ({"created_at": 7}, "invalid json"),
    ],
)
def test_fields_of_functions(
    server: FnServer, app: Any, fn: Any, fields: dict[str, Any], kind: str
) -> None:
    good = {"app_id": app["id"], "name": "new", "image": "f:1"}
    assert is_refused(server.ask("POST", "/v2/fns", {**good, **fields}), kind)
    if kind.startswith("fn ") and not {"id", "app_id", "name", "image"} & {*fields}:
        assert is_refused(server.ask("PUT", f"/v2/fns/{fn['id']}", fields), kind)
        assert server.ask("GET", f"/v2/fns/{fn['id']}").document["updated_at"] == fn["updated_at"]


def test_ranges_of_functions_end_where_they_end(server: FnServer, app: Any) -> None:
    most = {"memory": 8192, "timeout": 300, "idle_timeout": 3600}
    made = server.made("/v2/fns", app_id=app["id"], name="most", image="f:1", **most)
    assert {key: made[key] for key in most} == most
    least = dict.fromkeys(most, 1)
    made = server.made("/v2/fns", app_id=app["id"], name="least", image="f:1", **least)
    assert {key: made[key] for key in least} == least


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"id": "x"}, "trigger id given"),
        ({"created_at": "2026-11-21T08:07:39.181Z"}, "trigger created"),
        ({"updated_at": "2026-11-21T08:07:39Z"}, "trigger updated"),
        ({"app_id": ""}, "trigger app missing"),
        ({"app_id": "nothere"}, "app unknown"),
        ({"fn_id": ""}, "trigger fn missing"),
        ({"fn_id": "nothere"}, "fn unknown"),
        ({"type": "schedule"}, "trigger type"),
        ({"type": ""}, "trigger type"),
        ({"source": ""}, "trigger source missing"),
        ({"source": "t"}, "trigger source"),
        ({"source": " /t"}, "trigger source"),
        ({"source": "/there"}, "trigger source exists"),
        ({"name": "there"}, "trigger exists"),
        ({"source": ["/t"]}, "invalid json"),
    ],
)
def test_fields_of_triggers(
    server: FnServer, app: Any, fn: Any, fields: dict[str, Any], kind: str
) -> None:
    good = {"app_id": app["id"], "fn_id": fn["id"], "type": "http"}
    server.made("/v2/triggers", **good, name="there", source="/there")
    reply = server.ask("POST", "/v2/triggers", {**good, "name": "t", "source": "/t", **fields})
    assert is_refused(reply, kind)


def test_a_function_of_another_app_is_none_of_this_one(server: FnServer, fn: Any) -> None:
    other = server.made("/v2/apps", name="other")
    fields = {"app_id": other["id"], "fn_id": fn["id"], "type": "http", "name": "t"}
    reply = server.ask("POST", "/v2/triggers", {**fields, "source": "/t"})
    assert is_refused(reply, "trigger fn other")


@pytest.mark.parametrize(
    ("annotations", "kind"),
    [
        ({"": 1}, "annotation key"),
        ({"a b": 1}, "annotation key"),
        ({"ö": 1}, "annotation key"),
        ({"k" * 129: 1}, "annotation key length"),
        ({"k": ""}, "annotation value"),
        ({"k": "v" * 511}, "annotation value length"),
        ({"k": 10**600}, "annotation value length"),
        ({f"k{number}": 1 for number in range(101)}, "annotations"),
    ],
)
def test_limits_of_annotations(server: FnServer, annotations: dict[str, Any], kind: str) -> None:
    reply = server.ask("POST", "/v2/apps", {"name": "new", "annotations": annotations})
    assert is_refused(reply, kind)


def test_as_many_and_as_large_annotations_as_there_may_be(server: FnServer, app: Any) -> None:
    fields = {f"{number:0>128}": "v" * 510 for number in range(100)}
    path = f"/v2/apps/{app['id']}"
    assert server.ask("PUT", path, {"annotations": fields}).status == 200
    assert is_refused(server.ask("PUT", path, {"annotations": {"one more": 1}}), "annotation key")
    assert is_refused(server.ask("PUT", path, {"annotations": {"more": 1}}), "annotations")


def test_an_app_keeps_its_name(server: FnServer, app: Any) -> None:
    path = f"/v2/apps/{app['id']}"
    assert is_refused(server.ask("PUT", path, {"name": "other"}), "app name fixed")
    assert is_refused(server.ask("PUT", path, {"id": "other"}), "app id other")
    assert is_refused(server.ask("POST", "/v2/apps", {"name": "models"}), "app exists")
    assert is_refused(server.ask("POST", "/v2/apps", {"name": "x", "id": "y"}), "app id given")
    assert is_refused(server.ask("POST", "/v2/apps", {"name": "x", "shape": "y"}), "app shape")


@pytest.mark.parametrize("url", ["http://x", "x", "[", "tcp"])
def test_a_syslog_address_of_another_kind(server: FnServer, url: str) -> None:
    reply = server.ask("POST", "/v2/apps", {"name": "x", "syslog_url": url})
    assert reply.status == 400
    assert reply.message.startswith(f'invalid syslog url: "{url}" ')


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b"7",
        b"{'a':1}",
        b'{"name":NaN}',
        b'{"name":"a\nb"}',
        b"\xff",
        DEEP,
    ],
)
def test_what_is_no_document(server: FnServer, app: Any, fn: Any, body: bytes) -> None:
    for method, path in (
        ("POST", "/v2/apps"),
        ("POST", "/v2/fns"),
        ("POST", "/v2/triggers"),
        ("PUT", f"/v2/apps/{app['id']}"),
        ("PUT", f"/v2/fns/{fn['id']}"),
    ):
        assert is_refused(server.ask(method, path, body), "invalid json")


def test_a_document_and_a_body_over_the_limit(server: FnServer) -> None:
    assert is_refused(server.ask("POST", "/v2/apps", b" " * (1 << 20) + b"{}"), "too large")
    reply = server.ask("POST", "/v2/apps", headers={"Content-Length": str(1 << 40)})
    assert is_refused(reply, "too large")


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "/v2/apps/nothere", "app unknown"),
        ("PUT", "/v2/apps/nothere", "app unknown"),
        ("DELETE", "/v2/apps/nothere", "app unknown"),
        ("GET", "/v2/fns/nothere", "fn unknown"),
        ("DELETE", "/v2/fns/nothere", "fn unknown"),
        ("GET", "/v2/triggers/nothere", "trigger unknown"),
        ("DELETE", "/v2/triggers/nothere", "trigger unknown"),
        ("POST", "/invoke/nothere", "fn unknown"),
        ("POST", "/invoke/%00%ff", "fn unknown"),
        ("GET", "/t/nothere/x", "app unknown"),
        ("GET", "/t/nothere", "app unknown"),
    ],
)
def test_what_is_not_there(server: FnServer, method: str, path: str, kind: str) -> None:
    assert is_refused(server.ask(method, path, {} if method == "PUT" else b""), kind)


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/nothere", 404, "Path not found: GET /nothere"),
        ("GET", "/v2", 404, "Path not found: GET /v2"),
        ("GET", "/v2/apps/a%2Fb", 404, "Path not found: GET /v2/apps/a/b"),
        ("POST", "/r/app/route", 404, "Path not found: POST /r/app/route"),
        ("GET", "/t/", 404, "Path not found: GET /t/"),
        ("PUT", "/v2/apps", 405, "Method not allowed: PUT /v2/apps"),
        ("GET", "/invoke/x", 405, "Method not allowed: GET /invoke/x"),
        ("POST", "/version", 405, "Method not allowed: POST /version"),
        ("DELETE", "/", 405, "Method not allowed: DELETE /"),
        (
            "BREW",
            "/version",
            501,
            "method: unknown method",
        ),  # Fn: 405; what is refused here is said
    ],
)
def test_paths_and_methods(
    server: FnServer, method: str, path: str, status: int, message: str
) -> None:
    reply = server.ask(method, path)
    assert (reply.status, reply.message) == (status, message)
    assert reply.headers["content-type"] == JSON


def test_the_paths_beside_the_entities(server: FnServer) -> None:
    assert server.ask("GET", "/").document == {
        "goto": "https://github.com/fnproject/fn",
        "hello": "world!",
    }
    for path in ("/v2/fns/x/calls", "/v2/fns/x/calls/y", "/v2/fns/x/calls/y/log"):
        assert server.ask("GET", path)[::2] == (410, b"")
    moved = server.ask("GET", "/v2/apps/?name=x")
    assert (moved.status, moved.headers["location"]) == (301, "/v2/apps?name=x")
    assert server.ask("POST", "/v2/apps/").status == 307


def test_a_page_of_another_site_gets_nothing(server: FnServer, fn: Any) -> None:
    for headers in ({"Host": "evil.example"}, {"Host": f"evil.example:{server.port}"}):
        assert server.ask("GET", "/v2/apps", headers=headers).status == 403
    origin = {"Origin": "http://evil.example"}
    assert server.ask("POST", "/v2/apps", {"name": "x"}, headers=origin).status == 403
    assert server.ask("POST", f"/invoke/{fn['id']}", headers=origin).status == 403
    for method in ("GET", "HEAD", "OPTIONS", "POST"):
        reply = server.ask(method, "/t/any/source", headers={"Sec-Fetch-Site": "cross-site"})
        assert reply.status == 403, method
    allowed = server.ask("GET", "/v2/apps", headers=origin)
    assert not [name for name in allowed.headers if name.startswith("access-control")]
