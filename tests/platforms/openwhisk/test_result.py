"""What an action may return, by a process that has to outlive all of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.platforms.openwhisk.served import Action, served

ECHO = "def main(args):\n    return args\n"

EVALUATING = """
import collections, datetime, numpy

async def other():
    pass

def itself():
    a = {}
    a["a"] = a
    return a

def main(args):
    return eval(args["expression"])
"""


@pytest.fixture(scope="module")
def action(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Action]:
    with served(tmp_path_factory.mktemp("evaluating")) as running:
        assert running.init(EVALUATING).status == 200
        yield running
        assert running.run({"expression": "{'alive': 1}"}).json() == {"alive": 1}


@pytest.mark.parametrize(
    "expression", ["'text'", "5", "True", "{1, 2}", "(x for x in [])", "b'x'", "numpy.zeros(2)"]
)
def test_a_result_that_is_no_dictionary(action: Action, expression: str) -> None:
    reply = action.run({"expression": expression})
    assert reply.status == 502
    assert reply.error == "The action did not return a dictionary or array."


def test_none_is_null_as_from_the_stock_runtime(action: Action) -> None:
    assert action.run({"expression": "None"}) == (200, b"null")


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("{'a': float('nan')}", "result.a is nan"),
        ("{'a': [1, None, -float('inf')]}", "result.a[2] is -inf"),
        ("{'a': b'x'}", "result.a is of type bytes"),
        ("{'a': {1}}", "result.a is of type set"),
        ("{'a': numpy.zeros(2)}", "result.a is of type ndarray"),
        ("{'a': numpy.float32(1)}", "result.a is of type float32"),
        ("{'a': datetime.datetime.now()}", "result.a is of type datetime"),
        ("{'a': (x for x in [])}", "result.a is of type generator"),
        ("{'a': other()}", "result.a is of type coroutine"),
        ("{'a': Exception('x')}", "result.a is of type Exception"),
        ("{(1, 2): 1}", "result has a key of type tuple"),
        ("{'a': '\\ud800'}", "result.a holds half a character (a lone surrogate)"),
        ("itself()", "nested deeper than 200"),
    ],
)
def test_a_result_that_json_cannot_hold(action: Action, expression: str, problem: str) -> None:
    reply = action.run({"expression": expression})
    assert reply.status == 200, "anything else would cost the container"
    assert str(reply.error).startswith("The action's result is not JSON: ")
    assert problem in str(reply.error)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("{1: 'a', None: 2, False: 3, 1.5: 4}", {"1": "a", "null": 2, "false": 3, "1.5": 4}),
        ("{'a': 2 ** 70}", {"a": 2**70}),
        ("(1, 2)", [1, 2]),
        ("collections.namedtuple('T', 'a b')(1, 2)", [1, 2]),
        ("collections.OrderedDict(a=None)", {"a": None}),
        ("{'a': {'b': None, 'c': 'null'}}", {"a": {"b": None, "c": "null"}}),
    ],
)
def test_what_the_stock_runtime_takes(action: Action, expression: str, expected: object) -> None:
    assert action.run({"expression": expression}).json() == expected


def test_the_limits_of_parameters_and_result(action: Action) -> None:
    size = (1 << 20) - len('{"a":""}')
    assert len(action.run({"expression": f"{{'a': 'x' * {size}}}"}).body) == 1 << 20
    reply = action.run({"expression": f"{{'a': 'x' * {size + 1}}}"})
    assert reply.status == 200
    assert reply.error == (
        "The action produced a response that exceeded the allowed length: 1048577 > 1048576 bytes."
    )
    reply = action.run({"expression": "{}", "more": "y" * (2 << 20)})
    assert reply.status == 200
    error = reply.error
    assert isinstance(error, dict)
    assert (error["type"], error["field"]) == ("too-large", "value")
    assert "GPFN_MAX_BODY_BYTES" in error["detail"]


def test_limits_that_an_operator_has_raised(tmp_path: Path) -> None:
    raised = {"GPFN_MAX_BODY_BYTES": "5000000", "GPFN_MAX_RESULT_BYTES": "3000000"}
    with served(tmp_path, environ=raised) as action:
        assert action.init(ECHO).status == 200
        value = {"a": "x" * 2_900_000}
        assert action.run(value).json() == value


def test_no_result_leaves_a_word_in_the_log(tmp_path: Path) -> None:
    with served(tmp_path) as action:
        assert action.init("def main(args):\n    return 'text'").status == 200
        action.run()
        assert action.text(sentinels=1) == ("", "")
