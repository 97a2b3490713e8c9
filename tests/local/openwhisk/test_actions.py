"""Actions are made, changed, read and removed as on the platform."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.local.openwhisk.whisk_server import WhiskServer, whisk_server

CODE = "def main(args):\n    return args\n"
PYTHON: dict[str, Any] = {"exec": {"kind": "python:3.11", "code": CODE}}


@pytest.fixture
def server() -> Iterator[WhiskServer]:
    with whisk_server() as made:
        yield made
        assert not made.log


def keyed(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    return {each["key"]: each["value"] for each in pairs}


def put(server: WhiskServer, name: str, body: dict[str, Any], *, status: int = 200) -> Any:
    reply = server.api("PUT", f"actions/{name}?overwrite=true", body)
    assert reply.status == status, reply
    return reply.json if status == 200 else reply.error


def test_one_that_is_there_is_changed_only_when_that_is_wanted(server: WhiskServer) -> None:
    assert server.api("PUT", "actions/a", PYTHON).json["version"] == "0.0.1"
    for query in ("", "?overwrite=false", "?overwrite=0"):
        reply = server.api("PUT", f"actions/a{query}", PYTHON)
        assert (reply.status, reply.error) == (409, "resource already exists")
    assert server.api("PUT", "actions/a?overwrite=true", {}).json["version"] == "0.0.2"
    assert server.api("PUT", "actions/b?overwrite=true", PYTHON).json["version"] == "0.0.1"


def test_a_change_of_parameters_keeps_the_code_and_all_else(server: WhiskServer) -> None:
    whole = PYTHON | {"limits": {"memory": 512}, "annotations": [{"key": "note", "value": 1}]}
    whole |= {"parameters": [{"key": "a", "value": 1}, {"key": "b", "value": 2}], "publish": True}
    before = put(server, "a", whole)
    after = put(server, "a", {"parameters": [{"key": "c", "value": {"deep": [None]}}]})
    assert after["parameters"] == [{"key": "c", "value": {"deep": [None]}}]
    same = ("exec", "limits", "annotations", "publish", "namespace", "name")
    assert {key: after[key] for key in same} == {key: before[key] for key in same}
    assert server.api("GET", "actions/a").json["exec"]["code"] == CODE


def test_null_is_as_if_it_were_not_there(server: WhiskServer) -> None:
    before = put(server, "a", PYTHON | {"parameters": [{"key": "a", "value": 1}]})
    nothing = dict.fromkeys(("exec", "parameters", "annotations", "limits", "publish", "version"))
    after = put(server, "a", nothing)
    assert after["parameters"] == before["parameters"]
    assert after["exec"] == before["exec"]


def test_what_is_given_replaces_the_whole_of_it(server: WhiskServer) -> None:
    put(server, "a", PYTHON | {"parameters": [{"key": "a", "value": 1}]})
    assert put(server, "a", {"parameters": []})["parameters"] == []
    changed = put(server, "a", {"exec": {"kind": "blackbox", "image": "me/other:2"}})
    assert changed["exec"] == {"kind": "blackbox", "image": "me/other:2", "binary": False}
    assert "code" not in server.api("GET", "actions/a").json["exec"]


def test_annotations_are_added_and_some_taken_away(server: WhiskServer) -> None:
    put(server, "a", PYTHON | {"annotations": [{"key": "x", "value": 1}, {"key": "y", "value": 2}]})
    added = put(server, "a", {"annotations": [{"key": "y", "value": 3}, {"key": "z", "value": 4}]})
    system = {"provide-api-key": False, "exec": "python:3.11"}
    assert keyed(added["annotations"]) == {"x": 1, "y": 3, "z": 4} | system
    fewer = put(server, "a", {"delAnnotations": ["y", "nothing"], "annotations": []})
    assert keyed(fewer["annotations"]) == {"x": 1, "z": 4} | system


def test_the_annotation_exec_is_always_true(server: WhiskServer) -> None:
    lie = [{"key": "exec", "value": "nodejs:20"}, {"key": "provide-api-key", "value": True}]
    made = put(server, "a", PYTHON | {"annotations": lie})
    assert keyed(made["annotations"]) == {"exec": "python:3.11", "provide-api-key": True}


def test_the_order_and_the_last_of_two_parameters(server: WhiskServer) -> None:
    twice = [{"key": "a", "value": 1}, {"key": "b", "value": 2}, {"key": "a", "value": 3}]
    made = put(server, "a", PYTHON | {"parameters": twice})
    assert made["parameters"] == [{"key": "a", "value": 3}, {"key": "b", "value": 2}]


def test_a_parameter_for_init_says_so(server: WhiskServer) -> None:
    init = [{"key": "TOKEN", "value": "x", "init": True}, {"key": "b", "value": 1, "init": False}]
    made = put(server, "a", PYTHON | {"parameters": init})
    assert made["parameters"] == [init[0], {"key": "b", "value": 1}]


def test_numbers_keep_their_digits(server: WhiskServer) -> None:
    number = 123456789012345678901234567890
    put(server, "a", PYTHON | {"parameters": [{"key": "n", "value": number}]})
    assert server.api("GET", "actions/a").json["parameters"] == [{"key": "n", "value": number}]


@pytest.mark.parametrize(
    ("given", "kind", "binary"),
    [
        ({"kind": "python:default", "code": CODE}, "python:3.10", False),
        ({"kind": " Python:3 ", "code": CODE}, "python:3", False),
        ({"kind": "python:3.11", "code": "abcd"}, "python:3.11", True),
        ({"kind": "python:3.11", "code": " UEsDBA==\n"}, "python:3.11", True),
        ({"kind": "python:3.11", "code": "abc"}, "python:3.11", False),
        ({"kind": "python:3.11", "code": ""}, "python:3.11", False),
        ({"kind": "blackbox", "image": "registry.example:5000/a/b_c:1.0"}, "blackbox", False),
        ({"kind": "blackbox", "image": "me/x", "code": "UEsDBA=="}, "blackbox", True),
        ({"kind": "blackbox", "image": "me/x", "code": "  "}, "blackbox", False),
    ],
)
def test_kinds(server: WhiskServer, given: dict[str, str], kind: str, binary: bool) -> None:
    made = put(server, "a", {"exec": given})["exec"]
    assert (made["kind"], made["binary"]) == (kind, binary)
    assert made.get("image") == given.get("image")
    code = given.get("code", "")
    assert made.get("code", "") == (code if code.strip() else "")


def test_limits_that_are_given_leave_the_others(server: WhiskServer) -> None:
    made = put(server, "a", PYTHON | {"limits": {"timeout": 100, "logs": 0, "instances": 3}})
    expected = {"timeout": 100, "memory": 256, "logs": 0, "concurrency": 1, "instances": 3}
    assert made["limits"] == expected
    changed = put(server, "a", {"limits": {"memory": 512, "timeout": None}})
    assert changed["limits"] == expected | {"memory": 512}


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"memory": 513}, "memory size 513 MB exceeds allowed threshold of 512 MB"),
        ({"memory": 127}, "memory size 127 MB below allowed threshold of 128 MB"),
        (
            {"timeout": 300_001},
            "duration 300001 milliseconds exceeds allowed threshold of 300000 milliseconds",
        ),
        ({"timeout": 99}, "duration 99 milliseconds below allowed threshold of 100 milliseconds"),
        ({"timeout": -1}, "duration -1 milliseconds below allowed threshold of 100 milliseconds"),
        ({"logs": 11}, "log size 11 MB exceeds allowed threshold of 10 MB"),
        ({"concurrency": 2}, "concurrency 2 exceeds allowed threshold of 1"),
        ({"concurrency": 0}, "concurrency 0 below allowed threshold of 1"),
        ({"timeout": 1.5}, "time limit must be whole number"),
        ({"memory": -1}, "a negative size of an object is not allowed."),
        ({"timeout": "60000"}, "time limit malformed"),
        ({"memory": True}, "memory limit malformed"),
        ({"timeout": 1e308}, "exceeds allowed threshold"),
        ({"instances": 31}, "must not exceed your namespace concurrency of 30."),
        ({"instances": -1}, "must be greater than or equal to 0."),
        ([], "Object expected in field 'timeout'"),
    ],
)
def test_limits_have_ranges(server: WhiskServer, limits: Any, message: str) -> None:
    assert message in put(server, "a", PYTHON | {"limits": limits}, status=400)
    assert server.api("GET", "actions/a").status == 404


def test_versions_count_on_or_are_given(server: WhiskServer) -> None:
    assert put(server, "a", PYTHON | {"version": "1.2.9"})["version"] == "1.2.9"
    assert put(server, "a", {})["version"] == "1.2.10"
    assert put(server, "a", {"version": "3"})["version"] == "3.0.0"
    assert "semantic version malformed" in put(server, "a", {"version": "x"}, status=400)


def test_a_removed_action_is_told_once_more_with_its_code(server: WhiskServer) -> None:
    put(server, "a", PYTHON)
    assert server.api("DELETE", "actions/a").json["exec"]["code"] == CODE
    for method in ("GET", "DELETE"):
        reply = server.api(method, "actions/a")
        assert (reply.status, reply.error) == (404, "The requested resource does not exist.")
    assert put(server, "a", PYTHON)["version"] == "0.0.1"


def test_an_action_needs_something_to_run(server: WhiskServer) -> None:
    assert put(server, "a", {}, status=400) == "exec undefined"


def test_a_name_is_that_of_one_kind_of_entity(server: WhiskServer) -> None:
    put(server, "a", PYTHON)
    for collection, body in (("triggers", {}), ("packages", {})):
        for method in ("PUT", "GET", "DELETE"):
            reply = server.api(method, f"{collection}/a", body if method == "PUT" else None)
            assert reply.status == 409
            assert reply.error == "Resource by this name exists but is not in this collection."


def test_a_sequence_has_its_components_for_parameters(server: WhiskServer) -> None:
    put(server, "a", PYTHON)
    parts = ["/_/a", "/guest/a", "guest/a"]
    made = put(server, "s", {"exec": {"kind": "sequence", "components": parts}, "parameters": []})
    assert made["exec"] == {"kind": "sequence", "components": ["/guest/a"] * 3}
    assert made["parameters"] == [{"key": "_actions", "value": ["/guest/a"] * 3}]
    kept = put(server, "s", {"parameters": [{"key": "lost", "value": 1}]})
    assert kept["parameters"] == made["parameters"]
    assert put(server, "s", PYTHON)["parameters"] == []


@pytest.mark.parametrize(
    ("components", "status", "message"),
    [
        ([], 400, "No component specified for the sequence."),
        (["/_/a"] * 51, 400, "Too many actions in the sequence."),
        (["/_/wide", "/_/a"], 400, "Too many actions in the sequence."),
        (["/_/s"], 400, "Sequence may not refer to itself."),
        (["/_/s", "/_/nothing"], 400, "Sequence may not refer to itself."),
        (["/_/nothing", "/_/s"], 400, "Sequence component does not exist."),
        (["/_/around"], 400, "Sequence may not refer to itself."),
        (["/_/nothing"], 400, "Sequence component does not exist."),
        (["/_/nothing/a"], 404, "The requested resource does not exist."),
        (["/other/a"], 403, "The supplied authentication is not authorized to access 'other/a'."),
        ("/_/a", 400, "'components' must be an array"),
        (["a"], 400, "must contain at least the namespace and the name of the entity."),
        (["/_/a/b/c/d"], 400, "fully qualified name malformed"),
        ([5], 400, "fully qualified name malformed"),
    ],
)
def test_what_is_no_sequence(
    server: WhiskServer, components: Any, status: int, message: str
) -> None:
    put(server, "a", PYTHON)
    put(server, "s", PYTHON)
    put(server, "around", {"exec": {"kind": "sequence", "components": ["/_/s"]}})
    put(server, "wide", {"exec": {"kind": "sequence", "components": ["/_/a"] * 50}})
    body = {"exec": {"kind": "sequence", "components": components}}
    assert message in put(server, "s", body, status=status)


def test_a_new_sequence_is_not_its_own_part(server: WhiskServer) -> None:
    body = {"exec": {"kind": "sequence", "components": ["/_/ring"]}}
    assert put(server, "ring", body, status=400) == "Sequence may not refer to itself."


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "'kind' must be a string defined in 'exec'"),
        ({"kind": 5}, "'kind' must be a string defined in 'exec'"),
        ({"kind": "cobol:1", "code": ""}, "The specified runtime 'cobol:1' is not supported"),
        ({"kind": "ruby:2.5", "code": ""}, "'blackbox', 'sequence'."),
        ({"kind": "python:3"}, "'code' must be a string or attachment object defined in 'exec'"),
        ({"kind": "python:3", "code": 5}, "'code' must be a string or attachment object"),
        ({"kind": "python:3", "code": "", "main": 1}, "if defined, 'main' be a string in 'exec'"),
        ({"kind": "blackbox"}, "'image' must be a string defined in 'exec' for 'blackbox'"),
        ({"kind": "blackbox", "image": "A B"}, "could not parse image name"),
        ({"kind": "blackbox", "image": "a" * 600}, "could not parse image name"),
        ({"kind": "sequence"}, "'components' must be defined for sequence kind"),
        ([], "JSON object expected"),
        ("python", "JSON object expected"),
    ],
)
def test_what_cannot_run(server: WhiskServer, given: Any, message: str) -> None:
    error = put(server, "a", {"exec": given}, status=400)
    assert error.startswith("The request content was malformed:\n")
    assert message in error
