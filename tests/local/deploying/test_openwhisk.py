"""Deploying to OpenWhisk: what is sent equals what ``wsk action`` was recorded to send."""

import base64
import json
import shlex
from collections.abc import Mapping
from pathlib import Path

import pytest

from gpfn.errors import SetupError
from gpfn.hosts.funcfile import FuncFile
from gpfn.hosts.openwhisk_server import OpenWhiskClient, parse_action_name
from gpfn.local.deploying.openwhisk import ActionPlan, EmptyOpenWhisk, deploy_actions
from gpfn.local.deploying.planned import FolderLimits, limits_of
from gpfn.local.deploying.writes import DoneWrite, RestWrite
from tests.replayed import Answer, Replayed, exchanges, replayed, sent

ABSENT = Answer(404, '{"error": "The requested resource does not exist.", "code": "abc"}')
CREATED = Answer(200, '{"namespace": "guest", "name": "x"}')
ZIP = base64.b64decode(
    "UEsDBBQAAAAAADlBdV1Cd3v6FQAAABUAAAALAAAAX19tYWluX18ucHlkZWYgbWFpbihhKTogcmV0dXJuIGFQSwECFAMU"
    "AAAAAAA5QXVdQnd7+hUAAAAVAAAACwAAAAAAAAAAAAAAgAEAAAAAX19tYWluX18ucHlQSwUGAAAAAAEAAQA5AAAAPgAA"
    "AAAA"
)


@pytest.fixture
def wire(shared: Path) -> Path:
    return shared / "reference" / "wire" / "wsk.jsonl"


def plan(name: str, **values: object) -> ActionPlan:
    return ActionPlan(parse_action_name(name), **values)  # type: ignore[arg-type]


def deploy(server: Replayed, *plans: ActionPlan) -> list[DoneWrite]:
    client = OpenWhiskClient(server.url, "user:key")

    def write(one: RestWrite) -> Mapping[str, object]:
        return client.write(one.path, one.document, one.doing)

    return list(deploy_actions(client, plans, write))


@pytest.mark.parametrize(
    ("command", "wanted"),
    [
        ("wsk action create classify --docker example/classify:1",
         plan("classify", image="example/classify:1")),
        ("wsk action create zipped a.zip --kind python:3.11",
         plan("zipped", code=ZIP, kind="python:3.11", artifact="a.zip")),
        ("wsk action create zipdocker --docker example/classify:1 a.zip",
         plan("zipdocker", code=ZIP, kind="python:3.11", image="example/classify:1")),
    ],
)  # fmt: skip
def test_a_create_is_that_of_wsk(wire: Path, command: str, wanted: ActionPlan) -> None:
    """It is put with ``overwrite=true``, as ``wsk action update`` creates."""
    (recorded,) = exchanges(wire, command)
    with replayed([ABSENT, recorded]) as server:
        done = deploy(server, wanted)
    method, path, body, media = sent(recorded).essence
    assert server.asked[1].essence == (method, path.replace("false", "true"), body, media)
    assert (server.asked[0].method, server.asked[0].path.rpartition("?")[2]) == (
        "GET",
        "code=false",
    )
    assert [one.shown() for one in done] == [f"created action {wanted.name.name}"]


def test_an_update_is_that_of_wsk(wire: Path) -> None:
    command = "wsk action update classify --docker example/classify:2 --main predict --web raw"
    recorded = exchanges(wire, command)
    with replayed(recorded) as server:
        done = deploy(
            server, plan("classify", image="example/classify:2", main="predict", web="raw")
        )
    assert [one.essence for one in server.asked] == [sent(one).essence for one in recorded]
    place = f"{server.url}/api/v1/web/guest/default/classify"
    assert [one.shown() for one in done] == [f"updated action classify: {place}"]


def test_limits_and_the_web_are_sent_as_wsk_sends_them(wire: Path) -> None:
    command = (
        "wsk action create badone --docker example/bad:1 -m 512 -t 30000 -l 5 -c 1"
        " -p k v -a note true --web true"
    )
    (recorded,) = exchanges(wire, command)
    wanted = json.loads(sent(recorded).body)
    with replayed([ABSENT, recorded]) as server:
        limits = FolderLimits(memory=512, timeout=30)
        deploy(server, plan("badone", image="example/bad:1", web="true", limits=limits))
    body = json.loads(server.asked[1].body)
    assert body["annotations"] == wanted["annotations"][1:]
    assert body["limits"] == {key: wanted["limits"][key] for key in ("timeout", "memory")}
    assert body["exec"] == wanted["exec"]


def test_a_package_is_put_once_for_its_actions(wire: Path) -> None:
    (recorded,) = exchanges(wire, "wsk package create pk")
    with replayed([recorded, *[ABSENT, CREATED] * 2]) as server:
        done = deploy(server, plan("pk/a", image="a:1"), plan("pk/b", image="b:1"))
    assert [one.method for one in server.asked] == ["PUT", "GET", "PUT", "GET", "PUT"]
    assert json.loads(server.asked[0].body) == json.loads(sent(recorded).body)
    assert server.asked[2].path == "/api/v1/namespaces/_/actions/pk/a?overwrite=true"
    assert json.loads(server.asked[2].body)["name"] == "pk/a"
    assert [one.kind for one in done] == ["package", "action", "action"]


def test_the_configuration_is_variables_and_other_parameters_stay() -> None:
    there = {"namespace": "guest", "name": "a", "parameters": [{"key": "topk", "value": 3},
             {"key": "LEVEL", "value": "old", "init": True}]}  # fmt: skip
    with replayed([Answer(200, json.dumps(there)), CREATED]) as server:
        deploy(server, plan("a", image="a:1", config={"LEVEL": "debug", "EMPTY": ""}))
    assert json.loads(server.asked[1].body)["parameters"] == [
        {"key": "topk", "value": 3},
        {"key": "LEVEL", "value": "debug", "init": True},
    ]


def test_what_was_there_is_not_taken_for_an_absent_action() -> None:
    page = Answer(404, "<html>no such page</html>")
    with replayed([page]) as server, pytest.raises(SetupError, match="is it an OpenWhisk"):
        deploy(server, plan("a", image="a:1"))
    assert len(server.asked) == 1


def test_a_refusal_tells_what_and_not_the_key() -> None:
    refused = Answer(400, '{"error": "memory 1024 MB exceeds allowed threshold user:key"}')
    told = "refuses to create the action a: memory"
    with replayed([ABSENT, refused]) as server, pytest.raises(SetupError, match=told) as caught:
        deploy(server, plan("a", image="a:1"))
    assert "user:key" not in str(caught.value)


def test_the_equal_commands() -> None:
    lines: list[str] = []

    def show(one: RestWrite) -> Mapping[str, object]:
        lines.extend(one.commands)
        return {}

    limits = FolderLimits(memory=256, timeout=30)
    plans = [
        plan("pk/it's", image="example/a:1", web="raw", limits=limits, main="predict"),
        plan("b", kind="python:3.12", artifact="b.zip", made_by="gpfn package openwhisk b -o b.zip",
             config={"TOKEN": "not-to-be-seen"}),
    ]  # fmt: skip
    list(deploy_actions(EmptyOpenWhisk("http://127.0.0.1:9"), plans, show))
    assert [shlex.split(line, comments=True) for line in lines] == [
        ["wsk", "package", "update", "pk"],
        ["wsk", "action", "update", "pk/it's", "--docker", "example/a:1", "--main", "predict",
         "--memory", "256", "--timeout", "30000", "--web", "raw"],
        ["gpfn", "package", "openwhisk", "b", "-o", "b.zip"],
        [],
        ["wsk", "action", "update", "b", "b.zip", "--kind", "python:3.12"],
    ]  # fmt: skip
    assert "not-to-be-seen" not in "".join(lines)


def test_limits_are_brought_into_openwhisks_ranges() -> None:
    texts = {"memory": "1024", "timeout": "600"}
    limits, notes = limits_of(FuncFile(texts=texts), "openwhisk")
    assert (limits.memory, limits.timeout) == (512, 300)
    assert notes[0].endswith("1024 MB is outside of OpenWhisk's 128 to 512; 512 is sent")
    limits, notes = limits_of(FuncFile(texts={"memory": "64"}), "openwhisk")
    assert (limits, len(notes)) == (FolderLimits(memory=128), 1)
    assert limits_of(FuncFile(), "openwhisk") == (FolderLimits(), [])
