"""Actions of Node.js under their contract: real ones, by the node that `make peers` installs."""

import json
from typing import Any

import pytest

from gpfn.local.calling import CallOutcome
from gpfn.local.deployed import ActionCode, Deployed
from gpfn.local.supervisor.settings import SupervisorSettings
from gpfn.local.supervisor.supervisor import Supervisor
from tests.local.supervisor.functions import action, on_openwhisk, supervised, texts
from tests.peers import openwhisk_packages


@pytest.fixture(autouse=True)
def _node(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = openwhisk_packages()
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    monkeypatch.setenv("NODE_PATH", str(folder / "node_modules"))


def node_action(source: str, *, binary: bool = False, main: str = "main") -> Deployed:
    return action("")._replace(code=ActionCode(source, binary, main, "nodejs"))


def called(deployed: Deployed, value: dict[str, Any]) -> CallOutcome:
    async def work(supervisor: Supervisor) -> CallOutcome:
        return await supervisor.call(deployed, on_openwhisk(value))

    return supervised(work, SupervisorSettings(api_host="http://127.0.0.1:9"))


def result(outcome: CallOutcome, status: int = 200) -> Any:
    assert outcome.answer is not None, outcome
    assert outcome.answer.status == status
    return json.loads(outcome.answer.body)


def test_it_is_initialised_once_and_keeps_what_it_knows() -> None:
    source = """
        let count = 0;
        console.log("loaded");
        function main(args) {
          console.log("call", ++count);
          console.error("told");
          return {count, name: args.name, action: process.env.__OW_ACTION_NAME};
        }"""

    async def work(supervisor: Supervisor) -> None:
        deployed = node_action(source)
        call = on_openwhisk({"name": "n"}, __OW_ACTION_NAME="/guest/a")
        first = await supervisor.call(deployed, call)
        assert result(first) == {"count": 1, "name": "n", "action": "/guest/a"}
        assert texts(first) == ["loaded", "call 1", "told"]
        second = await supervisor.call(deployed, call)
        assert result(second)["count"] == 2
        assert texts(second) == ["call 2", "told"]
        assert second.pid == first.pid

    supervised(work)


def test_it_finds_the_platform_and_its_client() -> None:
    source = """
        exports.ask = async (args) => {
          const client = require("openwhisk")({api_key: "a:b"});
          return {api: client.actions.client.options.api};
        }"""
    outcome = called(node_action(source, main="ask"), {})
    assert result(outcome) == {"api": "http://127.0.0.1:9/api/v1/"}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("const main = () => {}", {}),
        ("function main() { return [1, 2] }", [1, 2]),
        (
            "async function main() { throw {error: 'x', code: 42} }",
            {"error": {"error": "x", "code": 42}},
        ),
        ("function main() { return Promise.reject() }", {"error": {}}),
    ],
    ids=["nothing", "array", "rejected", "rejected with nothing"],
)
def test_what_it_returns(source: str, expected: object) -> None:
    assert result(called(node_action(source), {})) == expected


def test_an_error_that_is_rejected_is_told_with_its_name() -> None:
    outcome = called(node_action("async function main() { throw new TypeError('no') }"), {})
    error = result(outcome)["error"]
    assert (error["name"], error["message"]) == ("TypeError", "no")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("function main() { throw new Error('now') }", "An error has occurred: Error: now"),
        ("function main() { return 5 }", "The action did not return a dictionary or array."),
        ("function main() { return null }", "The action did not return a dictionary or array."),
    ],
    ids=["thrown", "number", "null"],
)
def test_what_is_no_result(source: str, told: str) -> None:
    assert result(called(node_action(source), {}), 502) == {"error": told}


@pytest.mark.parametrize(
    ("deployed", "told"),
    [
        (node_action("function main( {"), "Initialization has failed due to: SyntaxError"),
        (node_action("x()"), "Initialization has failed due to: ReferenceError: x is not defined"),
        (node_action("let a = 1"), "there is no function main"),
        (node_action("let a = 1", main="a;b"), "no name of a function: a;b"),
        (node_action("UEsDBA==", binary=True), "this one is an archive"),
        (node_action(""), "Missing main/no code to execute."),
    ],
    ids=["syntax", "name", "no main", "bad main", "archive", "no code"],
)
def test_code_that_cannot_be_run(deployed: Deployed, told: str) -> None:
    outcome = called(deployed, {})
    assert outcome.failure == "init failed"
    assert outcome.answer is not None
    assert told in json.loads(outcome.answer.body)["error"]


def test_without_node_the_call_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    outcome = called(node_action("function main() {}"), {})
    assert (outcome.failure, outcome.answer) == ("start failed", None)
    assert "the program node" in outcome.detail


@pytest.mark.parametrize("source", ["const a = {}; a.a = a; return a", "return {n: 10n}"])
def test_what_json_cannot_say_is_an_error_with_its_reason(source: str) -> None:
    outcome = called(node_action(f"function main() {{ {source} }}"), {})
    assert result(outcome, 500) == {"error": "Internal error."}
    assert any("JSON" in text or "BigInt" in text for text in texts(outcome))
