"""What an action is sent: parameters, context and environment, all as the platform has them."""

import json
from typing import Any

import pytest

from gpfn.local.openwhisk.context import (
    ActionContext,
    Arguments,
    arguments_of,
    init_environ,
    run_body,
)
from gpfn.local.openwhisk.naming import EntityRef
from gpfn.local.openwhisk.records import ActionLimits, WhiskAction, WhiskExec, WhiskParameter

CONTEXT = ActionContext("/guest/p/a", "0.0.3", "f" * 32, "t1", 1_700_000_000_123)


def action(*annotations: tuple[str, Any]) -> WhiskAction:
    return WhiskAction(
        EntityRef("p", "a"),
        WhiskExec("python:3.11"),
        (),
        tuple(WhiskParameter(*pair) for pair in annotations),
        ActionLimits(),
        "0.0.3",
        publish=False,
        updated=0,
        revision=1,
    )


def test_run_has_the_context_as_text_and_no_key() -> None:
    assert json.loads(run_body(Arguments({"a": 1}), CONTEXT)) == {
        "value": {"a": 1},
        "namespace": "guest",
        "action_name": "/guest/p/a",
        "action_version": "0.0.3",
        "activation_id": "f" * 32,
        "transaction_id": "t1",
        "deadline": "1700000000123",
    }


@pytest.mark.parametrize(
    ("annotations", "key"),
    [
        ((), "u:k"),  # an action from before there was such an annotation
        ((("provide-api-key", True),), "u:k"),
        ((("provide-api-key", "yes"),), "u:k"),
        ((("provide-api-key", {}),), "u:k"),
        ((("provide-api-key", False),), None),
        ((("provide-api-key", ""),), None),
        ((("provide-api-key", 0),), None),
        ((("provide-api-key", None),), None),
    ],
)
def test_the_key_is_given_by_the_annotation(
    annotations: tuple[tuple[str, Any], ...], key: str | None
) -> None:
    context = ActionContext.of(action(*annotations), "f" * 32, "t", "u:k")
    assert json.loads(run_body(Arguments({}), context)).get("api_key") == key
    assert dict(init_environ(Arguments({}), context)).get("__OW_API_KEY") == key


def test_the_calls_arguments_are_over_the_actions_parameters() -> None:
    parameters = (WhiskParameter("a", 1), WhiskParameter("b", 2))
    assert arguments_of(parameters, {"b": 3, "c": 4}).value == {"a": 1, "b": 3, "c": 4}
    assert arguments_of(parameters, None).value == {"a": 1, "b": 2}


def test_an_array_is_the_argument_as_it_is() -> None:
    assert arguments_of((WhiskParameter("a", 1),), [1, 2]).value == [1, 2]


def test_init_parameters_go_into_the_environment_alone() -> None:
    parameters = (
        WhiskParameter("TEXT", "x y", init=True),
        WhiskParameter("EMPTY", None, init=True),
        WhiskParameter("YES", True, init=True),
        WhiskParameter("COUNT", 12, init=True),
        WhiskParameter("OBJECT", {"a": [1]}, init=True),
        WhiskParameter("plain", 1),
    )
    arguments = arguments_of(parameters, {"COUNT": 13})
    assert arguments.value == {"plain": 1}
    environ = dict(init_environ(arguments, CONTEXT))
    assert environ == {
        "TEXT": "x y",
        "EMPTY": "",
        "YES": "true",
        "COUNT": "13",
        "OBJECT": '{"a":[1]}',
        "__OW_NAMESPACE": "guest",
        "__OW_ACTION_NAME": "/guest/p/a",
        "__OW_ACTION_VERSION": "0.0.3",
        "__OW_ACTIVATION_ID": "f" * 32,
        "__OW_TRANSACTION_ID": "t1",
        "__OW_DEADLINE": "1700000000123",
    }


def test_a_parameter_cannot_be_the_context() -> None:
    arguments = arguments_of((WhiskParameter("__OW_NAMESPACE", "x", init=True),), None)
    assert dict(init_environ(arguments, CONTEXT))["__OW_NAMESPACE"] == "guest"
