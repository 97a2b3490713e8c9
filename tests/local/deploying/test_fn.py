"""Deploying to Fn: what is sent equals what ``fn deploy`` was recorded to send."""

import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from gpfn.errors import BackendError, GpfnError, SetupError
from gpfn.hosts.fn_server import FnClient
from gpfn.local.deploying.fn import deploy_functions
from gpfn.local.deploying.planned import FnPlan, plan_function
from gpfn.local.deploying.writes import DoneWrite, RestWrite
from tests.replayed import Answer, Asked, Replayed, exchanges, replayed, sent

LOCAL = "(cd depl && fn deploy --app models --local)"
FRESH = "(cd depl && fn deploy --app fresh --create-app --local --no-bump)"
TEXT = """\
schema_version: 20180708
name: echo2
version: 0.0.2
memory: 256
timeout: 60
config:
  GP_SERVER_URL: http://127.0.0.1:9000
triggers:
- name: echo2
  type: http
  source: /echo2
"""


@pytest.fixture
def wire(shared: Path) -> Path:
    return shared / "reference" / "wire" / "fn.jsonl"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "echo2").mkdir()
    (tmp_path / "echo2" / "func.yaml").write_text(TEXT)
    return tmp_path / "echo2"


def deploy(server: Replayed, *plans: FnPlan, create_app: bool = False) -> Iterator[DoneWrite]:
    client = FnClient(server.url)

    def write(one: RestWrite) -> Mapping[str, object]:
        return client.write(one.method, one.path, one.document, one.doing)

    return deploy_functions(client, plans, write, create_app=create_app)


def commands(client: FnClient, plan: FnPlan, *, create_app: bool = True) -> list[list[str]]:
    """Return the words of a dry run's commands."""
    lines: list[str] = []

    def show(one: RestWrite) -> Mapping[str, object]:
        lines.extend(one.commands)
        return {}

    list(deploy_functions(client, [plan], show, create_app=create_app))
    return [shlex.split(line) for line in lines]


def essence(asked: list[Asked]) -> list[tuple[str, str, object, str]]:
    return [one.essence for one in asked]


@pytest.mark.parametrize(("command", "app"), [(LOCAL, "models"), (FRESH, "fresh")])
def test_every_request_is_that_of_fn_deploy(
    wire: Path, folder: Path, command: str, app: str
) -> None:
    recorded = exchanges(wire, command)
    with replayed(recorded) as server:
        done = list(deploy(server, plan_function(str(folder), app=app), create_app=app == "fresh"))
    assert essence(server.asked) == essence([sent(one) for one in recorded])
    for ours, theirs in zip(server.asked, map(sent, recorded), strict=True):
        assert ours.body == theirs.body, "the very bytes"
        assert ours.headers["accept"] == theirs.headers["accept"]
    assert [(one.verb, one.kind) for one in done[-2:]] == [
        ("create", "function"),
        ("create", "trigger"),
    ]
    assert done[-1].url == f"{server.url}/t/{app}/echo2"
    assert done[-2].url.startswith(f"{server.url}/invoke/")


def found(exchange: dict[str, object]) -> Answer:
    """Return a list with what an exchange has created."""
    response = exchange["response"]
    assert isinstance(response, dict)
    return Answer(200, json.dumps({"items": [json.loads(response["body"])]}))


def test_what_is_there_is_put_as_fn_puts_it(wire: Path, folder: Path) -> None:
    """fnproject/cli, commands/deploy.go: the function's PUT has its id, no name and no app."""
    app, _, fn, _, trigger = exchanges(wire, LOCAL)
    answers = [app, found(fn), fn, found(trigger), trigger]
    with replayed(answers) as server:
        done = list(deploy(server, plan_function(str(folder), app="models", image="other:3")))
    methods = [(one.method, one.path.partition("?")[0]) for one in server.asked]
    assert methods[2::2] == [
        ("PUT", "/v2/fns/01M7YJBCQ1R00040J6M000001F"),
        ("PUT", "/v2/triggers/01M7YJBCSZR00040J6M000001G"),
    ]
    sent_fn, sent_trigger = (json.loads(server.asked[index].body) for index in (2, 4))
    created = json.loads(sent(fn).body)
    del created["app_id"], created["name"]
    assert sent_fn == created | {"id": "01M7YJBCQ1R00040J6M000001F", "image": "other:3"}
    created = json.loads(sent(trigger).body)
    assert sent_trigger == created | {"id": "01M7YJBCSZR00040J6M000001G"}
    assert {one.verb for one in done} == {"update"}


def test_an_app_yaml_updates_the_app(wire: Path, folder: Path) -> None:
    text = "name: models\nconfig: {LOG_LEVEL: debug}\nannotations: {example.org/owner: me}\n"
    (folder.parent / "app.yaml").write_text(text)
    app, *others = exchanges(wire, LOCAL)
    put = Answer(200, '{"id": "01M7YJB3DDR00040J6M0000011", "name": "models"}')
    with replayed([app, put, *others]) as server:
        done = list(deploy(server, plan_function(str(folder))))
    assert (server.asked[1].method, server.asked[1].path) == (
        "PUT",
        "/v2/apps/01M7YJB3DDR00040J6M0000011",
    )
    body = json.loads(server.asked[1].body)
    assert body["config"] == {"LOG_LEVEL": "debug"}
    assert body["annotations"] == {"example.org/owner": "me"}
    assert done[0].shown() == "updated app models"


def test_an_app_that_is_not_there(wire: Path, folder: Path) -> None:
    told = "no app fresh; --create-app makes it"
    with replayed(exchanges(wire, FRESH)) as server, pytest.raises(SetupError, match=told):
        list(deploy(server, plan_function(str(folder), app="fresh")))
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("answer", "kind", "told"),
    [
        (Answer(409, '{"message":"Trigger with the same type and source exists on this app"}'),
         SetupError, "refuses to create the trigger echo2: Trigger with the same type"),
        (Answer(400, '{"message":"invalid"}'), SetupError, "invalid"),
        (Answer(500, '{"message":"internal server error"}'), BackendError, "its log says more"),
        (Answer(200, "{}"), BackendError, "without an id"),
    ],
)  # fmt: skip
def test_what_was_done_before_a_failure_has_been_told(
    wire: Path, folder: Path, answer: Answer, kind: type[GpfnError], told: str
) -> None:
    done: list[DoneWrite] = []
    plan = plan_function(str(folder), app="fresh")
    answers = [*exchanges(wire, FRESH)[:-1], answer]
    with replayed(answers) as server, pytest.raises(kind, match=told):
        done.extend(deploy(server, plan, create_app=True))
    shown = [one.shown().partition(":")[0] for one in done]
    assert shown == ["created app fresh", "created function echo2"]


def test_the_equal_commands(folder: Path) -> None:
    plan = plan_function(str(folder), app="my.app")
    told = commands(FnClient("http://127.0.0.1:9", empty=True), plan)
    assert told == [
        ["fn", "create", "app", "my.app"],
        ["fn", "create", "function", "--memory", "256", "--timeout", "60",
         "--config", "GP_SERVER_URL=http://127.0.0.1:9000", "my.app", "echo2", "echo2:0.0.2"],
        ["fn", "create", "trigger", "--type", "http", "--source", "/echo2",
         "my.app", "echo2", "echo2"],
    ]  # fmt: skip


def test_the_equal_commands_of_what_is_there(wire: Path, folder: Path) -> None:
    app, _, fn, _, trigger = exchanges(wire, LOCAL)
    moved = folder / "func.yaml"
    for source, more in (("/echo2", []), ("/moved", ["delete", "create"])):
        moved.write_text(TEXT.replace("source: /echo2", f"source: {source}"))
        with replayed([app, found(fn), found(trigger)]) as server:
            told = commands(FnClient(server.url), plan_function(str(folder), app="models"))
        assert [one.method for one in server.asked] == ["GET"] * 3, "a dry run writes nothing"
        assert told[0][:5] == ["fn", "update", "function", "--image", "echo2:0.0.2"]
        assert [words[1] for words in told[1:]] == more


def test_no_secret_is_in_a_command(folder: Path) -> None:
    config = {
        "API_TOKEN": "t0ken-not-to-be-seen",
        "db.password": "it's not-to-be-seen",
        "BACKEND": "https://me:not-to-be-seen@x.test/",
        "NAMED": "secret:backend",
        "PLAIN": "a 'quoted' $text",
    }
    annotations = {
        "example.org/token": "not-to-be-seen",
        "pw": {"who": [{"password": "not-to-be-seen"}]},
        "urls": ["tcp://me:not-to-be-seen@x.test:1"],
        "plain": {"a": [1, None]},
    }
    told = json.dumps(
        {"name": "e", "version": "0.0.1", "config": config, "annotations": annotations}
    )
    (folder / "func.yaml").write_text(told)
    app = "name: a\nsyslog_url: tcp://me:not-to-be-seen@logs.test:1\n"
    (folder.parent / "app.yaml").write_text(app + "annotations: {key: not-to-be-seen}\n")
    plan = plan_function(str(folder))
    shown: list[str] = []

    def show(one: RestWrite) -> Mapping[str, object]:
        shown.extend(one.commands)
        return {}

    client = FnClient("http://127.0.0.1:9", empty=True)
    list(deploy_functions(client, [plan], show, create_app=True))
    text = "\n".join(shown)
    assert "not-to-be-seen" not in text
    assert '--config API_TOKEN="${API_TOKEN}"' in text
    assert '--config db.password="${db_password}"' in text
    assert "--config NAMED=secret:backend" in text
    assert '--annotation example.org/token="${example_org_token}" --annotation pw="${pw}"' in text
    assert '--annotation urls="${urls}"' in text
    assert '--annotation key="${key}" --syslog-url "${SYSLOG_URL}"' in shown[0]
    words = shlex.split(shown[-1])
    assert "PLAIN=a 'quoted' $text" in words
    assert 'plain={"a": [1, null]}' in words


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name: e\n", "the image e has no tag"),
        ("name: 'a b'\nversion: 1\n", "expected a name"),
        ("name: E..\nversion: 1\ntriggers: [{name: t, type: cron, source: /x}]\n", "type: http"),
        ("name: e\nversion: 1\ntriggers: [{name: t}]\n", "expected name, source"),
        ("memory: 0200\nname: e\nversion: 1\n", "expected decimal digits"),
        ("[1, 2", "func.yaml"),
    ],
)
def test_a_func_yaml_that_cannot_be_deployed(folder: Path, text: str, told: str) -> None:
    (folder / "func.yaml").write_text(text)
    with pytest.raises(SetupError, match=told):
        plan_function(str(folder), app="models")


@pytest.mark.parametrize("app", ["a/b", "a b", "x" * 300, "a\0b", "ä"])
def test_an_apps_name_that_is_none(folder: Path, app: str) -> None:
    with pytest.raises(SetupError, match="expected letters, digits"):
        plan_function(str(folder), app=app)


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "absent"):
        with pytest.raises(SetupError, match="no function there"):
            plan_function(str(place), app="a")


def test_the_image_is_named_as_fn_names_it(folder: Path) -> None:
    def image(**given: str) -> str:
        return plan_function(str(folder), app="a", **given).image

    assert image() == "echo2:0.0.2"
    assert image(registry="registry.test:5000/me/") == "registry.test:5000/me/echo2:0.0.2"
    assert image(registry="me", image="x/y@sha256:" + "0" * 64).startswith("x/y@sha256")
    (folder / "func.yaml").write_text("name: own/echo2\nversion: 1.0\n")
    assert image(registry="me") == "own/echo2:1.0"
    with pytest.raises(SetupError, match=r"registry\.test:5000/echo has no tag"):
        image(image="registry.test:5000/echo")


def test_limits_are_brought_into_fns_ranges(folder: Path) -> None:
    text = "name: e\nversion: 1\nmemory: 102400\ntimeout: 3600\nidle_timeout: 7200\n"
    (folder / "func.yaml").write_text(text)
    plan = plan_function(str(folder), app="a")
    assert plan.limits == (8192, 300, 3600)
    assert len(plan.notes) == 3
    assert plan.notes[0].endswith("102400 MB is outside of Fn's 1 to 8192; 8192 is sent")
