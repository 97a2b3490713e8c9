"""Functions on servers elsewhere: what is asked equals what fn and wsk were recorded to ask."""

import json
import socket
from pathlib import Path

import pytest

from gpfn.errors import BackendError, BackendTimeout, BrokenReply, GpfnError, SetupError
from gpfn.hosts.host import Invocation, StartedFunction
from gpfn.hosts.openwhisk_server import parse_action_name
from gpfn.hosts.remote import RemoteFunction, make_remote_host
from tests.replayed import Answer, exchanges, replayed, sent

KEY = "23bc46b1-71f6-4ed5-8c54-816aa4f8c502:123zO3xZCLrMN6v2BKK1dXYFpXlPkccOFqm12CdAsMgRU4VrNZ9lyG"
FN_INVOKE = "echo '{\"instances\": [1]}' | fn invoke models forecast"
BODY = b'{"instances": [1]}\n'


@pytest.fixture
def wire(shared: Path) -> Path:
    return shared / "reference" / "wire"


def test_an_invocation_asks_as_fn_does(wire: Path) -> None:
    recorded = exchanges(wire / "fn.jsonl", FN_INVOKE)
    with replayed(recorded) as server:
        session = StartedFunction(make_remote_host("fn", server.url, "models/forecast"))
        with session:
            answer = session.call(Invocation(BODY))
    assert [one.essence for one in server.asked] == [sent(one).essence for one in recorded]
    assert (answer.status, answer.content_type) == (200, "application/json")
    assert answer.call_id
    assert server.asked[0].headers["accept"] == "application/json"
    assert server.asked[0].headers["user-agent"].startswith("gpfn/")


def test_fns_token_goes_to_the_lists_and_not_to_the_function(
    wire: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FN_TOKEN", "not-to-be-seen")
    with replayed(exchanges(wire / "fn.jsonl", FN_INVOKE)) as server:
        host = make_remote_host("fn", server.url, "models/forecast")
        host.start()
        host.call(Invocation(BODY))
        host.stop()
    given = [asked.headers.get("authorization") for asked in server.asked]
    assert given == ["Bearer not-to-be-seen", "Bearer not-to-be-seen", None]


@pytest.mark.parametrize("path", ["/invoke/01M7", "/t/models/forecast?x=1"])
def test_an_endpoint_is_called_as_it_is(path: str) -> None:
    with replayed([Answer(404, '{"message":"Trigger not found"}')]) as server:
        host = RemoteFunction(server.url + path)
        host.start()
        answer = host.call(Invocation(b"x", headers=(("ce-id", "1"),)))
        host.stop()
    assert answer.failed
    assert (server.asked[0].path, server.asked[0].headers["ce-id"]) == (path, "1")


def test_a_trigger_is_looked_up(wire: Path) -> None:
    lists = exchanges(wire / "fn.jsonl", "fn inspect trigger models forecast forecast")
    with replayed([*lists[:2], *lists, Answer(200, "{}")]) as server:
        host = make_remote_host("fn", server.url, "models/forecast")
        host.start()
        answer = host.call(Invocation(b"x", as_trigger=True))
        host.stop()
    assert answer.status == 200
    assert (server.asked[-1].method, server.asked[-1].path) == ("POST", "/t/models/forecast")


@pytest.mark.parametrize(
    ("command", "name", "told"),
    [
        ("fn invoke models missing < /dev/null", "models/missing", "has no function missing"),
        ("fn invoke missing forecast < /dev/null", "missing/forecast", "has no app missing"),
    ],
)
def test_what_is_not_there_is_told(wire: Path, command: str, name: str, told: str) -> None:
    recorded = exchanges(wire / "fn.jsonl", command)
    with replayed(recorded) as server, pytest.raises(SetupError, match=told):
        make_remote_host("fn", server.url, name).start()
    assert [one.essence for one in server.asked] == [sent(one).essence for one in recorded]


@pytest.mark.parametrize("name", ["", "models", "a/b/c", "/b", "a/"])
def test_a_name_that_is_none(name: str) -> None:
    with pytest.raises(SetupError, match="APP/FUNCTION"):
        make_remote_host("fn", "http://127.0.0.1:1", name)


@pytest.mark.parametrize("name", ["", "/", "/ns", "a/b/c", "/a/b/c/d", "a//b", "n\0", "n" * 300])
def test_an_actions_name_that_is_none(name: str) -> None:
    with pytest.raises(SetupError, match="expected NAME, PACKAGE/NAME"):
        parse_action_name(name)


@pytest.mark.parametrize(
    ("answer", "kind", "told"),
    [
        (Answer(401, '{"message":"no"}'), SetupError, r"no \(401\); FN_TOKEN has to hold"),
        (Answer(404, "<html>"), SetupError, "is it an Fn server?"),
        (Answer(301, "", (("Location", "https://x.test/"),)), SetupError, "--at https://x.test/"),
        (Answer(500, '{"message":"internal\\nserver error"}'), BackendError, "internal server er"),
        (Answer(200, "hello"), BrokenReply, "no JSON; is it an Fn server"),
        (Answer(200, "[]"), BrokenReply, "without items"),
        (Answer(200, '{"items":[{"name":"models"}]}'), BrokenReply, "without an id"),
        (Answer(200, "[" * 100_000), BrokenReply, "no JSON"),
    ],
)
def test_what_servers_say_is_told_in_one_line(
    answer: Answer, kind: type[GpfnError], told: str
) -> None:
    with replayed([answer]) as server, pytest.raises(kind, match=told) as caught:
        make_remote_host("fn", server.url, "models/forecast").start()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(BackendError, match="nothing listens there; start one with gpfn dev"):
        make_remote_host("fn", url, "a/b").start()


def activation(status: int, **response: object) -> Answer:
    record = {"activationId": "a" * 32, "logs": ["… stdout: hello"], "response": response}
    return Answer(status, json.dumps(record))


def test_an_action_is_invoked_as_wsk_does(wire: Path) -> None:
    recorded = exchanges(wire / "wsk.jsonl", "wsk action invoke classify -b -p image aGVsbG8=")
    with replayed(recorded) as server:
        host = make_remote_host("openwhisk", server.url, "classify", KEY)
        host.start()
        answer = host.call(Invocation(b'{"image": "aGVsbG8="}'))
        host.stop()
    assert [one.essence for one in server.asked] == [sent(one).essence for one in recorded]
    assert server.asked[0].headers["authorization"].startswith("Basic MjNiYzQ2YjEt")
    assert (answer.status, json.loads(answer.body)) == (200, {"image": "aGVsbG8="})
    assert answer.call_id == "00000000000000000000000000000003"
    assert "stdout: hello" in host.log()


def test_an_application_error_is_a_failure(wire: Path) -> None:
    recorded = exchanges(wire / "wsk.jsonl", "wsk action invoke badone -b")
    with replayed(recorded) as server:
        answer = make_remote_host("openwhisk", server.url, "badone", KEY).call(Invocation(b"{}"))
    assert (answer.status, json.loads(answer.body)) == (502, {"error": "boom"})


def test_a_long_activation_is_waited_for(wire: Path) -> None:
    started = exchanges(wire / "wsk.jsonl", "wsk action invoke slow -b")
    absent = Answer(404, '{"error": "The requested resource does not exist.", "code": "abc"}')
    with replayed([*started, absent, activation(200, success=True, result=[1])]) as server:
        answer = make_remote_host("openwhisk", server.url, "/ns/pk/slow", KEY).call(Invocation())
    assert json.loads(answer.body) == [1]
    assert [one.path for one in server.asked] == [
        "/api/v1/namespaces/ns/actions/pk/slow?blocking=true&result=false",
        *["/api/v1/namespaces/ns/activations/00000000000000000000000000000009"] * 2,
    ]


def test_a_longer_one_than_there_is_time_for(wire: Path) -> None:
    started = exchanges(wire / "wsk.jsonl", "wsk action invoke slow -b")
    absent = Answer(404, '{"error": "The requested resource does not exist."}')
    with replayed([*started, *[absent] * 9]) as server:
        host = make_remote_host("openwhisk", server.url, "slow", KEY)
        with pytest.raises(BackendTimeout, match=r"0000009 goes on: a longer --timeout"):
            host.call(Invocation(timeout=0.8))


def test_bytes_go_to_the_web_action_without_the_key() -> None:
    answers = [Answer(200, '["guest"]'), Answer(201, "ok", (("Content-Type", "text/plain"),))]
    with replayed(answers) as server:
        host = make_remote_host("openwhisk", server.url, "pk/shown", KEY)
        answer = host.call(Invocation(b"\x89PNG", "image/png"))
    assert (answer.status, answer.body) == (201, b"ok")
    asked = server.asked[-1]
    assert (asked.method, asked.path, asked.body) == (
        "POST",
        "/api/v1/web/guest/pk/shown",
        b"\x89PNG",
    )
    assert "authorization" not in asked.headers


def test_an_action_that_is_not_on_the_web() -> None:
    absent = Answer(404, '{"error": "The requested resource does not exist."}')
    with replayed([Answer(200, '["guest"]'), absent]) as server:
        host = make_remote_host("openwhisk", server.url, "classify", KEY)
        with pytest.raises(SetupError, match=r"no web action .* deploy it with --web raw"):
            host.call(Invocation(b"\x00", "image/png"))


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Answer(404, '{"error":"The requested resource does not exist."}'), "does not exist"),
        (Answer(401, '{"error":"The supplied authentication is invalid"}'), "the key is that of"),
        (Answer(429, '{"error":"Too many requests"}'), "try again in a minute"),
        (Answer(413, '{"error":"too large"}'), "nothing as large"),
        (Answer(500, "[]"), "its log says more"),
    ],
)
def test_what_openwhisk_refuses(answer: Answer, told: str) -> None:
    with replayed([answer]) as server:
        host = make_remote_host("openwhisk", server.url, "classify", KEY)
        with pytest.raises(GpfnError, match=told) as caught:
            host.call(Invocation(b"{}"))
    assert KEY not in str(caught.value)


def test_the_key_is_where_wsk_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WHISK_AUTH", raising=False)
    monkeypatch.setenv("WSK_CONFIG_FILE", str(tmp_path / "props"))
    with pytest.raises(SetupError, match="wsk property set --auth"):
        make_remote_host("openwhisk", "http://127.0.0.1:1", "a")
    with replayed([activation(200, success=True, result={})] * 3) as server:
        (tmp_path / "props").write_text(f"APIHOST={server.url}\nAUTH=from:file\n")
        for key, variable in (("", ""), ("", "of:variable"), ("given:key", "of:variable")):
            monkeypatch.setenv("WHISK_AUTH", variable)
            make_remote_host("openwhisk", "", "a", key).call(Invocation(b"{}"))
    given = [asked.headers["authorization"] for asked in server.asked]
    assert given == ["Basic ZnJvbTpmaWxl", "Basic b2Y6dmFyaWFibGU=", "Basic Z2l2ZW46a2V5"]


@pytest.mark.parametrize("key", ["none", "ä:b", "a:b\nX: y"])
def test_a_key_that_is_none_is_not_shown(key: str) -> None:
    with pytest.raises(SetupError, match="a key is USER:PASSWORD") as caught:
        make_remote_host("openwhisk", "http://127.0.0.1:1", "a", key)
    assert key not in str(caught.value)
