"""Activations over REST: lists, their bounds, and the parts of one."""

from collections.abc import Iterator

import pytest

from tests.local.openwhisk.calls_server import CallsServer, calls_server


@pytest.fixture(scope="module")
def server() -> Iterator[CallsServer]:
    with calls_server() as server:
        assert server.api("PUT", "packages/p", {}).status == 200
        server.make("a")
        server.make("p/a")
        for number in range(250):
            assert server.invoke("p/a" if number % 5 == 0 else "a", {"n": number}).status == 200
        yield server


def test_a_list_is_of_30_unless_another_limit_is_given(server: CallsServer) -> None:
    assert len(server.api("GET", "activations").json) == 30
    assert len(server.api("GET", "activations?limit=200").json) == 200
    assert len(server.api("GET", "activations?limit=0").json) == 200
    assert len(server.api("GET", "activations?limit=7").json) == 7


def test_pages_are_all_of_them_once(server: CallsServer) -> None:
    pages = [
        server.api("GET", f"activations?limit=100&skip={skip}&docs=true").json
        for skip in (0, 100, 200)
    ]
    numbers = [each["response"]["result"]["n"] for page in pages for each in page]
    assert numbers == [*range(249, -1, -1)]


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("limit=201", "The value '201' is not in the range of 0 to 200 for activations."),
        ("limit=-1", "The value '-1' is not in the range of 0 to 200 for activations."),
        ("limit=x", "The value 'x' is not an integer for activations."),
        ("skip=-1", "The value '-1' is not greater than or equal to 0 for activations."),
        ("since=x", "Parameter is not a valid value for epoch seconds: x"),
        ("upto=" + "9" * 99, f"Parameter is not a valid value for epoch seconds: {'9' * 99}"),
        (
            "name=a/b/c",
            "Parameter may be a 'simple' name or 'package-name/simple' name: a/b/c",
        ),
        ("name=%00", "Parameter may be a 'simple' name or 'package-name/simple' name: \0"),
    ],
)
def test_what_cannot_be_asked_for_is_400(server: CallsServer, query: str, told: str) -> None:
    reply = server.api("GET", f"activations?{query}")
    key = query.partition("=")[0]
    assert (reply.status, reply.error) == (
        400,
        f"The query parameter '{key}' was malformed:\n{told}",
    )


def test_count_is_the_number_alone(server: CallsServer) -> None:
    assert server.api("GET", "activations?count=true").json == {"activations": 250}
    assert server.api("GET", "activations?count=true&name=p/a").json == {"activations": 50}
    reply = server.api("GET", "activations?count=true&docs=true")
    told = "The parameter 'docs' is not permitted with 'count'."
    assert (reply.status, reply.error) == (400, told)


def test_a_list_is_of_one_action(server: CallsServer) -> None:
    listed = server.api("GET", "activations?name=p/a&limit=200").json
    assert len(listed) == 50
    assert all({"key": "path", "value": "guest/p/a"} in each["annotations"] for each in listed)
    assert len(server.api("GET", "activations?name=a&limit=0").json) == 200
    assert server.api("GET", "activations?name=none").json == []


def test_since_and_upto_belong_to_it(server: CallsServer) -> None:
    [oldest] = server.api("GET", "activations?limit=1&skip=249").json
    moment = oldest["start"]
    assert len(server.api("GET", f"activations?upto={moment}").json) >= 1
    assert len(server.api("GET", f"activations?since={moment}&limit=200").json) == 200
    assert server.api("GET", f"activations?upto={moment - 1}").json == []


def test_the_parts_of_one(server: CallsServer) -> None:
    [newest] = server.api("GET", "activations?limit=1&docs=true").json
    identifier = newest["activationId"]
    assert server.activation(identifier) == newest
    assert server.activation(identifier, "/logs") == {"logs": []}
    assert server.activation(identifier, "/result") == newest["response"]


@pytest.mark.parametrize(
    ("identifier", "status", "told"),
    [
        ("0" * 32, 404, "The requested resource does not exist."),
        ("0" * 31, 400, "Activation id length is 31 but must be 32."),
        ("G" * 32, 400, "The activation id is not valid."),
        ("A" * 32, 400, "The activation id is not valid."),
    ],
)
def test_one_that_is_not_there(
    server: CallsServer, identifier: str, status: int, told: str
) -> None:
    for part in ("", "/logs", "/result"):
        reply = server.api("GET", f"activations/{identifier}{part}")
        assert (reply.status, reply.error) == (status, told)


def test_nobody_changes_one(server: CallsServer) -> None:
    [newest] = server.api("GET", "activations?limit=1").json
    for method in ("PUT", "DELETE", "POST"):
        path = f"activations/{newest['activationId']}"
        assert server.api(method, path, {}).status == 405


def test_a_list_is_of_one_binding() -> None:
    with calls_server() as server:
        assert server.api("PUT", "packages/q", {}).status == 200
        server.make("q/a")
        bound = {"binding": {"namespace": "_", "name": "q"}}
        assert server.api("PUT", "packages/bound", bound).status == 200
        by_name, by_binding = (
            server.invoke(f"{each}/a").json["activationId"] for each in ("q", "bound")
        )
        for name, found in (("q", by_name), ("bound", by_binding)):
            listed = server.api("GET", f"activations?name={name}/a").json
            assert [each["activationId"] for each in listed] == [found]
        record = server.activation(by_binding)
        assert {"key": "path", "value": "guest/q/a"} in record["annotations"]
        assert {"key": "binding", "value": "guest/bound"} in record["annotations"]
