"""Lists: how many there are at most, which come first, and what is no such question."""

from collections.abc import Iterator

import pytest

from tests.local.openwhisk.test_actions import PYTHON
from tests.local.openwhisk.whisk_server import WhiskServer, whisk_server

COUNT = 250


@pytest.fixture(scope="module")
def server() -> Iterator[WhiskServer]:
    with whisk_server() as made:
        for number in range(COUNT):
            assert made.api("PUT", f"triggers/t{number}", {}).status == 200
        yield made
        assert not made.log


def names(server: WhiskServer, query: str) -> list[str]:
    return [each["name"] for each in server.api("GET", f"triggers{query}").json]


NEWEST = [f"t{number}" for number in reversed(range(COUNT))]


@pytest.mark.parametrize(
    ("query", "begin", "end"),
    [
        ("", 0, 30),
        ("/", 0, 30),
        ("?limit=0", 0, 200),
        ("?limit=200", 0, 200),
        ("?limit=1", 0, 1),
        ("?limit=30&skip=0", 0, 30),
        ("?limit=%2B5&skip=3", 3, 8),
        ("?skip=240&limit=30", 240, 250),
        ("?skip=2000", 250, 250),
        ("?limit=&skip=", 0, 30),
        ("?limit=2&limit=9", 0, 2),
        ("?docs=true&unknown=1", 0, 30),
    ],
)
def test_the_last_changed_comes_first(
    server: WhiskServer, query: str, begin: int, end: int
) -> None:
    assert names(server, query) == NEWEST[begin:end]


@pytest.mark.parametrize(
    ("query", "count"),
    [("?count=true", 250), ("?count=true&skip=240&limit=1", 10), ("?count=1&skip=999", 0)],
)
def test_a_count_of_them(server: WhiskServer, query: str, count: int) -> None:
    assert server.api("GET", f"triggers{query}").json == {"triggers": count}


@pytest.mark.parametrize(
    ("query", "name", "message"),
    [
        ("limit=201", "limit", "The value '201' is not in the range of 0 to 200 for triggers."),
        ("limit=-1", "limit", "The value '-1' is not in the range of 0 to 200 for triggers."),
        ("limit=x", "limit", "The value 'x' is not an integer for triggers."),
        ("limit=1.5", "limit", "The value '1.5' is not an integer for triggers."),
        ("limit=99999999999", "limit", "The value '99999999999' is not an integer for triggers."),
        ("limit=2147483648", "limit", "The value '2147483648' is not an integer for triggers."),
        ("limit=%D9%A3", "limit", "The value '\u0663' is not an integer for triggers."),
        ("skip=-1", "skip", "The value '-1' is not greater than or equal to 0 for triggers."),
        ("skip=%00", "skip", "The value '\0' is not an integer for triggers."),
        ("count=maybe", "count", "'maybe' is not a valid Boolean value"),
    ],
)
def test_what_is_no_such_question(server: WhiskServer, query: str, name: str, message: str) -> None:
    reply = server.api("GET", f"triggers?{query}")
    assert reply.status == 400
    assert reply.error == f"The query parameter '{name}' was malformed:\n{message}"


def test_what_is_new_moves_nothing_out_of_sight() -> None:
    with whisk_server() as server:
        for name in "abc":
            server.api("PUT", f"actions/{name}", PYTHON)
        assert [each["name"] for each in server.api("GET", "actions").json] == ["c", "b", "a"]
        server.api("PUT", "actions/a?overwrite=true", {})
        assert [each["name"] for each in server.api("GET", "actions").json] == ["a", "c", "b"]


def test_a_list_has_neither_code_nor_parameters() -> None:
    with whisk_server() as server:
        given = PYTHON | {"parameters": [{"key": "secret", "value": 1}]}
        server.api("PUT", "actions/a", given)
        (listed,) = server.api("GET", "actions").json
        assert listed["exec"] == {"binary": False}
        assert "parameters" not in listed
