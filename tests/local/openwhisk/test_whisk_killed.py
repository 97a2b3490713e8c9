"""What was acknowledged is there after kill -9, whole."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.local.openwhisk.test_actions import CODE, PYTHON
from tests.local.openwhisk.whisk_server import whisk_server

WRITER = """
import sys
from pathlib import Path
from gpfn.local.openwhisk.entities import WhiskEntities
from gpfn.local.openwhisk.naming import EntityRef
from gpfn.local.state import State

entities = WhiskEntities(State(Path(sys.argv[1])))
entities.put_trigger(EntityRef("", "t"), {})
for number in range(1_000_000):
    code = f"def main(args): return {{'n': {number}}}" + "#" * 5000
    body = {"exec": {"kind": "python:3", "code": code}}
    entities.put_action(EntityRef("", "a"), body, overwrite=True)
    entities.put_action(EntityRef("", f"n{number}"), body)
    entities.put_rule(EntityRef("", f"r{number}"), {"trigger": "/_/t", "action": "/_/a"})
    print(number, flush=True)
"""


@pytest.mark.parametrize("seconds", [0.05, 0.3])
def test_what_was_acknowledged_is_there(tmp_path: Path, seconds: float) -> None:
    place = tmp_path / "state.db"
    command = [sys.executable, "-c", WRITER, str(place)]
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environ) as writer:
        assert writer.stdout is not None
        first = writer.stdout.readline()
        time.sleep(seconds)
        writer.send_signal(signal.SIGKILL)
        told = int((first + writer.stdout.read()).splitlines()[-1])
    with whisk_server(place) as server:
        action = server.api("GET", "actions/a").json
        count = int(action["version"].rpartition(".")[2])
        assert count in (told + 1, told + 2)
        assert f"'n': {count - 1}}}" in action["exec"]["code"]
        for number in range(told + 1):
            assert server.api("GET", f"rules/r{number}").json["status"] == "active"
            assert (
                f"'n': {number}}}" in server.api("GET", f"actions/n{number}").json["exec"]["code"]
            )
        assert len(server.api("GET", "triggers/t").json["rules"]) >= told + 1


def test_all_of_it_is_as_it_was_after_a_restart(tmp_path: Path) -> None:
    place = tmp_path / "state.db"
    parameters = {"parameters": [{"key": "a", "value": {"b": [1, None, "\0"]}}]}
    with whisk_server(place) as server:
        server.api("PUT", "packages/p", parameters)
        server.api("PUT", "packages/q", {"binding": {"namespace": "_", "name": "p"}})
        server.api("PUT", "actions/p/x", PYTHON | parameters | {"limits": {"memory": 512}})
        server.api("PUT", "triggers/t", parameters)
        server.api("PUT", "rules/r", {"trigger": "/_/t", "action": "/_/p/x"})
        server.api("POST", "rules/r", {"status": "inactive"})
        before = everything(server.api)
    with whisk_server(place) as server:
        assert everything(server.api) == before
        assert server.api("PUT", "actions/p/x?overwrite=true", {}).json["version"] == "0.0.2"
    assert CODE in json.dumps(before, ensure_ascii=False).replace("\\n", "\n")


def everything(ask: object) -> list[object]:
    assert callable(ask)
    paths = (
        "actions", "packages", "triggers", "rules", "actions/p/x", "actions/q/x?code=false",
        "packages/p", "packages/q", "triggers/t", "rules/r",
    )  # fmt: skip
    return [ask("GET", path).json for path in paths]


def test_an_action_that_is_made_again_is_another_one(tmp_path: Path) -> None:
    from gpfn.local.openwhisk.entities import WhiskEntities
    from gpfn.local.openwhisk.naming import EntityRef
    from gpfn.local.state import State

    ref, seen = EntityRef("", "a"), []
    for _ in range(2):
        state = State(tmp_path / "state.db")
        entities = WhiskEntities(state)
        for _ in range(2):
            seen.append(entities.put_action(ref, PYTHON).revision)
            assert entities.action(ref).revision == seen[-1]
            entities.delete_action(ref)
        state.close()
    assert seen == sorted({*seen})
