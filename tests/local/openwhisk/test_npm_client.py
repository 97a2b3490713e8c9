"""npm's ``openwhisk`` client, unmodified, against a real ``gpfn dev``: one run, step by step."""

import base64
import io
import json
import os
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.local.dev_process import DevProcess, dev
from tests.peers import openwhisk_packages

PROGRAM = Path(__file__).with_name("programs") / "client.cjs"
NOT_THERE = "The requested resource does not exist."
Steps = dict[str, Any]


def zipped(code: str) -> str:
    """Return a zip of an action in base64."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        writer.writestr("__main__.py", code)
    return base64.b64encode(archive.getvalue()).decode()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevProcess]:
    with dev(tmp_path_factory.mktemp("empty"), "--memory") as process:
        yield process


@pytest.fixture(scope="module")
def steps(served: DevProcess) -> Steps:
    """What the client was told, by the name of the step."""
    folder = openwhisk_packages()
    environ = {
        "PATH": os.environ["PATH"],
        "NODE_PATH": str(folder / "node_modules"),
        "ZIP": zipped("def main(args):\n    return {'zipped': args}\n"),
    }
    words = [folder / "node", PROGRAM, served.openwhisk, served.auth]
    ran = subprocess.run(words, env=environ, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    told = [json.loads(line) for line in ran.stdout.splitlines()]
    assert len(dict(told)) == len(told), "two steps have one name"
    return dict(told)


def refused(steps: Steps, name: str) -> tuple[int, str]:
    """Return status and message of a step that the client raised an error for."""
    told = steps[name]
    assert told["failed"] == "OpenWhiskError", told
    return told["status"], told["error"]["error"]


def test_actions_are_created_once_and_updated(steps: Steps) -> None:
    assert (steps["create"]["version"], steps["update"]["version"]) == ("0.0.1", "0.0.2")
    assert refused(steps, "create again") == (409, "resource already exists")
    assert steps["update"]["parameters"] == [{"key": "a", "value": 1}]
    assert steps["update"]["limits"]["timeout"] == 5000
    assert {"key": "note", "value": "n"} in steps["update"]["annotations"]


def test_actions_are_read(steps: Steps) -> None:
    assert "def main" in steps["get"]["exec"]["code"]
    assert steps["get without code"]["exec"] == {"kind": "python:3", "binary": False}
    assert [each["name"] for each in steps["list"]] == ["one"]
    assert steps["count"] == {"actions": 1}


def test_actions_are_invoked(steps: Steps) -> None:
    assert steps["result"] == {"got": {"a": 1, "b": 2}}
    record = steps["blocking"]
    assert record["response"]["result"] == {"got": {"a": 1, "b": 3}}
    assert (record["response"]["status"], record["response"]["success"]) == ("success", True)
    assert [line.split(" ", 1)[1].strip() for line in record["logs"]] == ["stdout: one line"]
    assert steps["zip"] == {"zipped": {"z": 1}}
    assert steps["bytes"]["exec"]["binary"] is True
    assert refused(steps, "missing") == (404, NOT_THERE)


def test_an_error_of_an_action_is_told_as_the_platform_tells_it(steps: Steps) -> None:
    told = steps["failing"]
    assert (told["failed"], told["status"]) == ("OpenWhiskError", 502)
    assert told["message"].endswith('Returned HTTP 502 (Bad Gateway) --> "as it says"')


def test_activations_are_kept(steps: Steps) -> None:
    record = steps["activation"]
    assert record["activationId"] == steps["not blocking"]["activationId"]
    assert record["response"]["result"] == {"got": {"a": 1, "c": 1}}
    assert steps["logs"] == {"logs": record["logs"]}
    assert steps["activation result"]["result"] == {"got": {"a": 1, "c": 1}}
    assert refused(steps, "no activation") == (404, NOT_THERE)


def test_packages_give_their_parameters(steps: Steps) -> None:
    assert steps["from it"] == {"got": {"p": "q"}}
    assert [each["name"] for each in steps["packages"]] == ["tools"]
    status, message = refused(steps, "full package")
    assert (status, message.partition(" (")[0]) == (409, "Package not empty")
    assert steps["delete package"]["name"] == "tools"


def test_a_sequence_runs_one_action_after_the_other(steps: Steps) -> None:
    assert steps["sequence"]["exec"]["components"] == ["/guest/one", "/guest/tools/two"]
    assert steps["in a row"] == {"got": {"p": "q", "got": {"a": 1, "s": 1}}}


def test_a_rule_leads_from_a_trigger_to_an_action(steps: Steps) -> None:
    assert steps["rule"]["status"] == "active"
    assert len(steps["fired"]["activationId"]) == 32
    assert steps["rule now"]["status"] == "inactive"
    assert steps["fired for nothing"] == {"type": "Buffer", "data": []}, "204 has no body"
    assert [each["name"] for each in steps["rules"]] == ["then"]
    assert [each["name"] for each in steps["triggers"]] == ["often"]


def test_it_says_where_it_is_and_that_there_is_no_gateway(steps: Steps) -> None:
    assert steps["namespaces"] == ["guest"]
    assert steps["routes"] == {"apis": []}


def test_a_web_action_is_found_at_its_address(served: DevProcess, steps: Steps) -> None:
    assert steps["web"]["name"] == "web"
    answered = served.get(f"{served.openwhisk}/api/v1/web/guest/default/web?name=me")
    assert (answered.status, answered.json()) == (201, {"name": "me"})


def test_what_is_deleted_is_gone(steps: Steps) -> None:
    for step, name in (("both", "both"), ("tools/two", "two"), ("one", "one")):
        assert steps[f"delete {step}"]["name"] == name
    assert (steps["delete rule"]["name"], steps["delete trigger"]["name"]) == ("then", "often")
    assert refused(steps, "gone") == (404, NOT_THERE)


def test_another_key_is_refused(steps: Steps) -> None:
    assert refused(steps, "stranger")[0] == 401


def test_every_step_went_as_it_should(steps: Steps) -> None:
    failed = {name for name, told in steps.items() if isinstance(told, dict) and "failed" in told}
    meant = {"create again", "missing", "failing", "no activation", "full package"}
    assert failed == meant | {"gone", "stranger"}
