"""Packages and bindings, and the parameters that actions get from them."""

from collections.abc import Iterator

import pytest

from gpfn.local.openwhisk.entities import WhiskEntities
from gpfn.local.openwhisk.naming import EntityRef
from gpfn.local.openwhisk.records import WhiskParameters
from gpfn.local.openwhisk.refusing import WhiskRefusal
from gpfn.local.state import State
from tests.local.openwhisk.test_actions import PYTHON, keyed
from tests.local.openwhisk.whisk_server import WhiskServer, whisk_server


@pytest.fixture
def server() -> Iterator[WhiskServer]:
    with whisk_server() as made:
        put = made.api
        assert put(
            "PUT", "packages/p", {"parameters": pairs(a="package", b="package", c="package")}
        )
        assert put("PUT", "actions/p/x", PYTHON | {"parameters": pairs(a="action")}).status == 200
        bound = {
            "binding": {"namespace": "_", "name": "p"},
            "parameters": pairs(a="bound", b="bound"),
        }
        assert put("PUT", "packages/q", bound).status == 200
        yield made
        assert not made.log


def pairs(**values: object) -> list[dict[str, object]]:
    return [{"key": key, "value": value} for key, value in values.items()]


def values(parameters: WhiskParameters) -> dict[str, object]:
    return {each.key: each.value for each in parameters}


def test_an_action_lies_in_its_package(server: WhiskServer) -> None:
    action = server.api("GET", "actions/p/x").json
    assert (action["namespace"], action["name"]) == ("guest/p", "x")
    assert keyed(action["parameters"]) == {"a": "action", "b": "package", "c": "package"}


def test_an_action_through_a_binding_has_its_parameters_too(server: WhiskServer) -> None:
    action = server.api("GET", "actions/q/x?code=false").json
    assert (action["namespace"], action["binding"]) == ("guest/p", "guest/q")
    assert keyed(action["parameters"]) == {"a": "action", "b": "bound", "c": "package"}
    assert "binding" not in server.api("GET", "actions/q/x").json


def test_who_calls_an_action_sees_the_same(server: WhiskServer) -> None:
    found = server.look(lambda entities: entities.action(EntityRef("q", "x")))
    assert values(found.parameters) == {"a": "action", "b": "bound", "c": "package"}
    assert (str(found.ref), found.binding) == ("guest/p/x", "guest/q")
    assert server.look(lambda entities: entities.code(found)) == PYTHON["exec"]["code"]


def test_final_parameters_are_those_with_a_value(server: WhiskServer) -> None:
    final = {"annotations": pairs(final=True), "parameters": pairs(a=1, empty=None)}
    assert server.api("PUT", "actions/p/y", PYTHON | final).status == 200
    found = server.look(lambda entities: entities.action(EntityRef("p", "y")))
    assert found.final == {"a", "b", "c"}
    assert not server.look(lambda entities: entities.action(EntityRef("p", "x"))).final


def test_a_change_of_a_packages_parameters_reaches_its_actions(server: WhiskServer) -> None:
    server.api("PUT", "packages/p?overwrite=true", {"parameters": pairs(d=1)})
    assert keyed(server.api("GET", "actions/p/x").json["parameters"]) == {"a": "action", "d": 1}


def test_a_package_tells_its_actions_and_feeds(server: WhiskServer) -> None:
    server.api("PUT", "actions/p/f", PYTHON | {"annotations": pairs(feed=True)})
    for name in "pq":
        package = server.api("GET", f"packages/{name}").json
        assert [each["name"] for each in package["actions"]] == ["x"]
        assert [each["name"] for each in package["feeds"]] == ["f"]
    assert package["binding"] == {"namespace": "guest", "name": "p"}
    assert keyed(package["parameters"]) == {"a": "bound", "b": "bound", "c": "package"}
    assert keyed(package["annotations"]) == {"binding": {"namespace": "guest", "name": "p"}}


def test_lists_of_packages_and_of_their_actions(server: WhiskServer) -> None:
    packages = server.api("GET", "packages").json
    assert [(each["name"], each["binding"]) for each in packages] == [
        ("q", {"namespace": "guest", "name": "p"}),
        ("p", False),
    ]
    server.api("PUT", "actions/alone", PYTHON)
    for name in "pq":
        listed = server.api("GET", f"actions/{name}/").json
        assert [(each["namespace"], each["name"]) for each in listed] == [("guest/p", "x")]
    assert [each["name"] for each in server.api("GET", "actions").json] == ["alone", "x"]
    assert server.api("GET", "actions/p/?count=true").json == {"actions": 1}
    assert server.api("GET", "actions/nothing/").status == 404


def test_packages_of_other_namespaces_are_none(server: WhiskServer) -> None:
    assert server.ask("GET", "/api/v1/namespaces/whisk.system/packages").json == []


def test_a_package_with_actions_stays_unless_it_is_forced(server: WhiskServer) -> None:
    server.api("DELETE", "packages/q")
    reply = server.api("DELETE", "packages/p")
    assert reply.status == 409
    assert reply.error == (
        "Package not empty (contains 1 entity). Set force param or delete package contents."
    )
    server.api("PUT", "actions/p/y", PYTHON)
    assert "(contains 2 entities)" in server.api("DELETE", "packages/p?force=false").error
    assert server.api("DELETE", "packages/p?force=true").json["name"] == "p"
    assert server.api("GET", "actions").json == []
    assert server.api("DELETE", "packages/p").error == "The requested resource does not exist."


def test_a_binding_goes_without_its_package(server: WhiskServer) -> None:
    assert server.api("DELETE", "packages/q").status == 200
    assert server.api("GET", "actions/p/x").status == 200


def test_a_binding_of_a_package_that_is_gone(server: WhiskServer) -> None:
    server.api("DELETE", "packages/p?force=true")
    for path in ("packages/q", "actions/q/x"):
        assert server.api("GET", path).status == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        ("PUT", "actions/q/y", PYTHON, 400, "Operation not permitted on package binding."),
        ("DELETE", "actions/q/x", None, 400, "Operation not permitted on package binding."),
        ("PUT", "actions/none/y", PYTHON, 404, "The requested resource does not exist."),
        ("GET", "packages/none", None, 404, "The requested resource 'guest/none' does not exist."),
        ("PUT", "packages/default", {}, 400, "Package name 'default' is reserved."),
        ("PUT", "packages/p", {}, 409, "resource already exists"),
        (
            "POST",
            "packages/p",
            {},
            405,
            "HTTP method not allowed, supported methods: PUT, GET, DELETE",
        ),
        (
            "PUT",
            "packages/p?overwrite=true",
            {"binding": {"namespace": "_", "name": "p"}},
            409,
            "Resource is a package and cannot be converted into a binding.",
        ),
        (
            "PUT",
            "packages/r",
            {"binding": {"namespace": "_", "name": "q"}},
            400,
            "Cannot bind to another package binding.",
        ),
        (
            "PUT",
            "packages/r",
            {"binding": {"namespace": "_", "name": "none"}},
            400,
            "Binding references a package that does not exist.",
        ),
        (
            "PUT",
            "packages/r",
            {"binding": {"namespace": "other", "name": "p"}},
            403,
            "The supplied authentication is not authorized to access 'other/p'.",
        ),
        (
            "PUT",
            "packages/r",
            {"binding": {"namespace": "_"}},
            400,
            "The request content was malformed:\nObject is missing required member 'name'",
        ),
        (
            "PUT",
            "packages/r",
            {"binding": {"namespace": "_", "name": "a/b"}},
            400,
            "The request content was malformed:\nentity name malformed",
        ),
        (
            "PUT",
            "packages/r",
            {"binding": 5},
            400,
            "The request content was malformed:\nObject expected in field 'namespace'",
        ),
    ],
)
def test_what_is_refused(
    server: WhiskServer, method: str, path: str, body: object, status: int, message: str
) -> None:
    reply = server.api(method, path, body)
    assert (reply.status, reply.error) == (status, message)


def test_what_is_bound_has_to_be_a_package(server: WhiskServer) -> None:
    server.api("PUT", "actions/alone", PYTHON)
    reply = server.api("PUT", "packages/r", {"binding": {"namespace": "_", "name": "alone"}})
    assert (reply.status, reply.error) == (409, "Cannot bind to a resource that is not a package.")


def test_an_update_keeps_what_it_does_not_name(server: WhiskServer) -> None:
    changed = server.api("PUT", "packages/q?overwrite=true", {"publish": True}).json
    assert changed["binding"] == {"namespace": "guest", "name": "p"}
    assert keyed(changed["parameters"]) == {"a": "bound", "b": "bound"}
    assert (changed["version"], changed["publish"]) == ("0.0.2", True)
    again = server.api("PUT", "packages/q?overwrite=true", {"annotations": [], "binding": {}}).json
    assert keyed(again["annotations"]) == {"binding": {"namespace": "guest", "name": "p"}}


def test_it_is_told_which_actions_are_no_more() -> None:
    told: list[str] = []
    entities = WhiskEntities(State(), on_removed=told.append)
    entities.put_package(EntityRef("", "p"), {})
    for ref in (EntityRef("", "a"), EntityRef("p", "x"), EntityRef("p", "y")):
        entities.put_action(ref, PYTHON)
    with pytest.raises(WhiskRefusal):
        entities.delete_package(EntityRef("", "p"))
    entities.delete_action(EntityRef("", "a"))
    assert told == ["guest/a"]
    entities.delete_package(EntityRef("", "p"), force=True)
    assert {*told} == {"guest/a", "guest/p/x", "guest/p/y"}
