"""Triggers, and the rules that lead from them to actions."""

from collections.abc import Iterator

import pytest

from gpfn.local.openwhisk.naming import EntityRef
from tests.local.openwhisk.test_actions import PYTHON, keyed
from tests.local.openwhisk.whisk_server import WhiskServer, whisk_server

SHORT = (
    "The fully qualified name of the entity must contain at least the namespace and the name of "
    "the entity."
)
RULE = {"trigger": "/_/t", "action": "/_/a"}


@pytest.fixture
def server() -> Iterator[WhiskServer]:
    with whisk_server() as made:
        assert made.api("PUT", "actions/a", PYTHON).status == 200
        assert made.api("PUT", "triggers/t", {"parameters": [{"key": "k", "value": 1}]}).json
        assert made.api("PUT", "rules/r", RULE).status == 200
        yield made
        assert not made.log


def status(server: WhiskServer, rule: str = "r") -> str:
    return str(server.api("GET", f"rules/{rule}").json["status"])


def test_a_trigger_tells_its_rules(server: WhiskServer) -> None:
    server.api("PUT", "rules/b", RULE)
    server.api("POST", "rules/b", {"status": "inactive"})
    action = {"path": "guest", "name": "a"}
    assert server.api("GET", "triggers/t").json["rules"] == {
        "guest/b": {"action": action, "status": "inactive"},
        "guest/r": {"action": action, "status": "active"},
    }
    found = server.look(lambda entities: entities.rules_of(EntityRef("", "t")))
    assert [(rule.ref.name, str(rule.action), rule.active) for rule in found] == [
        ("b", "guest/a", False),
        ("r", "guest/a", True),
    ]


def test_an_update_of_a_trigger_keeps_what_it_does_not_name(server: WhiskServer) -> None:
    changed = server.api("PUT", "triggers/t?overwrite=true", {"publish": True}).json
    assert keyed(changed["parameters"]) == {"k": 1}
    assert (changed["version"], changed["limits"], {*changed["rules"]}) == (
        "0.0.2",
        {},
        {"guest/r"},
    )
    replaced = {"annotations": [{"key": "x", "value": 1}], "parameters": []}
    assert server.api("PUT", "triggers/t?overwrite=true", replaced).json["parameters"] == []
    server.api("PUT", "triggers/t?overwrite=true", {"annotations": [{"key": "y", "value": 1}]})
    assert keyed(server.api("GET", "triggers/t").json["annotations"]) == {"y": 1}


def test_a_rule_is_switched(server: WhiskServer) -> None:
    for wanted in ("inactive", "inactive", "active"):
        reply = server.api("POST", "rules/r", {"status": wanted, "trigger": None, "action": None})
        assert (reply.status, reply.body) == (200, b"OK")
        assert status(server) == wanted
    assert server.api("GET", "rules/r").json["version"] == "0.0.1"


def test_an_updated_rule_stays_as_it_was_switched(server: WhiskServer) -> None:
    server.api("POST", "rules/r", {"status": "inactive"})
    server.api("PUT", "actions/other", PYTHON)
    changed = server.api("PUT", "rules/r?overwrite=true", {"action": "/_/other"}).json
    assert (changed["status"], changed["version"]) == ("inactive", "0.0.2")
    assert changed["action"] == {"path": "guest", "name": "other"}
    assert changed["trigger"] == {"path": "guest", "name": "t"}


def test_a_rule_moves_to_another_trigger(server: WhiskServer) -> None:
    server.api("PUT", "triggers/u", {})
    server.api("PUT", "rules/r?overwrite=true", {"trigger": {"path": "_", "name": "u"}})
    assert "rules" not in server.api("GET", "triggers/t").json
    assert {*server.api("GET", "triggers/u").json["rules"]} == {"guest/r"}


def test_a_rule_without_its_trigger_is_not_active(server: WhiskServer) -> None:
    assert server.api("DELETE", "triggers/t").json["rules"]["guest/r"]["status"] == "active"
    assert status(server) == "inactive"
    reply = server.api("POST", "rules/r", {"status": "active"})
    assert (reply.status, reply.error) == (
        404,
        "Only rules with existing triggers can be activated",
    )
    assert server.api("POST", "rules/r", {"status": "inactive"}).status == 200


def test_a_trigger_that_is_made_again_has_no_rules_until_they_are_switched_on(
    server: WhiskServer,
) -> None:
    server.api("DELETE", "triggers/t")
    assert "rules" not in server.api("PUT", "triggers/t", {}).json
    assert not server.look(lambda entities: entities.rules_of(EntityRef("", "t")))
    assert server.api("POST", "rules/r", {"status": "active"}).status == 200
    assert {*server.api("GET", "triggers/t").json["rules"]} == {"guest/r"}


def test_a_rule_without_its_action_stays(server: WhiskServer) -> None:
    assert server.api("DELETE", "actions/a").status == 200
    assert status(server) == "active"


def test_a_rule_to_an_action_of_a_package(server: WhiskServer) -> None:
    server.api("PUT", "packages/p", {})
    server.api("PUT", "actions/p/x", PYTHON)
    made = server.api("PUT", "rules/s", {"trigger": "guest/t", "action": "/guest/p/x"}).json
    assert made["action"] == {"path": "guest/p", "name": "x"}


def test_lists_of_rules_do_not_say_whether_they_are_active(server: WhiskServer) -> None:
    (listed,) = server.api("GET", "rules").json
    assert "status" not in listed
    assert listed["trigger"] == {"path": "guest", "name": "t"}


def test_a_removed_rule_leaves_trigger_and_action(server: WhiskServer) -> None:
    assert server.api("DELETE", "rules/r").json["status"] == "inactive"
    assert server.api("GET", "rules/r").status == 404
    assert "rules" not in server.api("GET", "triggers/t").json
    assert server.api("GET", "actions/a").status == 200


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({}, 400, "rule requires a valid trigger and a valid action"),
        ({"trigger": "/_/t"}, 400, "rule requires a valid trigger and a valid action"),
        ({"trigger": "/_/no", "action": "/_/a"}, 400, "trigger /guest/no does not exist"),
        ({"trigger": "/_/t", "action": "/_/no"}, 400, "action /guest/no does not exist"),
        ({"trigger": "/_/t", "action": "/_/no/a"}, 404, "The requested resource does not exist."),
        (
            {"trigger": "/other/t", "action": "/_/a"},
            403,
            "The supplied authentication is not authorized to access 'other/t'.",
        ),
        (
            {"trigger": 5, "action": "/_/a"},
            400,
            "The request content was malformed:\nfully qualified name malformed",
        ),
        (
            {"trigger": {"path": "_", "name": "a/b"}, "action": "/_/a"},
            400,
            "The request content was malformed:\nfully qualified name malformed",
        ),
        (
            {"trigger": "t", "action": "/_/a"},
            400,
            f"The request content was malformed:\n{SHORT}",
        ),
    ],
)
def test_what_is_no_rule(server: WhiskServer, body: object, code: int, message: str) -> None:
    reply = server.api("PUT", "rules/s", body)
    assert (reply.status, reply.error) == (code, message)
    assert server.api("GET", "rules/s").status == 404


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "key not found: status"),
        ({"status": "on"}, "requirement failed: on is not a recognized rule state"),
        ({"status": " "}, "requirement failed: argument undefined"),
        ({"status": 5}, "5 (of class spray.json.JsNumber)"),
        ({"status": None}, "null (of class spray.json.JsNull$)"),
        ({"status": {}}, "{} (of class spray.json.JsObject)"),
    ],
)
def test_what_is_no_status(server: WhiskServer, body: object, message: str) -> None:
    reply = server.api("POST", "rules/r", body)
    assert reply.status == 400
    assert reply.error == f"The request content was malformed:\n{message}"
    assert server.api("POST", "rules/none", {"status": "active"}).status == 404


@pytest.mark.parametrize("feed", [5, "", "/", "a b/c d ", "/_/alarms/!"])
def test_a_feed_has_a_name(server: WhiskServer, feed: object) -> None:
    reply = server.api("PUT", "triggers/f", {"annotations": [{"key": "feed", "value": feed}]})
    assert (reply.status, reply.error) == (400, "Feed name is not valid")
    named = {"annotations": [{"key": "feed", "value": "/whisk.system/alarms/alarm"}]}
    assert server.api("PUT", "triggers/f", named).status == 200
