"""Triggers that are fired: what their actions get, and what is noted of each rule."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from gpfn.local.calling import CallOutcome, FunctionCall
from gpfn.local.deployed import Deployed
from gpfn.local.openwhisk.refusing import NOT_ALLOWED
from tests.local.openwhisk.calls_server import CallsServer, calls_server
from tests.local.openwhisk.whisk_server import AUTH


@pytest.fixture
def server() -> Iterator[CallsServer]:
    with calls_server() as server:
        server.make("a")
        server.make("b")
        parameters = [{"key": "x", "value": 1}, {"key": "y", "value": 1}]
        assert server.api("PUT", "triggers/t", {"parameters": parameters}).status == 200
        yield server


def rule(server: CallsServer, name: str, action: str = "a") -> None:
    body = {"name": name, "status": "", "trigger": "/_/t", "action": f"/_/{action}"}
    assert server.api("PUT", f"rules/{name}", body).status == 200


def fired(server: CallsServer, body: Any = None) -> tuple[Any, list[dict[str, Any]]]:
    """Fire it; returns its record, and what stands in its log."""
    reply = server.api("POST", "triggers/t", {} if body is None else body)
    assert reply.status == 202
    identifier = reply.json["activationId"]
    assert reply.headers["x-openwhisk-activation-id"] == identifier
    record = server.activation(identifier)
    return record, [json.loads(line) for line in record["logs"]]


def test_without_a_rule_it_is_204_and_there_is_no_record(server: CallsServer) -> None:
    reply = server.api("POST", "triggers/t", {"x": 1})
    assert (reply.status, reply.body) == (204, b"")
    assert server.api("GET", "activations").json == []


def test_its_action_gets_parameters_headers_and_payload(server: CallsServer) -> None:
    rule(server, "r")
    record, [line] = fired(server, {"y": 2})
    activation = server.wait_for(line["activationId"])
    result = activation["response"]["result"]
    headers = result.pop("__ow_headers")
    assert result == {"x": 1, "y": 2}
    assert headers["content-type"] == "application/json"
    assert headers["authorization"] == AUTH  # as the platform does; functions do not log it
    assert line == {
        "rule": "guest/r",
        "action": "guest/a",
        "statusCode": 0,
        "success": True,
        "activationId": activation["activationId"],
    }
    assert record["response"] == {"result": {"y": 2}, "success": True, "status": "success"}
    assert (record["name"], record["annotations"]) == ("t", [])
    assert not {"end", "duration"}.intersection(record)


def test_the_payload_may_be_no_body_and_has_to_be_an_object(server: CallsServer) -> None:
    rule(server, "r")
    assert server.api("POST", "triggers/t", None).status == 202
    assert server.api("POST", "triggers/t", b"[1]").status == 400
    assert server.api("POST", "triggers/t", b"x", media="text/plain").status == 415
    assert server.api("POST", "triggers/t", b" " * (1 << 20) + b"{}").status == 413


def test_a_rule_that_is_off_is_noted_and_calls_nothing(server: CallsServer) -> None:
    rule(server, "on")
    rule(server, "off", "b")
    assert server.api("POST", "rules/off", {"status": "inactive"}).status == 200
    _, lines = fired(server)
    assert lines[0]["rule"] == "guest/off"
    assert lines[0] == {
        "rule": "guest/off",
        "action": "guest/b",
        "statusCode": 1,
        "success": False,
        "error": "Rule 'guest/off' is inactive, action 'guest/b' was not activated.",
    }
    assert lines[1]["success"]
    assert server.api("POST", "rules/on", {"status": "inactive"}).status == 200
    assert server.api("POST", "triggers/t", {}).status == 204


def test_a_rule_whose_action_has_gone(server: CallsServer) -> None:
    rule(server, "r")
    assert server.api("DELETE", "actions/a").status == 200
    _, [line] = fired(server)
    assert (line["statusCode"], line["success"]) == (1, False)
    assert line["error"] == "The requested resource does not exist."


def test_a_rule_whose_action_takes_no_such_parameter(server: CallsServer) -> None:
    server.make(
        "a",
        parameters=[{"key": "x", "value": 9}],
        annotations=[{"key": "final", "value": True}],
    )
    rule(server, "r")
    _, [line] = fired(server)
    assert (line["statusCode"], line["error"]) == (1, NOT_ALLOWED)


def test_a_rule_whose_action_is_busy(server: CallsServer) -> None:
    server.scripted.scripts["a"] = CallOutcome(None, "busy")
    rule(server, "r")
    _, [line] = fired(server)
    assert (line["statusCode"], line["error"]) == (1, "Too many concurrent requests in flight.")


def test_a_fault_of_ours_is_noted_and_the_other_rules_go_on(server: CallsServer) -> None:
    async def broken(_: Deployed, __: FunctionCall) -> CallOutcome:
        raise RuntimeError("ours")

    server.scripted.scripts["a"] = broken
    rule(server, "r1")
    rule(server, "r2", "b")
    _, lines = fired(server)
    by_rule = {line["rule"]: line for line in lines}
    told = "There was an internal server error."
    assert (by_rule["guest/r1"]["statusCode"], by_rule["guest/r1"]["error"]) == (3, told)
    assert by_rule["guest/r2"]["success"]
    assert "ours" in "".join(server.log)
    server.log.clear()


def test_a_rule_may_call_a_sequence(server: CallsServer) -> None:
    server.sequence("s", "a", "b")
    rule(server, "r", "s")
    _, [line] = fired(server, {"z": 3})
    record = server.wait_for(line["activationId"])
    assert record["response"]["result"]["z"] == 3
    assert len(record["logs"]) == 2


def test_the_calls_are_told_of_by_their_rule(server: CallsServer) -> None:
    rule(server, "r")
    _, [line] = fired(server)
    server.wait_for(line["activationId"])
    [record] = server.told()
    assert (record.via, record.status) == ("rule r", 202)


def test_a_trigger_that_is_not_there(server: CallsServer) -> None:
    assert server.api("POST", "triggers/none", {}).status == 404
